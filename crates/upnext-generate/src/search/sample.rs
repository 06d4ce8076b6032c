//! Drawn lists: each next item by chance, in proportion to its probability, and many such lists joined to one.
//!
//! An item is drawn by the Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030): of
//! `log p / temperature + noise` the largest, over the most probable items of the step. Lists are joined by their
//! reciprocal ranks, which for lists of several items serves recall better than one search does (Volodkevich et al. 2024,
//! arXiv 2409.17730).

use std::collections::BTreeMap;

use upnext_data::chance::{Key, Purpose, unit};

use super::Hypothesis;
use crate::plan::Plan;
use crate::score::Place;

/// How lists are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Draws {
    /// Above 1 evens the probabilities out, below 1 it sharpens them.
    pub(crate) temperature: f64,
    /// Most probable items of a step that are drawn from.
    pub(crate) top_k: usize,
    /// Lists.
    pub(crate) count: usize,
    pub(crate) seed: u64,
}

/// One more item for each list; where the first one fans out, as many lists from it as there are to be. Lists and their
/// parents.
pub(super) fn draw(
    hypotheses: &[Hypothesis],
    lists: &[Vec<Place>],
    draws: Draws,
    fans_out: bool,
) -> (Vec<Hypothesis>, Vec<usize>) {
    let parents = (0..if fans_out { draws.count } else { hypotheses.len() })
        .map(|draw| if fans_out { 0 } else { draw });
    let longer = |(draw, parent): (usize, usize)| {
        let step = hypotheses[parent].items.len() as u64;
        let mut rng = Key { seed: draws.seed, purpose: Purpose::Sampling, step, part: draw as u64 }.rng();
        // -ln(-ln u), u in (0, 1): a draw of exactly 0 is moved to the next number above.
        let mut gumbel = || -(-unit(&mut rng).max(f64::MIN_POSITIVE).ln()).ln();
        let noisy: Vec<f64> =
            lists[parent].iter().map(|place| place.log_prob / draws.temperature + gumbel()).collect();
        let best = (0..noisy.len()).max_by(|&a, &b| noisy[a].total_cmp(&noisy[b]).then(b.cmp(&a)));
        best.map(|best| (hypotheses[parent].then(&lists[parent][best]), parent))
    };
    parents.enumerate().filter_map(longer).unzip()
}

/// One list out of drawn ones: each place that is not pinned goes to the item with the largest sum of 1 / rank over all
/// lists that may stand there, ties by id. Where rules leave none of the drawn items before the list is as long as the
/// longest drawn one, that one is the list.
pub(super) fn join(lists: &[Hypothesis], plan: &Plan) -> Vec<u32> {
    let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
    for list in lists {
        for (rank, &item) in list.items.iter().enumerate() {
            *sums.entry(item).or_default() += 1.0 / (rank + 1) as f64;
        }
    }
    let mut order: Vec<(u32, f64)> =
        sums.into_iter().filter(|(item, _)| !plan.rules.is_pinned(*item)).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let longest = lists.iter().rev().max_by_key(|list| list.items.len());
    let (mut joined, most) = (Vec::new(), longest.map_or(0, |list| list.items.len()));
    while joined.len() < most {
        let next = match plan.rules.pin(joined.len()) {
            Some(item) => Some(item),
            None => order.iter().map(|&(item, _)| item).find(|&item| plan.rules.allows(&joined, item)),
        };
        match (next, longest) {
            (Some(item), _) => joined.push(item),
            (None, Some(list)) => return list.items.clone(),
            (None, None) => break,
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::ItemId;

    #[test]
    fn items_are_drawn_in_proportion_to_their_tempered_probabilities() {
        let chances = [0.5f64, 0.3, 0.15, 0.05];
        let places: Vec<Place> = (0..)
            .zip(chances)
            .map(|(id, chance)| Place { item: ItemId(id), log_prob: chance.ln(), slack: 0.0 })
            .collect();
        for temperature in [0.5, 1.0, 2.0] {
            let draws = Draws { temperature, top_k: 4, count: 20_000, seed: 9 };
            let (drawn, parents) = draw(&[Hypothesis::default()], std::slice::from_ref(&places), draws, true);
            assert_eq!(parents, vec![0; draws.count]);
            let total: f64 = chances.iter().map(|chance| chance.powf(1.0 / temperature)).sum();
            for (id, chance) in chances.iter().enumerate() {
                let found = drawn.iter().filter(|list| list.items == [id as u32]).count() as f64;
                let expected = chance.powf(1.0 / temperature) / total;
                assert!((found / draws.count as f64 - expected).abs() < 0.015, "{id} at {temperature}");
            }
        }
    }
}
