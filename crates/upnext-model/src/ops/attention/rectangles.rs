//! The core of the sub-layer over histories of like length side by side, by candle's batched products: what a device
//! without kernels of ours for attention runs.
//!
//! Forward and backward are written out over tensors and stand in candle's graph as one node, so the gradient of
//! `(n, 3d)` is written in place, rectangle by rectangle. Probabilities of `(b, h, t, t)` are stored.
//!
//! Letters: n rows, b histories of a rectangle, t its length, d width, h heads, e = d / h head width.

use crate::ops::rows::drop_probabilities;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, D, DType, Layout as Strides, MetalStorage, Result, Shape, Storage,
    Tensor, bail,
};
use std::sync::Mutex;
use upnext_kernels::dropout::Mask;

/// Histories of one length side by side: `b · t` rows.
#[derive(Clone, Debug)]
pub struct Rectangle {
    /// The first of its rows.
    pub first: usize,
    /// t: rows of each history.
    pub length: usize,
    /// `(b)` u32: which history of the batch each is, [`crate::ops::rows::PADDING`] for none.
    pub histories_b: Tensor,
    /// `(t, t)` f32: 0 for keys up to the query's own position, a very negative number for later ones.
    pub causal_tt: Tensor,
}

/// What attention over rectangles needs besides its input.
#[derive(Clone, Debug)]
pub struct Rectangles {
    /// The rectangles; rows outside them give zeros.
    pub all: Vec<Rectangle>,
    /// h: attention heads.
    pub heads: usize,
    /// Cosines and sines `(T, e / 2)`, where positions are rotary.
    pub angles: Option<(Tensor, Tensor)>,
    /// Dropout of the probabilities.
    pub mask: Option<Mask>,
    /// The type that products are computed in; sums and softmax are f32.
    pub products: DType,
}

/// Queries, keys and values `(n, 3d)` to `(n, d)`.
///
/// # Errors
/// When shapes disagree.
pub fn attend(qkv_n3d: &Tensor, rectangles: Rectangles) -> Result<Tensor> {
    let (n, d3) = qkv_n3d.dims2()?;
    if rectangles.heads == 0 || !d3.is_multiple_of(3 * rectangles.heads) {
        bail!(
            "attention: {d3} columns do not divide into queries, keys and values of {} heads",
            rectangles.heads
        );
    }
    let detached = qkv_n3d.detach().contiguous()?;
    let out_nd = Tensor::zeros((n, d3 / 3), DType::F32, qkv_n3d.device())?;
    let mut saved = Vec::with_capacity(rectangles.all.len());
    for rectangle in &rectangles.all {
        let (out, one) = rectangles.forward(&detached, rectangle)?;
        out_nd.slice_set(&out, 0, rectangle.first)?;
        saved.push(one);
    }
    qkv_n3d.apply_op1(Attend { rectangles, out_nd, saved: Mutex::new(Some(saved)) })
}

/// What a rectangle's backward needs, `(b, h, t, …)` each.
struct Saved {
    q_bhte: Tensor,
    k_bhte: Tensor,
    v_bhte: Tensor,
    /// Before dropout.
    p_bhtt: Tensor,
}

