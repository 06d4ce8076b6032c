//! Whole lists against what came next: how much of it they hold, and what they are like.
//!
//! Letters: s items of a list, i items of the catalogue.

use std::fmt::Write;

use rayon::prelude::*;
use serde::Serialize;
use upnext_data::{ItemId, UserId};
use upnext_model::Vectors;

use crate::evaluate::{batch_size, check, inputs};
use crate::rank::Seen;
use crate::report::Part;
use crate::{Asked, Error, Result, Scorer, bootstrap};

/// Metrics of one way to make lists, means over questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListMetrics {
    /// Who made the lists.
    #[serde(skip)]
    pub name: String,
    /// The share of the items that came next that is in the list.
    pub recall: f64,
    /// `Σ 1 / log2(rank + 1)` over the places of items that came next, in whichever order they did, over the largest such
    /// sum that a list of s could have.
    pub ndcg: f64,
    /// Mean of `1 - cos` over all pairs of a list, by the model's output vectors.
    pub diversity: f64,
    /// Mean of `-log2` of an item's share of the training events, each item counting one more.
    pub novelty: f64,
    /// 95 % bootstrap intervals over users of the four above.
    pub ci95: Intervals,
    /// The share of the catalogue that is in any list.
    pub coverage: f64,
    /// Mean training events of listed items.
    pub popularity: f64,
    /// How unevenly items are shown, over those that are: 0 when all are as often, towards 1 when few have all places.
    pub gini: f64,
    /// Lists with fewer items than were asked for.
    pub short: usize,
    /// Questions that were given no list: they count as empty ones.
    pub failed: usize,
    /// Wall-clock seconds a list, of all threads together.
    pub seconds: f64,
}

/// 95 % intervals over users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Intervals {
    /// Of [`ListMetrics::recall`].
    pub recall: [f64; 2],
    /// Of [`ListMetrics::ndcg`].
    pub ndcg: [f64; 2],
    /// Of [`ListMetrics::diversity`].
    pub diversity: [f64; 2],
    /// Of [`ListMetrics::novelty`].
    pub novelty: [f64; 2],
}

/// Ways to make lists beside each other, on the same questions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListReport {
    /// Id of the protocol.
    pub protocol: String,
    /// Which questions were asked.
    pub split: Part,
    /// Questions.
    pub questions: usize,
    /// i.
    pub items: usize,
    /// s: items asked for.
    pub length: usize,
    /// Whether items of the input may be listed.
    pub keep_seen: bool,
    /// What else the lists of the model were made to obey, in words.
    pub conditions: Vec<String>,
    /// Each way's metrics, by name.
    #[serde(serialize_with = "by_name")]
    pub lists: Vec<ListMetrics>,
}

fn by_name<S: serde::Serializer>(
    lists: &[ListMetrics],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(lists.iter().map(|lists| (&lists.name, lists)))
}

/// What a way to make lists gave, question by question.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// One list a question.
    pub lists: Vec<Vec<ItemId>>,
    /// Questions that could not be answered; their lists are empty.
    pub failed: usize,
    /// Wall-clock seconds of all of them.
    pub seconds: f64,
}

