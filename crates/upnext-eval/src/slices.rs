//! Questions by kind: which targets and which users a number comes from.

use std::ops::RangeInclusive;

use serde::Serialize;
use upnext_data::ItemId;

use crate::metric::Metrics;
use crate::rank::Seen;
use crate::{Cold, Outcome};

/// Tenths of the catalogue.
pub const DECILES: usize = 10;

/// Bounds of input lengths, in events.
const LENGTHS: [RangeInclusive<usize>; 7] =
    [1..=5, 6..=10, 11..=20, 21..=50, 51..=100, 101..=200, 201..=usize::MAX];

/// The metrics of some of the questions, with seen dropped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// What they have in common.
    pub name: String,
    /// How many they are.
    pub questions: usize,
    /// Their metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// All slices of a report; a slice without questions is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slices {
    /// Whether the target had any training event: `warm`, `cold`.
    pub target: Vec<Slice>,
    /// Tenths of the catalogue by training events of the target: `1` the least popular items, `10` the most.
    pub popularity_decile: Vec<Slice>,
    /// Events of the input: `1-5`, `6-10`, … `201+`.
    pub history_length: Vec<Slice>,
}

/// Cuts an outcome three ways.
///
/// `targets` and `lengths` go question by question; `counts` are the training counts of all items.
pub fn slices(
    outcome: &Outcome,
    targets: &[ItemId],
    lengths: &[usize],
    counts: &[u64],
    cold: &Cold,
) -> Slices {
    let deciles = deciles(counts);
    let by_target: Vec<usize> = targets.iter().map(|&item| usize::from(cold.has(item))).collect();
    let by_decile: Vec<usize> =
        targets.iter().map(|item| usize::from(deciles.get(item.index()).copied().unwrap_or(0))).collect();
    let by_length: Vec<usize> = lengths.iter().map(|&length| length_bucket(length)).collect();
    let ranks = outcome.ranks(Seen::Dropped);
    let decile_names: Vec<String> = (1..=DECILES).map(|decile| decile.to_string()).collect();
    Slices {
        target: cut(ranks, &by_target, &["warm".to_owned(), "cold".to_owned()]),
        popularity_decile: cut(ranks, &by_decile, &decile_names),
        history_length: cut(ranks, &by_length, &LENGTHS.map(|range| length_name(&range))),
    }
}

/// One slice for each name, of the questions whose bucket is the name's place.
fn cut(ranks: &[u32], buckets: &[usize], names: &[String]) -> Vec<Slice> {
    let mut parts: Vec<Vec<u32>> = vec![Vec::new(); names.len()];
    for (&rank, &bucket) in ranks.iter().zip(buckets) {
        parts[bucket].push(rank);
    }
    let named = names.iter().zip(&parts).filter(|(_, part)| !part.is_empty());
    named
        .map(|(name, part)| Slice {
            name: name.clone(),
            questions: part.len(),
            metrics: Metrics::of_ranks(part),
        })
        .collect()
}

/// The decile of each item, 0 to 9: its place among all items by training events, ties by id.
///
/// ```
/// use upnext_eval::slices::deciles;
/// let counts: Vec<u64> = (0..20).map(|item| 100 - item).collect();
/// let deciles = deciles(&counts);
/// assert_eq!((deciles[0], deciles[1], deciles[2], deciles[19]), (9, 9, 8, 0));
/// ```
pub fn deciles(counts: &[u64]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&item| counts[item]);
    let mut deciles = vec![0; counts.len()];
    for (place, item) in order.into_iter().enumerate() {
        // Below ten, since the place is below the number of items.
        deciles[item] = (place * DECILES / counts.len()) as u8;
    }
    deciles
}

fn length_bucket(length: usize) -> usize {
    LENGTHS.iter().position(|range| range.contains(&length)).unwrap_or(0)
}

fn length_name(range: &RangeInclusive<usize>) -> String {
    match *range.end() {
        usize::MAX => format!("{}+", range.start()),
        end => format!("{}-{end}", range.start()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::UserId;

    fn outcome() -> Outcome {
        let ranks = vec![1, 20, 3, 11];
        let users = (0..4).map(UserId).collect();
        Outcome { users, rank_dropped: ranks.clone(), rank_kept: ranks, rank_among_cold: vec![None; 4] }
    }

    #[test]
    fn every_question_is_in_one_slice_of_each_kind() {
        let counts: Vec<u64> = (0..10).collect();
        let targets = [9, 9, 0, 4].map(ItemId);
        let cut = slices(&outcome(), &targets, &[5, 6, 1_000, 200], &counts, &Cold::of(&counts));
        let names = |slices: &[Slice]| {
            slices.iter().map(|slice| (slice.name.clone(), slice.questions)).collect::<Vec<_>>()
        };
        let named = |pairs: &[(&str, usize)]| {
            pairs.iter().map(|&(name, many)| (name.to_owned(), many)).collect::<Vec<_>>()
        };
        assert_eq!(names(&cut.target), named(&[("warm", 3), ("cold", 1)]));
        assert_eq!(names(&cut.popularity_decile), named(&[("1", 1), ("5", 1), ("10", 2)]));
        assert_eq!(
            names(&cut.history_length),
            named(&[("1-5", 1), ("6-10", 1), ("101-200", 1), ("201+", 1)])
        );
        assert_eq!(cut.popularity_decile[2].metrics.get(crate::Metric::HitRate(10)), Some(0.5));
    }
}
