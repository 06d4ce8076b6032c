//! The feed-forward sub-layer as one candle op with an analytic backward (f32, CPU).
//!
//! Kept for the backward: `[g | u]`. Recomputed: the norm and the gate.

use super::{Scratch, Settings, Weights, forward};
use crate::ops::host::{Host, slice};
use crate::ops::sums::{CHUNK_ROWS, lane_rows, sized, tree};
use candle_core::{CpuStorage, CustomOp3, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};
use upnext_kernels::bf16;
use upnext_kernels::dropout::Mask;
use upnext_kernels::gate::{swiglu, swiglu_backward};
use upnext_kernels::norm::{rms_norm, rms_norm_backward};
use upnext_kernels::product::Write;
use upnext_kernels::products::{Adjoint, Products};
use upnext_kernels::view::{Rows, RowsMut};

/// One call of the sub-layer: made anew for each, it owns what its backward will take.
pub(super) struct MlpSub {
    mask: Option<Mask>,
    products: Products,
    /// `[g | u]` rows, one buffer a lane.
    saved: Mutex<Option<Vec<Vec<f32>>>>,
}

impl MlpSub {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { mask: settings.mask(), products: settings.products, saved: Mutex::new(None) }
    }
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for MlpSub {
    fn name(&self) -> &'static str {
        "mlp-sub"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Strides,
        gate_up: &CpuStorage,
        lg: &Strides,
        down: &CpuStorage,
        ld: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let (d, m) = ld.shape().dims2()?;
        let gate_up = slice("mlp.gate_up", gate_up, lg)?;
        let weights = Weights::new(gate_up, slice("mlp.down", down, ld)?, d, m, self.products);
        let mut y = slice("x", x, lx)?.to_vec();
        let lane_rows = lane_rows(lx.shape().dims2()?.0);
        let lanes = y.par_chunks_mut(lane_rows * d).enumerate();
        let saved = lanes.map_init(Scratch::default, |scratch, (lane, y)| {
            let mut saved = Vec::with_capacity(y.len() / d * 2 * m);
            for (chunk, y) in y.chunks_mut(CHUNK_ROWS * d).enumerate() {
                let mask = self.mask.map(|mask| (mask, lane * lane_rows + chunk * CHUNK_ROWS));
                forward(y, &weights, mask, Some(&mut saved), scratch);
            }
            saved
        });
        let saved = saved.collect();
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gate_up: &Tensor,
        down: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<Gradients> {
        let ((n, d), (_d, m)) = (x.dims2()?, down.dims2()?);
        let Some(saved) = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("the backward of mlp-sub runs once for each forward");
        };
        let dy = dy.contiguous()?;
        let (x_host, dy_host) = (Host::of("x", x), Host::of("dy", &dy));
        let (gate_up_host, down_host) = (Host::of("mlp.gate_up", gate_up), Host::of("mlp.down", down));
        let (xs, dys) = (x_host.values()?, dy_host.values()?);
        let (products, mask) = (self.products, self.mask);
        let gate_up = products.adjoint(gate_up_host.values()?, 2 * m, d);
        let pass =
            Backward { d, m, products, gate_up, down: products.adjoint(down_host.values()?, d, m), mask };
        let mut dx = dys.to_vec();
        let lane_rows = lane_rows(n);
        let lanes = dx.par_chunks_mut(lane_rows * d).zip(xs.par_chunks(lane_rows * d)).zip(saved).enumerate();
        let parts = lanes.map_init(Buffers::default, |buffers, (lane, ((dx, x), saved))| {
            pass.lane(x, &saved, dx, lane * lane_rows, buffers)
        });
        let parts: Vec<_> = parts.collect();
        let (d_gate_up, d_down): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok((
            Some(Tensor::from_vec(dx, (n, d), x.device())?),
            Some(Tensor::from_vec(tree(d_gate_up), (2 * m, d), x.device())?),
            Some(Tensor::from_vec(tree(d_down), (d, m), x.device())?),
        ))
    }
}

/// Buffers that lanes of a thread share.
#[derive(Default)]
struct Buffers {
    /// `(rows, d)`: dy behind the dropout, then the norm, then its gradient.
    narrow: Vec<f32>,
    /// `(rows, 2m)`: the gradient of `[g | u]`.
    wide: Vec<f32>,
    /// `(rows, m)`.
    hidden: Vec<f32>,
    d_hidden: Vec<f32>,
    packed: bf16::Scratch,
}

/// What the lanes of one backward share.
struct Backward<'a> {
    d: usize,
    m: usize,
    products: Products,
    gate_up: Adjoint<'a>,
    down: Adjoint<'a>,
    mask: Option<Mask>,
}

impl Backward<'_> {
    /// One lane: `dx` comes in as dy and goes out as the gradient of x; returns the lane's share of both matrices'.
    fn lane(
        &self,
        x: &[f32],
        saved: &[f32],
        dx: &mut [f32],
        first_token: usize,
        buffers: &mut Buffers,
    ) -> (Vec<f32>, Vec<f32>) {
        let (d, m) = (self.d, self.m);
        let lengths = || x.chunks(CHUNK_ROWS * d).map(|x| x.len() / d);
        let Buffers { narrow, wide, hidden, d_hidden, packed } = buffers;
        let mut d_gate_up = self.products.weight_gradient(2 * m, d, lengths(), packed);
        let mut d_down = self.products.weight_gradient(d, m, lengths(), packed);
        let chunks =
            dx.chunks_mut(CHUNK_ROWS * d).zip(x.chunks(CHUNK_ROWS * d)).zip(saved.chunks(CHUNK_ROWS * 2 * m));
        for (chunk, ((dx, x), gate_up)) in chunks.enumerate() {
            let rows = x.len() / d;
            // Through the residual's dropout and the down product.
            let dy = sized(narrow, rows * d);
            dy.copy_from_slice(dx);
            if let Some(mask) = self.mask {
                mask.apply(dy, ((first_token + chunk * CHUNK_ROWS) * d) as u64);
            }
            let dy = Rows::new(dy, rows, d);
            let hidden = sized(hidden, rows * m);
            swiglu(gate_up, m, hidden);
            d_down.add(dy, Rows::new(hidden, rows, m));
            let d_hidden = sized(d_hidden, rows * m);
            self.down.multiply(dy, RowsMut::new(d_hidden, rows, m), Write::Set, packed);
            // Through the gate, the gate_up product and the norm.
            let wide = sized(wide, rows * 2 * m);
            swiglu_backward(gate_up, d_hidden, m, wide);
            let (wide, norm) = (Rows::new(wide, rows, 2 * m), sized(narrow, rows * d));
            rms_norm(x, d, norm);
            d_gate_up.add(wide, Rows::new(norm, rows, d));
            self.gate_up.multiply(wide, RowsMut::new(norm, rows, d), Write::Set, packed);
            rms_norm_backward(x, norm, d, dx, Write::Add);
        }
        (d_gate_up.finish(packed), d_down.finish(packed))
    }
}