impl ListMetrics {
    /// Measures lists of `length` items asked for. The vectors are what likeness is judged by.
    ///
    /// # Errors
    /// When there is not one list a question, or a listed item is not the model's.
    pub fn of(made: &Made, asked: &Asked<'_>, length: usize, vectors: &Vectors<'_>) -> Result<Self> {
        let questions = asked.questions();
        if made.lists.len() != questions.len() {
            return Err(Error::Lists { lists: made.lists.len(), questions: questions.len() });
        }
        // A model may know items that joined it after the data were prepared.
        let items = asked.items.max(vectors.items());
        if let Some(item) = made.lists.iter().flatten().find(|item| item.index() >= items) {
            let (item, scorer) = (item.index(), made.name.clone());
            return Err(Error::UnknownItem { item, items, scorer });
        }
        let mut counts = asked.counts()?;
        counts.resize(items, 0);
        let total = (counts.iter().sum::<u64>() + items as u64) as f64;
        let rows: Vec<[f64; 4]> = questions
            .par_iter()
            .zip(&made.lists)
            .map(|(question, list)| {
                let next = distinct(question.held_out(asked.histories).items);
                let hits: Vec<bool> = list.iter().map(|item| next.binary_search(&item.0).is_ok()).collect();
                let found = hits.iter().filter(|&&hit| hit).count() as f64;
                let ideal = dcg(vec![true; next.len().min(length)]);
                let surprise =
                    |item: &ItemId| -((counts[item.index()] + 1) as f64 / total).log2() / list.len() as f64;
                let novelty = list.iter().map(surprise).sum::<f64>();
                Ok([found / next.len() as f64, dcg(hits) / ideal, diversity(list, vectors)?, novelty])
            })
            .collect::<Result<_>>()?;
        let users: Vec<UserId> = questions.iter().map(|question| question.user).collect();
        let [recall, ndcg, diversity, novelty] = of_users(&users, &rows, asked.seed);
        let mut shown = vec![0u64; items];
        made.lists.iter().flatten().for_each(|item| shown[item.index()] += 1);
        let places: u64 = shown.iter().sum();
        let events: f64 = shown.iter().zip(&counts).map(|(&shown, &count)| shown as f64 * count as f64).sum();
        shown.retain(|&shown| shown > 0);
        let mean = |metric: usize| rows.iter().map(|row| row[metric]).sum::<f64>() / rows.len() as f64;
        Ok(Self {
            name: made.name.clone(),
            recall: mean(0),
            ndcg: mean(1),
            diversity: mean(2),
            novelty: mean(3),
            ci95: Intervals { recall, ndcg, diversity, novelty },
            coverage: shown.len() as f64 / items as f64,
            popularity: if places == 0 { 0.0 } else { events / places as f64 },
            gini: gini(shown),
            short: made.lists.iter().filter(|list| list.len() < length).count(),
            failed: made.failed,
            seconds: made.seconds / questions.len() as f64,
        })
    }
}