impl Rectangles {
    /// One rectangle's `(b · t, d)`.
    fn forward(&self, qkv_n3d: &Tensor, rectangle: &Rectangle) -> Result<(Tensor, Saved)> {
        let (b, t) = (rectangle.histories_b.dims1()?, rectangle.length);
        let (h, d) = (self.heads, qkv_n3d.dim(1)? / 3);
        let e = d / h;
        let qkv = qkv_n3d.narrow(0, rectangle.first, b * t)?.reshape((b, t, 3, h, e))?;
        let part = |part: usize| qkv.narrow(2, part, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (q, k, v) = (self.turned(&part(0)?, false)?, self.turned(&part(1)?, false)?, part(2)?);
        let scores = (self.product(&q, &k.t()?)? * self.scale(e))?.broadcast_add(&rectangle.causal_tt)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let p = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let out = self.product(&self.dropped(&p, rectangle)?, &v)?;
        let out = out.transpose(1, 2)?.reshape((b * t, d))?;
        Ok((out, Saved { q_bhte: q, k_bhte: k, v_bhte: v, p_bhtt: p }))
    }

    /// One rectangle's gradient `(b · t, 3d)`, out of `(b · t, d)`.
    fn backward(&self, dout: &Tensor, rectangle: &Rectangle, saved: &Saved) -> Result<Tensor> {
        let Saved { q_bhte: q, k_bhte: k, v_bhte: v, p_bhtt: p } = saved;
        let (b, h, t, e) = q.dims4()?;
        let dout = dout.reshape((b, t, h, e))?.transpose(1, 2)?.contiguous()?;
        let dv = self.product(&self.dropped(p, rectangle)?.t()?, &dout)?;
        let dp = self.dropped(&self.product(&dout, &v.t()?)?, rectangle)?;
        let mean = (&dp * p)?.sum_keepdim(D::Minus1)?;
        let dscores = ((dp.broadcast_sub(&mean)? * p)? * self.scale(e))?;
        let dq = self.turned(&self.product(&dscores, k)?, true)?;
        let dk = self.turned(&self.product(&dscores.t()?, q)?, true)?;
        // (b, h, t, e) each to (b, t, 3, h, e).
        Tensor::stack(&[dq, dk, dv], 0)?.permute((1, 3, 0, 2, 4))?.reshape((b * t, 3 * h * e))
    }

    fn scale(&self, e: usize) -> f64 {
        1.0 / (e as f64).sqrt()
    }

    fn product(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (a, b) = (a.contiguous()?.to_dtype(self.products)?, b.contiguous()?.to_dtype(self.products)?);
        a.matmul(&b)?.to_dtype(DType::F32)
    }

    fn dropped(&self, p: &Tensor, rectangle: &Rectangle) -> Result<Tensor> {
        match self.mask {
            Some(mask) => drop_probabilities(p, &rectangle.histories_b, mask),
            None => Ok(p.clone()),
        }
    }

    /// Rotates each head's two halves against each other by the position, or back.
    fn turned(&self, x_bhte: &Tensor, back: bool) -> Result<Tensor> {
        let Some((cos, sin)) = &self.angles else { return Ok(x_bhte.clone()) };
        let (_b, _h, t, e) = x_bhte.dims4()?;
        let (cos, sin) = (cos.narrow(0, 0, t)?, sin.narrow(0, 0, t)?);
        let sin = if back { sin.neg()? } else { sin };
        let (left, right) = (x_bhte.narrow(3, 0, e / 2)?, x_bhte.narrow(3, e / 2, e / 2)?);
        let new_left = (left.broadcast_mul(&cos)? - right.broadcast_mul(&sin)?)?;
        let new_right = (right.broadcast_mul(&cos)? + left.broadcast_mul(&sin)?)?;
        Tensor::cat(&[&new_left, &new_right], 3)
    }
}

/// The node: its output is known when it is made.
struct Attend {
    rectangles: Rectangles,
    out_nd: Tensor,
    saved: Mutex<Option<Vec<Saved>>>,
}

impl CustomOp1 for Attend {
    fn name(&self) -> &'static str {
        "attend-rectangles"
    }

    fn cpu_fwd(&self, _qkv: &CpuStorage, _strides: &Strides) -> Result<(CpuStorage, Shape)> {
        let (storage, layout) = self.out_nd.storage_and_layout();
        match &*storage {
            Storage::Cpu(out) => Ok((out.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("attention's output is not where its input is"),
        }
    }

    fn cuda_fwd(&self, _qkv: &CudaStorage, _strides: &Strides) -> Result<(CudaStorage, Shape)> {
        let (storage, layout) = self.out_nd.storage_and_layout();
        match &*storage {
            Storage::Cuda(out) => Ok((out.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("attention's output is not where its input is"),
        }
    }

    fn metal_fwd(&self, _qkv: &MetalStorage, _strides: &Strides) -> Result<(MetalStorage, Shape)> {
        let (storage, layout) = self.out_nd.storage_and_layout();
        match &*storage {
            Storage::Metal(out) => Ok((out.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("attention's output is not where its input is"),
        }
    }

    fn bwd(&self, qkv: &Tensor, _out: &Tensor, dout: &Tensor) -> Result<Option<Tensor>> {
        let Some(saved) = self.saved.lock().ok().and_then(|mut saved| saved.take()) else {
            bail!("attention is differentiated once");
        };
        let dqkv = Tensor::zeros(qkv.shape(), DType::F32, qkv.device())?;
        for (rectangle, saved) in self.rectangles.all.iter().zip(&saved) {
            let rows = rectangle.histories_b.dims1()? * rectangle.length;
            let gradient =
                self.rectangles.backward(&dout.narrow(0, rectangle.first, rows)?, rectangle, saved)?;
            dqkv.slice_set(&gradient.contiguous()?, 0, rectangle.first)?;
        }
        Ok(Some(dqkv))
    }
}
