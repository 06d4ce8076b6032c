//! Root-mean-square norm without gain (Zhang & Sennrich 2019, arXiv:1910.07467): `x / sqrt(mean(x²) + ε)` by row.
//!
//! A gain would fold into the matrix that follows, so there is none. `(n, d)` to `(n, d)`; tokens do not mix.

use super::fused;
use super::host::{Host, slice};
use super::sums::CHUNK_ROWS;
use candle_core::{CpuStorage, CustomOp1, D, Layout as Strides, Result, Shape, Tensor};
use rayon::prelude::*;
use upnext_kernels::norm::{EPS, rms_norm, rms_norm_backward};
use upnext_kernels::product::Write;

/// The norm of every row: fused on the CPU, the reference elsewhere.
///
/// # Errors
/// When `x` is no matrix.
pub fn run(x_nd: &Tensor) -> Result<Tensor> {
    x_nd.dims2()?;
    if !fused(x_nd) {
        return reference(x_nd);
    }
    x_nd.contiguous()?.apply_op1(RmsNorm)
}

/// The same composed of candle ops.
///
/// # Errors
/// When a candle op fails.
pub fn reference(x_nd: &Tensor) -> Result<Tensor> {
    let mean_n1 = x_nd.sqr()?.mean_keepdim(D::Minus1)?;
    x_nd.broadcast_div(&(mean_n1 + f64::from(EPS))?.sqrt()?)
}

/// The norm of every row of `width` over slices.
pub fn forward(x: &[f32], width: usize, out: &mut [f32]) {
    rms_norm(x, width, out);
}

struct RmsNorm;

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, strides: &Strides) -> Result<(CpuStorage, Shape)> {
        let (n, d) = strides.shape().dims2()?;
        let x = slice("the input of a norm", x, strides)?;
        let mut out = vec![0.0; n * d];
        out.par_chunks_mut(CHUNK_ROWS * d)
            .zip(x.par_chunks(CHUNK_ROWS * d))
            .for_each(|(out, x)| forward(x, d, out));
        Ok((CpuStorage::F32(out), (n, d).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (n, d) = x.dims2()?;
        let dy = dy.contiguous()?;
        let (x_host, dy_host) = (Host::of("x", x), Host::of("dy", &dy));
        let (xs, dys) = (x_host.values()?, dy_host.values()?);
        let mut dx = vec![0.0; n * d];
        dx.par_chunks_mut(CHUNK_ROWS * d)
            .zip(xs.par_chunks(CHUNK_ROWS * d))
            .zip(dys.par_chunks(CHUNK_ROWS * d))
            .for_each(|((dx, x), dy)| rms_norm_backward(x, dy, d, dx, Write::Set));
        Ok(Some(Tensor::from_vec(dx, (n, d), x.device())?))
    }
}
