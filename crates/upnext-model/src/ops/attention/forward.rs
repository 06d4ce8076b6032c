//! The forward pass over slices: what serving runs with a cache, and the fused op without one.

use crate::dropout::of_history;
use crate::ops::mlp::residual;
use crate::ops::sums::{appended, sized};
use std::sync::Arc;
use upnext_kernels::attention::{KeyValues, attend};
use upnext_kernels::bf16;
use upnext_kernels::dropout::Mask;
use upnext_kernels::norm::rms_norm;
use upnext_kernels::product::Write;
use upnext_kernels::products::{Products, Weight};
use upnext_kernels::rotary::Rotary;
use upnext_kernels::view::{Rows, RowsMut};

/// The matrices of one sub-layer, packed for products, and its positions.
pub struct Weights {
    qkv: Weight,
    out: Weight,
    heads: usize,
    rotary: Option<Arc<Rotary>>,
}

impl Weights {
    /// Packs `qkv (3d, d)` and `out (d, d)` for `heads` attention heads; serving multiplies in f32.
    pub fn new(
        qkv: &[f32],
        out: &[f32],
        width: usize,
        heads: usize,
        rotary: Option<Arc<Rotary>>,
        products: Products,
    ) -> Self {
        let (qkv, out) = (products.weight(qkv, 3 * width, width), products.weight(out, width, width));
        Self { qkv, out, heads, rotary }
    }

    /// d: the width of the residual stream.
    pub fn width(&self) -> usize {
        self.out.cols()
    }

    /// Room for the keys and values of one history.
    pub fn key_values(&self) -> KeyValues {
        KeyValues::new(self.heads, self.width() / self.heads)
    }
}

/// Where keys and values of a call's histories are kept.
pub enum Memory<'a, 'c> {
    /// Every history starts at position 0, and nothing of it is kept: one buffer serves them in turn.
    Once(&'a mut KeyValues),
    /// History `j` continues `prompts[j]` (if there are prompts) followed by `own[j]`, and is appended to `own[j]`.
    Kept {
        /// Keys and values that come first and are only read; none at all, or one a history.
        prompts: &'a [&'c KeyValues],
        /// Keys and values that follow and grow; one a history.
        own: &'a mut [&'c mut KeyValues],
    },
}

/// Dropout of a call: nothing is dropped by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masks {
    /// Of the layer's attention probabilities.
    pub probabilities: Option<Mask>,
    /// Of what is added to the residual stream.
    pub output: Option<Mask>,
    /// The first row's token, counted over the batch.
    pub first_token: usize,
    /// The first history, counted over the batch.
    pub first_history: usize,
}

/// What a backward needs again, appended by each call.
#[derive(Debug, Default)]
pub struct Saved {
    /// `(rows, 3d)` queries, keys and values, rotated.
    pub qkv: Vec<f32>,
    /// `(rows, d)` what attention gave, before the product with `W_out`.
    pub heads: Vec<f32>,
    /// A history's `(h, t)` log-sum-exp of its scores, history after history.
    pub log_sums: Vec<f32>,
}

/// Buffers that calls of [`forward`] share.
#[derive(Default)]
pub struct Scratch {
    norm: Vec<f32>,
    out: Vec<f32>,
    attend: Vec<f32>,
    qkv: Vec<f32>,
    heads: Vec<f32>,
    packed: bf16::Scratch,
}

