//! Questions to ranks: batches in parallel, memory bounded.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use upnext_data::Histories;
use upnext_data::Question;
use upnext_data::{ItemId, UserId};

use crate::metric::{Metric, Metrics};
use crate::rank::{Ranks, Seen, among, ranks, ranks_of_next};
use crate::{Cold, Error, Result, Scorer, bootstrap};

/// Questions of one batch at most: enough to amortise reading the item vectors once.
const QUESTIONS: usize = 64;
/// Scores of one batch at most (16 MiB); one batch is in flight per thread.
const SCORES: usize = 1 << 22;

/// Called with the scorer's name, the questions done and the questions there are.
pub type Progress<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

/// How an evaluation runs; nothing in it moves a number.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Called after each batch, from any thread.
    pub progress: Option<Progress<'a>>,
}

/// The ranks of all targets, question by question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose question it was.
    pub users: Vec<UserId>,
    /// Rank of the target with seen items dropped, from 1.
    pub rank_dropped: Vec<u32>,
    /// Rank of the target with seen items kept, from 1.
    pub rank_kept: Vec<u32>,
    /// Rank of a cold target among the cold items alone, with seen items dropped; none where the target is warm.
    pub rank_among_cold: Vec<Option<u32>>,
}

impl Outcome {
    /// The ranks under one seen policy.
    pub fn ranks(&self, seen: Seen) -> &[u32] {
        match seen {
            Seen::Dropped => &self.rank_dropped,
            Seen::Kept => &self.rank_kept,
        }
    }

    /// The mean of one metric over all questions.
    pub fn mean(&self, metric: Metric, seen: Seen) -> f64 {
        metric.mean(self.ranks(seen))
    }

    /// All reported metrics, without intervals.
    pub fn metrics(&self, seen: Seen) -> Metrics {
        Metrics::of_ranks(self.ranks(seen))
    }

    /// All reported metrics with their 95 % bootstrap intervals over users.
    pub fn metrics_with_intervals(&self, seen: Seen, seed: u64) -> Metrics {
        let ranks = self.ranks(seen);
        Metrics::of_ranks(ranks).with_intervals(bootstrap::of_ranks(&self.users, ranks, seed))
    }
}

/// [`evaluate_with_cold`] where no item counts as cold.
///
/// # Errors
/// As there.
pub fn evaluate(
    scorer: &dyn Scorer,
    histories: &Histories,
    questions: &[Question],
    options: Options<'_>,
) -> Result<Outcome> {
    evaluate_with_cold(scorer, histories, questions, &Cold::default(), options)
}

/// Ranks the target of every question among all items, under both seen policies, and a cold one among the cold, too.
///
/// The target is the first held-out event. Ties count against the system (see [`ranks`]). Batches run
/// in parallel on the current rayon pool, each on one thread; the ranks do not depend on how many
/// there are, because a scorer's row does not depend on its neighbours.
///
/// # Errors
/// When there are no questions, a question is empty, the data hold items that the scorer does not
/// know, or the scorer fails.
pub fn evaluate_with_cold(
    scorer: &dyn Scorer,
    histories: &Histories,
    questions: &[Question],
    cold: &Cold,
    options: Options<'_>,
) -> Result<Outcome> {
    let rank = |question: &Question, scores: &[f32], scratch: &mut Vec<u32>| {
        let (target, input) = (target(question, histories), question.input(histories).items);
        let found: Ranks = ranks(scores, target, input, scratch);
        let among = cold.has(target).then(|| among(scores, target, cold.items(), input, scratch));
        (found, among)
    };
    let found = answer(scorer, histories, questions, options, rank)?;
    Ok(Outcome {
        users: questions.iter().map(|asked| asked.user).collect(),
        rank_dropped: found.iter().map(|(ranks, _)| ranks.dropped).collect(),
        rank_kept: found.iter().map(|(ranks, _)| ranks.kept).collect(),
        rank_among_cold: found.iter().map(|&(_, among)| among).collect(),
    })
}

