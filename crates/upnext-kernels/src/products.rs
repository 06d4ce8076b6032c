//! What a training step multiplies with: f32 everywhere, or bf16 operands on tiles for the products of its weights.
//!
//! The choice is handed down to each call. Serving and validation make none: they multiply by [`crate::product`].

use crate::product::{self, Packed, Write};
use crate::tiles::Tiles;
use crate::{Rows, RowsMut, bf16};
use std::ops::Range;

/// How the products of weights are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// In f32.
    #[default]
    F32,
    /// Of operands rounded to bf16, summed in f32.
    Bf16(Tiles),
}

impl Products {
    /// Of bf16 operands where the CPU has tiles for them ([`Tiles::here`]), in f32 elsewhere.
    #[must_use]
    pub fn bf16_or_f32() -> Products {
        Tiles::here().map_or(Products::F32, Products::Bf16)
    }

    /// `w (cols, inner)`, packed for `x · wᵀ`.
    ///
    /// # Panics
    /// When `w` is not `cols * inner` long.
    #[must_use]
    pub fn weight(self, w: &[f32], cols: usize, inner: usize) -> Weight {
        match self {
            Products::F32 => Weight::F32(Packed::transposed(w, cols, inner)),
            Products::Bf16(tiles) => Weight::Bf16(bf16::Packed::transposed(tiles, Rows::new(w, cols, inner))),
        }
    }

    /// `w (cols, inner)`, made ready for `dy · w`.
    ///
    /// # Panics
    /// When `w` is not `cols * inner` long.
    #[must_use]
    pub fn adjoint(self, w: &[f32], cols: usize, inner: usize) -> Adjoint<'_> {
        match self {
            Products::F32 => Adjoint::F32(w),
            Products::Bf16(tiles) => Adjoint::Bf16(bf16::Packed::plain(tiles, Rows::new(w, cols, inner))),
        }
    }

    /// A sum for the gradient of a `(cols, inner)` weight, by pieces of so many rows each.
    #[must_use]
    pub fn weight_gradient(
        self,
        cols: usize,
        inner: usize,
        pieces: impl IntoIterator<Item = usize>,
        scratch: &mut bf16::Scratch,
    ) -> WeightGradient {
        match self {
            Products::F32 => WeightGradient::F32(vec![0.0; cols * inner]),
            Products::Bf16(tiles) => {
                WeightGradient::Bf16(bf16::WeightGradient::new(tiles, cols, inner, pieces, scratch))
            }
        }
    }
}

/// The gradient of a weight, `dyᵀ · x` over rows that come in pieces.
#[derive(Debug)]
pub enum WeightGradient {
    /// The sum so far, `(cols, inner)`.
    F32(Vec<f32>),
    /// In bf16.
    Bf16(bf16::WeightGradient),
}

impl WeightGradient {
    /// The next piece: `dy (m, cols)` and `x (m, inner)`.
    ///
    /// # Panics
    /// When shapes disagree, or the pieces are more than were announced.
    pub fn add(&mut self, dy: Rows<'_>, x: Rows<'_>) {
        match self {
            WeightGradient::F32(dw) => product::gradient_weight(dy, x, dw, Write::Add),
            WeightGradient::Bf16(gradient) => gradient.add(dy, x),
        }
    }

    /// The sum over all pieces, `(cols, inner)`.
    ///
    /// # Panics
    /// When bf16 pieces are fewer than were announced.
    #[must_use]
    pub fn finish(self, scratch: &mut bf16::Scratch) -> Vec<f32> {
        match self {
            WeightGradient::F32(dw) => dw,
            WeightGradient::Bf16(gradient) => gradient.finish(scratch),
        }
    }
}

/// A weight packed for its forward product.
#[derive(Clone, Debug)]
pub enum Weight {
    /// In f32.
    F32(Packed),
    /// In bf16.
    Bf16(bf16::Packed),
}

