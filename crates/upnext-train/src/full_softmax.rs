//! Exact softmax over the whole catalogue, in blocks of items.
//!
//! A first pass over the blocks keeps a running log-sum-exp for each row, a second makes the gradients; `(n, i)` logits
//! are never stored (the idea of Wijmans et al. 2024, arXiv 2411.09009). Letters: n tokens, i items, r rank.

use rayon::prelude::*;
use upnext_kernels::product::{Packed, Write, gradient_input, gradient_weight, multiply};
use upnext_kernels::softmax::{LogSumExp, probability_rows};
use upnext_kernels::{Rows, RowsMut};
use upnext_model::ops::sums::tree;

use crate::sampled_softmax::{dot, total};

/// Items of a block when nobody says otherwise: its logits for `BLOCK_ROWS` rows are 512 KiB.
pub const BLOCK_ITEMS: usize = 1024;
/// Rows whose logits are computed together.
const BLOCK_ROWS: usize = 128;
/// Lanes that a batch is cut into; each sums the items' gradients on its own.
const LANES: usize = 16;

/// Mean over n, by the rows' `shares` (all alike where these are empty), of `-ln p(target)` among all items, and its gradient `(n, r)` with respect to the states `h` `(n, r)`.
/// The gradient with respect to the table `(i, r)` is added to `dtable`.
///
/// The block's size moves roundings alone; threads move no bit.
///
/// # Panics
/// When sizes disagree, there is no target or a target is no item.
#[must_use]
pub fn full_softmax(
    h: &[f32],
    table: &[f32],
    rank: usize,
    targets: &[u32],
    shares: &[f32],
    block_items: usize,
    dtable: &mut [f32],
) -> (f64, Vec<f32>) {
    assert!(shares.is_empty() || shares.len() == targets.len(), "{} shares", shares.len());
    let (n, block) = (targets.len(), block_items.max(1) * rank);
    let lane = n.div_ceil(LANES).max(1);
    let mut rows: Vec<LogSumExp> = vec![LogSumExp::new(); n];
    let mut packed = Packed::transposed(&[], 0, rank);
    for items in table.chunks(block) {
        packed.repack_transposed(items, items.len() / rank, rank);
        let lanes = h.par_chunks(lane * rank).zip(rows.par_chunks_mut(lane));
        lanes.for_each(|(h, rows)| sum_block(h, &packed, rows));
    }
    let total = total(shares, n);
    let share = |row: usize| shares.get(row).copied().unwrap_or(1.0);
    let weights: Vec<f32> = (0..n).map(|row| share(row) * (1.0 / total as f32)).collect();
    let log_sums: Vec<f64> = rows.iter().map(LogSumExp::value).collect();
    let mut dh = vec![0.0; n * rank];
    let blocks = table.chunks(block).zip(dtable.chunks_mut(block)).enumerate();
    for (j, (items, dtable)) in blocks {
        packed.repack_transposed(items, items.len() / rank, rank);
        let block = Block { first: j * block_items.max(1), items, packed: &packed };
        let states = dh.par_chunks_mut(lane * rank).zip(h.par_chunks(lane * rank));
        let truths = targets.par_chunks(lane).zip(log_sums.par_chunks(lane).zip(weights.par_chunks(lane)));
        let parts: Vec<Vec<f32>> = states
            .zip(truths)
            .map(|((dh, h), (targets, (log_sums, weights)))| block.lane(h, targets, log_sums, weights, dh))
            .collect();
        dtable.iter_mut().zip(tree(parts)).for_each(|(sum, part)| *sum += part);
    }
    let losses = h.chunks_exact(rank).zip(targets).zip(&log_sums).enumerate();
    let loss = |(row, ((h, &target), log_sum)): (usize, ((&[f32], &u32), &f64))| {
        f64::from(share(row)) * (log_sum - f64::from(dot(h, &table[target as usize * rank..][..rank])))
    };
    (losses.map(loss).sum::<f64>() / total, dh)
}

/// Adds a block's logits to the running sums of a lane's rows.
fn sum_block(h: &[f32], packed: &Packed, rows: &mut [LogSumExp]) {
    let (rank, cols) = (packed.inner(), packed.cols());
    let mut logits = vec![0.0; BLOCK_ROWS.min(rows.len()) * cols];
    for (h, rows) in h.chunks(BLOCK_ROWS * rank).zip(rows.chunks_mut(BLOCK_ROWS)) {
        let logits = &mut logits[..rows.len() * cols];
        multiply(Rows::new(h, rows.len(), rank), packed, RowsMut::new(logits, rows.len(), cols), Write::Set);
        rows.iter_mut().zip(logits.chunks_exact(cols)).for_each(|(row, logits)| row.push(logits));
    }
}

/// A block of items in the second pass.
struct Block<'a> {
    first: usize,
    items: &'a [f32],
    packed: &'a Packed,
}

impl Block<'_> {
    /// Adds the block's share to dh of a lane's rows; returns the lane's share of the block's gradient.
    fn lane(
        &self,
        h: &[f32],
        targets: &[u32],
        log_sums: &[f64],
        weights: &[f32],
        dh: &mut [f32],
    ) -> Vec<f32> {
        let (rank, cols) = (self.packed.inner(), self.packed.cols());
        let mut ditems = vec![0.0; cols * rank];
        let mut logits = vec![0.0; BLOCK_ROWS.min(targets.len()) * cols];
        let rows =
            targets.chunks(BLOCK_ROWS).zip(log_sums.chunks(BLOCK_ROWS)).zip(weights.chunks(BLOCK_ROWS));
        let states = h.chunks(BLOCK_ROWS * rank).zip(dh.chunks_mut(BLOCK_ROWS * rank));
        for (((targets, log_sums), weights), (h, dh)) in rows.zip(states) {
            let m = targets.len();
            let (logits, h) = (&mut logits[..m * cols], Rows::new(h, m, rank));
            multiply(h, self.packed, RowsMut::new(logits, m, cols), Write::Set);
            probability_rows(RowsMut::new(logits, m, cols), log_sums, weights);
            for ((row, &target), weight) in logits.chunks_exact_mut(cols).zip(targets).zip(weights) {
                let own = (target as usize).checked_sub(self.first).and_then(|column| row.get_mut(column));
                if let Some(own) = own {
                    *own -= weight;
                }
            }
            let dlogits = Rows::new(logits, m, cols);
            gradient_input(dlogits, self.items, RowsMut::new(dh, m, rank), Write::Add);
            gradient_weight(dlogits, h, &mut ditems, Write::Add);
        }
        ditems
    }
}

#[cfg(test)]
mod tests;
