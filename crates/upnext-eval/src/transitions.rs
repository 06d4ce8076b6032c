//! Decayed counts of which item follows which, sparse.
//!
//! Shapes: i items; a row per item that is left, an entry per item that follows it.

use std::ops::Range;

use rayon::prelude::*;
use upnext_data::Histories;

use crate::{Error, Result};

/// Row ranges that are counted in parallel. A fixed number, so that it moves no sum.
const RANGES: usize = 64;

/// `M[a, j]`: the sum over training pairs (a at p, j at p + g), 1 ≤ g ≤ window, of `decay^(g-1)`.
///
/// Rows are compressed: ids ascending, with their sums beside them. Pairs never cross users, and
/// only a user's leading training events are read.
#[derive(Clone, Debug)]
pub struct Transitions {
    window: usize,
    decay: f64,
    /// `(i + 1)` where each row starts.
    starts: Vec<usize>,
    ids: Vec<u32>,
    weights: Vec<f32>,
    /// `(i)` sum of each row.
    row_sums: Vec<f64>,
}

/// The rows of one range of items.
struct Rows {
    lengths: Vec<usize>,
    ids: Vec<u32>,
    weights: Vec<f32>,
    sums: Vec<f64>,
}

impl Transitions {
    /// Counts the pairs of the first `train[u]` events of each user u.
    ///
    /// Cost: one addition per pair, in parallel over ranges of items; the sums do not depend on the
    /// number of threads. `items` is the catalogue's size.
    ///
    /// # Errors
    /// When the window is outside 1..=255, the split is of other histories, or an item is unknown.
    pub fn count(
        histories: &Histories,
        train: &[usize],
        items: usize,
        window: usize,
        decay: f64,
    ) -> Result<Self> {
        if !(1..=usize::from(u8::MAX)).contains(&window) {
            return Err(Error::MarkovWindow { window });
        }
        let places = Places::of(histories, train, items, window)?;
        let powers: Vec<f64> = (0..window).map(|g| decay.powi(g as i32)).collect();
        let per_range = items.div_ceil(RANGES).max(1);
        let parts: Vec<Rows> = (0..items.div_ceil(per_range))
            .into_par_iter()
            .map(|range| {
                let first = range * per_range;
                places.rows(histories, first..(first + per_range).min(items), &powers)
            })
            .collect();
        Ok(Self::join(parts, items, window, decay))
    }

    fn join(parts: Vec<Rows>, items: usize, window: usize, decay: f64) -> Self {
        let entries = parts.iter().map(|part| part.ids.len()).sum();
        let mut starts = Vec::with_capacity(items + 1);
        starts.push(0);
        let (mut ids, mut weights) = (Vec::with_capacity(entries), Vec::with_capacity(entries));
        let mut row_sums = Vec::with_capacity(items);
        let mut end = 0;
        for part in parts {
            for length in part.lengths {
                end += length;
                starts.push(end);
            }
            ids.extend(part.ids);
            weights.extend(part.weights);
            row_sums.extend(part.sums);
        }
        Self { window, decay, starts, ids, weights, row_sums }
    }

    /// i: items.
    pub fn items(&self) -> usize {
        self.row_sums.len()
    }

    /// Largest distance of a counted pair.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Weight of a pair one step further apart, relative to the nearer one.
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// Pairs of different items (or repeats) with a sum above zero.
    pub fn entries(&self) -> usize {
        self.ids.len()
    }

    /// The followers of an item, ids ascending, and the sum for each.
    pub fn row(&self, item: usize) -> (&[u32], &[f32]) {
        let range = self.starts[item]..self.starts[item + 1];
        (&self.ids[range.clone()], &self.weights[range])
    }

    /// `(i)` sum of each row.
    pub fn row_sums(&self) -> &[f64] {
        &self.row_sums
    }
}

/// Where each item stands in the training sequences, and how far it may look ahead there.
struct Places {
    /// `(i + 1)` where each item's places start.
    starts: Vec<usize>,
    /// Positions in the flat event array, item by item, ascending within an item.
    at: Vec<usize>,
    /// By flat position: how many training events of the user follow, at most the window.
    reach: Vec<u8>,
}

impl Places {
    fn of(histories: &Histories, train: &[usize], items: usize, window: usize) -> Result<Self> {
        if train.len() != histories.users() {
            return Err(Error::Split { split: train.len(), histories: histories.users() });
        }
        let all = histories.items();
        let mut reach = vec![0_u8; all.len()];
        let mut starts = vec![0_usize; items + 1];
        let runs = || histories.offsets().windows(2).zip(train);
        for (ends, &length) in runs() {
            let first = ends[0] as usize;
            let length = length.min(ends[1] as usize - first);
            for step in 0..length {
                // At most 255, as the window is.
                reach[first + step] = (length - 1 - step).min(window) as u8;
                let item = all[first + step].index();
                let Some(count) = starts.get_mut(item + 1) else {
                    return Err(Error::UnknownItem { item, items, scorer: "markov".to_owned() });
                };
                *count += 1;
            }
        }
        for item in 0..items {
            starts[item + 1] += starts[item];
        }
        let mut next = starts.clone();
        let mut at = vec![0; starts[items]];
        for (ends, &length) in runs() {
            let first = ends[0] as usize;
            for place in first..first + length.min(ends[1] as usize - first) {
                let slot = &mut next[all[place].index()];
                at[*slot] = place;
                *slot += 1;
            }
        }
        Ok(Self { starts, at, reach })
    }

    /// Sums the rows of `range` in a dense scratch row, places in order.
    fn rows(&self, histories: &Histories, range: Range<usize>, powers: &[f64]) -> Rows {
        let all = histories.items();
        let mut dense = vec![0.0_f64; self.starts.len() - 1];
        let mut touched: Vec<u32> = Vec::new();
        let mut rows = Rows { lengths: Vec::new(), ids: Vec::new(), weights: Vec::new(), sums: Vec::new() };
        for item in range {
            for &place in &self.at[self.starts[item]..self.starts[item + 1]] {
                let ahead = &all[place + 1..=place + usize::from(self.reach[place])];
                for (next, power) in ahead.iter().zip(powers) {
                    let sum = &mut dense[next.index()];
                    if *sum == 0.0 {
                        touched.push(next.0);
                    }
                    *sum += power;
                }
            }
            touched.sort_unstable();
            let mut row_sum = 0.0;
            for &id in &touched {
                let sum = std::mem::take(&mut dense[id as usize]);
                row_sum += sum;
                rows.ids.push(id);
                rows.weights.push(sum as f32);
            }
            rows.lengths.push(touched.len());
            rows.sums.push(row_sum);
            touched.clear();
        }
        rows
    }
}
