//! Softmax over rows of logits: running log-sum-exps, probabilities, and the gradient of a sampled cross-entropy.
//!
//! Letters: m rows · k columns (negatives of a draw, or items of a block).

use crate::RowsMut;
use crate::fetch::Lines;
use crate::lane::{self, WIDTH};
use crate::level::{Chosen, simd};

/// The masked columns of each row: row j's are `columns[starts[j]..starts[j + 1]]`.
///
/// They are the accidental hits: negatives that are the row's own positive.
#[derive(Clone, Copy, Debug)]
pub struct Dropped<'a> {
    /// `(m + 1)` where each row's columns start; empty when no row has any.
    pub starts: &'a [u32],
    /// The columns of all rows.
    pub columns: &'a [u32],
}

impl<'a> Dropped<'a> {
    /// No column of any row.
    pub const NONE: Dropped<'static> = Dropped { starts: &[], columns: &[] };

    fn of(&self, row: usize) -> &'a [u32] {
        match self.starts.get(row..row + 2) {
            Some(&[start, end]) => &self.columns[start as usize..end as usize],
            _ => &[],
        }
    }
}

/// Cross-entropy of each row's positive against itself and the row's negatives: value and gradient at once.
///
/// With `s_j = logits[j] - log_kq[j]` for the negatives that are not dropped and `p` their softmax together with
/// the positive, a row's loss is `-ln p(positive)`. On return `logits (m, k)` hold `weight · p_j` (0 where dropped)
/// and `positive (m)` holds `weight · (p(positive) - 1)`: the gradients of `weight · loss` by each logit. The result
/// is the sum of the rows' losses, without the weight.
///
/// `shares (m)` say how much each row counts beside the others, in the gradients and in the sum; where they are empty, all
/// rows count 1.
///
/// A correction that moves all negatives of one row alike (as Q' of arXiv:2507.09331 does) can be taken off the
/// row's positive instead, since a softmax does not see a common shift.
///
/// # Panics
/// When shapes disagree or a dropped column does not exist.
pub fn cross_entropy_rows(
    mut logits: RowsMut<'_>,
    positive: &mut [f32],
    log_kq: &[f32],
    dropped: &Dropped<'_>,
    weight: f32,
    shares: &[f32],
) -> f64 {
    let (m, k) = (logits.rows(), logits.cols());
    assert!(
        positive.len() == m && log_kq.len() == k,
        "{logits:?}, {} positives, {} ln q",
        positive.len(),
        log_kq.len()
    );
    assert!(
        dropped.starts.is_empty() || dropped.starts.len() == m + 1,
        "{} row starts",
        dropped.starts.len()
    );
    assert!(shares.is_empty() || shares.len() == m, "{} shares for {m} rows", shares.len());
    let level = Chosen::now();
    let mut loss = 0f64;
    for (j, positive) in positive.iter_mut().enumerate() {
        let share = shares.get(j).copied().unwrap_or(1.0);
        let row = Row { positive: *positive, log_kq, dropped: dropped.of(j), weight: share * weight };
        let (row_loss, coefficient) = cross_entropy_row(level, logits.row_mut(j), &row);
        *positive = coefficient;
        loss += f64::from(share) * row_loss;
    }
    loss
}

/// What a row of logits is compared with.
struct Row<'a> {
    positive: f32,
    log_kq: &'a [f32],
    dropped: &'a [u32],
    weight: f32,
}

simd! {
    /// The row's loss and the coefficient of its positive; logits become coefficients.
    fn cross_entropy_row(logits: &mut [f32], row: &Row<'_>) -> (f64, f32) {
        for (logit, log_kq) in logits.iter_mut().zip(row.log_kq) {
            *logit -= log_kq;
        }
        for &column in row.dropped {
            logits[column as usize] = f32::NEG_INFINITY;
        }
        let max = lane::larger(lane::max(logits), row.positive);
        let own = lane::exp(row.positive - max);
        let sum = lane::exp_sum(logits, max, 1.0) + own;
        let share = row.weight / sum;
        for logit in logits {
            *logit *= share;
        }
        // Both parts in f64: the difference of a large maximum and a close positive keeps its digits.
        let loss = f64::from(max) - f64::from(row.positive) + f64::from(sum).ln();
        (loss, own.mul_add(share, -row.weight))
    }
}

/// A log-sum-exp over logits that come block by block.
///
/// ```
/// use upnext_kernels::softmax::LogSumExp;
/// let mut sum = LogSumExp::new();
/// sum.push(&[1000.0, f32::NEG_INFINITY]);
/// sum.push(&[1000.0]);
/// assert!((sum.value() - 1000.0 - 2f64.ln()).abs() < 1e-9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSumExp {
    /// The largest logit so far.
    max: f32,
    /// The sum of `exp(logit - max)`.
    sum: f64,
}

impl LogSumExp {
    /// Of nothing: its value is negative infinity.
    pub const fn new() -> LogSumExp {
        LogSumExp { max: f32::NEG_INFINITY, sum: 0.0 }
    }

