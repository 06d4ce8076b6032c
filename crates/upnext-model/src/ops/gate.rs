//! The gate of a `SwiGLU` network by itself: `silu(g) ⊙ u` of `[g | u]`, `(n, 2m)` to `(n, m)`; rows do not mix.

use super::host::{Host, slice};
use super::sums::CHUNK_ROWS;
use super::{fused, mlp};
use candle_core::{CpuStorage, CustomOp1, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use upnext_kernels::gate::{swiglu, swiglu_backward};

/// The gate: fused on the CPU, the reference elsewhere.
///
/// # Errors
/// When there is an odd number of columns.
pub fn run(gate_up_n2m: &Tensor) -> Result<Tensor> {
    let (_n, columns) = gate_up_n2m.dims2()?;
    if !columns.is_multiple_of(2) {
        bail!("a gate needs two equal halves, but there are {columns} columns");
    }
    if !fused(gate_up_n2m) {
        return reference(gate_up_n2m);
    }
    gate_up_n2m.contiguous()?.apply_op1(Gate)
}

/// The same composed of candle ops.
///
/// # Errors
/// When a candle op fails.
pub fn reference(gate_up_n2m: &Tensor) -> Result<Tensor> {
    mlp::gated(gate_up_n2m)
}

struct Gate;

impl CustomOp1 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, strides: &Strides) -> Result<(CpuStorage, Shape)> {
        let (n, columns) = strides.shape().dims2()?;
        let (x, m) = (slice("the input of a gate", x, strides)?, columns / 2);
        let mut out = vec![0.0; n * m];
        out.par_chunks_mut(CHUNK_ROWS * m)
            .zip(x.par_chunks(CHUNK_ROWS * columns))
            .for_each(|(out, x)| swiglu(x, m, out));
        Ok((CpuStorage::F32(out), (n, m).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (n, columns) = x.dims2()?;
        let (dy, m) = (dy.contiguous()?, columns / 2);
        let (x_host, dy_host) = (Host::of("x", x), Host::of("dy", &dy));
        let (xs, dys) = (x_host.values()?, dy_host.values()?);
        let mut dx = vec![0.0; n * columns];
        dx.par_chunks_mut(CHUNK_ROWS * columns)
            .zip(xs.par_chunks(CHUNK_ROWS * columns))
            .zip(dys.par_chunks(CHUNK_ROWS * m))
            .for_each(|((dx, x), dy)| swiglu_backward(x, dy, m, dx));
        Ok(Some(Tensor::from_vec(dx, (n, columns), x.device())?))
    }
}
