//! Candidates by narrow scores, then the best of them by exact ones.

use super::{Asked, Narrow, TILE, up};
use crate::level::Chosen;
use crate::score::best::{Bar, Best};
use crate::score::block::{BLOCK, QUERIES, add, any_above, exclude, tidy};
use crate::score::listed::Listed;
use crate::score::{Query, Ranked, Table, check, in_waves, rank};
use crate::softmax::LogSumExp;

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
    let asked: Vec<Option<Asked<'_>>> =
        queries.iter().map(|query| ask(query, narrow, table.items())).collect();
    let helped: Vec<(&Query<'_>, &Asked<'_>)> =
        queries.iter().zip(&asked).filter_map(|(query, asked)| Some((query, asked.as_ref()?))).collect();
    let mut lists = shortlists(&helped, narrow, parallel).into_iter();
    let mut answers: Vec<Option<Ranked>> = Vec::with_capacity(queries.len());
    let level = Chosen::now();
    for (query, asked) in queries.iter().zip(&asked) {
        let answer = asked.as_ref().and_then(|_| lists.next()).and_then(|mut list| {
            let exact = all_of(level, query, &list.candidates, table);
            let (scores, ids) = best_of(query.k, &list.candidates, &exact);
            // Items without a finite score fill a list that is short of others; they are not searched here.
            let is_whole = ids.len() >= query.k && scores.iter().all(|score| score.is_finite());
            list.candidates
                .iter()
                .zip(&exact)
                .for_each(|(candidate, &exact)| list.sum.replace(candidate, exact));
            let (log_sum_exp, slack) = (list.sum.value(), list.sum.slack());
            let eligible = query.eligible.count(table.items());
            is_whole.then_some(Ranked { ids, scores, log_sum_exp, slack, is_certain: true, eligible })
        });
        answers.push(answer);
    }
    let left: Vec<Query<'_>> = queries
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.is_none())
        .map(|(query, _)| *query)
        .collect();
    let mut exact = rank(&left, table, parallel).into_iter();
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
}

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
        let mut sum = LogSumExp::new();
        sum.push(scores);
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
        // No more is taken off than was put on, whatever was rounded.
        self.replaced[1].merge(&one.raised((candidate.slack as f32).next_down()));
    }

    pub(in crate::score) fn value(&self) -> f64 {
        joined(less(self.narrow.value(), self.replaced[0].value()), self.exact.value())
    }

    /// How far the value may be from that of exact scores, but for the rounding of the sum itself. What scores that are as
    /// much too high take away is less: `E e^b · E e^-b ≥ 1`.
    pub(in crate::score) fn slack(&self) -> f64 {
        let high = joined(less(self.high.value(), self.replaced[1].value()), self.exact.value());
        if high == f64::NEG_INFINITY { 0.0 } else { (high - self.value()).max(0.0) }
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
}

/// How many of the best must be among the candidates.
pub(in crate::score) fn wanted(query: &Query<'_>) -> usize {
    query.k.max(SCORED)
}

impl State {
    fn new(query: &Query<'_>) -> State {
        State { least: Best::new(wanted(query)), candidates: Vec::new(), sum: Bounded::new() }
    }
}

fn shortlists(queries: &[(&Query<'_>, &Asked<'_>)], narrow: &Narrow, parallel: bool) -> Vec<Shortlist> {
    let level = Chosen::now();
    let bars: Vec<Bar> = queries.iter().map(|_| Bar::new()).collect();
    let mut merged: Vec<State> = queries.iter().map(|(query, _)| State::new(query)).collect();
    let blocks = if queries.is_empty() { 0 } else { narrow.items.div_ceil(BLOCK) };
    let one = |room: &mut Vec<f32>, b| search(level, queries, narrow, b, &bars, room);
    in_waves(blocks, parallel, one, |found: Vec<Found>| {
        for (state, found) in merged.iter_mut().zip(found) {
            state.sum.merge(&found.sum);
            found.least.into_iter().for_each(|(score, id)| state.least.offer(score, id));
            state.candidates.extend(found.candidates);
        }
    });
    let list = |(state, (query, _)): (State, &(&Query<'_>, &Asked<'_>))| {
        let least = state.least.sorted();
        let bar = if least.len() == wanted(query) { least.last().map(|last| last.0) } else { None };
        let needed = |candidate: &Candidate| bar.is_none_or(|bar| candidate.most >= bar);
        // Blocks come in order, and each gives its candidates in order.
        Shortlist { candidates: state.candidates.into_iter().filter(needed).collect(), sum: state.sum }
    };
    merged.into_iter().zip(queries).map(list).collect()
}

