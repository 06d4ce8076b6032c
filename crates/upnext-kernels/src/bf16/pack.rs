//! f32 matrices into panels of bf16 tiles.

use crate::Rows;
use crate::tiles::{SIDE, Step, Tile, Tiles};

/// Which axis of a matrix is summed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    /// Down the columns: pairs are of neighbouring rows.
    Rows,
    /// Along the rows: pairs are of neighbouring columns.
    Columns,
}

/// Which operand the matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// The panels of `x`: `panels[p * steps + s]` holds outer indices `32p..` at inner indices `32s..`.
///
/// What the vector held is overwritten; it may be longer than needed afterwards.
pub(super) fn pack(tiles: Tiles, x: Rows<'_>, inner: Inner, side: Side, panels: &mut Vec<Step>) {
    let (count, steps) = sizes(x, inner);
    if panels.len() < count * steps {
        panels.resize(count * steps, [Tile::ZERO; 2]);
    }
    pack_at(tiles, x, inner, side, panels, steps);
}

/// How many panels a matrix has, and how many steps each.
fn sizes(x: Rows<'_>, inner: Inner) -> (usize, usize) {
    match inner {
        Inner::Rows => (x.cols().div_ceil(SIDE), x.rows().div_ceil(SIDE)),
        Inner::Columns => (x.rows().div_ceil(SIDE), x.cols().div_ceil(SIDE)),
    }
}

