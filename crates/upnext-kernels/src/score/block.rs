//! One block of items: scored in tiles that stay in cache, searched for each query.

use super::listed::Listed;
use super::{Bar, Best, Eligible, Query, Table};
use crate::lane;
use crate::level::{Chosen, simd};
use crate::product::Packed;
use crate::softmax::LogSumExp;
use crate::{Rows, RowsMut};
use std::ops::Range;

/// Items that one thread searches at a time.
pub(super) const BLOCK: usize = 8192;
/// Items whose scores are held at once; also the unit of the log-sum-exp.
const TILE: usize = 1024;
/// Queries whose scores are held at once.
pub(super) const QUERIES: usize = 32;

/// What a block holds for one query.
pub(super) struct Found {
    /// The block's best, best first.
    pub(super) best: Vec<(f32, u32)>,
    pub(super) sum: LogSumExp,
}

/// Block `b`. Items below a query's bar need not be found, and the block raises the bar by what it finds.
pub(super) fn search(
    level: Chosen,
    queries: &[Query<'_>],
    table: &Table<'_>,
    b: usize,
    bars: &[Bar],
    room: &mut Room,
) -> Vec<Found> {
    let end = ((b + 1) * BLOCK).min(table.items());
    let mut state: Vec<(Best, LogSumExp)> =
        queries.iter().map(|q| (Best::new(q.k), LogSumExp::new())).collect();
    state.iter_mut().zip(bars).for_each(|((best, _), bar)| best.raise(bar.get()));
    for from in (b * BLOCK..end).step_by(TILE) {
        let tile = from..(from + TILE).min(end);
        let (few, most): (Vec<usize>, Vec<usize>) = (0..queries.len()).partition(|&q| {
            let Eligible::Only(list) = queries[q].eligible else { return false };
            within(list, &tile).len() * 8 < tile.len()
        });
        for some in most.chunks(QUERIES) {
            room.score_all(level, queries, some, table, &tile);
            for (i, &q) in some.iter().enumerate() {
                exclude(&mut room.scores[i * TILE..][..tile.len()], &queries[q].eligible, &tile);
                examine(level, &room.scores[i * TILE..][..tile.len()], &queries[q], &tile, &mut state[q]);
            }
        }
        for q in few {
            let Eligible::Only(list) = queries[q].eligible else { continue };
            let some = within(list, &tile);
            if !some.is_empty() {
                room.score_few(level, &queries[q], some, table, &tile);
                examine(level, &room.scores[..tile.len()], &queries[q], &tile, &mut state[q]);
            }
        }
    }
    let found = state.into_iter().zip(bars).zip(queries).map(|(((best, sum), bar), query)| {
        let best = best.sorted();
        if let (true, Some(&(last, _))) = (best.len() == query.k, best.last()) {
            bar.raise(last);
        }
        Found { best, sum }
    });
    found.collect()
}

/// The part of an ascending list that lies in a range of items.
fn within<'a>(list: &'a [u32], items: &Range<usize>) -> &'a [u32] {
    let until = |end: usize| list.partition_point(|&id| (id as usize) < end);
    &list[until(items.start)..until(items.end)]
}

/// Buffers of one thread's searches.
#[derive(Default)]
pub(super) struct Room {
    /// `(queries, TILE)`.
    scores: Vec<f32>,
    /// `(queries, r)`.
    vectors: Vec<f32>,
    packed: Packed,
    listed: Listed,
}

