//! Beam search: the `width` most probable lists kept after each step, in groups that may keep off each other's items.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Hypothesis;
use crate::score::Place;

/// How many lists are kept, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Beams {
    /// Of all groups together.
    pub(crate) width: usize,
    pub(crate) groups: usize,
    /// What an item loses for each list of an earlier group that takes it in the same place.
    pub(crate) diversity: f64,
}

impl Beams {
    /// One group.
    pub(crate) fn of(width: usize) -> Self {
        Self { width, groups: 1, diversity: 0.0 }
    }
}

/// One more item for one hypothesis.
struct Candidate<'a> {
    parent: usize,
    place: &'a Place,
    /// Of the list with the item.
    score: f64,
    /// What it is kept by: the score less what earlier groups take off it.
    worth: f64,
}

/// The best continuations, group by group, and their parents. Out of the empty list, the parent of all, each group takes
/// its own.
pub(super) fn best(
    hypotheses: &[Hypothesis],
    lists: &[Vec<Place>],
    beams: Beams,
) -> (Vec<Hypothesis>, Vec<usize>) {
    let Beams { width, groups, diversity } = beams;
    let (mut taken, mut kept): (BTreeMap<u32, usize>, Vec<(Candidate<'_>, usize)>) =
        (BTreeMap::new(), Vec::new());
    let is_root = hypotheses.len() == 1 && hypotheses[0].group.is_none();
    for group in 0..groups {
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        for (parent, (hypothesis, places)) in hypotheses.iter().zip(lists).enumerate() {
            if !is_root && hypothesis.group != Some(group) {
                continue;
            }
            candidates.extend(places.iter().map(|place| {
                let score = hypothesis.score + place.log_prob;
                let others = taken.get(&place.item.0).copied().unwrap_or(0) as f64;
                Candidate { parent, place, score, worth: score - diversity * others }
            }));
        }
        // Higher ones first, equal ones by the ids of the whole list. No two candidates of a group are the same list.
        let order = |a: &Candidate<'_>, b: &Candidate<'_>| -> Ordering {
            let items = |candidate: &Candidate<'_>| hypotheses[candidate.parent].items.as_slice();
            let by_ids = || items(a).cmp(items(b)).then(a.place.item.cmp(&b.place.item));
            b.worth.total_cmp(&a.worth).then_with(by_ids)
        };
        let most = width / groups;
        if candidates.len() > most {
            candidates.select_nth_unstable_by(most, order);
            candidates.truncate(most);
        }
        candidates.sort_unstable_by(order);
        for candidate in candidates {
            *taken.entry(candidate.place.item.0).or_default() += 1;
            kept.push((candidate, group));
        }
    }
    let child = |(candidate, group): &(Candidate<'_>, usize)| {
        let mut child = hypotheses[candidate.parent].then(candidate.place);
        child.score = candidate.score;
        child.group = Some(*group);
        child
    };
    (kept.iter().map(child).collect(), kept.iter().map(|(candidate, _)| candidate.parent).collect())
}

/// The best list and up to `most` others, best first, by score and then by ids. Of lists that hold the same items the
/// best alone is kept.
pub(super) fn distinct(mut lists: Vec<Hypothesis>, most: usize) -> Vec<Hypothesis> {
    lists.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.items.cmp(&b.items)));
    let mut sets: Vec<Vec<u32>> = Vec::new();
    lists.retain(|list| {
        let mut set = list.items.clone();
        set.sort_unstable();
        let is_new = sets.len() <= most && !sets.contains(&set);
        if is_new {
            sets.push(set);
        }
        is_new
    });
    lists
}
