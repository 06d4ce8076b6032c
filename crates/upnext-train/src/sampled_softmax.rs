//! Softmax of each true next item against negatives that the whole batch shares.
//!
//! [`reference()`] is candle's own operations and holds `(n, k)` logits. [`run`] is one fused op on the CPU: blocks of
//! rows that stay in cache, no `(n, k)` tensor, both gradients computed in the forward pass. [`crate::correction`] says
//! what the numbers in [`Candidates`] mean. Letters: n tokens, k distinct negatives, c = 1 + k candidates, r rank,
//! u distinct rows.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use upnext_kernels::product::{Packed, Write, gradient_input, gradient_weight, multiply};
use upnext_kernels::rows::gather;
use upnext_kernels::softmax::{Dropped, cross_entropy_rows};
use upnext_kernels::{Rows, RowsMut};
use upnext_model::ops::gather::Segments;
use upnext_model::ops::host::slice;
use upnext_model::ops::sums::tree;

use crate::link::{scaled, take};

/// What a step scores: rows of a leaf `(u, r)`, and what is taken off their logits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// `(n)` the leaf row of each token's true next item.
    pub targets: Vec<u32>,
    /// `(k)` the leaf row of each negative; no row twice.
    pub negatives: Vec<u32>,
    /// `(k)` taken off each negative's logits.
    pub log_kq: Vec<f32>,
    /// `(n)` added to all of a row's negative logits; empty for zeros.
    pub raised: Vec<f32>,
    /// `(n)` how much each row counts beside the others; empty where all count alike.
    pub shares: Vec<f32>,
}

/// Rows that are computed together: their logits stay in cache.
const BLOCK_ROWS: usize = 128;
/// Most lanes that a batch is cut into; each sums the negatives' gradients on its own.
const MAX_LANES: usize = 16;
/// Most floats of those sums, all lanes together (32 MiB).
const LANE_FLOATS: usize = 1 << 23;

/// Mean over n, by the rows' shares, of `-ln p(true item)` among the row's candidates; a negative that is the row's true item is dropped.
///
/// # Errors
/// When shapes disagree or a row is not in the leaf.
pub fn reference(h_nr: &Tensor, rows_ur: &Tensor, candidates: &Candidates) -> Result<Tensor> {
    let (n, _r) = h_nr.dims2()?;
    let (k, device) = (candidates.negatives.len(), h_nr.device());
    candidates.check(n, rows_ur.dims2()?.0)?;
    let pick = |rows: &[u32]| rows_ur.index_select(&Tensor::from_slice(rows, rows.len(), device)?, 0);
    let positive_n1 = (h_nr * pick(&candidates.targets)?)?.sum_keepdim(1)?;
    let negative_nk = h_nr.matmul(&pick(&candidates.negatives)?.t()?)?;
    let log_kq_1k = Tensor::from_slice(&candidates.log_kq, (1, k), device)?;
    let mut corrected_nk = negative_nk.broadcast_sub(&log_kq_1k)?;
    if !candidates.raised.is_empty() {
        corrected_nk =
            corrected_nk.broadcast_add(&Tensor::from_slice(&candidates.raised, (n, 1), device)?)?;
    }
    let targets_n1 = Tensor::from_slice(&candidates.targets, (n, 1), device)?;
    let hit_nk = targets_n1.broadcast_eq(&Tensor::from_slice(&candidates.negatives, (1, k), device)?)?;
    let dropped_nk = Tensor::full(f32::MIN, (n, k), device)?;
    let negative_nk = hit_nk.where_cond(&dropped_nk, &corrected_nk)?;
    let all_nc = Tensor::cat(&[&positive_n1, &negative_nk], 1)?;
    let loss_n = (all_nc.log_sum_exp(1)? - positive_n1.squeeze(1)?)?;
    if candidates.shares.is_empty() {
        return loss_n.mean_all();
    }
    (loss_n * Tensor::from_slice(&candidates.shares, n, device)?)?.sum_all()? / total(&candidates.shares, n)
}

/// What the rows' shares add up to; 1 each where there are none.
pub(crate) fn total(shares: &[f32], rows: usize) -> f64 {
    if shares.is_empty() { rows as f64 } else { shares.iter().map(|&share| f64::from(share)).sum() }
}

