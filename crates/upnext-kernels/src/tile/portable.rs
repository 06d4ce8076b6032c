//! The register tile in plain Rust, for CPUs without AVX2 and other architectures.

use super::{Left, Out, PANEL, Right, Size};

/// Columns of a register tile: four vectors of a 128-bit machine.
const COLS: usize = 16;

/// One panel: all rows, at most 32 columns.
///
/// # Safety
/// As for [`super::product`].
#[expect(unsafe_code, reason = "strided operands, whose bounds the callers check once for the whole product")]
pub(super) unsafe fn panel(size: Size, left: Left, right: Right, out: Out, add: bool) {
    for col in (0..size.cols).step_by(COLS) {
        let width = (size.cols - col).min(COLS);
        // SAFETY: columns within the panel and the output; rows within the operands.
        unsafe {
            let right = Right { data: right.data.add(col), ..right };
            let out = Out { data: out.data.add(col), ..out };
            let mut row = 0;
            while row < size.rows {
                let left = Left { data: left.data.add(row * left.row), ..left };
                let out = Out { data: out.data.add(row * out.row), ..out };
                if size.rows - row >= 4 {
                    tile::<4>(size.inner, width, left, right, out, add);
                    row += 4;
                } else {
                    tile::<1>(size.inner, width, left, right, out, add);
                    row += 1;
                }
            }
        }
    }
}

/// `M` rows of `width` columns.
///
/// # Safety
/// As for [`super::product`].
#[inline(always)]
#[expect(unsafe_code, reason = "as for the panel")]
unsafe fn tile<const M: usize>(inner: usize, width: usize, left: Left, right: Right, out: Out, add: bool) {
    // SAFETY: the caller vouches for M rows, `width` columns of the output and 16 columns of the panel.
    unsafe {
        let mut sums = [[0f32; COLS]; M];
        if add {
            for (i, sums) in sums.iter_mut().enumerate() {
                let held = std::slice::from_raw_parts(out.data.add(i * out.row), width);
                sums[..width].copy_from_slice(held);
            }
        }
        let (mut x, mut run, mut done) = (left.data, right.data, 0);
        while done < inner {
            let steps = (inner - done).min(right.run);
            for k in 0..steps {
                let b = &*run.add(k * PANEL).cast::<[f32; COLS]>();
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = *x.add(i * left.row);
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = x.mul_add(*b, *sum);
                    }
                }
                x = x.wrapping_add(left.inner);
            }
            done += steps;
            run = run.wrapping_add(right.run_stride);
        }
        for (i, sums) in sums.iter().enumerate() {
            std::slice::from_raw_parts_mut(out.data.add(i * out.row), width).copy_from_slice(&sums[..width]);
        }
    }
}
