//! The rank of a target among all items, under both seen policies at once.
//!
//! Knows scores and ids only; which input belongs to which target is the protocol's business.

use upnext_data::ItemId;

/// Whether items of the input may be recommended again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// Items of the input are no candidates, except a target that is itself in the input.
    Dropped,
    /// Every item of the catalogue is a candidate.
    Kept,
}

impl Seen {
    /// The policy by a switch, as configurations and command lines have it.
    pub fn kept_if(keep: bool) -> Seen {
        if keep { Seen::Kept } else { Seen::Dropped }
    }
}

/// In a word.
impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Seen::Dropped => "dropped",
            Seen::Kept => "kept",
        })
    }
}

/// Ranks of one target, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// Among items that are not in the input, and the target.
    pub dropped: u32,
    /// Among all items.
    pub kept: u32,
}

impl Ranks {
    /// The rank under one policy.
    pub fn under(self, seen: Seen) -> u32 {
        match seen {
            Seen::Dropped => self.dropped,
            Seen::Kept => self.kept,
        }
    }
}

/// How many candidates stand at or before the target: those whose score is at least the target's.
///
/// Ties count against the system: a constant scorer puts every target last. So do scores that are
/// not numbers: an item with one stands before the target, and a target with one stands last.
/// The input's items are taken out of the dropped rank once each, however often they occur, and a
/// target that is itself in the input stays a candidate. `scratch` is reused between calls.
///
/// The target and the input must be within `scores`.
///
/// ```
/// use upnext_data::ItemId;
/// use upnext_eval::rank::{Ranks, ranks};
/// let scores = [0.9, 0.5, 0.5, 0.1, 0.7];
/// // Item 1 ties with item 2; items 0 and 4 are better, and item 0 is in the input.
/// let found = ranks(&scores, ItemId(1), &[ItemId(0)], &mut Vec::new());
/// assert_eq!(found, Ranks { kept: 4, dropped: 3 });
/// ```
pub fn ranks(scores: &[f32], target: ItemId, input: &[ItemId], scratch: &mut Vec<u32>) -> Ranks {
    distinct_but(input, &[target], scratch);
    let at = scores[target.index()];
    let kept = ahead_of(scores, at);
    Ranks { kept, dropped: kept - ahead_among(scratch, scores, at) }
}

/// The ranks of the distinct items of `next` among all items, ascending, counted as in [`ranks`].
///
/// With seen dropped, items of the input are no candidates, except those that are in `next`; so with one event in `next`
/// the rank is that of [`ranks`], and a list that drops what was seen may have less of `next` than the ranks promise. The
/// j-th rank is at least j.
///
/// ```
/// use upnext_data::ItemId;
/// use upnext_eval::rank::{Seen, ranks_of_next};
/// let scores = [0.9, 0.5, 0.8, 0.1, 0.7];
/// // Items 0 and 4 came next, item 4 twice and not for the first time; of the input, item 2 is no candidate.
/// let (next, input) = ([4, 0, 4].map(ItemId), [2, 4].map(ItemId));
/// assert_eq!(ranks_of_next(&scores, &next, &input, Seen::Dropped, &mut Vec::new()), [1, 2]);
/// assert_eq!(ranks_of_next(&scores, &next, &input, Seen::Kept, &mut Vec::new()), [1, 3]);
/// ```
pub fn ranks_of_next(
    scores: &[f32],
    next: &[ItemId],
    input: &[ItemId],
    seen: Seen,
    scratch: &mut Vec<u32>,
) -> Vec<u32> {
    match seen {
        Seen::Dropped => distinct_but(input, next, scratch),
        Seen::Kept => scratch.clear(),
    }
    let mut ids = Vec::with_capacity(next.len());
    distinct_but(next, &[], &mut ids);
    let rank = |id: u32| {
        let at = scores[id as usize];
        ahead_of(scores, at) - ahead_among(scratch, scores, at)
    };
    let mut ranks: Vec<u32> = ids.into_iter().map(rank).collect();
    ranks.sort_unstable();
    ranks
}

/// How many scores stand at or before a target's; all of them when that is no number.
fn ahead_of(scores: &[f32], at: f32) -> u32 {
    if at.is_nan() {
        return scores.len() as u32;
    }
    // Branch-free, so that the row is counted as fast as it is read.
    scores.iter().map(|&score| u32::from(is_ahead(score, at))).sum()
}

/// As [`ahead_of`], of these items only.
fn ahead_among(items: &[u32], scores: &[f32], at: f32) -> u32 {
    items.iter().map(|&item| u32::from(at.is_nan() || is_ahead(scores[item as usize], at))).sum()
}

