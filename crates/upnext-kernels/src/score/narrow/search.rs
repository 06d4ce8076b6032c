//! Candidates by narrow scores, then the best of them by exact ones.

use super::{Asked, Narrow, TILE, up};
use crate::level::Chosen;
use crate::score::best::{Bar, Best};
use crate::score::block::{BLOCK, QUERIES, add, any_above, exclude, tidy};
use crate::score::listed::best_of;
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
        let answer = asked.as_ref().and_then(|_| lists.next()).and_then(|list| {
            let (scores, ids): (Vec<f32>, Vec<u32>) =
                best_of(level, query, &list.ids, table).into_iter().unzip();
            // Items without a finite score fill a list that is short of others; they are not searched here.
            let is_whole = ids.len() >= query.k && scores.iter().all(|score| score.is_finite());
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

/// What may be among the best of a query.
struct Shortlist {
    /// Ascending.
    ids: Vec<u32>,
    sum: Bounded,
}

/// A log-sum-exp of narrow scores, and that of the most they may stand for.
#[derive(Clone, Copy)]
pub(in crate::score) struct Bounded {
    narrow: LogSumExp,
    high: LogSumExp,
}

impl Bounded {
    pub(in crate::score) const fn new() -> Bounded {
        Bounded { narrow: LogSumExp::new(), high: LogSumExp::new() }
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

    pub(in crate::score) fn value(&self) -> f64 {
        self.narrow.value()
    }

    /// How far the value may be from that of exact scores, but for the rounding of the sum itself. What scores that are as
    /// much too high take away is less: `E e^b · E e^-b ≥ 1`.
    pub(in crate::score) fn slack(&self) -> f64 {
        let high = self.high.value();
        if high == f64::NEG_INFINITY { 0.0 } else { high - self.narrow.value() }
    }
}

/// What is known of a query so far.
struct State {
    /// The best scores that items have at least.
    least: Best,
    /// Items, each with the score that it has at most.
    candidates: Vec<(f32, u32)>,
    sum: Bounded,
}

impl State {
    fn new(k: usize) -> State {
        State { least: Best::new(k), candidates: Vec::new(), sum: Bounded::new() }
    }
}

fn shortlists(queries: &[(&Query<'_>, &Asked<'_>)], narrow: &Narrow, parallel: bool) -> Vec<Shortlist> {
    let level = Chosen::now();
    let bars: Vec<Bar> = queries.iter().map(|_| Bar::new()).collect();
    let mut merged: Vec<State> = queries.iter().map(|(query, _)| State::new(query.k)).collect();
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
        let bar = if least.len() == query.k { least.last().map(|last| last.0) } else { None };
        let needed = |candidate: &(f32, u32)| bar.is_none_or(|bar| candidate.0 >= bar);
        // Blocks come in order, and each gives its candidates in order.
        let ids = state.candidates.into_iter().filter(needed).map(|(_, id)| id).collect();
        Shortlist { ids, sum: state.sum }
    };
    merged.into_iter().zip(queries).map(list).collect()
}

/// What a block holds for one query.
struct Found {
    least: Vec<(f32, u32)>,
    candidates: Vec<(f32, u32)>,
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
    let mut states: Vec<State> = queries.iter().map(|(query, _)| State::new(query.k)).collect();
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
        let last = least.last().filter(|_| least.len() == query.k).map_or(known, |last| last.0.max(known));
        if least.len() == query.k {
            bar.raise(last);
        }
        state.candidates.retain(|&(score, _)| score >= last);
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
            let (at, score) = (i * 64 + j, f64::from(score));
            let id = (from + at) as u32;
            let most = up(score + reach.at(at));
            if f64::from(most) >= f64::from(state.least.bar()) {
                state.candidates.push((most, id));
                let least = -up(reach.at(at) - score);
                if least > state.least.bar() {
                    state.least.offer(least, id);
                }
            }
        }
    }
}