impl Room {
    /// Scores of `some` queries for all items of a tile, finite or negative infinity.
    fn score_all(
        &mut self,
        level: Chosen,
        queries: &[Query<'_>],
        some: &[usize],
        table: &Table<'_>,
        tile: &Range<usize>,
    ) {
        self.vectors.clear();
        some.iter().for_each(|&q| self.vectors.extend_from_slice(queries[q].vector));
        if self.scores.len() < some.len() * TILE {
            self.scores.resize(some.len() * TILE, 0.0);
        }
        let vectors = Rows::new(&self.vectors, some.len(), table.rank());
        let out = RowsMut::strided(&mut self.scores, some.len(), tile.len(), TILE);
        table.multiply(level, vectors, tile.start, out, &mut self.packed);
        for (row, &q) in self.scores.chunks_exact_mut(TILE).zip(some) {
            let row = &mut row[..tile.len()];
            for offset in queries[q].offsets {
                add(level, &offset.of[tile.clone()], offset.weight, row);
            }
            tidy(level, row);
        }
    }

    /// Scores of one query for a few items of a tile, negative infinity elsewhere. The bits are those of all items.
    fn score_few(
        &mut self,
        level: Chosen,
        query: &Query<'_>,
        some: &[u32],
        table: &Table<'_>,
        tile: &Range<usize>,
    ) {
        if self.scores.len() < TILE {
            self.scores.resize(TILE, 0.0);
        }
        let scores = &mut self.scores;
        scores[..tile.len()].fill(f32::NEG_INFINITY);
        self.listed.score(level, query, some, table, |id, score| scores[id as usize - tile.start] = score);
    }
}

/// Sets the scores of ineligible items to negative infinity.
pub(super) fn exclude(scores: &mut [f32], eligible: &Eligible<'_>, tile: &Range<usize>) {
    let place = |id: u32| id as usize - tile.start;
    match eligible {
        Eligible::AllBut(list) => {
            within(list, tile).iter().for_each(|&id| scores[place(id)] = f32::NEG_INFINITY);
        }
        Eligible::Only(list) => {
            let mut next = 0;
            for &id in within(list, tile) {
                scores[next..place(id)].fill(f32::NEG_INFINITY);
                next = place(id) + 1;
            }
            scores[next..].fill(f32::NEG_INFINITY);
        }
    }
}

/// Takes a tile's scores into a query's best and its sum.
fn examine(
    level: Chosen,
    scores: &[f32],
    query: &Query<'_>,
    tile: &Range<usize>,
    (best, sum): &mut (Best, LogSumExp),
) {
    sum.push(scores);
    for (i, part) in scores.chunks(64).enumerate() {
        if largest(level, part) <= best.bar() {
            continue;
        }
        for (j, &score) in part.iter().enumerate() {
            if score > best.bar() {
                best.offer(score, (tile.start + i * 64 + j) as u32);
            }
        }
    }
    if best.bar() == f32::NEG_INFINITY && best.len() < query.k {
        let poor = (0..scores.len()).filter(|&i| scores[i] == f32::NEG_INFINITY);
        for id in poor.map(|i| (tile.start + i) as u32).filter(|id| is_eligible(&query.eligible, *id)) {
            if best.len() >= query.k {
                break;
            }
            best.offer(f32::NEG_INFINITY, id);
        }
    }
}

fn is_eligible(eligible: &Eligible<'_>, id: u32) -> bool {
    match eligible {
        Eligible::AllBut(list) => list.binary_search(&id).is_err(),
        Eligible::Only(list) => list.binary_search(&id).is_ok(),
    }
}

simd! {
    /// Adds `weight` times a number to each score.
    pub(super) fn add(of: &[f32], weight: f32, scores: &mut [f32]) {
        for (score, of) in scores.iter_mut().zip(of) {
            *score = of.mul_add(weight, *score);
        }
    }
}

simd! {
    /// What is not finite becomes negative infinity, and negative zero becomes zero.
    pub(super) fn tidy(scores: &mut [f32]) {
        for score in scores {
            *score = if score.abs() < f32::INFINITY { *score + 0.0 } else { f32::NEG_INFINITY };
        }
    }
}

simd! {
    /// The largest score; negative infinity for none.
    pub(super) fn largest(scores: &[f32]) -> f32 {
        lane::max(scores)
    }
}
