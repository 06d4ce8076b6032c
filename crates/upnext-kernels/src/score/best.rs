//! The best few of many scores.

use std::cmp::Ordering;

/// The `k` best of the scores offered so far, and a few candidates not yet sorted out.
///
/// Better is a higher score, then a lower id. Scores are finite or negative infinity and never negative zero.
pub(super) struct Best {
    k: usize,
    bar: f32,
    kept: Vec<(f32, u32)>,
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

    /// Raises the bar to what is known from elsewhere to be needed.
    pub(super) fn raise(&mut self, bar: f32) {
        self.bar = self.bar.max(bar);
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
    fn nothing_is_kept_of_nothing_asked_for() {
        let mut best = Best::new(0);
        (0..100).for_each(|id| best.offer(1.0, id));
        assert!(best.sorted().is_empty());
    }
}
