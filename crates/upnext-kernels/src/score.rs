//! Scores of whole catalogues: the best items of each query and the log-sum-exp over all that are eligible.
//!
//! Items pass by in fixed blocks and no `(queries, items)` matrix is kept. A score is one chain of fused
//! multiply-adds over the rank; blocks are merged in order; so a result has the same bits whether the query comes
//! alone or among others, on one thread or many, from rows or from packed vectors. Letters: b queries · i items ·
//! r rank · k list length.

mod best;
mod block;
mod clusters;
mod listed;
mod narrow;

use crate::level::Chosen;
use crate::product::{Packed, Write, multiply_at};
use crate::softmax::LogSumExp;
use crate::tile::PANEL;
use crate::{Rows, RowsMut};
use best::{Bar, Best};
use block::{BLOCK, Found, Room, search};
use rayon::prelude::*;

pub use clusters::{Clusters, Homes, Plan, Probe, rank_clusters};
pub use narrow::{Narrow, Precision, rank_narrow};

/// Blocks whose findings are held at once, before they are merged.
const WAVE: usize = 1024;

/// Item vectors `(i, r)`.
#[derive(Clone, Copy, Debug)]
pub enum Table<'a> {
    /// Row-major; a tile is packed when its turn comes.
    Rows {
        /// `(i, r)`.
        data: &'a [f32],
        /// r.
        rank: usize,
    },
    /// Packed beforehand by [`Packed::transposed`].
    Packed(&'a Packed),
}

impl Table<'_> {
    /// i.
    pub fn items(&self) -> usize {
        match self {
            Table::Rows { data, rank } => data.len().checked_div(*rank).unwrap_or(0),
            Table::Packed(packed) => packed.cols(),
        }
    }

    /// r.
    pub fn rank(&self) -> usize {
        match self {
            Table::Rows { rank, .. } => *rank,
            Table::Packed(packed) => packed.inner(),
        }
    }

    /// Copies an item's vector.
    fn vector(&self, item: u32, out: &mut [f32]) {
        match self {
            Table::Rows { data, rank } => out.copy_from_slice(&data[item as usize * rank..][..*rank]),
            Table::Packed(packed) => packed.column(item as usize, out),
        }
    }

    /// `out (b, to - from) = queries · vᵀ` for the items from a multiple of 32 on; `spare` is room to pack rows.
    fn multiply(
        &self,
        level: Chosen,
        queries: Rows<'_>,
        from: usize,
        mut out: RowsMut<'_>,
        spare: &mut Packed,
    ) {
        let to = from + out.cols();
        match self {
            Table::Packed(packed) => multiply_at(level, queries, packed, from..to, out, Write::Set),
            Table::Rows { data, rank } => {
                for start in (from..to).step_by(PANEL * 8) {
                    let count = (to - start).min(PANEL * 8);
                    spare.repack_transposed(&data[start * rank..(start + count) * rank], count, *rank);
                    let (now, later) = out.split_columns(count);
                    multiply_at(level, queries, spare, 0..count, now, Write::Set);
                    out = later;
                }
            }
        }
    }

    fn check(&self, rank: usize) {
        assert!(rank == self.rank(), "queries of rank {rank} against items of rank {}", self.rank());
        if let Table::Rows { data, rank } = self {
            assert!(*rank > 0 && data.len().is_multiple_of(*rank), "{} floats in rows of {rank}", data.len());
        }
        assert!(u32::try_from(self.items()).is_ok(), "{} items", self.items());
    }
}

/// The items that a query may be answered with.
#[derive(Clone, Copy, Debug)]
pub enum Eligible<'a> {
    /// All items but these, ascending.
    AllBut(&'a [u32]),
    /// These items, ascending.
    Only(&'a [u32]),
}

impl Eligible<'_> {
    /// How many of so many items.
    fn count(&self, items: usize) -> usize {
        match self {
            Eligible::AllBut(list) => items - list.len(),
            Eligible::Only(list) => list.len(),
        }
    }
}

/// A number for every item, and how much of it a query adds to the items' scores.
#[derive(Clone, Copy, Debug)]
pub struct Offset<'a> {
    /// What the numbers are multiplied with.
    pub weight: f32,
    /// `(i)`.
    pub of: &'a [f32],
}

/// A question to [`rank`].
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// `(r)`: what item vectors are multiplied with.
    pub vector: &'a [f32],
    /// What is added to the products, one after the other.
    pub offsets: &'a [Offset<'a>],
    /// Which items count.
    pub eligible: Eligible<'a>,
    /// How many items are asked for.
    pub k: usize,
}

