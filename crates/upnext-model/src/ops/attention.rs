//! Causal self-attention sub-layer (Vaswani et al. 2017, arXiv:1706.03762), pre-norm, residual inside:
//! `y = x + drop(W_out · attend(rotary(W_qkv · rmsnorm(x))))`, each history by itself.
//!
//! Letters: n tokens, d width, h attention heads, e = d / h head width, t positions of a history.
//! `W_qkv (3d, d)` holds queries, keys and values one below the other, each by head; `W_out (d, d)`.

mod backward;
mod forward;
mod fused;
mod rectangles;
mod reference;

pub use forward::{Masks, Memory, Saved, Scratch, Weights, forward, remember};
pub use rectangles::{Rectangle, Rectangles, attend};
pub(crate) use reference::angles;
pub use reference::reference;

use super::{Layout, check_matrix, fused as takes};
use crate::dropout::{Drop, Site};
use candle_core::{Result, Tensor, bail};
use std::sync::Arc;
use upnext_kernels::products::Products;
use upnext_kernels::rotary::Rotary;

/// What the sub-layer needs besides its tensors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the batch's histories lie.
    pub layout: Arc<Layout>,
    /// h: attention heads.
    pub heads: usize,
    /// Rotary positions, at least as many as the longest history has; none where positions are learned.
    pub rotary: Option<Arc<Rotary>>,
    /// Which layer of the decoder this is, from 0; it keys the dropout.
    pub layer: usize,
    /// Dropout of the step; none outside training.
    pub drop: Option<Drop>,
    /// How the products with its matrices are computed; those of attention itself are f32.
    pub products: Products,
}

impl Settings {
    fn masks(&self) -> Masks {
        let mask = |site| self.drop.and_then(|drop| drop.mask(site, self.layer));
        Masks {
            probabilities: mask(Site::Probabilities),
            output: mask(Site::AttentionOutput),
            ..Masks::default()
        }
    }

    /// Refuses shapes that do not fit; returns d.
    fn check(&self, x_nd: &Tensor, qkv: &Tensor, out: &Tensor) -> Result<usize> {
        let (n, d) = x_nd.dims2()?;
        self.layout.check_rows("attention", n)?;
        if self.heads == 0 || !d.is_multiple_of(self.heads) {
            bail!("attention: a width of {d} does not divide into {} heads", self.heads);
        }
        if self.rotary.is_some() && !(d / self.heads).is_multiple_of(2) {
            bail!("attention: rotary positions need heads of even width, not {}", d / self.heads);
        }
        if let Some(rotary) = &self.rotary
            && rotary.positions() < self.layout.longest()
        {
            let (longest, positions) = (self.layout.longest(), rotary.positions());
            bail!("attention: a history has {longest} tokens, but there are {positions} rotary positions");
        }
        check_matrix("attention.qkv", qkv, 3 * d, d)?;
        check_matrix("attention.out", out, d, d)?;
        Ok(d)
    }
}

/// The sub-layer: fused on the CPU, the reference elsewhere.
///
/// # Errors
/// When the rows of `x` are not the batch's tokens, or the matrices do not fit its width.
pub fn run(x_nd: &Tensor, qkv: &Tensor, out: &Tensor, settings: &Settings) -> Result<Tensor> {
    settings.check(x_nd, qkv, out)?;
    if !takes(x_nd) {
        return reference(x_nd, qkv, out, settings);
    }
    let op = fused::AttentionSub::new(settings.clone());
    x_nd.contiguous()?.apply_op3(&qkv.contiguous()?, &out.contiguous()?, op)
}
