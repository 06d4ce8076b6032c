//! Products of f32 operands that are rounded to bf16 on the way, summed in f32: what training may use on tiles.
//!
//! Operands are rounded to nearest even and packed into the panels of [`crate::tiles`], which also says in which order
//! an output is summed: by the inner axis alone, so that a row's bits depend on nothing beside it. An axis that is no
//! multiple of 32 is padded with zeros, which change no sum. Cutting the inner axis into calls at multiples of 32 moves
//! no bit either.

mod pack;

use crate::product::Write;
use crate::tile::{Out, Size};
use crate::tiles::{self, SIDE, Step, Tile, Tiles};
use crate::{Rows, RowsMut};
use pack::{Inner, Side, pack, pack_at};
use std::ops::Range;

/// The right operand of a product, `(inner, cols)` in bf16.
#[derive(Clone, Debug)]
pub struct Packed {
    tiles: Tiles,
    inner: usize,
    cols: usize,
    panels: Vec<Step>,
}

impl Packed {
    /// From `w (cols, inner)`: multiplying gives `x · wᵀ`, the forward product of a weight.
    #[must_use]
    pub fn transposed(tiles: Tiles, w: Rows<'_>) -> Packed {
        let mut panels = Vec::new();
        pack(tiles, w, Inner::Columns, Side::Right, &mut panels);
        Packed { tiles, inner: w.cols(), cols: w.rows(), panels }
    }

    /// From `b (inner, cols)`: multiplying gives `x · b`, the backward product of a weight by its input.
    #[must_use]
    pub fn plain(tiles: Tiles, b: Rows<'_>) -> Packed {
        let mut panels = Vec::new();
        pack(tiles, b, Inner::Rows, Side::Right, &mut panels);
        Packed { tiles, inner: b.rows(), cols: b.cols(), panels }
    }

    /// The length of the inner axis: columns of the left operand.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Columns of the product.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }
}

/// Room for packed operands, which calls share.
#[derive(Debug, Default)]
pub struct Scratch {
    left: Vec<Step>,
    /// Panels of gradients that are finished.
    spare: Vec<Vec<Step>>,
}

/// `out (m, cols)` from `x (m, inner)` and the `columns` of `b (inner, cols)`, which start at a multiple of 32.
///
/// # Panics
/// When shapes disagree, or the columns are not `b`'s or start elsewhere.
pub fn multiply(
    x: Rows<'_>,
    b: &Packed,
    columns: Range<usize>,
    mut out: RowsMut<'_>,
    write: Write,
    scratch: &mut Scratch,
) {
    assert!(
        columns.start <= columns.end && columns.end <= b.cols && columns.start.is_multiple_of(SIDE),
        "columns {columns:?} of {}",
        b.cols
    );
    let size = Size { rows: x.rows(), inner: b.inner, cols: columns.len() };
    assert!(
        x.cols() == size.inner && out.rows() == size.rows && out.cols() == size.cols,
        "{x:?} times ({}, {}) into {out:?}",
        size.inner,
        size.cols
    );
    pack(b.tiles, x, Inner::Columns, Side::Left, &mut scratch.left);
    let right = &b.panels[columns.start / SIDE * size.inner.div_ceil(SIDE)..];
    let out = Out { data: out.as_mut_ptr(), row: out.stride() };
    // SAFETY: the output holds the size just compared, and is borrowed mutably.
    #[expect(unsafe_code, reason = "hands a checked view to the tiles")]
    unsafe {
        tiles::product(b.tiles, size, &scratch.left, right, out, write == Write::Add);
    }
}

/// The gradient of a weight product by its weight, `dw (cols, inner) = dyᵀ · x`, of rows that come in pieces.
///
/// Pieces are packed as they come and multiplied at the end, so that a sum goes to memory once.
#[derive(Debug)]
pub struct WeightGradient {
    tiles: Tiles,
    cols: usize,
    inner: usize,
    /// Steps that all pieces have together, and those that have come.
    steps: usize,
    come: usize,
    left: Vec<Step>,
    right: Vec<Step>,
}

impl WeightGradient {
    /// Of a `(cols, inner)` weight, by pieces of so many rows each.
    #[must_use]
    pub fn new(
        tiles: Tiles,
        cols: usize,
        inner: usize,
        pieces: impl IntoIterator<Item = usize>,
        scratch: &mut Scratch,
    ) -> WeightGradient {
        let steps = pieces.into_iter().map(|rows| rows.div_ceil(SIDE)).sum();
        let mut panels = |width: usize| {
            let mut panels = scratch.spare.pop().unwrap_or_default();
            panels.resize(width.div_ceil(SIDE) * steps, [Tile::ZERO; 2]);
            panels
        };
        WeightGradient { tiles, cols, inner, steps, come: 0, left: panels(cols), right: panels(inner) }
    }

    /// The next piece: `dy (m, cols)` and `x (m, inner)`.
    ///
    /// # Panics
    /// When shapes disagree, or the pieces are more than were announced.
    pub fn add(&mut self, dy: Rows<'_>, x: Rows<'_>) {
        let (cols, inner, rows) = (self.cols, self.inner, dy.rows());
        assert!(
            x.rows() == rows && dy.cols() == cols && x.cols() == inner,
            "{dy:?} and {x:?} for ({cols}, {inner})"
        );
        let steps = rows.div_ceil(SIDE);
        assert!(self.come + steps <= self.steps, "{rows} rows more than were announced");
        if steps > 0 {
            pack_at(self.tiles, dy, Inner::Rows, Side::Left, &mut self.left[self.come..], self.steps);
            pack_at(self.tiles, x, Inner::Rows, Side::Right, &mut self.right[self.come..], self.steps);
        }
        self.come += steps;
    }

    /// The sum over all pieces.
    ///
    /// # Panics
    /// When the pieces are fewer than were announced.
    #[must_use]
    pub fn finish(self, scratch: &mut Scratch) -> Vec<f32> {
        assert!(self.come == self.steps, "{} of {} steps have come", self.come, self.steps);
        let size = Size { rows: self.cols, inner: self.steps * SIDE, cols: self.inner };
        let mut dw = Vec::with_capacity(size.rows * size.cols);
        let out = Out { data: dw.as_mut_ptr(), row: size.cols };
        // SAFETY: the product writes every element of its output and, setting, reads none; they are as many as there is
        // room for.
        #[expect(unsafe_code, reason = "what is overwritten anyway is not cleared before")]
        unsafe {
            tiles::product(self.tiles, size, &self.left, &self.right, out, false);
            dw.set_len(size.rows * size.cols);
        }
        scratch.spare.extend([self.left, self.right]);
        dw
    }
}

#[cfg(test)]
mod tests;
