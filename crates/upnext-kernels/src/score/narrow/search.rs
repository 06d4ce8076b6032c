//! Candidates by narrow scores, then the best of them by exact ones.

use super::{Asked, Narrow, TILE, up};
use crate::fetch::{self, Lines};
use crate::level::Chosen;
use crate::product::Packed;
use crate::score::best::Best;
use crate::score::block::{BLOCK, QUERIES, add, exclude, largest, tidy};
use crate::score::listed::Listed;
use crate::score::{Query, Ranked, Table, check, in_waves, rank};
use crate::softmax::LogSumExp;
use rayon::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As [`rank`], through narrow vectors: the same ids and the same bits of scores in less time.
///
/// The log-sum-exp comes from the narrow scores; `slack` says how far it may be from that of the exact ones. A query that
/// narrow scores cannot help (few items are eligible, or about as many are asked for) is answered by [`rank`].
///
/// # Panics
/// As [`rank`], and when the narrow vectors are not those of the table.
pub fn rank_narrow(queries: &[Query<'_>], table: &Table<'_>, narrow: &Narrow, parallel: bool) -> Vec<Ranked> {
    check(queries, table);
    assert!(
        narrow.items == table.items() && narrow.rank == table.rank(),
        "narrow vectors of {} items and rank {} for {} and {}",
        narrow.items,
        narrow.rank,
        table.items(),
        table.rank()
    );
    queries.chunks(TOGETHER).flat_map(|queries| rank_some(queries, table, narrow, parallel)).collect()
}

/// Queries whose candidates are held at once.
const TOGETHER: usize = 64;

fn rank_some(queries: &[Query<'_>], table: &Table<'_>, narrow: &Narrow, parallel: bool) -> Vec<Ranked> {
    let asked: Vec<Option<Asked<'_>>> =
        queries.iter().map(|query| ask(query, narrow, table.items())).collect();
    let helped: Vec<(&Query<'_>, &Asked<'_>)> =
        queries.iter().zip(&asked).filter_map(|(query, asked)| Some((query, asked.as_ref()?))).collect();
    let lists = shortlists(&helped, narrow, parallel);
    let one = |((query, _), list): (&(&Query<'_>, &Asked<'_>), Shortlist)| list.rank(query, table);
    let found: Vec<Option<Ranked>> = match parallel {
        true => helped.par_iter().zip(lists).map(one).collect(),
        false => helped.iter().zip(lists).map(one).collect(),
    };
    let mut found = found.into_iter();
    let answers: Vec<Option<Ranked>> =
        asked.iter().map(|asked| asked.as_ref().and_then(|_| found.next().flatten())).collect();
    or_exact(queries, answers, table, parallel)
}

/// Answers those queries that have no answer yet by exact scores of all items.
pub(in crate::score) fn or_exact(
    queries: &[Query<'_>],
    answers: Vec<Option<Ranked>>,
    table: &Table<'_>,
    parallel: bool,
) -> Vec<Ranked> {
    let left = queries.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
    let left: Vec<Query<'_>> = left.map(|(query, _)| *query).collect();
    let exact = if left.is_empty() { Vec::new() } else { rank(&left, table, parallel) };
    let mut exact = exact.into_iter();
    answers.into_iter().filter_map(|answer| answer.or_else(|| exact.next())).collect()
}

/// None for a query that is as well answered without narrow scores.
pub(in crate::score) fn ask<'a>(query: &Query<'a>, narrow: &Narrow, items: usize) -> Option<Asked<'a>> {
    let eligible = query.eligible.count(items);
    let pays = eligible * 8 >= items && query.k.saturating_mul(8) <= eligible;
    if pays { Asked::new(query.vector, narrow) } else { None }
}

/// So many of the best are scored exactly even if fewer are asked for: they have most of the probability, and so the
/// log-sum-exp is nearly exact where it matters.
const SCORED: usize = 128;

/// An item that may be among the best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::score) struct Candidate {
    pub(in crate::score) id: u32,
    /// By narrow vectors.
    pub(in crate::score) score: f32,
    /// What it scores at most.
    pub(in crate::score) most: f32,
    /// What its score was thought to be wrong by in the sum.
    pub(in crate::score) slack: f64,
}

