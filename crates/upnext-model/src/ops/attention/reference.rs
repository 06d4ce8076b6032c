//! The sub-layer composed of candle ops, one history after another: slow, differentiable, on any device.

use super::Settings;
use crate::dropout::of_history;
use crate::ops::{dropped, linear, norm};
use candle_core::{D, DType, Device, Result, Tensor};
use upnext_kernels::dropout::Mask;

/// Rotary base (Su et al. 2021, arXiv:2104.09864).
const BASE: f64 = 10_000.0;

/// The same as [`run`](super::run), composed of candle ops.
///
/// # Errors
/// As [`run`](super::run).
pub fn reference(x_nd: &Tensor, qkv: &Tensor, out: &Tensor, settings: &Settings) -> Result<Tensor> {
    let d = settings.check(x_nd, qkv, out)?;
    let qkv_n3d = linear::reference(&norm::reference(x_nd)?, qkv, settings.products)?;
    let masks = settings.masks();
    let mut outs = Vec::with_capacity(settings.layout.histories());
    for j in 0..settings.layout.histories() {
        let tokens = settings.layout.tokens_of(j);
        let qkv_t3d = qkv_n3d.narrow(0, tokens.start, tokens.len())?;
        let mask = masks.probabilities.map(|mask| of_history(mask, j));
        outs.push(one_history(&qkv_t3d, d, settings, mask)?);
    }
    let heads_nd = Tensor::cat(&outs, 0)?;
    x_nd + dropped(linear::reference(&heads_nd, out, settings.products)?, masks.output)?
}

/// Causal attention of one history, `(t, 3d)` to `(t, d)`.
fn one_history(qkv_t3d: &Tensor, d: usize, settings: &Settings, mask: Option<Mask>) -> Result<Tensor> {
    let (t, _3d) = qkv_t3d.dims2()?;
    let (h, e) = (settings.heads, d / settings.heads);
    let by_head =
        |part: usize| qkv_t3d.narrow(1, part * d, d)?.reshape((t, h, e))?.transpose(0, 1)?.contiguous();
    let (mut q_hte, mut k_hte, v_hte) = (by_head(0)?, by_head(1)?, by_head(2)?);
    if settings.rotary.is_some() {
        let (cos_te, sin_te) = angles(t, e, qkv_t3d.dtype(), qkv_t3d.device())?;
        q_hte = rotate(&q_hte, &cos_te, &sin_te)?;
        k_hte = rotate(&k_hte, &cos_te, &sin_te)?;
    }
    let scores_htt = (q_hte.matmul(&k_hte.t()?)? / (e as f64).sqrt())?;
    let probabilities_htt = causal_softmax(&scores_htt)?;
    let probabilities_htt = match mask {
        Some(mask) => (&probabilities_htt * scales(mask, &probabilities_htt)?)?,
        None => probabilities_htt,
    };
    probabilities_htt.matmul(&v_hte)?.transpose(0, 1)?.reshape((t, d))
}

/// Softmax over the keys up to each query's own position.
fn causal_softmax(scores_htt: &Tensor) -> Result<Tensor> {
    let (_h, t, _t) = scores_htt.dims3()?;
    let future: Vec<f32> =
        (0..t * t).map(|index| if index % t > index / t { f32::MIN } else { 0.0 }).collect();
    let future_tt = Tensor::from_vec(future, (t, t), scores_htt.device())?.to_dtype(scores_htt.dtype())?;
    let scores_htt = scores_htt.broadcast_add(&future_tt)?;
    let highest_ht1 = scores_htt.max_keepdim(D::Minus1)?.detach();
    let weights_htt = scores_htt.broadcast_sub(&highest_ht1)?.exp()?;
    weights_htt.broadcast_div(&weights_htt.sum_keepdim(D::Minus1)?)
}

/// A history's dropout as a tensor like its probabilities `(h, t, t)`.
fn scales(mask: Mask, like: &Tensor) -> Result<Tensor> {
    let (h, t, _t) = like.dims3()?;
    let mut scales = Vec::with_capacity(h * t * t);
    for head in 0..h {
        for query in 0..t {
            scales.extend((0..t).map(|key| mask.scale(mask_index(head, query, key))));
        }
    }
    Tensor::from_vec(scales, (h, t, t), like.device())?.to_dtype(like.dtype())
}

/// The element of a history's mask that probability (head, query, key) has.
fn mask_index(head: usize, query: usize, key: usize) -> u64 {
    ((head as u64) << 56) | ((query as u64) << 32) | key as u64
}

/// Cosines and sines `(t, e / 2)` of position times frequency.
pub(crate) fn angles(t: usize, e: usize, dtype: DType, device: &Device) -> Result<(Tensor, Tensor)> {
    let half = e / 2;
    let angle = |index: usize| (index / half) as f64 * BASE.powf(-((index % half) as f64) / half as f64);
    let table = |of: fn(f64) -> f64| {
        let values: Vec<f64> = (0..t * half).map(|index| of(angle(index))).collect();
        Tensor::from_vec(values, (t, half), device)?.to_dtype(dtype)
    };
    Ok((table(f64::cos)?, table(f64::sin)?))
}

/// Rotates each head's two halves against each other.
fn rotate(x_hte: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x_hte.dim(D::Minus1)? / 2;
    let (left, right) = (x_hte.narrow(2, 0, half)?, x_hte.narrow(2, half, half)?);
    let new_left = (left.broadcast_mul(cos)? - right.broadcast_mul(sin)?)?;
    let new_right = (right.broadcast_mul(cos)? + left.broadcast_mul(sin)?)?;
    Tensor::cat(&[&new_left, &new_right], 2)
}
