//! Item vectors in fewer bytes, with a bound on what that can move.
//!
//! Scoring a large catalogue waits for memory, so that fewer bytes are less time. The narrow scores choose candidates;
//! these are scored again from the vectors themselves. Each item has a reach `b`: its exact score differs from the narrow
//! one by at most `‖query‖ b`, after Cauchy and Schwarz, all roundings of both counted. Whatever may be among the best is
//! therefore a candidate, and the best have the ids and the bits of [`super::rank`].

mod int8;
mod search;

use super::Table;
use crate::fetch::Lines;
use crate::level::{Chosen, simd};
use crate::product::{Packed, Write, multiply_at};
use crate::tile::PANEL;
use crate::{Rows, RowsMut};
use rayon::prelude::*;
use std::ops::Range;

pub use search::rank_narrow;
pub(super) use search::{
    Bounded, Candidate, RUN, all_of, ask, best_of, floor, joined, less, or_exact, wanted,
};

/// Slots whose largest reach is kept: those of a tile of scores.
pub(super) const TILE: usize = 1024;
/// From so many queries on, bf16 vectors are made f32 once for all of them.
const WORTH_WIDENING: usize = 3;
/// Items whose vectors are widened at once: they stay in cache.
const WIDENED: usize = 8 * PANEL;
/// What an f32 rounds by at most, relative to the result, with room for products of several roundings.
const ROUND: f64 = 6.0e-8;

/// In how many bits an item's vector is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// The upper half of each f32, rounded to even: 2 bytes a component.
    Bf16,
    /// Whole numbers from -127 to 127 under a scale for each item: 1 byte a component.
    Int8,
}

/// Narrow item vectors `(i, r)`, in panels of 32 items.
#[derive(Clone, Debug)]
pub struct Narrow {
    items: usize,
    rank: usize,
    codes: Codes,
    /// `(i)`: what `‖query‖` is multiplied with to bound an item's error, rounded up; infinite for a vector that is not
    /// finite.
    reach: Vec<f32>,
    /// The largest reach of each [`TILE`].
    reach_of_tile: Vec<f32>,
    /// The largest length of a vector, rounded up.
    longest: f32,
}

#[derive(Clone, Debug)]
enum Codes {
    /// A panel is `(r, 32)`.
    Bf16(Vec<[u16; PANEL]>),
    /// A panel is `(⌈r / 2⌉, 32, 2)`: two components of one item lie side by side.
    Int8 { pairs: Vec<[i8; 2 * PANEL]>, scales: Vec<[f32; PANEL]> },
}

/// The most that work on panels gives, on rayon's threads or on the caller's.
fn most<P: Send>(panels: Vec<P>, parallel: bool, work: impl Fn(P) -> f64 + Sync) -> f64 {
    match parallel {
        true => panels.into_par_iter().map(&work).reduce(|| 0.0, f64::max),
        false => panels.into_iter().map(work).fold(0.0, f64::max),
    }
}

impl Narrow {
    /// Of a table's items. `parallel` spreads the work over rayon's threads; without it the caller's does all of it.
    ///
    /// # Panics
    /// When a table in rows is not whole rows.
    pub fn of(table: &Table<'_>, precision: Precision, parallel: bool) -> Narrow {
        table.check(table.rank());
        Narrow::gathered(table, precision, parallel, table.items(), |slot| Some(slot as u32))
    }