/// The same, fused; on the CPU alone.
///
/// # Errors
/// As [`reference()`].
pub fn run(h_nr: &Tensor, rows_ur: &Tensor, candidates: Arc<Candidates>) -> Result<Tensor> {
    candidates.check(h_nr.dims2()?.0, rows_ur.dims2()?.0)?;
    let op = SampledSoftmax { candidates, gradients: Mutex::new(None) };
    h_nr.contiguous()?.apply_op2(&rows_ur.contiguous()?, op)
}

impl Candidates {
    fn check(&self, n: usize, u: usize) -> Result<()> {
        let Self { targets, negatives, log_kq, raised, shares } = self;
        if n == 0 || targets.len() != n || log_kq.len() != negatives.len() {
            let (t, k, q) = (targets.len(), negatives.len(), log_kq.len());
            bail!("sampled softmax: {n} states, {t} targets, {k} negatives, {q} corrections");
        }
        for (list, what) in [(raised, "raised rows"), (shares, "shares")] {
            if !list.is_empty() && list.len() != n {
                bail!("sampled softmax: {n} states, {} {what}", list.len());
            }
        }
        match targets.iter().chain(negatives).find(|&&row| row as usize >= u) {
            Some(row) => bail!("sampled softmax: row {row} of a leaf of {u}"),
            None => Ok(()),
        }
    }

    /// `(u)` the column of each leaf row among the negatives; `u32::MAX` for none.
    fn columns(&self, u: usize) -> Vec<u32> {
        let mut columns = vec![u32::MAX; u];
        self.negatives.iter().zip(0..).for_each(|(&row, column)| columns[row as usize] = column);
        columns
    }
}

struct SampledSoftmax {
    candidates: Arc<Candidates>,
    /// Made by the forward pass, taken by the backward pass.
    gradients: Mutex<Option<Gradients>>,
}

/// Gradients of the loss.
struct Gradients {
    /// `(n, r)`
    states: Vec<f32>,
    /// `(u, r)`
    rows: Vec<f32>,
}

impl CustomOp2 for SampledSoftmax {
    fn name(&self) -> &'static str {
        "sampled-softmax"
    }

    fn cpu_fwd(
        &self,
        h: &CpuStorage,
        lh: &Strides,
        rows: &CpuStorage,
        lr: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let (_n, r) = lh.shape().dims2()?;
        let (h, rows) = (slice("the states of a loss", h, lh)?, slice("the rows of a loss", rows, lr)?);
        let (loss, gradients) = compute(h, rows, r, &self.candidates)?;
        if let Ok(mut held) = self.gradients.lock() {
            *held = Some(gradients);
        }
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        h: &Tensor,
        rows: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradients = take(&self.gradients, self.name())?;
        let dh = Tensor::from_vec(gradients.states, h.shape(), h.device())?;
        let drows = Tensor::from_vec(gradients.rows, rows.shape(), rows.device())?;
        Ok((Some(scaled(dh, grad)?), Some(scaled(drows, grad)?)))
    }
}

/// What the lanes share.
struct Shared<'a> {
    rows: &'a [f32],
    r: usize,
    candidates: &'a Candidates,
    /// `(k, r)` the negatives' rows, plain and packed.
    negatives: Vec<f32>,
    packed: Packed,
    columns: Vec<u32>,
    /// One over the rows' shares: 1 / n where all count alike.
    weight: f32,
}

/// The loss and its gradients.
fn compute(h: &[f32], rows: &[f32], r: usize, candidates: &Candidates) -> Result<(f32, Gradients)> {
    let (n, k, u) = (candidates.targets.len(), candidates.negatives.len(), rows.len() / r);
    let mut negatives = vec![0.0; k * r];
    gather(rows, r, &candidates.negatives, &mut negatives);
    let packed = Packed::transposed(&negatives, k, r);
    let columns = candidates.columns(u);
    let total = total(&candidates.shares, n);
    let shared = Shared { rows, r, candidates, negatives, packed, columns, weight: 1.0 / total as f32 };
    // The cut depends on sizes alone, so threads move no bit.
    let lane = n.div_ceil((LANE_FLOATS / (k * r).max(1)).clamp(2, MAX_LANES)).max(1);
    let (mut dh, mut scaled_h) = (vec![0.0; n * r], vec![0.0; n * r]);
    let lanes =
        dh.par_chunks_mut(lane * r).zip(scaled_h.par_chunks_mut(lane * r)).zip(h.par_chunks(lane * r));
    let parts: Vec<(f64, Vec<f32>)> =
        lanes.enumerate().map(|(j, ((dh, scaled_h), h))| shared.lane(j * lane, h, dh, scaled_h)).collect();
    let (losses, dnegatives): (Vec<f64>, Vec<Vec<f32>>) = parts.into_iter().unzip();
    let mut drows = Segments::new(&candidates.targets, u)?.sum(&scaled_h, r);
    for (&row, gradient) in candidates.negatives.iter().zip(tree(dnegatives).chunks_exact(r)) {
        let sum = &mut drows[row as usize * r..][..r];
        sum.iter_mut().zip(gradient).for_each(|(sum, part)| *sum += part);
    }
    Ok(((losses.iter().sum::<f64>() / total) as f32, Gradients { states: dh, rows: drows }))
}