    /// Takes in a block. Logits of negative infinity count nothing; one that is not a number spoils the sum.
    pub fn push(&mut self, block: &[f32]) {
        self.push_before(block, &mut Lines::none());
    }

    /// The same, while what is read next comes from memory.
    pub(crate) fn push_before(&mut self, block: &[f32], next: &mut Lines) {
        let (max, sum) = block_sum(Chosen::now(), block, next);
        self.merge(&LogSumExp { max, sum });
    }

    /// The same of logits that are all higher by so much.
    pub(crate) fn raised(mut self, by: f32) -> LogSumExp {
        self.max = if self.sum == 0.0 { self.max } else { (self.max + by).next_up() };
        self
    }

    /// Takes in what another one has seen.
    pub fn merge(&mut self, other: &LogSumExp) {
        if other.max > self.max {
            self.sum *= f64::exp(f64::from(self.max) - f64::from(other.max));
            self.max = other.max;
            self.sum += other.sum;
        } else if other.sum != 0.0 {
            self.sum += other.sum * f64::exp(f64::from(other.max) - f64::from(self.max));
        }
    }

    /// `ln Σ exp(logit)`.
    pub fn value(&self) -> f64 {
        if self.sum == 0.0 { f64::NEG_INFINITY } else { f64::from(self.max) + self.sum.ln() }
    }
}

impl Default for LogSumExp {
    fn default() -> LogSumExp {
        LogSumExp::new()
    }
}

/// Lanes that are summed at a time: all of them, with what an exponential needs, are more than the registers of AVX2 hold.
const SOME: usize = 16;

simd! {
    /// The largest logit and the sum of `exp(logit - max)`, in f32 within 1,024 logits and in f64 over them. The lines that
    /// are read next are asked for on the way.
    fn block_sum(block: &[f32], next: &mut Lines) -> (f32, f64) {
        let max = lane::max(block);
        if max == f32::NEG_INFINITY {
            let spoilt = block.iter().any(|x| x.is_nan());
            return (max, if spoilt { f64::NAN } else { 0.0 });
        }
        let mut sum = 0f64;
        for part in block.chunks(1024) {
            let mut lanes = [0f32; WIDTH];
            let (chunks, tail) = part.as_chunks::<WIDTH>();
            for (some, lanes) in lanes.as_chunks_mut::<SOME>().0.iter_mut().enumerate() {
                let mut sums = [0f32; SOME];
                for chunk in chunks {
                    next.fetch();
                    let chunk = &chunk.as_chunks::<SOME>().0[some];
                    for i in 0..SOME {
                        sums[i] += lane::exp(chunk[i] - max);
                    }
                }
                *lanes = sums;
            }
            for (lane, x) in lanes.iter_mut().zip(tail) {
                *lane += lane::exp(x - max);
            }
            sum += f64::from(lane::fold(lanes, |a, b| a + b));
        }
        (max, sum)
    }
}

/// In place: `weights[row] · exp(logit - lse[row])`, the coefficients of an item block under a full softmax.
///
/// # Panics
/// When `lse` and `weights` have not one value a row.
pub fn probability_rows(mut logits: RowsMut<'_>, lse: &[f64], weights: &[f32]) {
    let rows = logits.rows();
    assert!(lse.len() == rows && weights.len() == rows, "{} log-sum-exps for {logits:?}", lse.len());
    let level = Chosen::now();
    for (j, (&lse, &weight)) in lse.iter().zip(weights).enumerate() {
        probability_row(level, logits.row_mut(j), lse as f32, weight);
    }
}

/// In place: `softmax(scale · logits)` of each row, as in attention; a row of nothing stays so.
pub fn softmax_rows(mut logits: RowsMut<'_>, scale: f32) {
    let level = Chosen::now();
    for j in 0..logits.rows() {
        softmax_row(level, logits.row_mut(j), scale);
    }
}

simd! {
    fn softmax_row(logits: &mut [f32], scale: f32) {
        let max = lane::max(logits);
        let weight = 1.0 / lane::exp_sum(logits, max, scale);
        for logit in logits {
            *logit *= weight;
        }
    }
}