    /// Of a table's items in another order, some slots being empty.
    pub(super) fn gathered(
        table: &Table<'_>,
        precision: Precision,
        parallel: bool,
        slots: usize,
        item: impl Fn(usize) -> Option<u32> + Sync,
    ) -> Narrow {
        let (rank, panels) = (table.rank(), slots.div_ceil(PANEL));
        let mut reach = vec![[0f32; PANEL]; panels];
        let vector = |slot: usize, out: &mut [f32]| match (slot < slots).then(|| item(slot)).flatten() {
            Some(id) => table.vector(id, out),
            None => out.fill(0.0),
        };
        // A panel with its reach gives back the length of its longest vector.
        let (codes, longest) = match precision {
            Precision::Bf16 => {
                let mut codes = vec![[0u16; PANEL]; panels * rank];
                let work = |(p, (panel, reach)): (usize, (&mut [[u16; PANEL]], &mut [f32; PANEL]))| {
                    each(p, rank, &vector, reach, |at, v| {
                        let narrow = round_to_bf16(v, at, panel);
                        reach_of(v, narrow, rank, 0.0)
                    })
                };
                let panels = codes.chunks_mut(rank.max(1)).zip(&mut reach).enumerate().collect();
                let longest = most(panels, parallel, work);
                (Codes::Bf16(codes), longest)
            }
            Precision::Int8 => {
                let half = rank.div_ceil(2);
                let mut pairs = vec![[0i8; 2 * PANEL]; panels * half];
                let mut scales = vec![[0f32; PANEL]; panels];
                type Panel<'a> = ((&'a mut [[i8; 2 * PANEL]], &'a mut [f32; PANEL]), &'a mut [f32; PANEL]);
                let panels =
                    pairs.chunks_mut(half.max(1)).zip(&mut scales).zip(&mut reach).enumerate().collect();
                let work = |(p, ((panel, scales), reach)): (usize, Panel<'_>)| {
                    each(p, rank, &vector, reach, |at, v| {
                        let narrow;
                        (scales[at], narrow) = int8::encode(v, at, panel);
                        reach_of(v, narrow, rank, int8::query_error(rank))
                    })
                };
                let longest = most(panels, parallel, work);
                (Codes::Int8 { pairs, scales }, longest)
            }
        };
        let mut reach = reach.into_flattened();
        reach.truncate(slots);
        let reach_of_tile = reach.chunks(TILE).map(|tile| tile.iter().copied().fold(0.0, f32::max)).collect();
        Narrow { items: slots, rank, codes, reach, reach_of_tile, longest: up(longest) }
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        let codes = match &self.codes {
            Codes::Bf16(codes) => size_of_val(&codes[..]),
            Codes::Int8 { pairs, scales } => size_of_val(&pairs[..]) + size_of_val(&scales[..]),
        };
        codes + size_of_val(&self.reach[..]) + size_of_val(&self.reach_of_tile[..])
    }

    /// The reach of each of some slots.
    pub(super) fn reach(&self, slots: Range<usize>) -> &[f32] {
        &self.reach[slots]
    }

    /// Narrow scores of queries for the slots of a range that starts at a multiple of 32: `out` has a row of `stride` for
    /// each query; `spare` is room to widen vectors.
    pub(super) fn scores(
        &self,
        level: Chosen,
        queries: &[&Asked<'_>],
        slots: Range<usize>,
        out: &mut [f32],
        stride: usize,
        spare: &mut Packed,
    ) {
        let panels = slots.start / PANEL..slots.end.div_ceil(PANEL);
        match &self.codes {
            Codes::Bf16(codes) => {
                let codes = &codes[panels.start * self.rank..panels.end * self.rank];
                if queries.len() < WORTH_WIDENING {
                    for (query, out) in queries.iter().zip(out.chunks_mut(stride)) {
                        bf16_row(level, codes, query.vector, &mut out[..slots.len()]);
                    }
                } else {
                    let vectors: Vec<f32> = queries.iter().flat_map(|query| query.vector).copied().collect();
                    let vectors = Rows::new(&vectors, queries.len(), self.rank);
                    let mut out = RowsMut::strided(out, queries.len(), slots.len(), stride);
                    for codes in codes.chunks(self.rank * WIDENED / PANEL) {
                        let count = out.cols().min(WIDENED);
                        spare.repack_bf16(level, codes, self.rank, count);
                        let (now, later) = out.split_columns(count);
                        multiply_at(level, vectors, spare, 0..count, now, Write::Set);
                        out = later;
                    }
                }
            }
            Codes::Int8 { pairs, scales } => {
                let half = self.rank.div_ceil(2);
                let pairs = &pairs[panels.start * half..panels.end * half];
                int8::rows(level, pairs, &scales[panels], queries, out, stride, slots.len());
            }
        }
    }

    /// What the scores of slots from a multiple of 32 on will read, as far as it pays to ask for it before.
    pub(super) fn ahead(&self, level: Chosen, from: usize) -> Lines {
        match &self.codes {
            Codes::Bf16(_) => Lines::none(),
            Codes::Int8 { pairs, .. } => {
                int8::ahead(level, &pairs[(from.div_ceil(PANEL) * self.rank.div_ceil(2)).min(pairs.len())..])
            }
        }
    }
}

