//! The register tile in AVX2: 6 rows of 16 columns, or up to 3 rows of 32.

use super::{Left, Out, PANEL, Right, Size};
use std::arch::x86_64::{
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

/// Floats of a register.
const LANES: usize = 8;
/// Floats of the largest tile.
const TILE: usize = 6 * PANEL;

/// One panel: all rows, at most 32 columns.
///
/// Rows go by sixes, column half by column half so that half a panel stays near; the last few go in tiles that keep
/// enough sums in flight.
///
/// # Safety
/// As for [`super::product`], on a CPU with AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "strided operands, whose bounds the callers check once for the whole product")]
pub(super) unsafe fn panel(size: Size, left: Left, right: Right, out: Out, add: bool) {
    let sixes = match size.rows % 6 {
        // 7 and 8 rows are 4 and 3 or 4.
        1 | 2 if size.rows > 6 => size.rows / 6 - 1,
        _ => size.rows / 6,
    };
    // SAFETY: rows and columns within `size`.
    unsafe {
        for col in (0..size.cols).step_by(2 * LANES) {
            let right = Right { data: right.data.add(col), ..right };
            let width = (size.cols - col).min(2 * LANES);
            for row in (0..sixes * 6).step_by(6) {
                let left = Left { data: left.data.add(row * left.row), ..left };
                let out = Out { data: out.data.add(row * out.row + col), ..out };
                edge::<6, 2>(size.inner, width, left, right, out, add);
            }
        }
        let mut row = sixes * 6;
        while row < size.rows {
            let left = Left { data: left.data.add(row * left.row), ..left };
            let out = Out { data: out.data.add(row * out.row), ..out };
            let rest = size.rows - row;
            row += match rest {
                1 => few::<1>(size, left, right, out, add),
                2 => few::<2>(size, left, right, out, add),
                3 => few::<3>(size, left, right, out, add),
                5 => halves::<5>(size, left, right, out, add),
                _ => halves::<4>(size, left, right, out, add),
            };
        }
    }
}

/// `M` rows of the panel, 32 columns at once.
///
/// # Safety
/// As for [`panel`].
#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "as for the panel")]
unsafe fn few<const M: usize>(size: Size, left: Left, right: Right, out: Out, add: bool) -> usize {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        if size.cols <= 2 * LANES {
            edge::<M, 2>(size.inner, size.cols, left, right, out, add);
        } else {
            edge::<M, 4>(size.inner, size.cols, left, right, out, add);
        }
    }
    M
}

/// `M` rows of the panel, 16 columns at a time.
///
/// # Safety
/// As for [`panel`].
#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "as for the panel")]
unsafe fn halves<const M: usize>(size: Size, left: Left, right: Right, out: Out, add: bool) -> usize {
    for col in (0..size.cols).step_by(2 * LANES) {
        // SAFETY: columns within the panel and the output.
        unsafe {
            let right = Right { data: right.data.add(col), ..right };
            let out = Out { data: out.data.add(col), ..out };
            edge::<M, 2>(size.inner, (size.cols - col).min(2 * LANES), left, right, out, add);
        }
    }
    M
}

/// A tile of which `width` columns exist in the output; a partial one is computed beside it.
///
/// # Safety
/// As for [`panel`].
#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "as for the panel")]
unsafe fn edge<const M: usize, const V: usize>(
    inner: usize,
    width: usize,
    left: Left,
    right: Right,
    out: Out,
    add: bool,
) {
    // SAFETY: M rows of `width` columns exist in the output, and the whole tile in the buffer.
    unsafe {
        if width == V * LANES {
            return tile::<M, V>(inner, left, right, out, add);
        }
        let mut buffer = [0f32; TILE];
        let beside = Out { data: buffer.as_mut_ptr(), row: V * LANES };
        if add {
            for i in 0..M {
                std::ptr::copy_nonoverlapping(
                    out.data.add(i * out.row),
                    beside.data.add(i * beside.row),
                    width,
                );
            }
        }
        tile::<M, V>(inner, left, right, beside, add);
        for i in 0..M {
            std::ptr::copy_nonoverlapping(beside.data.add(i * beside.row), out.data.add(i * out.row), width);
        }
    }
}

/// `M` rows of `V` registers.
///
/// # Safety
/// As for [`panel`]; the output holds all columns of the tile.
#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "as for the panel")]
unsafe fn tile<const M: usize, const V: usize>(inner: usize, left: Left, right: Right, out: Out, add: bool) {
    // SAFETY: the caller vouches for the whole tile; pointers only move past the end after their last use.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); V]; M];
        if add {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm256_loadu_ps(out.data.add(i * out.row + v * LANES));
                }
            }
        }
        let (mut x, mut run, mut done) = (left.data, right.data, 0);
        while done < inner {
            let steps = (inner - done).min(right.run);
            let mut step = run;
            for _ in 0..steps {
                let mut b = [_mm256_setzero_ps(); V];
                for (v, b) in b.iter_mut().enumerate() {
                    *b = _mm256_loadu_ps(step.add(v * LANES));
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*x.add(i * left.row));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm256_fmadd_ps(x, b, *sum);
                    }
                }
                x = x.wrapping_add(left.inner);
                step = step.wrapping_add(PANEL);
            }
            done += steps;
            run = run.wrapping_add(right.run_stride);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                _mm256_storeu_ps(out.data.add(i * out.row + v * LANES), *sum);
            }
        }
    }
}