/// The exact scores of candidates.
pub(in crate::score) fn all_of(
    level: Chosen,
    query: &Query<'_>,
    candidates: &[Candidate],
    table: &Table<'_>,
) -> Vec<f32> {
    let ids: Vec<u32> = candidates.iter().map(|candidate| candidate.id).collect();
    let mut scores = Vec::with_capacity(ids.len());
    Listed::default().score(level, query, &ids, table, |_, score| scores.push(score));
    scores
}

/// The best of candidates by their exact scores, best first, ties by id.
pub(in crate::score) fn best_of(k: usize, candidates: &[Candidate], exact: &[f32]) -> (Vec<f32>, Vec<u32>) {
    let mut best = Best::new(k);
    candidates.iter().zip(exact).for_each(|(candidate, &score)| best.offer(score, candidate.id));
    best.sorted().into_iter().unzip()
}

/// What may be among the best of a query, in the order of the items.
struct Shortlist {
    candidates: Vec<Candidate>,
    sum: Bounded,
    /// Items of the catalogue.
    items: usize,
}

impl Shortlist {
    /// None where exact scores of all items are the better answer: so many items are so alike that most are candidates; too
    /// few have a finite score; or the log-sum-exp cannot be told from the narrow scores.
    fn rank(mut self, query: &Query<'_>, table: &Table<'_>) -> Option<Ranked> {
        if self.candidates.len() > (wanted(query) * 8).max(self.items / 16) {
            return None;
        }
        let exact = all_of(Chosen::now(), query, &self.candidates, table);
        let (scores, ids) = best_of(query.k, &self.candidates, &exact);
        // Items without a finite score fill a list that is short of others; they are not searched here.
        let is_whole = ids.len() >= query.k && scores.iter().all(|score| score.is_finite());
        for (candidate, &exact) in self.candidates.iter().zip(&exact) {
            self.sum.replace(candidate, exact);
        }
        let (log_sum_exp, slack) = (self.sum.value(), self.sum.slack());
        let eligible = query.eligible.count(self.items);
        let answer = Ranked { ids, scores, log_sum_exp, slack, eligible };
        (is_whole && log_sum_exp.is_finite() && slack < MOST_SLACK).then_some(answer)
    }
}

/// From so much on a bound on a log-sum-exp says nothing.
const MOST_SLACK: f64 = 1.0;

/// A log-sum-exp of narrow scores, and that of the most they may stand for.
#[derive(Clone, Copy)]
pub(in crate::score) struct Bounded {
    narrow: LogSumExp,
    high: LogSumExp,
    /// What is known exactly, and what it was thought to add to either sum.
    exact: LogSumExp,
    replaced: [LogSumExp; 2],
}

impl Bounded {
    pub(in crate::score) const fn new() -> Bounded {
        let nothing = LogSumExp::new();
        Bounded { narrow: nothing, high: nothing, exact: nothing, replaced: [nothing; 2] }
    }

    /// Takes in scores that are wrong by at most `slack`.
    pub(in crate::score) fn push(&mut self, scores: &[f32], slack: f64) {
        self.push_before(scores, slack, &mut Lines::none());
    }

    /// The same, while what is read next comes from memory.
    fn push_before(&mut self, scores: &[f32], slack: f64, next: &mut Lines) {
        let mut sum = LogSumExp::new();
        sum.push_before(scores, next);
        self.narrow.merge(&sum);
        self.high.merge(&sum.raised(up(slack)));
    }

    fn merge(&mut self, other: &Bounded) {
        self.narrow.merge(&other.narrow);
        self.high.merge(&other.high);
    }

    /// Takes an exact score instead of the narrow one of the same item.
    pub(in crate::score) fn replace(&mut self, candidate: &Candidate, exact: f32) {
        self.exact.push(&[exact]);
        self.replaced[0].push(&[candidate.score]);
        let mut one = LogSumExp::new();
        one.push(&[candidate.score]);
        self.replaced[1].merge(&one.raised((candidate.slack as f32).next_down()));
    }

    pub(in crate::score) fn value(&self) -> f64 {
        joined(less(self.narrow.value(), self.replaced[0].value()), self.exact.value())
    }

