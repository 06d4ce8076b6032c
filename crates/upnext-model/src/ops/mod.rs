//! The differentiable layer ops, one sub-layer a file.
//!
//! Each op has up to three forms, and tests hold them together, values and gradients:
//! - `reference`: a plain composition of candle ops, differentiable, for any device and float type. It avoids
//!   candle-nn's fast paths for norms, softmax and rotary positions, which return no gradient and no error;
//! - `forward`: over slices, by `upnext-kernels`. Serving and the fused op call the same function;
//! - the fused `CustomOp` for f32 on the CPU with an analytic backward: one op a sub-layer, the residual inside.
//!
//! `run` picks the fused form for f32 on the CPU and the reference otherwise.
//!
//! Work is cut by data: at most [`upnext_kernels::lanes::LANES`] runs of whole histories, each with weight gradients
//! of its own that are summed in a fixed tree. The number of threads moves no bit.
//!
//! Letters: n tokens, b histories, t positions, d width, h attention heads, e head width, m hidden width, r rank,
//! u distinct rows.

pub mod attention;
pub mod embed;
pub mod gate;
pub mod gather;
pub mod host;
mod layout;
pub mod linear;
pub mod mlp;
pub mod norm;
mod rounded;
pub mod rows;
pub mod sums;

pub use layout::Layout;

use candle_core::{DType, Result, Tensor, bail};
use upnext_kernels::dropout::Mask;

/// Whether the fused forms can take this tensor: f32 on the CPU, and not empty.
fn fused(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32 && x.elem_count() > 0
}

/// Refuses an empty matrix, or one of another shape than `(rows, columns)`, naming it.
fn check_matrix(what: &str, matrix: &Tensor, rows: usize, columns: usize) -> Result<()> {
    let found = matrix.dims2()?;
    if found != (rows, columns) {
        bail!("{what} must be ({rows}, {columns}), but it is {found:?}");
    }
    if rows == 0 || columns == 0 {
        bail!("{what} is empty: its shape is {found:?}");
    }
    Ok(())
}

/// A mask over `(n, d)` tokens as a tensor like `like`, for the references.
fn mask_tensor(mask: Mask, like: &Tensor) -> Result<Tensor> {
    let scales: Vec<f32> = (0..like.elem_count() as u64).map(|index| mask.scale(index)).collect();
    Tensor::from_vec(scales, like.shape(), like.device())?.to_dtype(like.dtype())
}

/// `x` with a site's mask applied, composed; `x` itself when there is none.
fn dropped(x: Tensor, mask: Option<Mask>) -> Result<Tensor> {
    match mask {
        Some(mask) => &x * mask_tensor(mask, &x)?,
        None => Ok(x),
    }
}