simd! {
    fn probability_row(logits: &mut [f32], lse: f32, weight: f32) {
        for logit in logits {
            *logit = lane::exp(*logit - lse) * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, close, noise};

    /// Loss of one row in f64.
    fn loss(positive: f64, logits: &[f64], log_kq: &[f32], dropped: &[u32]) -> f64 {
        let kept = logits.iter().zip(log_kq).enumerate().filter(|(j, _)| !dropped.contains(&(*j as u32)));
        let sum: f64 = kept.map(|(_, (s, q))| (s - f64::from(*q)).exp()).sum();
        (positive.exp() + sum).ln() - positive
    }

    #[test]
    fn rows_become_probabilities_with_the_same_bits_at_every_level() {
        let logits: Vec<f32> = noise(5, 3 * 37).iter().map(|x| x * 20.0).collect();
        let mut first = logits.clone();
        softmax_rows(RowsMut::new(&mut first, 3, 37), 0.25);
        let mut truth = Vec::new();
        for row in logits.chunks(37) {
            let e: Vec<f64> = row.iter().map(|&x| (f64::from(x) * 0.25).exp()).collect();
            truth.extend(e.iter().map(|x| x / e.iter().sum::<f64>()));
        }
        close(&first, &truth, 1e-6);
        for level in Chosen::all() {
            let mut row = logits[37..74].to_vec();
            softmax_row(level, &mut row, 0.25);
            assert_eq!(bits(&row), bits(&first[37..74]), "{level:?}");
        }
    }

    #[test]
    fn losses_and_gradients_agree_with_differences_for_any_number_of_negatives() {
        let unequal = [1.5f32, 0.25, 0.75];
        for (k, shares) in [0usize, 1, 31, 32, 45].into_iter().flat_map(|k| [(k, &[][..]), (k, &unequal)]) {
            let m = 3;
            let logits: Vec<f32> = noise(1, m * k).iter().map(|x| x * 5.0).collect();
            let (positives, log_kq) = (noise(2, m), noise(3, k));
            let columns: Vec<u32> = if k > 1 { vec![0, 1, k as u32 - 1] } else { vec![] };
            let starts = [0, 0, columns.len() as u32, columns.len() as u32];
            let dropped = Dropped { starts: &starts, columns: &columns };
            let (mut d_logits, mut d_positive) = (logits.clone(), positives.clone());
            let view = RowsMut::new(&mut d_logits, m, k);
            let total = cross_entropy_rows(view, &mut d_positive, &log_kq, &dropped, 0.25, shares);
            let mut sum = 0.0;
            for j in 0..m {
                let share = shares.get(j).map_or(1.0, |&share| f64::from(share));
                let row: Vec<f64> = logits[j * k..(j + 1) * k].iter().map(|&x| f64::from(x)).collect();
                let (positive, mine) = (f64::from(positives[j]), dropped.of(j));
                sum += share * loss(positive, &row, &log_kq, mine);
                let mut truth: Vec<f64> = (0..k)
                    .map(|i| {
                        let moved = |by: f64| {
                            let mut row = row.clone();
                            row[i] += by;
                            loss(positive, &row, &log_kq, mine)
                        };
                        0.25 * share * (moved(1e-5) - moved(-1e-5)) / 2e-5
                    })
                    .collect();
                let moved = |by: f64| loss(positive + by, &row, &log_kq, mine);
                truth.push(0.25 * share * (moved(1e-5) - moved(-1e-5)) / 2e-5);
                let mut got = d_logits[j * k..(j + 1) * k].to_vec();
                assert!(mine.iter().all(|&c| got[c as usize] == 0.0));
                got.push(d_positive[j]);
                if k > 0 {
                    close(&got, &truth, 5e-6);
                }
            }
            assert!((total - sum).abs() < 1e-5, "{total} {sum}");
        }
    }

    #[test]
    fn levels_agree_to_the_bit() {
        let (logits, log_kq) = (noise(4, 70), noise(5, 70));
        let row = Row { positive: 0.3, log_kq: &log_kq, dropped: &[3], weight: 0.5 };
        let run = |level| {
            let mut x = logits.clone();
            let result = cross_entropy_row(level, &mut x, &row);
            (bits(&x), result)
        };
        for level in Chosen::all() {
            assert_eq!(run(level), run(Chosen::now()));
            assert_eq!(
                block_sum(level, &logits, &mut Lines::of(&log_kq)),
                block_sum(Chosen::now(), &logits, &mut Lines::none())
            );
        }
    }

    #[test]
    fn blocks_give_the_log_sum_exp_of_the_whole() {
        let x: Vec<f32> = noise(6, 5000).iter().map(|x| x * 30.0).collect();
        let truth = x.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        for size in [1, 7, 1024, 5000] {
            let (mut all, mut odd) = (LogSumExp::new(), LogSumExp::new());
            for (i, block) in x.chunks(size).enumerate() {
                if i % 2 == 0 { all.push(block) } else { odd.push(block) }
            }
            all.merge(&odd);
            assert!((all.value() - truth).abs() < 1e-6, "{size}: {} {truth}", all.value());
        }
        let mut row = x.clone();
        probability_rows(RowsMut::new(&mut row, 1, 5000), &[truth], &[2.0]);
        assert!((row.iter().map(|&x| f64::from(x)).sum::<f64>() - 2.0).abs() < 1e-4);
    }

    #[test]
    fn nothing_and_what_is_no_number_are_told_apart() {
        let mut sum = LogSumExp::new();
        assert_eq!(sum.value(), f64::NEG_INFINITY);
        sum.push(&[f32::NEG_INFINITY; 3]);
        assert_eq!(sum.value(), f64::NEG_INFINITY);
        sum.push(&[f32::NAN]);
        assert!(sum.value().is_nan());
    }
}
