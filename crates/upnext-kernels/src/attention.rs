//! Causal attention of one history (Vaswani et al. 2017, arXiv:1706.03762), forward and backward.
//!
//! Queries pass by in blocks; a block's scores over all keys up to its diagonal stay in cache, and no `(t, t)` matrix
//! is kept. Backward rebuilds probabilities from the log-sum-exp (as in Dao et al. 2022, arXiv:2205.14135).
//! Letters: m queries of a call · t positions · h heads · e head width · d = h·e.

mod backward;
mod key_values;

pub use backward::{AttendBackward, attend_backward};
pub use key_values::KeyValues;

use crate::dropout::{Mask, MaskRow};
use crate::lane;
use crate::level::{Chosen, simd};
use crate::tile::{self, Left, Out, Size};
use crate::{Rows, RowsMut};

/// Queries whose scores are held at once: few, since about half a block lies above the diagonal in vain.
const QUERIES: usize = 24;

/// Which element of its mask multiplies a head's probability that the query at one position gives the key at another.
pub fn mask_index(head: usize, query: usize, key: usize) -> u64 {
    ((head as u64) << 24 | query as u64) << 32 | key as u64
}

/// The mask's row of a head and a query position; its columns are key positions.
fn mask_row(mask: &Mask, head: usize, query: usize) -> MaskRow {
    mask.row(mask_index(head, query, 0) >> 32)
}

/// Floats between the score rows of a block over `keys` keys; never a multiple of a page.
fn score_stride(keys: usize) -> usize {
    lane::up(keys) + lane::WIDTH / 2
}

/// `x`, at least `floats` long.
fn at_least(x: &mut Vec<f32>, floats: usize) -> &mut [f32] {
    if x.len() < floats {
        x.resize(floats, 0.0);
    }
    &mut x[..floats]
}

/// Causal attention: row `j` of `q (m, d)` stands at position `first + j` and sees the keys `0..=first + j` of the
/// `segments` joined (a shared prompt, then the hypothesis' own); scores are scaled by `1/√e`.
///
/// A result row has the same bits however the keys are cut into segments and the queries into calls: every score is
/// one chain over e, every output one chain over the keys, and the sum of exponentials has lanes by key position.
/// `mask` multiplies the probabilities, by [`mask_index`]. `lse (h, m)`, where given, receives
/// the log of each row's sum of exponentials, which the backward needs.
///
/// # Panics
/// When shapes disagree or the segments are shorter than `first + m`.
pub fn attend(
    q: Rows<'_>,
    first: usize,
    segments: &[&KeyValues],
    mask: Option<Mask>,
    out: RowsMut<'_>,
    lse: Option<&mut [f32]>,
    scratch: &mut Vec<f32>,
) {
    attend_at(Chosen::now(), q, first, segments, mask, out, lse, scratch);
}

/// As [`attend`], at a given level.
#[expect(clippy::too_many_arguments, reason = "the arguments of `attend` and the level")]
fn attend_at(
    level: Chosen,
    q: Rows<'_>,
    first: usize,
    segments: &[&KeyValues],
    mask: Option<Mask>,
    mut out: RowsMut<'_>,
    mut lse: Option<&mut [f32]>,
    scratch: &mut Vec<f32>,
) {
    let (m, d) = (q.rows(), q.cols());
    let Some(shape) = segments.first() else {
        assert!(m == 0, "{m} queries without keys");
        return;
    };
    let (heads, e) = (shape.heads(), shape.head_width());
    let held: usize = segments.iter().map(|s| s.len()).sum();
    assert!(
        d == heads * e && segments.iter().all(|s| (s.heads(), s.head_width()) == (heads, e)),
        "{q:?} against keys of {heads} heads of {e}"
    );
    assert!(first + m <= held, "{m} queries from position {first} against {held} keys");
    assert!(out.rows() == m && out.cols() == d, "{q:?} into {out:?}");
    assert!(
        lse.as_ref().is_none_or(|lse| lse.len() == heads * m),
        "log-sum-exps of {heads} heads of {m} queries"
    );
    if m == 0 || d == 0 {
        return;
    }
    let stride = score_stride(first + m);
    let scores = at_least(scratch, QUERIES.min(m) * stride);
    let scale = 1.0 / (e as f32).sqrt();
    for head in 0..heads {
        for row in (0..m).step_by(QUERIES) {
            let rows = (m - row).min(QUERIES);
            let block = Block { level, head, first: first + row, rows, stride };
            block.score(q.part(row, rows).columns(head * e, e), segments, scores);
            let mut sums = [(0f32, 0f32); QUERIES];
            soften(level, scores, stride, block.first, scale, &mut sums[..rows]);
            if let Some(lse) = &mut lse {
                let lse = &mut lse[head * m + row..][..rows];
                lse.iter_mut().zip(sums).for_each(|(lse, (max, sum))| *lse = max * scale + sum.ln());
            }
            if let Some(mask) = mask.as_ref().filter(|mask| mask.rate > 0.0) {
                for (i, scores) in scores.chunks_exact_mut(stride).take(rows).enumerate() {
                    let at = block.first + i;
                    mask_scores(level, &mut scores[..=at], &mask_row(mask, head, at));
                }
            }
            block.mix(scores, segments, &mut out, row);
            for (i, (_, sum)) in sums[..rows].iter().enumerate() {
                divide(level, &mut out.row_mut(row + i)[head * e..(head + 1) * e], *sum);
            }
        }
    }
}