/// A query as narrow scores need it.
pub(super) struct Asked<'a> {
    pub(super) vector: &'a [f32],
    /// `‖vector‖`, rounded up.
    pub(super) length: f64,
    /// For int8.
    rounded: int8::Rounded,
}

impl<'a> Asked<'a> {
    /// None for a vector that has no direction, or with which scores could leave the range of an f32.
    pub(super) fn new(vector: &'a [f32], narrow: &Narrow) -> Option<Asked<'a>> {
        let length = length(vector) * (1.0 + ROUND);
        let fits = length > 1e-30 && length.max(1.0) * f64::from(narrow.longest).max(1.0) < 1e36;
        fits.then(|| Asked { vector, length, rounded: int8::Rounded::new(vector) })
    }
}

/// Fills a panel's slots, each of which gives its reach and its length; the longest is given back.
fn each(
    panel: usize,
    rank: usize,
    vector: &impl Fn(usize, &mut [f32]),
    reach: &mut [f32; PANEL],
    mut slot: impl FnMut(usize, &mut [f32]) -> (f64, f64),
) -> f64 {
    let (mut row, mut longest) = (vec![0f32; rank], 0f64);
    for (at, reach) in reach.iter_mut().enumerate() {
        vector(panel * PANEL + at, &mut row);
        let (bound, length) = slot(at, &mut row);
        *reach = up(bound);
        longest = longest.max(length);
    }
    longest
}

/// The reach and the length of a vector that is kept as `narrow`: what is lost, `query` for what a query's own rounding
/// loses, and the roundings of both chains of sums.
fn reach_of(exact: &[f32], narrow: impl Fn(usize) -> f64, rank: usize, query: f64) -> (f64, f64) {
    let sum = |of: &dyn Fn(usize) -> f64| (0..exact.len()).map(|k| of(k).powi(2)).sum::<f64>().sqrt();
    let lost = sum(&|k| f64::from(exact[k]) - narrow(k));
    let lengths = (sum(&|k| f64::from(exact[k])), sum(&narrow));
    let bound = lost + (lengths.0 + lengths.1) * (query + (rank + 8) as f64 * ROUND);
    let bound = bound * (1.0 + 1e-6);
    if bound.is_finite() { (bound, lengths.0) } else { (f64::INFINITY, f64::INFINITY) }
}

/// Keeps a vector in place `at` of a panel, and says what is kept.
fn round_to_bf16(v: &[f32], at: usize, panel: &mut [[u16; PANEL]]) -> impl Fn(usize) -> f64 {
    for (v, step) in v.iter().zip(panel.iter_mut()) {
        let bits = v.to_bits();
        // To the nearest, ties to even; what is no number is not kept, as its reach is infinite anyhow.
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        step[at] = if v.is_finite() { rounded as u16 } else { 0 };
    }
    let kept: Vec<f32> = panel.iter().map(|step| f32::from_bits(u32::from(step[at]) << 16)).collect();
    move |k| f64::from(kept[k])
}

simd! {
    /// Scores of one query for panels of bf16.
    fn bf16_row(codes: &[[u16; PANEL]], query: &[f32], out: &mut [f32]) {
        for (panel, out) in codes.chunks_exact(query.len().max(1)).zip(out.chunks_mut(PANEL)) {
            let mut sums = [0f32; PANEL];
            for (step, &q) in panel.iter().zip(query) {
                for j in 0..PANEL {
                    sums[j] = f32::from_bits(u32::from(step[j]) << 16).mul_add(q, sums[j]);
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

/// The next f32 that is not below.
pub(super) fn up(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) < x { near.next_up() } else { near }
}

#[cfg(test)]
mod tests;