/// As [`pack`], the first steps of each panel, which is `stride` steps after the one before.
///
/// # Panics
/// When a panel has no room for the steps.
pub(super) fn pack_at(
    tiles: Tiles,
    x: Rows<'_>,
    inner: Inner,
    side: Side,
    panels: &mut [Step],
    stride: usize,
) {
    let (count, steps) = sizes(x, inner);
    assert!(steps <= stride, "{steps} steps in panels of {stride}");
    // A matrix is read row band by row band, so the axis that its rows are on comes first.
    let places = (0..count * steps).map(|at| match inner {
        Inner::Rows => (at % count.max(1), at / count.max(1)),
        Inner::Columns => (at / steps.max(1), at % steps.max(1)),
    });
    // The tile that comes out of memory as it lies is a left operand's along rows, a right one's down columns.
    let turned = (inner == Inner::Columns) != (side == Side::Left);
    for (p, s) in places {
        let step = &mut panels[p * stride + s];
        for (half, tile) in step.iter_mut().enumerate() {
            let (outer, length) = (p * SIDE + half * 16, s * SIDE);
            #[cfg(target_arch = "x86_64")]
            if tiles.vectors() {
                #[expect(unsafe_code, reason = "calls functions compiled for instructions the CPU has")]
                // SAFETY: `Tiles` that say so were granted on a CPU with AVX-512 and its bf16 conversions.
                unsafe {
                    match inner {
                        Inner::Rows => avx512::of_rows(x, length, outer, turned, tile),
                        Inner::Columns => avx512::of_columns(x, outer, length, turned, tile),
                    }
                }
                continue;
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = (tiles, turned);
            plain(x, inner, side, outer, length, tile);
        }
    }
}

/// One tile, value by value.
fn plain(x: Rows<'_>, inner: Inner, side: Side, outer: usize, length: usize, tile: &mut Tile) {
    let value = |outer: usize, length: usize| {
        let (row, column) = if inner == Inner::Rows { (length, outer) } else { (outer, length) };
        if row < x.rows() && column < x.cols() { round(x.row(row)[column]) } else { 0 }
    };
    for i in 0..16 {
        for pair in 0..16 {
            let word = value(outer + i, length + 2 * pair) | value(outer + i, length + 2 * pair + 1) << 16;
            match side {
                Side::Left => tile.0[i][pair] = word,
                Side::Right => tile.0[pair][i] = word,
            }
        }
    }
}

/// The nearest bf16, ties to even; subnormal numbers give zero, and what is no number stays none.
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() {
        return bits >> 16 | 0x40;
    }
    if x.is_subnormal() {
        return bits >> 31 << 15;
    }
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Rows, Tile};
    use std::arch::x86_64::{
        __m512, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_maskz_loadu_ps,
        _mm512_permutexvar_epi16, _mm512_set_epi16, _mm512_shuffle_i32x4, _mm512_store_si512,
        _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };

    /// Rows `row..row + 16`, pairs along columns `column..column + 32`.
    ///
    /// # Safety
    /// On a CPU with the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "vector loads")]
    pub(super) unsafe fn of_columns(x: Rows<'_>, row: usize, column: usize, turned: bool, tile: &mut Tile) {
        // SAFETY: whole loads are of rows and columns that the view has, the others masked to them.
        let lines: [__m512i; 16] = unsafe {
            if row + 16 <= x.rows() && column + 32 <= x.cols() {
                let start = x.as_ptr().add(row * x.stride() + column);
                std::array::from_fn(|i| {
                    let start = start.add(i * x.stride());
                    pair(_mm512_loadu_ps(start), _mm512_loadu_ps(start.add(16)))
                })
            } else {
                std::array::from_fn(|i| pair(some(x, row + i, column), some(x, row + i, column + 16)))
            }
        };
        // SAFETY: the features are there.
        unsafe { store(lines, turned, tile) }
    }

    /// Columns `column..column + 16`, pairs down rows `row..row + 32`.
    ///
    /// # Safety
    /// On a CPU with the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[expect(unsafe_code, reason = "vector loads")]
    pub(super) unsafe fn of_rows(x: Rows<'_>, row: usize, column: usize, turned: bool, tile: &mut Tile) {
        let interleaved = _mm512_set_epi16(
            31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
            18, 2, 17, 1, 16, 0,
        );
        // SAFETY: as above.
        let lines: [__m512i; 16] = unsafe {
            if row + 32 <= x.rows() && column + 16 <= x.cols() {
                let start = x.as_ptr().add(row * x.stride() + column);
                std::array::from_fn(|i| {
                    let (first, second) =
                        (start.add(2 * i * x.stride()), start.add((2 * i + 1) * x.stride()));
                    pair(_mm512_loadu_ps(first), _mm512_loadu_ps(second))
                })
            } else {
                std::array::from_fn(|i| pair(some(x, row + 2 * i, column), some(x, row + 2 * i + 1, column)))
            }
        };
        let lines = lines.map(|line| _mm512_permutexvar_epi16(interleaved, line));
        // SAFETY: the features are there.
        unsafe { store(lines, turned, tile) }
    }

    /// 16 values of a row from a column on; zeros where there are none.
    ///
    /// # Safety
    /// On a CPU with the features.
    #[inline]
    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "masked loads")]
    unsafe fn some(x: Rows<'_>, row: usize, column: usize) -> __m512 {
        let count = if row < x.rows() { x.cols().saturating_sub(column).min(16) } else { 0 };
        let mask = ((1u32 << count) - 1) as u16;
        // SAFETY: unmasked elements lie in the view's row; masked ones are not read.
        unsafe { _mm512_maskz_loadu_ps(mask, x.as_ptr().wrapping_add(row * x.stride() + column)) }
    }

    /// 32 values rounded: the first 16 in the lower half.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[expect(unsafe_code, reason = "the vector of bf16 is a vector of words")]
    unsafe fn pair(first: __m512, second: __m512) -> __m512i {
        // SAFETY: both types are 64 plain bytes.
        unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(second, first)) }
    }

    /// Writes the tile, or its transpose.
    #[inline]
    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "aligned stores")]
    unsafe fn store(lines: [__m512i; 16], turned: bool, tile: &mut Tile) {
        let lines = if turned { transpose(lines) } else { lines };
        for (line, to) in lines.into_iter().zip(&mut tile.0) {
            // SAFETY: a tile's lines are 64 bytes at a multiple of 64.
            unsafe { _mm512_store_si512(to.as_mut_ptr().cast(), line) };
        }
    }

    /// The transpose of 16 by 16 words given by rows.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transpose(r: [__m512i; 16]) -> [__m512i; 16] {
        // Within quarters of a line: pairs of rows, then fours; then quarters among the fours of rows.
        let pairs: [__m512i; 16] = std::array::from_fn(|i| {
            let (a, b) = (r[i / 2 * 2], r[i / 2 * 2 + 1]);
            if i % 2 == 0 { _mm512_unpacklo_epi32(a, b) } else { _mm512_unpackhi_epi32(a, b) }
        });
        let fours: [__m512i; 16] = std::array::from_fn(|i| {
            let (a, b) = (pairs[i / 4 * 4 + i % 4 / 2], pairs[i / 4 * 4 + i % 4 / 2 + 2]);
            if i % 2 == 0 { _mm512_unpacklo_epi64(a, b) } else { _mm512_unpackhi_epi64(a, b) }
        });
        // fours[4g + c]: column 4q + c of rows 4g.. in quarter q.
        let halves: [__m512i; 16] = std::array::from_fn(|i| {
            let (c, g) = (i % 4, i / 8 * 8);
            let (a, b) = (fours[g + c], fours[g + 4 + c]);
            if i / 4 % 2 == 0 {
                _mm512_shuffle_i32x4::<0x88>(a, b)
            } else {
                _mm512_shuffle_i32x4::<0xdd>(a, b)
            }
        });
        // halves[8h + c]: quarters 0 and 2 of rows 8h..8h + 4, then of 8h + 4..; halves[8h + 4 + c]: 1 and 3.
        std::array::from_fn(|i| {
            let (c, q) = (i % 4, i / 4);
            let (a, b) = (halves[q % 2 * 4 + c], halves[8 + q % 2 * 4 + c]);
            if q / 2 == 0 { _mm512_shuffle_i32x4::<0x88>(a, b) } else { _mm512_shuffle_i32x4::<0xdd>(a, b) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_the_nearest_and_ties_to_even() {
        let check = |x: f32, expected: u32| assert_eq!(round(x), expected, "{x:e}");
        check(1.0, 0x3f80);
        // 1 + 2^-8 lies between 1 and 1 + 2^-7, and 1 + 3 * 2^-8 between 1 + 2^-7 and 1 + 2^-6.
        check(1.0 + 0.00390625, 0x3f80);
        check(1.0 + 3.0 * 0.00390625, 0x3f82);
        check(1.003_906_4, 0x3f81);
        check(-0.0, 0x8000);
        check(1e-40, 0);
        check(f32::MAX, 0x7f80);
        check(f32::NEG_INFINITY, 0xff80);
        assert!(round(f32::from_bits(0x7f80_0001)) > 0x7f80, "the least of what is no number stays none");
    }
}
