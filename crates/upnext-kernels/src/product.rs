//! Products whose every output is one fixed chain of roundings, and the training gradients of a weight.
//!
//! `multiply` sums each output over the inner axis in ascending order by fused multiply-adds, starting from 0
//! ([`Write::Set`]) or from what the output holds ([`Write::Add`]). So a row's result does not depend on the rows
//! beside it, nor on how the inner axis is cut into calls: batch = alone and cached = uncached, bit for bit. The
//! gemm crate promises neither (it blocks by cache size and treats single rows apart), so it serves gradients only.

use crate::level::Chosen;
pub use crate::packed::Packed;
use crate::tile::{self, Left, Out, PANEL, Size};
use crate::{Rows, RowsMut};
use std::ops::Range;

/// What becomes of the values an output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// They are overwritten and need no particular value before.
    Set,
    /// The result is added to them.
    Add,
}

/// `out (m, cols)` from `x (m, inner)` and `b (inner, cols)`.
///
/// # Panics
/// When shapes disagree.
pub fn multiply(x: Rows<'_>, b: &Packed, out: RowsMut<'_>, write: Write) {
    multiply_columns(x, b, 0..b.cols(), out, write);
}

/// As [`multiply`], the product's `columns` only; they start at a multiple of 32.
///
/// # Panics
/// When shapes disagree, or the columns are not `b`'s or start elsewhere.
pub fn multiply_columns(x: Rows<'_>, b: &Packed, columns: Range<usize>, out: RowsMut<'_>, write: Write) {
    multiply_at(Chosen::now(), x, b, columns, out, write);
}

/// As [`multiply_columns`], at a given level.
pub(crate) fn multiply_at(
    level: Chosen,
    x: Rows<'_>,
    b: &Packed,
    columns: Range<usize>,
    mut out: RowsMut<'_>,
    write: Write,
) {
    assert!(
        columns.start <= columns.end && columns.end <= b.cols() && columns.start.is_multiple_of(PANEL),
        "columns {columns:?} of {}",
        b.cols()
    );
    let size = Size { rows: x.rows(), inner: b.inner(), cols: columns.len() };
    assert!(
        x.cols() == size.inner && out.rows() == size.rows && out.cols() == size.cols,
        "{x:?} times ({}, {}) into {out:?}",
        size.inner,
        size.cols
    );
    if size.rows == 0 || size.cols == 0 {
        return;
    }
    let left = Left { data: x.as_ptr(), row: x.stride(), inner: 1 };
    let out = Out { data: out.as_mut_ptr(), row: out.stride() };
    // SAFETY: the views and the panels hold the sizes just compared; `out` is borrowed mutably, so nothing overlaps.
    #[expect(unsafe_code, reason = "hands checked views to the register tile")]
    unsafe {
        tile::product(level, size, left, b.right(columns.start), out, write == Write::Add);
    }
}

/// The gradient of a weight product by its input: `dx (m, inner) = dy (m, cols) · w (cols, inner)`.
///
/// By the gemm crate: equal bits need the same machine and the same number of rows.
///
/// # Panics
/// When shapes disagree.
pub fn gradient_input(dy: Rows<'_>, w: &[f32], mut dx: RowsMut<'_>, write: Write) {
    let (rows, cols, inner) = (dy.rows(), dy.cols(), dx.cols());
    assert!(dx.rows() == rows && w.len() == cols * inner, "{dy:?} times {} floats into {dx:?}", w.len());
    let (left, right) = (Strided::of(&dy), Strided { data: w.as_ptr(), row: inner, col: 1 });
    // SAFETY: the sizes were just compared, and `dx` is borrowed mutably.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    unsafe {
        gemm_into([rows, cols, inner], left, right, dx.as_mut_ptr(), dx.stride(), write);
    }
}

/// The gradient of a weight product by its weight: `dw (cols, inner) = dyᵀ · x` of `dy (m, cols)`, `x (m, inner)`.
///
/// By the gemm crate: equal bits need the same machine and the same number of rows.
///
/// # Panics
/// When shapes disagree.
pub fn gradient_weight(dy: Rows<'_>, x: Rows<'_>, dw: &mut [f32], write: Write) {
    let (rows, cols, inner) = (dy.rows(), dy.cols(), x.cols());
    assert!(x.rows() == rows && dw.len() == cols * inner, "{dy:?} and {x:?} into {} floats", dw.len());
    let left = Strided { data: dy.as_ptr(), row: 1, col: dy.stride() };
    // SAFETY: the sizes were just compared, and `dw` is borrowed mutably.
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    unsafe {
        gemm_into([cols, rows, inner], left, Strided::of(&x), dw.as_mut_ptr(), inner, write);
    }
}

/// An operand of the gemm crate.
#[derive(Clone, Copy)]
struct Strided {
    data: *const f32,
    row: usize,
    col: usize,
}

impl Strided {
    fn of(x: &Rows<'_>) -> Strided {
        Strided { data: x.as_ptr(), row: x.stride(), col: 1 }
    }
}

/// `out (m, n)` from `left (m, k)` and `right (k, n)`, sizes in the order m, k, n.
///
/// # Safety
/// All elements that the sizes name lie in live allocations; the output overlaps neither operand.
#[expect(unsafe_code, reason = "the gemm crate takes pointers")]
unsafe fn gemm_into(
    [m, k, n]: [usize; 3],
    left: Strided,
    right: Strided,
    out: *mut f32,
    row: usize,
    write: Write,
) {
    if m == 0 || n == 0 {
        return;
    }
    let stride = |floats: usize| floats.cast_signed();
    // SAFETY: the caller's promise; strides of slices fit isize.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride(row),
            write == Write::Add,
            left.data,
            stride(left.col),
            stride(left.row),
            right.data,
            stride(right.col),
            stride(right.row),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests;