    /// How far the value may be from that of exact scores, but for the rounding of the sum itself. What scores that are as
    /// much too high take away is less: `E e^b · E e^-b ≥ 1`.
    pub(in crate::score) fn slack(&self) -> f64 {
        // What is left of a difference is known to a millionth of what it was taken from.
        let known = |all: f64| all + 1e-6f64.ln();
        let left = joined(less(self.high.value(), self.replaced[1].value()), known(self.high.value()));
        let (high, value) = (joined(left, self.exact.value()), self.value());
        let rounding = (known(self.narrow.value()) - value).exp();
        if high == f64::NEG_INFINITY { 0.0 } else { high - value + rounding }
    }
}

/// `ln(e^a + e^b)`.
pub(in crate::score) fn joined(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln(e^a - e^b)`, or that of nothing.
pub(in crate::score) fn less(a: f64, b: f64) -> f64 {
    if b == f64::NEG_INFINITY {
        a
    } else if b < a {
        a + (-(b - a).exp()).ln_1p()
    } else {
        f64::NEG_INFINITY
    }
}

/// What is known of a query so far.
struct State {
    /// The best scores that items have at least.
    least: Best,
    candidates: Vec<Candidate>,
    sum: Bounded,
    /// Room for the places in a tile of what may be a candidate.
    hits: Vec<usize>,
}

/// How many of the best must be among the candidates.
pub(in crate::score) fn wanted(query: &Query<'_>) -> usize {
    query.k.max(SCORED)
}

impl State {
    fn new(query: &Query<'_>) -> State {
        State {
            least: Best::new(wanted(query)),
            candidates: Vec::new(),
            sum: Bounded::new(),
            hits: Vec::new(),
        }
    }
}

fn shortlists(queries: &[(&Query<'_>, &Asked<'_>)], narrow: &Narrow, parallel: bool) -> Vec<Shortlist> {
    let level = Chosen::now();
    // The best lower bounds of all blocks that are done. Their last one never exceeds that of all items, so who reads it
    // when moves no bit: it is what the candidates are sorted out by in the end.
    let least: Vec<Mutex<Best>> =
        queries.iter().map(|(query, _)| Mutex::new(Best::new(wanted(query)))).collect();
    let mut merged: Vec<(Vec<Candidate>, Bounded)> =
        queries.iter().map(|_| (Vec::new(), Bounded::new())).collect();
    let blocks = if queries.is_empty() { 0 } else { narrow.items.div_ceil(BLOCK) };
    let one = |room: &mut Room, b| search(level, queries, narrow, b, &least, room);
    in_waves(blocks, parallel, one, |found: Vec<Found>| {
        for ((candidates, sum), found) in merged.iter_mut().zip(found) {
            sum.merge(&found.sum);
            candidates.extend(found.candidates);
        }
    });
    let list = |((mut candidates, sum), least): ((Vec<Candidate>, Bounded), &Mutex<Best>)| {
        let bar = held(least).settled();
        // Blocks come in order, and each gives its candidates in order.
        candidates.retain(|candidate| candidate.most >= bar);
        Shortlist { candidates, sum, items: narrow.items }
    };
    merged.into_iter().zip(&least).map(list).collect()
}

/// Nothing panics while it holds one; a best that somebody left is as good as any.
fn held(least: &Mutex<Best>) -> MutexGuard<'_, Best> {
    least.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Buffers of one thread's searches.
#[derive(Default)]
struct Room {
    /// `(queries, TILE)`.
    scores: Vec<f32>,
    spare: Packed,
}

/// What a block holds for one query.
struct Found {
    candidates: Vec<Candidate>,
    sum: Bounded,
}

/// Block `b`. What lies below a query's bar need not be found, and the block raises the bar by what it finds.
fn search(
    level: Chosen,
    queries: &[(&Query<'_>, &Asked<'_>)],
    narrow: &Narrow,
    b: usize,
    least: &[Mutex<Best>],
    room: &mut Room,
) -> Vec<Found> {
    let end = ((b + 1) * BLOCK).min(narrow.items);
    let mut states: Vec<State> = queries.iter().map(|(query, _)| State::new(query)).collect();
    states.iter_mut().zip(least).for_each(|(state, least)| state.least.raise(held(least).settled()));
    let Room { scores: room, spare } = room;
    room.resize(room.len().max(queries.len().min(QUERIES) * TILE), 0.0);
    for from in (b * BLOCK..end).step_by(TILE) {
        let tile = from..(from + TILE).min(end);
        let mut next = narrow.ahead(level, tile.end);
        for (queries, states) in queries.chunks(QUERIES).zip(states.chunks_mut(QUERIES)) {
            let asked: Vec<&Asked<'_>> = queries.iter().map(|(_, asked)| *asked).collect();
            narrow.scores(level, &asked, tile.clone(), room, TILE, spare);
            for (((query, asked), state), scores) in queries.iter().zip(states).zip(room.chunks_mut(TILE)) {
                let scores = &mut scores[..tile.len()];
                let rounding = offset(level, query, from, scores);
                exclude(scores, &query.eligible, &tile);
                let farthest = narrow.reach_of_tile[from / TILE];
                let reach =
                    Reach { length: asked.length, rounding, of: &narrow.reach[tile.clone()], farthest };
                examine(level, scores, from, &reach, &mut next, state);
            }
        }
    }
    let found = states.into_iter().zip(least).map(|(mut state, least)| {
        let mut least = held(least);
        state.least.sorted().into_iter().for_each(|(score, id)| least.offer(score, id));
        let bar = least.settled();
        state.candidates.retain(|candidate| candidate.most >= bar);
        Found { candidates: state.candidates, sum: state.sum }
    });
    found.collect()
}

/// Adds a query's offsets, and says what their rounding may move between narrow scores and exact ones.
fn offset(level: Chosen, query: &Query<'_>, from: usize, scores: &mut [f32]) -> f64 {
    let mut rounding = 1e-30;
    for offset in query.offsets {
        add(level, &offset.of[from..from + scores.len()], offset.weight, scores);
        let largest = scores.iter().fold(0f32, |most, score| most.max(score.abs()));
        // What leaves the range of an f32 here may not do so there.
        let is_known = largest < 1e30 && !scores.iter().any(|score| score.is_nan());
        rounding += if is_known { f64::from(largest) * 2.5e-7 } else { f64::INFINITY };
    }
    tidy(level, scores);
    rounding
}

/// Scores that are passed over together where none of them reaches the floor.
pub(in crate::score) const RUN: usize = 64;

/// A score below this, wrong by at most `slack`, stands for none that reaches the bar, however that is rounded. It is finite,
/// so that no score of nothing reaches it.
pub(in crate::score) fn floor(bar: f32, slack: f64) -> f32 {
    (-up(slack - f64::from(bar.next_down()))).max(f32::MIN)
}

/// How far each score of a tile may be from the exact one.
struct Reach<'a> {
    length: f64,
    rounding: f64,
    of: &'a [f32],
    /// The largest of them.
    farthest: f32,
}

impl Reach<'_> {
    fn at(&self, i: usize) -> f64 {
        self.with(self.of[i])
    }

    fn with(&self, reach: f32) -> f64 {
        self.length * f64::from(reach) + self.rounding
    }
}

/// Takes a tile's scores into what is known of a query, while memory brings what is read next.
fn examine(
    level: Chosen,
    scores: &[f32],
    from: usize,
    reach: &Reach<'_>,
    next: &mut Lines,
    state: &mut State,
) {
    let slack = reach.with(reach.farthest);
    let floor = floor(state.least.bar(), slack);
    let State { least, candidates, sum, hits } = state;
    hits.clear();
    for (i, part) in scores.chunks(RUN).enumerate().filter(|(_, part)| largest(level, part) >= floor) {
        let found = part.iter().enumerate().filter(|(_, score)| **score >= floor);
        hits.extend(found.map(|(j, _)| i * RUN + j));
    }
    hits.iter().for_each(|&at| fetch::soon(&reach.of[at]));
    sum.push_before(scores, slack, next);
    for &at in &*hits {
        let (id, score, off) = ((from + at) as u32, scores[at], reach.at(at));
        let most = up(f64::from(score) + off);
        if most >= least.bar() {
            candidates.push(Candidate { id, score, most, slack });
            let lowest = -up(off - f64::from(score));
            if lowest > least.bar() {
                least.offer(lowest, id);
            }
        }
    }
}