impl Shared<'_> {
    /// Rows `first..` of the batch: fills dh and, in `scaled_h`, each token's gradient to its true item's row; returns
    /// the sum of losses and the gradient to the negatives `(k, r)`.
    fn lane(&self, first: usize, h: &[f32], dh: &mut [f32], scaled_h: &mut [f32]) -> (f64, Vec<f32>) {
        let (r, k) = (self.r, self.candidates.negatives.len());
        let mut dnegatives = vec![0.0; k * r];
        let mut logits = vec![0.0; BLOCK_ROWS.min(h.len() / r) * k];
        let (mut loss, mut at) = (0.0, first);
        let blocks = h
            .chunks(BLOCK_ROWS * r)
            .zip(dh.chunks_mut(BLOCK_ROWS * r))
            .zip(scaled_h.chunks_mut(BLOCK_ROWS * r));
        for ((h, dh), scaled_h) in blocks {
            let m = h.len() / r;
            let logits = &mut logits[..m * k];
            let (positive, block_loss) = self.block(at, h, logits);
            loss += block_loss;
            let (dlogits, x) = (Rows::new(logits, m, k), Rows::new(h, m, r));
            gradient_input(dlogits, &self.negatives, RowsMut::new(dh, m, r), Write::Set);
            gradient_weight(dlogits, x, &mut dnegatives, Write::Add);
            for (j, &share) in positive.iter().enumerate() {
                let (target, own) = (self.target(at + j), j * r..(j + 1) * r);
                let pairs = dh[own.clone()].iter_mut().zip(target);
                pairs.for_each(|(dh, v)| *dh += share * v);
                let pairs = scaled_h[own.clone()].iter_mut().zip(&h[own]);
                pairs.for_each(|(scaled, h)| *scaled = share * h);
            }
            at += m;
        }
        (loss, dnegatives)
    }

    /// Turns `logits` `(m, k)` into their own gradient; returns that of the positive logits `(m)` and the sum of losses.
    fn block(&self, first: usize, h: &[f32], logits: &mut [f32]) -> (Vec<f32>, f64) {
        let (m, k) = (h.len() / self.r, self.candidates.negatives.len());
        multiply(Rows::new(h, m, self.r), &self.packed, RowsMut::new(logits, m, k), Write::Set);
        let rows = h.chunks_exact(self.r).enumerate();
        // What raises a row's negatives lowers its positive just as well.
        let raised = |row: usize| self.candidates.raised.get(row).copied().unwrap_or(0.0);
        let mut positive: Vec<f32> =
            rows.map(|(j, h)| dot(h, self.target(first + j)) - raised(first + j)).collect();
        let (mut starts, mut columns) = (vec![0], Vec::new());
        for &target in &self.candidates.targets[first..first + m] {
            let column = self.columns[target as usize];
            columns.extend((column != u32::MAX).then_some(column));
            starts.push(columns.len() as u32);
        }
        let dropped = Dropped { starts: &starts, columns: &columns };
        let (logits, log_kq) = (RowsMut::new(logits, m, k), &self.candidates.log_kq);
        let shares = self.candidates.shares.get(first..first + m).unwrap_or_default();
        let loss = cross_entropy_rows(logits, &mut positive, log_kq, &dropped, self.weight, shares);
        (positive, loss)
    }

    /// The true item's row of token `at`.
    fn target(&self, at: usize) -> &[f32] {
        &self.rows[self.candidates.targets[at] as usize * self.r..][..self.r]
    }
}

/// A dot product in eight running sums, in one fixed order.
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    for (x, y) in x.chunks(8).zip(y.chunks(8)) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))
}

#[cfg(test)]
mod tests;
