//! The best items of every question as rows, so that anyone can check the metrics.

use std::cmp::Ordering;
use std::io;

use rayon::prelude::*;
use upnext_data::Catalog;
use upnext_data::Histories;
use upnext_data::ItemId;
use upnext_data::Question;

use crate::evaluate::{batch_size, check, inputs, target};
use crate::rank::distinct_but;
use crate::{Error, Result, Scorer};

/// Rows of a question: as many as the cut of MRR@100.
pub const LENGTH: usize = 100;

/// Batches that are held in memory until their rows are handed over. A fixed number.
const WAVE: usize = 64;

/// One predicted item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Key of the user.
    pub user_key: &'a str,
    /// Place in the list, from 1.
    pub rank: usize,
    /// Key of the item.
    pub item_key: &'a str,
    /// The very f32 that the evaluation ranked by; `Display` prints it in shortest round-trip form.
    pub score: f32,
}

/// Hands the best `length` candidates of every question to `sink`, question by question.
///
/// Candidates are those of the rank with seen dropped: items that are not in the input, and a target
/// that is itself in it. Rows go by score, equal scores by item id. Recomputing "rank = rows of the
/// user whose score is at least the target's, none if the target has no row" gives the rank of
/// [`crate::evaluate()`] exactly wherever it is within `length`, and no row for the target elsewhere,
/// hence the same HR@k, NDCG@k and MRR@k for every k up to `length`. Because ties count against the
/// system, a group of equal scores that does not fit whole is left out: none of its items ranks
/// within `length`. A list is shorter than `length` for this reason, or when candidates run out.
/// A user who is asked several questions gets several lists, one after the other.
///
/// # Errors
/// As [`crate::evaluate()`]; when a score is not a number, since no row could say so; when the sink
/// fails.
pub fn predictions(
    scorer: &dyn Scorer,
    histories: &Histories,
    catalog: &Catalog,
    questions: &[Question],
    length: usize,
    sink: &mut dyn FnMut(Row<'_>) -> io::Result<()>,
) -> Result<()> {
    check(scorer, histories, questions)?;
    let batch = batch_size(scorer.items());
    let asked = Asked { scorer, histories, catalog, length };
    for wave in questions.chunks(batch * WAVE) {
        let lists: Vec<Vec<Vec<(ItemId, f32)>>> =
            wave.par_chunks(batch).map(|part| asked.best_of_batch(part)).collect::<Result<_>>()?;
        for (question, list) in wave.iter().zip(lists.iter().flatten()) {
            for (place, &(item, score)) in list.iter().enumerate() {
                let user_key = histories.user_key(question.user);
                let item_key = catalog.key(item);
                sink(Row { user_key, rank: place + 1, item_key, score }).map_err(Error::Sink)?;
            }
        }
    }
    Ok(())
}

/// What every batch reads.
struct Asked<'a> {
    scorer: &'a dyn Scorer,
    histories: &'a Histories,
    catalog: &'a Catalog,
    length: usize,
}

impl Asked<'_> {
    fn best_of_batch(&self, questions: &[Question]) -> Result<Vec<Vec<(ItemId, f32)>>> {
        let items = self.scorer.items();
        let mut scores_bi = vec![0.0; questions.len() * items];
        self.scorer.score(&inputs(self.histories, questions), &mut scores_bi)?;
        let mut seen = Vec::new();
        let list = |(question, scores): (&Question, &[f32])| {
            let target = target(question, self.histories);
            distinct_but(question.input(self.histories).items, &[target], &mut seen);
            match candidates(scores, &seen) {
                Ok(candidates) => Ok(best(candidates, self.length)),
                Err(item) => Err(Error::NotANumber {
                    user: self.histories.user_key(question.user).to_owned(),
                    item: self.catalog.key(item).to_owned(),
                }),
            }
        };
        questions.iter().zip(scores_bi.chunks_exact(items)).map(list).collect()
    }
}

/// All items but `seen` (ascending) with their scores, or the first whose score is not a number.
fn candidates(scores: &[f32], seen: &[u32]) -> std::result::Result<Vec<(ItemId, f32)>, ItemId> {
    let mut dropped = seen.iter().copied().peekable();
    let mut kept = Vec::with_capacity(scores.len() - seen.len());
    for (item, &score) in (0_u32..).zip(scores) {
        if dropped.next_if_eq(&item).is_some() {
            continue;
        }
        if score.is_nan() {
            return Err(ItemId(item));
        }
        kept.push((ItemId(item), score));
    }
    Ok(kept)
}

/// The first `length` by score, then id, without a group of equal scores that does not fit whole.
fn best(mut candidates: Vec<(ItemId, f32)>, length: usize) -> Vec<(ItemId, f32)> {
    if candidates.len() > length {
        // One more than asked for: it tells whether the last group ends here.
        candidates.select_nth_unstable_by(length, order);
        candidates.truncate(length + 1);
    }
    candidates.sort_unstable_by(order);
    if candidates.len() > length {
        let cut = candidates[length].1;
        let whole = candidates.partition_point(|&(_, score)| score > cut);
        candidates.truncate(whole);
    }
    candidates
}

/// Scores descending (0 and -0 are equal), then ids ascending; scores are numbers.
fn order(left: &(ItemId, f32), right: &(ItemId, f32)) -> Ordering {
    right.1.partial_cmp(&left.1).unwrap_or(Ordering::Equal).then(left.0.cmp(&right.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scores: &[f32], seen: &[u32], length: usize, expected: &[u32]) {
        let list = best(candidates(scores, seen).unwrap(), length);
        let ids: Vec<u32> = list.iter().map(|&(item, _)| item.0).collect();
        assert_eq!(ids, expected, "{scores:?} without {seen:?}, {length}");
    }

    #[test]
    fn equal_scores_go_by_item_id() {
        check(&[1.0, 3.0, 1.0, 2.0], &[], 9, &[1, 3, 0, 2]);
        check(&[0.0, -0.0, 1.0], &[], 9, &[2, 0, 1]);
    }

    #[test]
    fn seen_items_have_no_row() {
        check(&[1.0, 3.0, 1.5, 2.0], &[1, 2], 9, &[3, 0]);
    }

    #[test]
    fn a_group_that_straddles_the_cut_is_left_out_whole() {
        check(&[1.0, 3.0, 1.0, 2.0], &[], 3, &[1, 3]);
        check(&[1.0, 3.0, 1.0, 2.0], &[], 4, &[1, 3, 0, 2]);
        check(&[1.0; 4], &[], 3, &[]);
        check(&[1.0, 3.0, 1.0, 2.0], &[2], 3, &[1, 3, 0]);
    }

    #[test]
    fn a_score_that_is_no_number_is_refused_unless_it_is_seen() {
        assert_eq!(candidates(&[1.0, f32::NAN], &[]), Err(ItemId(1)));
        assert!(candidates(&[1.0, f32::NAN], &[1]).is_ok());
    }
}
