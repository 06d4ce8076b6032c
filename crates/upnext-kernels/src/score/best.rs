//! The best few of many scores.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The `k` best of the scores offered so far, and a few candidates not yet sorted out.
///
/// Better is a higher score, then a lower id. Scores are finite or negative infinity and never negative zero.
pub(super) struct Best {
    k: usize,
    bar: f32,
    kept: Vec<(f32, u32)>,
}

/// The highest score that is known to be needed, told by threads to each other.
///
/// It only rises, and never above the `k`-th best score of all: who reads it early finds more, never less, than needed.
pub(super) struct Bar(AtomicI32);

impl Bar {
    pub(super) fn new() -> Bar {
        Bar(AtomicI32::new(rank(f32::NEG_INFINITY)))
    }

    pub(super) fn get(&self) -> f32 {
        let rank = self.0.load(Relaxed);
        f32::from_bits(signed(rank).cast_unsigned())
    }

    pub(super) fn raise(&self, score: f32) {
        self.0.fetch_max(rank(score), Relaxed);
    }
}

/// Integers in the order of `f32::total_cmp`.
fn rank(score: f32) -> i32 {
    signed(score.to_bits().cast_signed())
}

/// Turns the magnitude of negative numbers round; its own inverse.
fn signed(bits: i32) -> i32 {
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

/// Best first.
fn order(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

impl Best {
    pub(super) fn new(k: usize) -> Best {
        Best { k, bar: if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY }, kept: Vec::new() }
    }

    /// A later and higher id needs a score above this.
    ///
    /// Negative infinity also while there is room.
    pub(super) fn bar(&self) -> f32 {
        self.bar
    }

    /// Raises the bar to below a score that is known from elsewhere to be needed, whatever the id.
    pub(super) fn raise(&mut self, needed: f32) {
        self.bar = self.bar.max(needed.next_down());
    }

    /// How many items are kept, none of which has been given up for good.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Takes a candidate in.
    pub(super) fn offer(&mut self, score: f32, id: u32) {
        self.kept.push((score, id));
        if self.kept.len() >= self.k.saturating_mul(4).max(64) {
            self.prune();
        }
    }

    /// Keeps the best `k` and sets the bar by the last of them.
    fn prune(&mut self) {
        if self.kept.len() > self.k {
            if self.k > 0 {
                self.kept.select_nth_unstable_by(self.k - 1, order);
            }
            self.kept.truncate(self.k);
        }
        if let Some(last) = self.kept.last().filter(|_| self.kept.len() == self.k) {
            self.bar = self.bar.max(last.0);
        }
    }

    /// The score that the worst of `k` has, once there are as many; until then the bar as it is.
    pub(super) fn settled(&mut self) -> f32 {
        self.prune();
        self.bar
    }

    /// The best, in order.
    pub(super) fn sorted(mut self) -> Vec<(f32, u32)> {
        self.prune();
        self.kept.sort_unstable_by(order);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_id_whatever_the_order_of_offers() {
        for reverse in [false, true] {
            let mut best = Best::new(3);
            let mut offers: Vec<(f32, u32)> = (0..200).map(|i| ((i % 5) as f32, i)).collect();
            if reverse {
                offers.reverse();
            }
            offers.into_iter().for_each(|(score, id)| best.offer(score, id));
            assert_eq!(best.sorted(), [(4.0, 4), (4.0, 9), (4.0, 14)]);
        }
    }

    #[test]
    fn a_shared_bar_rises_by_score_and_never_falls() {
        let bar = Bar::new();
        assert_eq!(bar.get(), f32::NEG_INFINITY);
        for (score, expected) in
            [(-2.0, -2.0), (-3.0, -2.0), (0.0, 0.0), (-1.0, 0.0), (1e-40, 1e-40), (7.5, 7.5)]
        {
            bar.raise(score);
            assert_eq!(bar.get(), expected);
        }
    }

    #[test]
    fn nothing_is_kept_of_nothing_asked_for() {
        let mut best = Best::new(0);
        (0..100).for_each(|id| best.offer(1.0, id));
        assert!(best.sorted().is_empty());
    }
}
