//! The product of a strided left operand and a right operand in panels: the kernel under every product here.
//!
//! An output element is one chain of fused multiply-adds over the inner axis in ascending order, starting from 0 or
//! from what the output holds. The chain does not know its register tile, its cache block or its SIMD level.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::level::{Chosen, Level};

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;
/// Steps of the inner axis for which half a panel stays in the first-level cache. A multiple of every run.
const INNER_BLOCK: usize = 256;
/// Rows whose slice of the left operand stays in the second-level cache: a multiple of 6 and of 14.
const ROW_BLOCK: usize = 168;

/// Left operand: element `(i, k)` lies at `i * row + k * inner`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) data: *const f32,
    pub(crate) row: usize,
    pub(crate) inner: usize,
}

/// Right operand: panels of 32 columns, each 32 floats a step of the inner axis.
///
/// Steps lie one after the other in runs of `run`, the next run `run_stride` floats after the start of this one.
/// `run` divides [`INNER_BLOCK`] or is at least the inner length.
#[derive(Clone, Copy)]
pub(crate) struct Right {
    pub(crate) data: *const f32,
    pub(crate) run: usize,
    pub(crate) run_stride: usize,
    pub(crate) panel_stride: usize,
}

/// Output: element `(i, j)` lies at `i * row + j`.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) data: *mut f32,
    pub(crate) row: usize,
}

/// `(rows, inner, columns)` of a product.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) inner: usize,
    pub(crate) cols: usize,
}

/// `out = left · right`, or `out += left · right`.
///
/// # Safety
/// All elements that `size` names lie in live allocations; right operands are readable to the end of their last
/// panel of 32 columns; the output overlaps neither operand and nobody else reaches it.
#[expect(unsafe_code, reason = "strided operands, whose bounds the callers check once for the whole product")]
pub(crate) unsafe fn product(level: Chosen, size: Size, left: Left, right: Right, out: Out, add: bool) {
    let Size { rows, inner, cols } = size;
    // SAFETY: every offset below is of an element within `size`, which the caller vouches for; the `Chosen` level is
    // one that this CPU has.
    unsafe {
        if inner == 0 && !add {
            (0..rows).for_each(|i| std::slice::from_raw_parts_mut(out.data.add(i * out.row), cols).fill(0.0));
        }
        for row in (0..rows).step_by(ROW_BLOCK) {
            for k in (0..inner).step_by(INNER_BLOCK) {
                let n = (inner - k).min(INNER_BLOCK);
                let left = Left { data: left.data.add(row * left.row + k * left.inner), ..left };
                let start = k / right.run * right.run_stride + k % right.run * PANEL;
                let add = add || k > 0;
                for (p, col) in (0..cols).step_by(PANEL).enumerate() {
                    let size =
                        Size { rows: (rows - row).min(ROW_BLOCK), inner: n, cols: (cols - col).min(PANEL) };
                    let data = right.data.add(p * right.panel_stride + start);
                    let right = Right { data, run: right.run.min(n), ..right };
                    let out = Out { data: out.data.add(row * out.row + col), ..out };
                    match level.level() {
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => avx512::panel(size, left, right, out, add),
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => avx2::panel(size, left, right, out, add),
                        _ => portable::panel(size, left, right, out, add),
                    }
                }
            }
        }
    }
}
