//! Beam search: the `width` most probable lists kept after each step.

use std::cmp::Ordering;

use super::Hypothesis;
use crate::score::Place;

/// One more item for one hypothesis.
struct Candidate<'a> {
    parent: usize,
    place: &'a Place,
    /// Of the list with the item.
    score: f64,
}

/// The best `width` continuations, best first, and their parents.
pub(super) fn best(
    hypotheses: &[Hypothesis],
    lists: &[Vec<Place>],
    width: usize,
) -> (Vec<Hypothesis>, Vec<usize>) {
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for (parent, (hypothesis, places)) in hypotheses.iter().zip(lists).enumerate() {
        candidates.extend(places.iter().map(|place| Candidate {
            parent,
            place,
            score: hypothesis.score + place.log_prob,
        }));
    }
    // Higher scores first, equal ones by the ids of the whole list. No two candidates are the same list.
    let order = |a: &Candidate<'_>, b: &Candidate<'_>| -> Ordering {
        let items = |candidate: &Candidate<'_>| hypotheses[candidate.parent].items.as_slice();
        let by_ids = || items(a).cmp(items(b)).then(a.place.item.cmp(&b.place.item));
        b.score.total_cmp(&a.score).then_with(by_ids)
    };
    if candidates.len() > width {
        candidates.select_nth_unstable_by(width, order);
        candidates.truncate(width);
    }
    candidates.sort_unstable_by(order);
    let child = |candidate: &Candidate<'_>| hypotheses[candidate.parent].then(candidate.place);
    let parents = candidates.iter().map(|candidate| candidate.parent).collect();
    (candidates.iter().map(child).collect(), parents)
}
