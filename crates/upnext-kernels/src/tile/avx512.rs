//! The register tile in AVX-512: 14 rows of 32 columns, partial columns by masks.

use super::{Left, Out, PANEL, Right, Size};
use std::arch::x86_64::{
    __mmask16, _MM_HINT_T0, _mm_prefetch, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
};

/// Floats of a register.
const LANES: usize = 16;
/// Rows of the largest tile: 28 sums, two panel registers and a broadcast.
const ROWS: usize = 14;

/// One panel: all rows, at most 32 columns.
///
/// # Safety
/// As for [`super::product`], on a CPU with AVX-512 F.
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "strided operands, whose bounds the callers check once for the whole product")]
pub(super) unsafe fn panel(size: Size, left: Left, right: Right, out: Out, add: bool) {
    let bits = if size.cols >= PANEL { u32::MAX } else { (1u32 << size.cols) - 1 };
    let masks: [__mmask16; 2] = [(bits & 0xffff) as u16, (bits >> 16) as u16];
    for row in (0..size.rows).step_by(ROWS) {
        // SAFETY: rows within `size`; the masks keep to its columns.
        unsafe {
            let left = Left { data: left.data.add(row * left.row), ..left };
            let out = Out { data: out.data.add(row * out.row), ..out };
            macro_rules! rows {
                ($($m:literal)*) => {
                    match (size.rows - row).min(ROWS) {
                        $($m => tile::<$m>(size.inner, masks, left, right, out, add),)*
                        _ => {}
                    }
                };
            }
            rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        }
    }
}

/// `M` rows of two registers.
///
/// # Safety
/// As for [`panel`].
#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "as for the panel")]
unsafe fn tile<const M: usize>(
    inner: usize,
    masks: [__mmask16; 2],
    left: Left,
    right: Right,
    out: Out,
    add: bool,
) {
    // SAFETY: the caller vouches for M rows, the masked columns of the output and whole panels; masked-off elements
    // are neither read nor written, and pointers only move past the end after their last use.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; M];
        if add {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_maskz_loadu_ps(masks[v], out.data.wrapping_add(i * out.row + v * LANES));
                }
            }
        }
        let (mut x, mut run, mut done) = (left.data, right.data, 0);
        while done < inner {
            let steps = (inner - done).min(right.run);
            let mut step = run;
            for _ in 0..steps {
                let b = [_mm512_loadu_ps(step), _mm512_loadu_ps(step.add(LANES))];
                // Panels to come: those of a large table lie in memory, and a panel's work hides the way from there. Few rows
                // are little work, so they look further ahead.
                let next = step.wrapping_add(right.panel_stride * if M < 4 { 6 } else { 1 });
                _mm_prefetch::<_MM_HINT_T0>(next.cast());
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(LANES).cast());
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*x.add(i * left.row));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm512_fmadd_ps(x, b, *sum);
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
                _mm512_mask_storeu_ps(out.data.wrapping_add(i * out.row + v * LANES), masks[v], *sum);
            }
        }
    }
}
