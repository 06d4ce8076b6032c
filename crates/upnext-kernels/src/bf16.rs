//! Products of f32 operands that are rounded to bf16 on the way, summed in f32: what training may use on tiles.
//!
//! Operands are rounded to nearest even and packed into the panels of [`crate::tiles`], which also says in which order
//! an output is summed: by the inner axis alone, so that a row's bits depend on nothing beside it. An axis that is no
//! multiple of 32 is padded with zeros, which change no sum. Cutting the inner axis into calls at multiples of 32 moves
//! no bit either.

mod pack;

use crate::product::Write;
use crate::tile::{Out, Size};
use crate::tiles::{self, SIDE, Step, Tiles};
use crate::{Rows, RowsMut};
use pack::{Inner, Side, pack};
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
    right: Vec<Step>,
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

/// The gradient of a weight product by its weight: `dw (cols, inner) = dyᵀ · x` of `dy (m, cols)`, `x (m, inner)`.
///
/// # Panics
/// When shapes disagree.
pub fn gradient_weight(
    tiles: Tiles,
    dy: Rows<'_>,
    x: Rows<'_>,
    dw: &mut [f32],
    write: Write,
    scratch: &mut Scratch,
) {
    let size = Size { rows: dy.cols(), inner: x.rows(), cols: x.cols() };
    assert!(
        dy.rows() == size.inner && dw.len() == size.rows * size.cols,
        "{dy:?} and {x:?} into {} floats",
        dw.len()
    );
    pack(tiles, dy, Inner::Rows, Side::Left, &mut scratch.left);
    pack(tiles, x, Inner::Rows, Side::Right, &mut scratch.right);
    let out = Out { data: dw.as_mut_ptr(), row: size.cols };
    // SAFETY: the output holds the size just compared, and is borrowed mutably.
    #[expect(unsafe_code, reason = "hands a checked slice to the tiles")]
    unsafe {
        tiles::product(tiles, size, &scratch.left, &scratch.right, out, write == Write::Add);
    }
}

#[cfg(test)]
mod tests;
