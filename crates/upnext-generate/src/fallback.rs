//! What to show somebody of whom nothing is known: the most popular items of the training events.

use upnext_data::ItemId;

use crate::plan::Plan;
use crate::score::Place;

/// Items by popularity.
#[derive(Debug)]
pub(crate) struct Popularity {
    /// Training events of each item. An item without any counts as one, so that its share has a logarithm.
    weights: Vec<u64>,
    /// Ids by (training events, descending; id), so a counted item comes before one that only counts as one.
    order: Vec<u32>,
    total: u64,
}

impl Popularity {
    pub(crate) fn new(counts: &[u64]) -> Self {
        let mut order: Vec<u32> = (0u32..).take(counts.len()).collect();
        order.sort_by_key(|&id| std::cmp::Reverse(counts[id as usize]));
        let weights: Vec<u64> = counts.iter().map(|&count| count.max(1)).collect();
        let total = weights.iter().fold(0, |sum: u64, &weight| sum.saturating_add(weight));
        Self { weights, order, total }
    }

    /// The most popular eligible items; a score is ln of the item's share of the eligible items' events.
    pub(crate) fn answer(&self, plan: &Plan) -> Vec<Place> {
        use crate::eligible::Eligible::{AllBut, Only};
        let weigh =
            |ids: &[u32]| ids.iter().fold(0, |sum: u64, &id| sum.saturating_add(self.weights[id as usize]));
        let total = match &plan.eligible {
            AllBut(excluded) => self.total.saturating_sub(weigh(excluded)),
            Only(allowed) => weigh(allowed),
        };
        let eligible = self.order.iter().copied().filter(|&id| plan.eligible.contains(id));
        eligible
            .take(plan.places)
            .map(|id| {
                let share = self.weights[id as usize] as f64 / total as f64;
                Place { item: ItemId(id), log_prob: share.ln().min(0.0) }
            })
            .collect()
    }
}