/// Distinct ids, ascending.
fn distinct(items: &[ItemId]) -> Vec<u32> {
    let mut ids: Vec<u32> = items.iter().map(|item| item.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Discounted cumulative gain of places that are right or wrong.
fn dcg(hits: Vec<bool>) -> f64 {
    (2..).zip(hits).filter(|(_, hit)| *hit).map(|(place, _)| 1.0 / f64::from(place).log2()).sum()
}

/// Mean of `1 - cos` over the pairs of a list; 0 for fewer than two items. A vector of nothing is like no other.
fn diversity(list: &[ItemId], vectors: &Vectors<'_>) -> Result<f64> {
    let rank = vectors.rank();
    let mut rows = vec![0.0; list.len() * rank];
    for (row, &item) in rows.chunks_exact_mut(rank).zip(list) {
        vectors.output_unit(item, row)?;
    }
    let (mut sum, mut pairs) = (0.0, 0u32);
    for (place, row) in rows.chunks_exact(rank).enumerate() {
        for other in rows.chunks_exact(rank).skip(place + 1) {
            sum += 1.0 - row.iter().zip(other).map(|(&a, &b)| f64::from(a * b)).sum::<f64>();
            pairs += 1;
        }
    }
    Ok(if pairs == 0 { 0.0 } else { sum / f64::from(pairs) })
}

/// Gini coefficient (Gini 1912) of numbers above 0; 0 for fewer than two.
fn gini(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    let (items, total) = (counts.len() as f64, counts.iter().sum::<u64>() as f64);
    let weighted: f64 = (1..).zip(&counts).map(|(rank, &count)| f64::from(rank) * count as f64).sum();
    if counts.len() < 2 { 0.0 } else { 2.0 * weighted / (items * total) - (items + 1.0) / items }
}

/// Intervals over users of rows of questions; a user's questions follow each other.
fn of_users(users: &[UserId], rows: &[[f64; 4]], seed: u64) -> [[f64; 2]; 4] {
    let (mut sums, mut counts): (Vec<[f64; 4]>, Vec<u32>) = (Vec::new(), Vec::new());
    for (at, row) in rows.iter().enumerate() {
        if at == 0 || users[at] != users[at - 1] {
            sums.push([0.0; 4]);
            counts.push(0);
        }
        if let (Some(sum), Some(count)) = (sums.last_mut(), counts.last_mut()) {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            *count += 1;
        }
    }
    bootstrap::intervals(&sums, &counts, seed)
}

/// The `length` best items of a scorer for every question that `may` be shown, ties by id, without those of the input
/// unless they are kept.
///
/// # Errors
/// As [`crate::evaluate()`].
pub fn top(
    scorer: &dyn Scorer,
    asked: &Asked<'_>,
    length: usize,
    keep_seen: bool,
    may: impl Fn(ItemId) -> bool + Sync,
) -> Result<Vec<Vec<ItemId>>> {
    let (questions, items) = (asked.questions(), scorer.items());
    check(scorer, asked.histories, questions)?;
    let one = |scores: &[f32], input: &[ItemId]| {
        let seen = if keep_seen { Vec::new() } else { distinct(input) };
        let mut order: Vec<u32> = (0..items as u32)
            .filter(|item| seen.binary_search(item).is_err() && may(ItemId(*item)))
            .collect();
        let best =
            |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then_with(|| a.cmp(b));
        if order.len() > length {
            order.select_nth_unstable_by(length, best);
            order.truncate(length);
        }
        order.sort_unstable_by(best);
        order.into_iter().map(ItemId).collect::<Vec<_>>()
    };
    let parts: Vec<Vec<Vec<ItemId>>> = questions
        .par_chunks(batch_size(items))
        .map(|part| {
            let mut scores_bi = vec![0.0; part.len() * items];
            let inputs = inputs(asked.histories, part);
            scorer.score(&inputs, &mut scores_bi)?;
            Ok(scores_bi.chunks_exact(items).zip(inputs).map(|(scores, input)| one(scores, input)).collect())
        })
        .collect::<Result<_>>()?;
    Ok(parts.concat())
}

impl ListReport {
    /// The readable form: a heading that carries protocol, length, seen policy and catalogue size, and a line for each way.
    pub fn table(&self) -> String {
        let Self { protocol, split, questions, items, length, keep_seen, conditions, lists } = self;
        let seen = Seen::kept_if(*keep_seen);
        let mut out = format!(
            "{protocol} {split}: {questions} lists of {length} out of {items} items, seen {seen}, 95 % over users\n"
        );
        for condition in conditions {
            let _ = writeln!(out, "the model's lists: {condition}");
        }
        out.push('\n');
        let width = lists.iter().map(|lists| lists.name.len()).max().unwrap_or(0).max(10);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "  {:<width$}  {:<23}  {:<23}  {:<23}  {:>8}  {:>7}  {:>10}  {:>5}  {:>8}",
            "",
            format!("recall@{length}"),
            format!("ndcg@{length}"),
            "diversity",
            "coverage",
            "novelty",
            "popularity",
            "gini",
            "ms/list"
        );
        for lists in lists {
            let ListMetrics { name, recall, ndcg, diversity, ci95, .. } = lists;
            let _ = write!(out, "  {name:<width$}");
            for (value, [low, high]) in
                [(recall, ci95.recall), (ndcg, ci95.ndcg), (diversity, ci95.diversity)]
            {
                let _ = write!(out, "  {value:.4} [{low:.4}, {high:.4}]");
            }
            let _ = writeln!(
                out,
                "  {:>8.3}  {:>7.2}  {:>10.1}  {:>5.3}  {:>8.3}",
                lists.coverage,
                lists.novelty,
                lists.popularity,
                lists.gini,
                lists.seconds * 1e3
            );
        }
        for lists in lists.iter().filter(|lists| lists.short > 0) {
            let ListMetrics { short, failed, name, .. } = lists;
            let _ = writeln!(out, "\n{short} of {name}'s lists are short, {failed} of them missing");
        }
        out
    }
}

#[cfg(test)]
mod tests;
