//! The losses over the padded token axis, composed of operations that only queue work.
//!
//! Letters: p rows of the padded axis, u of a leaf, k negatives, i items, r rank.

use candle_core::{DType, Result, Tensor};
use upnext_model::ops::rows::{Inverse, gather_rows, pick_rows, segment_sum};

use super::lay::LaidCandidates;

/// As [`crate::sampled_softmax::reference()`], each row by its weight; gradients flow into states and leaf.
pub(super) fn sampled(
    h_pr: &Tensor,
    leaf_ur: &Tensor,
    weights_p1: &Tensor,
    candidates: &LaidCandidates,
) -> Result<Tensor> {
    let LaidCandidates { targets, negatives, log_kq_1k, raised_p1, .. } = candidates;
    let targets_pr = gather_rows(leaf_ur, &targets.0, &targets.1)?;
    let negatives_kr = gather_rows(leaf_ur, &negatives.0, &negatives.1)?;
    let positive_p1 = (h_pr * targets_pr)?.sum_keepdim(1)?;
    let mut negative_pk = h_pr.matmul(&negatives_kr.t()?)?.broadcast_sub(log_kq_1k)?;
    if let Some(raised_p1) = raised_p1 {
        negative_pk = negative_pk.broadcast_add(raised_p1)?;
    }
    let hit_pk = targets.0.unsqueeze(1)?.broadcast_eq(&negatives.0.unsqueeze(0)?)?;
    let dropped_pk = Tensor::full(f32::MIN, negative_pk.shape(), h_pr.device())?;
    let all = Tensor::cat(&[&positive_p1, &hit_pk.where_cond(&dropped_pk, &negative_pk)?], 1)?;
    let highest_p1 = all.max_keepdim(1)?.detach();
    let sum_p1 = all.broadcast_sub(&highest_p1)?.exp()?.sum_keepdim(1)?;
    let loss_p1 = ((sum_p1.log()? + highest_p1)? - positive_p1)?;
    (loss_p1 * weights_p1)?.sum_all()
}

/// A loss and its gradients, which no graph holds.
pub(super) struct Full {
    /// A scalar.
    pub(super) loss: Tensor,
    /// With respect to the states.
    pub(super) dh_pr: Tensor,
    /// With respect to the table.
    pub(super) dtable_ir: Tensor,
}

/// As [`crate::full_softmax::full_softmax`], each row by its weight: items in blocks, `(p, i)` logits are never stored.
pub(super) fn full(
    h_pr: &Tensor,
    table_ir: &Tensor,
    weights_p1: &Tensor,
    (targets_p, inverse): (&Tensor, &Inverse),
    block: usize,
) -> Result<Full> {
    let (h_pr, (i, _r)) = (h_pr.detach().contiguous()?, table_ir.dims2()?);
    let blocks = (0..i).step_by(block.max(1)).map(|first| (first, block.max(1).min(i - first)));
    let logits = |(first, count): (usize, usize)| {
        let items = table_ir.narrow(0, first, count)?;
        Ok::<_, candle_core::Error>((h_pr.matmul(&items.t()?)?, items))
    };
    let mut running: Option<(Tensor, Tensor)> = None;
    for block in blocks.clone() {
        let (logits, _items) = logits(block)?;
        let highest = logits.max_keepdim(1)?;
        let (highest, before) = match &running {
            None => (highest, None),
            Some((old, sum)) => {
                let new = old.maximum(&highest)?;
                let before = (sum * (old - &new)?.exp()?)?;
                (new, Some(before))
            }
        };
        let sum = logits.broadcast_sub(&highest)?.exp()?.sum_keepdim(1)?;
        running = Some((highest, before.map_or(Ok(sum.clone()), |before| before + sum)?));
    }
    let Some((highest, sum)) = running else {
        candle_core::bail!("a softmax over no items");
    };
    let log_sum_p1 = (highest + sum.log()?)?;
    let targets_pr = pick_rows(table_ir, targets_p)?;
    let positive_p1 = (&h_pr * &targets_pr)?.sum_keepdim(1)?;
    let loss = ((&log_sum_p1 - positive_p1)? * weights_p1)?.sum_all()?;

    let mut dh_pr = targets_pr.broadcast_mul(&weights_p1.neg()?)?;
    let dtable_ir = Tensor::zeros(table_ir.shape(), DType::F32, table_ir.device())?;
    for (first, count) in blocks {
        let (logits, items) = logits((first, count))?;
        let share = logits.broadcast_sub(&log_sum_p1)?.exp()?.broadcast_mul(weights_p1)?;
        dh_pr = (dh_pr + share.matmul(&items)?)?;
        dtable_ir.slice_set(&share.t()?.matmul(&h_pr)?.contiguous()?, 0, first)?;
    }
    let own = segment_sum(&h_pr.broadcast_mul(weights_p1)?, inverse)?;
    Ok(Full { loss, dh_pr, dtable_ir: (dtable_ir - own)? })
}
