//! The attention sub-layer as one candle op with an analytic backward (f32, CPU).
//!
//! Kept for the backward: rotated queries, keys and values, what attention gave, and its log-sum-exp. Recomputed: the
//! norm and the probabilities.

use super::backward::{Backward, Buffers};
use super::{Masks, Memory, Saved, Scratch, Settings, Weights, forward};
use crate::ops::host::{Host, slice};
use crate::ops::sums::tree;
use candle_core::{CpuStorage, CustomOp3, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// One call of the sub-layer: made anew for each, it owns what its backward will take.
pub(super) struct AttentionSub {
    settings: Settings,
    /// One entry a lane.
    saved: Mutex<Option<Vec<Saved>>>,
}

impl AttentionSub {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, saved: Mutex::new(None) }
    }

    /// The forward of one lane, in place.
    fn lane(
        &self,
        histories: &Range<usize>,
        y: &mut [f32],
        weights: &Weights,
        scratch: &mut Scratch,
    ) -> Saved {
        let (d, layout) = (weights.width(), &self.settings.layout);
        let tokens = y.len() / d;
        let mut saved = Saved {
            qkv: Vec::with_capacity(tokens * 3 * d),
            heads: Vec::with_capacity(tokens * d),
            log_sums: Vec::with_capacity(tokens * self.settings.heads),
        };
        let mut once = weights.key_values();
        let mut rest = y;
        for group in layout.groups(histories) {
            let lengths: Vec<usize> = group.clone().map(|j| layout.tokens_of(j).len()).collect();
            let (rows, below) = rest.split_at_mut(layout.rows(&group).len() * d);
            let first_token = layout.rows(&group).start;
            let masks = Masks { first_token, first_history: group.start, ..self.settings.masks() };
            forward(rows, &lengths, weights, Memory::Once(&mut once), &masks, Some(&mut saved), scratch);
            rest = below;
        }
        saved
    }
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for AttentionSub {
    fn name(&self) -> &'static str {
        "attention-sub"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Strides,
        qkv: &CpuStorage,
        lq: &Strides,
        out: &CpuStorage,
        lo: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let (_n, d) = lx.shape().dims2()?;
        let (qkv, out) = (slice("attention.qkv", qkv, lq)?, slice("attention.out", out, lo)?);
        let Settings { heads, rotary, layout, products, .. } = &self.settings;
        let weights = Weights::new(qkv, out, d, *heads, rotary.as_ref().map(Arc::clone), *products);
        let mut y = slice("x", x, lx)?.to_vec();
        let lanes = layout.lanes().par_iter().zip(layout.cut_mut(&mut y, d));
        let saved =
            lanes.map_init(Scratch::default, |scratch, (lane, y)| self.lane(lane, y, &weights, scratch));
        let saved = saved.collect();
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        Ok((CpuStorage::F32(y), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, qkv: &Tensor, out: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Gradients> {
        let (n, d) = x.dims2()?;
        let Some(saved) = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("the backward of attention-sub runs once for each forward");
        };
        let dy = dy.contiguous()?;
        let (x_host, dy_host) = (Host::of("x", x), Host::of("dy", &dy));
        let (qkv_host, out_host) = (Host::of("attention.qkv", qkv), Host::of("attention.out", out));
        let (xs, settings) = (x_host.values()?, &self.settings);
        let qkv = settings.products.adjoint(qkv_host.values()?, 3 * d, d);
        let out = settings.products.adjoint(out_host.values()?, d, d);
        let pass = Backward { settings, masks: settings.masks(), width: d, qkv, out };
        let mut dx = dy_host.values()?.to_vec();
        let layout = &settings.layout;
        let lanes = layout.lanes().par_iter().zip(layout.cut_mut(&mut dx, d)).zip(saved);
        let shares = lanes.map_init(Buffers::default, |buffers, ((lane, dx), saved)| {
            let rows = layout.rows(lane);
            pass.lane(lane, &xs[rows.start * d..rows.end * d], &saved, dx, buffers)
        });
        let (d_qkv, d_out): (Vec<_>, Vec<_>) = shares.collect::<Vec<_>>().into_iter().unzip();
        Ok((
            Some(Tensor::from_vec(dx, (n, d), x.device())?),
            Some(Tensor::from_vec(tree(d_qkv), (3 * d, d), x.device())?),
            Some(Tensor::from_vec(tree(d_out), (d, d), x.device())?),
        ))
    }
}