/// The answer of [`rank`] to one query.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The best items, best first, ties by id; fewer than asked for when fewer are eligible.
    pub ids: Vec<u32>,
    /// Their scores; negative infinity for a score that was not finite.
    pub scores: Vec<f32>,
    /// `ln Σ exp(score)` over all eligible items with a finite score; negative infinity for none.
    pub log_sum_exp: f64,
    /// By how much `log_sum_exp` may be wrong, besides its own rounding; 0 where all scores are exact.
    pub slack: f64,
    /// How many items were eligible.
    pub eligible: usize,
}

/// The `k` best eligible items of each query, and the log-sum-exp of all eligible ones.
///
/// A score that is not finite counts as negative infinity: such an item comes after every item with a finite score,
/// by id, and adds nothing to the log-sum-exp. With `parallel`, rayon's threads share the blocks of items.
///
/// # Panics
/// When ranks disagree, an offset is not one number an item, or a list of items is not strictly ascending within the
/// catalogue.
pub fn rank(queries: &[Query<'_>], table: &Table<'_>, parallel: bool) -> Vec<Ranked> {
    check(queries, table);
    let level = Chosen::now();
    let bars: Vec<Bar> = queries.iter().map(|_| Bar::new()).collect();
    let mut merged: Vec<(Best, LogSumExp)> =
        queries.iter().map(|q| (Best::new(q.k), LogSumExp::new())).collect();
    let one = |room: &mut Room, b| search(level, queries, table, b, &bars, room);
    in_waves(table.items().div_ceil(BLOCK), parallel, one, |found: Vec<Found>| {
        for ((best, sum), found) in merged.iter_mut().zip(found) {
            sum.merge(&found.sum);
            found.best.into_iter().for_each(|(score, id)| best.offer(score, id));
        }
    });
    let answer = |((best, sum), query): ((Best, LogSumExp), &Query<'_>)| {
        let (scores, ids) = best.sorted().into_iter().unzip();
        let eligible = query.eligible.count(table.items());
        Ranked { ids, scores, log_sum_exp: sum.value(), slack: 0.0, eligible }
    };
    merged.into_iter().zip(queries).map(answer).collect()
}

fn check(queries: &[Query<'_>], table: &Table<'_>) {
    for query in queries {
        table.check(query.vector.len());
        query
            .offsets
            .iter()
            .for_each(|offset| assert_eq!(offset.of.len(), table.items(), "items of an offset"));
        let (Eligible::AllBut(list) | Eligible::Only(list)) = query.eligible;
        assert!(list.is_sorted_by(|a, b| a < b), "the items of a query are not ascending");
        assert!(list.last().is_none_or(|&last| (last as usize) < table.items()), "no item {:?}", list.last());
    }
}

/// Does blocks and takes what each found, in their order; with `parallel`, rayon's threads share them.
fn in_waves<R: Default + Send, T: Send>(
    blocks: usize,
    parallel: bool,
    one: impl Fn(&mut R, usize) -> T + Sync,
    mut take: impl FnMut(T),
) {
    let mut room = R::default();
    for wave in (0..blocks).step_by(WAVE) {
        let range = wave..(wave + WAVE).min(blocks);
        if parallel && range.len() > 1 {
            let found: Vec<T> = range.into_par_iter().map_init(R::default, &one).collect();
            found.into_iter().for_each(&mut take);
        } else {
            range.for_each(|b| take(one(&mut room, b)));
        }
    }
}

/// Adds an offset to the scores `(i)` of one query, as [`rank`] does.
///
/// # Panics
/// When there are not as many scores as numbers.
pub fn add_offset(offset: Offset<'_>, scores: &mut [f32]) {
    assert_eq!(offset.of.len(), scores.len(), "items of an offset");
    block::add(Chosen::now(), offset.of, offset.weight, scores);
}

/// All scores: `out (b, i) = queries (b, r) · vᵀ`. With `parallel`, rayon's threads share the blocks of items.
///
/// # Panics
/// When shapes disagree.
pub fn scores(queries: Rows<'_>, table: &Table<'_>, out: &mut [f32], parallel: bool) {
    table.check(queries.cols());
    let (level, items) = (Chosen::now(), table.items());
    let (mut rest, mut blocks) = (RowsMut::new(out, queries.rows(), items), Vec::new());
    for from in (0..items).step_by(BLOCK) {
        let (block, right) = rest.split_columns((items - from).min(BLOCK));
        blocks.push((from, block));
        rest = right;
    }
    let one = |(from, block): (usize, RowsMut<'_>)| {
        table.multiply(level, queries, from, block, &mut Packed::default());
    };
    if parallel { blocks.into_par_iter().for_each(one) } else { blocks.into_iter().for_each(one) }
}

#[cfg(test)]
mod tests;
