//! What to show somebody of whom nothing is known: the most popular items of the training events.

use upnext_data::ItemId;

use crate::plan::Plan;
use crate::score::{Answer, Place};

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

    /// ln of an item's share of the eligible items' events.
    pub(crate) fn log_share(&self, item: ItemId, plan: &Plan) -> f64 {
        self.log_share_of(item.0, self.eligible_events(plan))
    }

    fn log_share_of(&self, id: u32, total: u64) -> f64 {
        (self.weights[id as usize] as f64 / total as f64).ln().min(0.0)
    }

    fn eligible_events(&self, plan: &Plan) -> u64 {
        use crate::eligible::Eligible::{AllBut, Only};
        let weigh =
            |ids: &[u32]| ids.iter().fold(0, |sum: u64, &id| sum.saturating_add(self.weights[id as usize]));
        match &plan.eligible {
            AllBut(excluded) => self.total.saturating_sub(weigh(excluded)),
            Only(allowed) => weigh(allowed),
        }
    }

    /// The most popular eligible items that the rules let stand; a score is ln of the item's share of the eligible items'
    /// events.
    pub(crate) fn answer(&self, plan: &Plan) -> Answer {
        let total = self.eligible_events(plan);
        let place = |id: u32| Place { item: ItemId(id), log_prob: self.log_share_of(id, total), slack: 0.0 };
        let (mut places, mut items): (Vec<Place>, Vec<u32>) = (Vec::new(), Vec::new());
        // Who may not stand in a place may in no later one, unless a place that serves two shares frees the next.
        let (mut from, mut was_binding) = (0, false);
        while items.len() < plan.places {
            let is_binding = plan.rules.are_binding(&items);
            if was_binding && !is_binding {
                from = 0;
            }
            was_binding = is_binding;
            let may = |id: &u32| {
                plan.eligible.contains(*id) && (!plan.rules.bind() || plan.rules.allows(&items, *id))
            };
            let next = match plan.rules.pin(items.len()) {
                Some(item) => Some(Place::pinned(item)),
                None => {
                    let found = self.order[from..].iter().position(may).map(|at| from + at);
                    from = found.map_or(self.order.len(), |at| at + 1);
                    found.map(|at| place(self.order[at]))
                }
            };
            let Some(next) = next else { break };
            items.push(next.item.0);
            places.push(next);
        }
        plan.end(places).map(Into::into)
    }
}