impl Weight {
    /// The length of the inner axis: columns of the left operand.
    #[must_use]
    pub fn inner(&self) -> usize {
        match self {
            Weight::F32(weight) => weight.inner(),
            Weight::Bf16(weight) => weight.inner(),
        }
    }

    /// Columns of the product.
    #[must_use]
    pub fn cols(&self) -> usize {
        match self {
            Weight::F32(weight) => weight.cols(),
            Weight::Bf16(weight) => weight.cols(),
        }
    }

    /// `out (m, cols) = x (m, inner) · wᵀ`.
    ///
    /// # Panics
    /// When shapes disagree.
    pub fn multiply(&self, x: Rows<'_>, out: RowsMut<'_>, write: Write, scratch: &mut bf16::Scratch) {
        self.multiply_columns(x, 0..self.cols(), out, write, scratch);
    }

    /// As [`Weight::multiply`], the product's `columns` only; they start at a multiple of 32.
    ///
    /// # Panics
    /// When shapes disagree, or the columns are not the weight's or start elsewhere.
    pub fn multiply_columns(
        &self,
        x: Rows<'_>,
        columns: Range<usize>,
        out: RowsMut<'_>,
        write: Write,
        scratch: &mut bf16::Scratch,
    ) {
        match self {
            Weight::F32(weight) => product::multiply_columns(x, weight, columns, out, write),
            Weight::Bf16(weight) => bf16::multiply(x, weight, columns, out, write, scratch),
        }
    }
}

/// A weight ready for its backward product.
#[derive(Clone, Debug)]
pub enum Adjoint<'w> {
    /// As it lies, `(cols, inner)`.
    F32(&'w [f32]),
    /// In bf16.
    Bf16(bf16::Packed),
}

impl Adjoint<'_> {
    /// `dx (m, inner) = dy (m, cols) · w`.
    ///
    /// # Panics
    /// When shapes disagree.
    pub fn multiply(&self, dy: Rows<'_>, dx: RowsMut<'_>, write: Write, scratch: &mut bf16::Scratch) {
        match self {
            Adjoint::F32(w) => product::gradient_input(dy, w, dx, write),
            Adjoint::Bf16(w) => bf16::multiply(dy, w, 0..w.cols(), dx, write, scratch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// bf16 keeps eight bits: a product of rounded operands is within 2⁻⁸ of each operand, and errors cancel.
    #[test]
    fn the_three_products_of_a_weight_are_the_same_in_both_kinds() {
        let (m, cols, inner) = (40, 50, 60);
        let (x, dy, w) = (noise(1, m * inner), noise(2, m * cols), noise(3, cols * inner));
        let (x, dy) = (Rows::new(&x, m, inner), Rows::new(&dy, m, cols));
        let run = |products: Products| {
            let (mut y, mut dx) = (vec![0.0; m * cols], vec![0.0; m * inner]);
            let mut scratch = bf16::Scratch::default();
            let weight = products.weight(&w, cols, inner);
            assert_eq!((weight.inner(), weight.cols()), (inner, cols));
            weight.multiply(x, RowsMut::new(&mut y, m, cols), Write::Set, &mut scratch);
            let adjoint = products.adjoint(&w, cols, inner);
            adjoint.multiply(dy, RowsMut::new(&mut dx, m, inner), Write::Set, &mut scratch);
            let mut gradient = products.weight_gradient(cols, inner, [25, 15], &mut scratch);
            gradient.add(dy.part(0, 25), x.part(0, 25));
            gradient.add(dy.part(25, 15), x.part(25, 15));
            [y, dx, gradient.finish(&mut scratch)]
        };
        let (whole, rounded) = (run(Products::F32), run(Products::Bf16(Tiles::plain())));
        for (whole, rounded) in whole.iter().zip(&rounded) {
            let most = whole.iter().fold(0f32, |a, b| a.max(b.abs()));
            let apart = whole.iter().zip(rounded).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
            assert!(apart > 0.0 && apart < most / 128.0, "{apart} of {most}");
        }
    }
}