/// A head's queries at the positions `first..first + rows`, scores `stride` floats apart.
struct Block {
    level: Chosen,
    head: usize,
    first: usize,
    rows: usize,
    stride: usize,
}

impl Block {
    /// Each segment that the block sees, its first position and how many of its keys are seen.
    fn seen<'a>(&self, segments: &'a [&KeyValues]) -> impl Iterator<Item = (&'a KeyValues, usize, usize)> {
        let end = self.first + self.rows;
        let mut next = 0;
        segments.iter().filter_map(move |&segment| {
            let start = next;
            next += segment.len();
            (start < end && !segment.is_empty()).then(|| (segment, start, segment.len().min(end - start)))
        })
    }

    /// Scores of queries `q (rows, e)` against every key up to the last query's, before scaling.
    fn score(&self, q: Rows<'_>, segments: &[&KeyValues], scores: &mut [f32]) {
        let left = Left { data: q.as_ptr(), row: q.stride(), inner: 1 };
        for (segment, start, count) in self.seen(segments) {
            let size = Size { rows: self.rows, inner: q.cols(), cols: count };
            let out = Out { data: scores[start..].as_mut_ptr(), row: self.stride };
            // SAFETY: `rows` rows of `start + count <= stride` scores fit the slice; the segment holds `count` keys in
            // whole panels; `q` is a view of this size.
            #[expect(unsafe_code, reason = "hands checked views to the register tile")]
            unsafe {
                tile::product(self.level, size, left, segment.keys_of(self.head), out, false);
            }
        }
    }

    /// Rows `row..` of `out`, the head's columns, from the weights of all keys up to the last query's.
    fn mix(&self, weights: &[f32], segments: &[&KeyValues], out: &mut RowsMut<'_>, row: usize) {
        let out_stride = out.stride();
        for (i, (segment, start, count)) in self.seen(segments).enumerate() {
            let e = segment.head_width();
            let size = Size { rows: self.rows, inner: count, cols: e };
            let left = Left { data: weights[start..].as_ptr(), row: self.stride, inner: 1 };
            let data = out.row_mut(row)[self.head * e..].as_mut_ptr();
            // SAFETY: as for the scores; `out` was checked to hold `row + rows` rows of all heads.
            #[expect(unsafe_code, reason = "hands checked views to the register tile")]
            unsafe {
                let out = Out { data, row: out_stride };
                tile::product(self.level, size, left, segment.values_of(self.head), out, i > 0);
            }
        }
    }
}

simd! {
    /// Turns each row's scores into `exp((score - max) · scale)`, 0 above the diagonal, and notes max and sum.
    ///
    /// Row `i` has `first + i + 1` scores. Its sum runs over whole lanes whose tail is 0, so it depends on that row
    /// and its position only.
    fn soften(scores: &mut [f32], stride: usize, first: usize, scale: f32, sums: &mut [(f32, f32)]) {
        let end = first + sums.len();
        for (i, (row, (max, sum))) in scores.chunks_exact_mut(stride).zip(sums.iter_mut()).enumerate() {
            let seen = first + i + 1;
            let whole = lane::up(seen);
            row[seen..whole].fill(f32::NEG_INFINITY);
            *max = lane::max(&row[..whole]);
            *sum = lane::exp_sum(&mut row[..whole], *max, scale);
            if end > whole {
                row[whole..end].fill(0.0);
            }
        }
    }
}

simd! {
    fn mask_scores(scores: &mut [f32], row: &MaskRow) {
        let row = *row;
        for (key, score) in scores.iter_mut().enumerate() {
            *score *= row.scale(key as u32);
        }
    }
}

simd! {
    /// Divides by the row's sum. Adding 0 turns a negative zero, which depends on the zero weights above the diagonal
    /// that a row met, into a positive one.
    fn divide(out: &mut [f32], sum: f32) {
        let share = 1.0 / sum;
        for out in out {
            *out = *out * share + 0.0;
        }
    }
}

#[cfg(test)]
mod tests;