/// The target's rank among some of the items only, with seen dropped, counted from 1 as in [`ranks`].
///
/// `members` are ascending, within `scores`, and the target is one of them.
///
/// ```
/// use upnext_data::ItemId;
/// use upnext_eval::rank::among;
/// let scores = [0.9, 0.5, 0.5, 0.1, 0.7];
/// // Of the items 1, 2 and 4, item 4 is better than item 1 and item 2 as good; once item 4 was seen, one is left.
/// assert_eq!(among(&scores, ItemId(1), &[1, 2, 4], &[ItemId(0)], &mut Vec::new()), 3);
/// assert_eq!(among(&scores, ItemId(1), &[1, 2, 4], &[ItemId(4)], &mut Vec::new()), 2);
/// ```
pub fn among(
    scores: &[f32],
    target: ItemId,
    members: &[u32],
    input: &[ItemId],
    scratch: &mut Vec<u32>,
) -> u32 {
    distinct_but(input, &[target], scratch);
    scratch.retain(|item| members.binary_search(item).is_ok());
    let at = scores[target.index()];
    ahead_among(members, scores, at) - ahead_among(scratch, scores, at)
}

/// The distinct items of the input but the targets, ascending: what the seen filter drops.
pub(crate) fn distinct_but(input: &[ItemId], targets: &[ItemId], out: &mut Vec<u32>) {
    out.clear();
    out.extend(input.iter().map(|item| item.0));
    out.sort_unstable();
    out.dedup();
    out.retain(|&item| !targets.contains(&ItemId(item)));
}

fn is_ahead(score: f32, target: f32) -> bool {
    score >= target || score.is_nan()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scores: &[f32], target: u32, input: &[u32], kept: u32, dropped: u32) {
        let input: Vec<ItemId> = input.iter().map(|&item| ItemId(item)).collect();
        let found = ranks(scores, ItemId(target), &input, &mut Vec::new());
        assert_eq!(found, Ranks { kept, dropped }, "{scores:?} {target} {input:?}");
    }

    #[test]
    fn better_items_push_the_target_down() {
        check(&[4.0, 3.0, 2.0, 1.0], 2, &[], 3, 3);
        check(&[4.0, 3.0, 2.0, 1.0], 0, &[], 1, 1);
    }

    #[test]
    fn ties_count_against_the_system() {
        check(&[1.0; 5], 0, &[], 5, 5);
        check(&[0.0, -0.0, 1.0], 0, &[], 3, 3);
    }

    #[test]
    fn a_seen_item_is_taken_out_once_however_often_it_was_seen() {
        check(&[4.0, 3.0, 2.0, 1.0], 2, &[0, 0, 0], 3, 2);
        check(&[4.0, 3.0, 2.0, 1.0], 2, &[0, 1, 3, 0], 3, 1);
    }

    #[test]
    fn a_target_in_the_history_stays_a_candidate() {
        check(&[4.0, 3.0, 2.0], 1, &[0, 1, 1], 2, 1);
    }

    #[test]
    fn among_all_items_is_the_rank_with_seen_dropped() {
        let scores = [0.5, f32::NAN, 0.5, 0.9, f32::NEG_INFINITY, 0.1];
        let all: Vec<u32> = (0..6).collect();
        for target in 0..6 {
            for input in [&[][..], &[3, 3], &[1, 4, target], &[0, 1, 2, 3, 4, 5]] {
                let input: Vec<ItemId> = input.iter().map(|&item| ItemId(item)).collect();
                let expected = ranks(&scores, ItemId(target), &input, &mut Vec::new()).dropped;
                assert_eq!(among(&scores, ItemId(target), &all, &input, &mut Vec::new()), expected);
            }
            assert_eq!(among(&scores, ItemId(target), &[target], &[], &mut Vec::new()), 1);
        }
    }

    #[test]
    fn several_events_are_ranked_as_one_is() {
        let scores = [0.5, f32::NAN, 0.5, 0.9, f32::NEG_INFINITY, 0.1];
        let mut scratch = Vec::new();
        for input in [&[][..], &[3, 3], &[1, 4, 2], &[0, 1, 2, 3, 4, 5]] {
            let input: Vec<ItemId> = input.iter().map(|&item| ItemId(item)).collect();
            for target in (0..6).map(ItemId) {
                let one = ranks(&scores, target, &input, &mut Vec::new());
                for seen in [Seen::Dropped, Seen::Kept] {
                    let next = ranks_of_next(&scores, &[target, target], &input, seen, &mut scratch);
                    assert_eq!(next, [one.under(seen)]);
                }
            }
            for seen in [Seen::Dropped, Seen::Kept] {
                let next = [5, 3, 2, 0].map(ItemId);
                let found = ranks_of_next(&scores, &next, &input, seen, &mut scratch);
                let others: Vec<ItemId> = input.iter().copied().filter(|item| !next.contains(item)).collect();
                let mut each =
                    next.map(|target| ranks(&scores, target, &others, &mut Vec::new()).under(seen));
                each.sort_unstable();
                assert_eq!(found, each);
            }
        }
    }

    #[test]
    fn a_score_that_is_no_number_is_worst_for_the_system() {
        check(&[f32::NAN, 3.0, 2.0], 1, &[], 2, 2);
        check(&[f32::NAN, 3.0, 2.0], 1, &[0], 2, 1);
        check(&[5.0, f32::NAN, 2.0], 1, &[], 3, 3);
        check(&[5.0, f32::NAN, 2.0], 1, &[0, 1], 3, 2);
        check(&[f32::NEG_INFINITY, 3.0, f32::INFINITY], 1, &[], 2, 2);
    }
}