/// The sub-layer over the rows `x (rows, d)` of whole histories, or of their continuations, in place.
///
/// `lengths` says how many rows each history has. A row's bits depend on its own history alone, and not on how that
/// history was cut into calls. What a backward needs is appended to `saved`, when there will be one.
pub fn forward(
    x: &mut [f32],
    lengths: &[usize],
    weights: &Weights,
    mut memory: Memory<'_, '_>,
    masks: &Masks,
    saved: Option<&mut Saved>,
    scratch: &mut Scratch,
) {
    let d = weights.width();
    let rows = x.len() / d;
    let norm = sized(&mut scratch.norm, rows * d);
    rms_norm(x, d, norm);
    let (qkv, heads, mut log_sums) = match saved {
        Some(saved) => {
            let log_sums = appended(&mut saved.log_sums, rows * weights.heads);
            (appended(&mut saved.qkv, rows * 3 * d), appended(&mut saved.heads, rows * d), Some(log_sums))
        }
        None => (sized(&mut scratch.qkv, rows * 3 * d), sized(&mut scratch.heads, rows * d), None),
    };
    let (products, packed) = (RowsMut::new(qkv, rows, 3 * d), &mut scratch.packed);
    weights.qkv.multiply(Rows::new(norm, rows, d), products, Write::Set, packed);
    let mut start = 0;
    for (j, &length) in lengths.iter().enumerate() {
        let end = start + length;
        let history = History {
            qkv: &mut qkv[start * 3 * d..end * 3 * d],
            out: &mut heads[start * d..end * d],
            log_sums: log_sums
                .as_deref_mut()
                .map(|sums| &mut sums[start * weights.heads..end * weights.heads]),
            mask: masks.probabilities.map(|mask| of_history(mask, masks.first_history + j)),
        };
        match &mut memory {
            Memory::Once(own) => {
                own.clear();
                history.attend(weights, None, own, &mut scratch.attend);
            }
            Memory::Kept { prompts, own } => {
                history.attend(weights, prompts.get(j).copied(), own[j], &mut scratch.attend);
            }
        }
        start = end;
    }
    let mask = masks.output.map(|mask| (mask, masks.first_token));
    residual(x, Rows::new(heads, rows, d), &weights.out, mask, &mut scratch.out, packed);
}

/// Appends to `own` the keys and values of one history's next rows, `x (rows, d)`, and does nothing else.
///
/// It is what [`forward`] leaves behind, bit for bit: for the last layer of a decoder of which only the last row's
/// state is wanted. Products of queries are left out as far as panels allow.
pub fn remember(x: &[f32], weights: &Weights, own: &mut KeyValues, scratch: &mut Scratch) {
    let d = weights.width();
    let rows = x.len() / d;
    if rows == 0 {
        return;
    }
    let norm = sized(&mut scratch.norm, rows * d);
    rms_norm(x, d, norm);
    let skipped = d / 32 * 32;
    let width = 3 * d - skipped;
    let products = sized(&mut scratch.qkv, rows * width);
    let out = RowsMut::new(products, rows, width);
    let norm = Rows::new(norm, rows, d);
    weights.qkv.multiply_columns(norm, skipped..3 * d, out, Write::Set, &mut scratch.packed);
    if let Some(rotary) = &weights.rotary {
        let (_queries, others) = RowsMut::new(products, rows, width).split_columns(d - skipped);
        rotary.rotate(others.split_columns(d).0, own.len());
    }
    let products = Rows::new(products, rows, width);
    own.append(products.columns(d - skipped, d), products.columns(2 * d - skipped, d));
}

/// One history's rows of a call.
struct History<'a> {
    /// `(t, 3d)`: comes in as products, goes out rotated.
    qkv: &'a mut [f32],
    /// `(t, d)`.
    out: &'a mut [f32],
    /// `(h, t)`.
    log_sums: Option<&'a mut [f32]>,
    mask: Option<Mask>,
}

impl History<'_> {
    /// Rotates queries and keys, appends keys and values to `own`, attends to `prompt` and `own`.
    fn attend(
        self,
        weights: &Weights,
        prompt: Option<&KeyValues>,
        own: &mut KeyValues,
        scratch: &mut Vec<f32>,
    ) {
        let d = weights.width();
        let length = self.out.len() / d;
        let first = prompt.map_or(0, KeyValues::len) + own.len();
        if let Some(rotary) = &weights.rotary {
            let (queries, others) = RowsMut::new(self.qkv, length, 3 * d).split_columns(d);
            rotary.rotate(queries, first);
            rotary.rotate(others.split_columns(d).0, first);
        }
        let qkv = Rows::new(self.qkv, length, 3 * d);
        own.append(qkv.columns(d, d), qkv.columns(2 * d, d));
        let out = RowsMut::new(self.out, length, d);
        let (queries, own) = (qkv.columns(0, d), &*own);
        match prompt {
            Some(prompt) => attend(queries, first, &[prompt, own], self.mask, out, self.log_sums, scratch),
            None => attend(queries, first, &[own], self.mask, out, self.log_sums, scratch),
        }
    }
}