/// What a block holds for one query.
struct Found {
    least: Vec<(f32, u32)>,
    candidates: Vec<Candidate>,
    sum: Bounded,
}

/// Block `b`. What lies below a query's bar need not be found, and the block raises the bar by what it finds.
fn search(
    level: Chosen,
    queries: &[(&Query<'_>, &Asked<'_>)],
    narrow: &Narrow,
    b: usize,
    bars: &[Bar],
    room: &mut Vec<f32>,
) -> Vec<Found> {
    let end = ((b + 1) * BLOCK).min(narrow.items);
    let mut states: Vec<State> = queries.iter().map(|(query, _)| State::new(query)).collect();
    states.iter_mut().zip(bars).for_each(|(state, bar)| state.least.raise(bar.get()));
    room.resize(room.len().max(queries.len().min(QUERIES) * TILE), 0.0);
    for from in (b * BLOCK..end).step_by(TILE) {
        let tile = from..(from + TILE).min(end);
        for (queries, states) in queries.chunks(QUERIES).zip(states.chunks_mut(QUERIES)) {
            let asked: Vec<&Asked<'_>> = queries.iter().map(|(_, asked)| *asked).collect();
            narrow.scores(level, &asked, tile.clone(), room, TILE);
            for (((query, asked), state), scores) in queries.iter().zip(states).zip(room.chunks_mut(TILE)) {
                let scores = &mut scores[..tile.len()];
                let rounding = offset(level, query, from, scores);
                exclude(scores, &query.eligible, &tile);
                let reach = Reach { length: asked.length, rounding, of: &narrow.reach[tile.clone()] };
                examine(level, scores, from, &reach, narrow.reach_of_tile[from / TILE], state);
            }
        }
    }
    let found = states.into_iter().zip(bars).zip(queries).map(|((mut state, bar), (query, _))| {
        let known = state.least.bar();
        let least = state.least.sorted();
        let last =
            least.last().filter(|_| least.len() == wanted(query)).map_or(known, |last| last.0.max(known));
        if least.len() == wanted(query) {
            bar.raise(last);
        }
        state.candidates.retain(|candidate| candidate.most >= last);
        Found { least, candidates: state.candidates, sum: state.sum }
    });
    found.collect()
}

/// Adds a query's offsets, and says what their rounding may move between narrow scores and exact ones.
fn offset(level: Chosen, query: &Query<'_>, from: usize, scores: &mut [f32]) -> f64 {
    let mut rounding = 1e-30;
    for offset in query.offsets {
        add(level, &offset.of[from..from + scores.len()], offset.weight, scores);
        let largest =
            scores.iter().filter(|score| score.is_finite()).fold(0f32, |most, score| most.max(score.abs()));
        rounding += f64::from(largest) * 2.5e-7;
    }
    tidy(level, scores);
    rounding
}

/// How far each score of a tile may be from the exact one.
struct Reach<'a> {
    length: f64,
    rounding: f64,
    of: &'a [f32],
}

impl Reach<'_> {
    fn at(&self, i: usize) -> f64 {
        self.with(self.of[i])
    }

    fn with(&self, reach: f32) -> f64 {
        self.length * f64::from(reach) + self.rounding
    }
}

/// Takes a tile's scores into what is known of a query.
fn examine(level: Chosen, scores: &[f32], from: usize, reach: &Reach<'_>, farthest: f32, state: &mut State) {
    let slack = reach.with(farthest);
    state.sum.push(scores, slack);
    for (i, part) in scores.chunks(64).enumerate() {
        let bar = f64::from(state.least.bar());
        // The next f32 below what could matter, so that rounding loses nothing.
        if bar > f64::NEG_INFINITY && !any_above(level, part, ((bar - slack) as f32).next_down().next_down())
        {
            continue;
        }
        for (j, &score) in part.iter().enumerate().filter(|(_, score)| **score > f32::NEG_INFINITY) {
            let (at, off) = (i * 64 + j, reach.at(i * 64 + j));
            let id = (from + at) as u32;
            let most = up(f64::from(score) + off);
            if most >= state.least.bar() {
                state.candidates.push(Candidate { id, score, most, slack });
                let least = -up(off - f64::from(score));
                if least > state.least.bar() {
                    state.least.offer(least, id);
                }
            }
        }
    }
}