/// Metrics of all that the questions hold out, in any order: see [`Metric::of_ranks`]. It is what models and baselines are
/// chosen by on validation questions. Where each asks for one event, the metrics are those of [`evaluate`].
///
/// # Errors
/// As there.
pub fn evaluate_next(
    scorer: &dyn Scorer,
    histories: &Histories,
    questions: &[Question],
    seen: Seen,
    options: Options<'_>,
) -> Result<Metrics> {
    let rank = |question: &Question, scores: &[f32], scratch: &mut Vec<u32>| {
        let (next, input) = (question.held_out(histories).items, question.input(histories).items);
        ranks_of_next(scores, next, input, seen, scratch)
    };
    Ok(Metrics::of_next(&answer(scorer, histories, questions, options, rank)?))
}

/// What `read` makes of each question's scores of all items, in order.
fn answer<T: Send>(
    scorer: &dyn Scorer,
    histories: &Histories,
    questions: &[Question],
    options: Options<'_>,
    read: impl Fn(&Question, &[f32], &mut Vec<u32>) -> T + Sync,
) -> Result<Vec<T>> {
    check(scorer, histories, questions)?;
    let items = scorer.items();
    let done = AtomicUsize::new(0);
    let parts: Vec<Vec<T>> = questions
        .par_chunks(batch_size(items))
        .map(|asked| {
            let mut scores_bi = vec![0.0; asked.len() * items];
            scorer.score(&inputs(histories, asked), &mut scores_bi)?;
            let mut scratch = Vec::new();
            let rows = asked.iter().zip(scores_bi.chunks_exact(items));
            let part = rows.map(|(question, scores)| read(question, scores, &mut scratch)).collect();
            let so_far = done.fetch_add(asked.len(), Ordering::Relaxed) + asked.len();
            if let Some(progress) = options.progress {
                progress(scorer.name(), so_far, questions.len());
            }
            Ok(part)
        })
        .collect::<Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// Questions per batch over a catalogue of `items`: what one thread has in flight.
pub fn batch_size(items: usize) -> usize {
    (SCORES / items.max(1)).clamp(1, QUESTIONS)
}

/// What a system may know of each question.
pub(crate) fn inputs<'a>(histories: &'a Histories, asked: &[Question]) -> Vec<&'a [ItemId]> {
    asked.iter().map(|question| question.input(histories).items).collect()
}

/// The item a question asks for: the first held-out event. The question must have passed [`check`].
pub(crate) fn target(question: &Question, histories: &Histories) -> ItemId {
    histories.of(question.user).items[question.start]
}

/// Refuses questions that cannot be answered, before anything is scored.
pub(crate) fn check(scorer: &dyn Scorer, histories: &Histories, questions: &[Question]) -> Result<()> {
    if questions.is_empty() {
        return Err(Error::NoQuestions);
    }
    let items = scorer.items();
    questions.par_iter().try_for_each(|asked| {
        let user = asked.user.index();
        if user >= histories.users() {
            return Err(Error::Split { split: user + 1, histories: histories.users() });
        }
        let events = histories.of(asked.user).items;
        if asked.start == 0 {
            return Err(Error::EmptyInput { user });
        }
        let end = asked.start.saturating_add(asked.targets);
        if asked.targets == 0 || end > events.len() {
            return Err(Error::NoTarget { user, start: asked.start, end, events: events.len() });
        }
        match events[..end].iter().find(|item| item.index() >= items) {
            Some(item) => {
                Err(Error::UnknownItem { item: item.index(), items, scorer: scorer.name().to_owned() })
            }
            None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_stays_within_its_memory() {
        assert_eq!(batch_size(0), 64);
        assert_eq!(batch_size(3_416), 64);
        assert_eq!(batch_size(1_000_000), 4);
        assert_eq!(batch_size(10_000_000), 1);
    }
}
