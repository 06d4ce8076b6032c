//! The content vectors of a catalogue, and how alike its items are.
//!
//! Shapes: i items · f features, all modalities side by side · m events that are read.

use rayon::prelude::*;
use upnext_data::{ItemFeatures, ItemId};
use upnext_kernels::product::Packed;
use upnext_kernels::{Rows, score};

/// Similarities of all items with all are kept up to so many of them (256 MiB); beyond, they are made when needed.
const KEPT: usize = 1 << 26;
/// Items whose similarities are made at once.
const BLOCK: usize = 64;

/// The content vectors of a catalogue.
#[derive(Debug)]
pub(super) struct Content {
    /// `(i, f)`: every modality at length 1 or 0, so that a product of two rows is the sum of their cosines.
    table: Packed,
    /// For each modality `(i)` whether an item has it.
    has: Vec<Vec<bool>>,
    /// `(i, i)` similarities of a catalogue small enough.
    kept: Option<Vec<f32>>,
}

/// Room that is used again for the next question.
#[derive(Default)]
pub(super) struct Scratch {
    /// `(m, f)`.
    vectors: Vec<f32>,
    /// `(m, i)`.
    pub(super) similar: Vec<f32>,
    pub(super) seen: Vec<u32>,
}

impl Content {
    pub(super) fn new(features: &ItemFeatures) -> Self {
        let items = features.items();
        let widths: Vec<usize> = features.modalities().map(|(_, width)| width).collect();
        // Features without a modality leave one column of zeros, and every item without features.
        let width = widths.iter().sum::<usize>().max(1);
        let all: Vec<u32> = (0..items as u32).collect();
        let mut rows = vec![0.0; items * width];
        let (mut has, mut start) = (Vec::with_capacity(widths.len()), 0);
        for (modality, &own) in widths.iter().enumerate() {
            let vectors = features.gather(modality, &all);
            for (row, vector) in rows.chunks_exact_mut(width).zip(vectors.chunks_exact(own)) {
                row[start..start + own].copy_from_slice(vector);
            }
            // Zeros have no direction, and with it no cosine.
            has.push(vectors.chunks_exact(own).map(|vector| vector.iter().any(|&x| x != 0.0)).collect());
            start += own;
        }
        let mut content = Self { table: Packed::transposed(&rows, items, width), has, kept: None };
        if items.saturating_mul(items) <= KEPT {
            let mut kept = vec![0.0; items * items];
            let blocks = kept.par_chunks_mut((BLOCK * items).max(1)).enumerate();
            blocks.for_each_init(Vec::new, |vectors, (block, similar)| {
                let first = (block * BLOCK) as u32;
                let block: Vec<ItemId> =
                    (first..items as u32).take(similar.len() / items).map(ItemId).collect();
                content.cosines(&block, vectors, similar);
            });
            content.kept = Some(kept);
        }
        content
    }

    /// i.
    pub(super) fn items(&self) -> usize {
        self.table.cols()
    }

    /// `(m, i)` mean cosines of some items with all, 0 where they are below it or nothing is shared; `vectors` is room.
    fn cosines(&self, items: &[ItemId], vectors: &mut Vec<f32>, out: &mut [f32]) {
        let width = self.table.inner();
        vectors.resize(items.len() * width, 0.0);
        for (row, item) in vectors.chunks_exact_mut(width).zip(items) {
            self.table.column(item.index(), row);
        }
        let queries = Rows::new(vectors, items.len(), width);
        score::scores(queries, &score::Table::Packed(&self.table), out, false);
        for (row, item) in out.chunks_exact_mut(self.table.cols()).zip(items) {
            if self.has.len() > 1 {
                let own: Vec<&[bool]> =
                    self.has.iter().filter(|has| has[item.index()]).map(Vec::as_slice).collect();
                for (other, cosine) in row.iter_mut().enumerate() {
                    *cosine /= own.iter().filter(|has| has[other]).count().max(1) as f32;
                }
            }
            row.iter_mut().for_each(|cosine| *cosine = cosine.max(0.0));
        }
    }

    /// `(m, i)` similarities of the last `window` events, the latest first, at power 1.
    pub(super) fn similar(&self, input: &[ItemId], window: usize, scratch: &mut Scratch) {
        let events: Vec<ItemId> = input.iter().rev().take(window).copied().collect();
        let items = self.table.cols();
        scratch.similar.resize(events.len() * items, 0.0);
        match &self.kept {
            Some(kept) => {
                for (row, event) in scratch.similar.chunks_exact_mut(items).zip(&events) {
                    row.copy_from_slice(&kept[event.index() * items..][..items]);
                }
            }
            None => self.cosines(&events, &mut scratch.vectors, &mut scratch.similar),
        }
    }

    /// The score of every item from `(m, i)` similarities, already at their power.
    pub(super) fn sum(&self, window: usize, decay: f64, similar: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let mut weight = 1.0;
        for row in similar.chunks_exact(out.len()).take(window) {
            out.iter_mut().zip(row).for_each(|(score, similar)| *score += weight * similar);
            weight *= decay as f32;
        }
        for (item, score) in out.iter_mut().enumerate() {
            if !self.has.iter().any(|has| has[item]) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

/// Squares values at one power until they are at another; both are powers of two.
pub(super) fn raise(similar: &mut [f32], from: u32, to: u32) {
    for _ in from.max(1).ilog2()..to.max(1).ilog2() {
        similar.iter_mut().for_each(|value| *value *= *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content_knn::tests::features;

    #[test]
    fn similarities_made_when_needed_have_the_bits_of_kept_ones() {
        let kept = Content::new(&features());
        let made = Content { kept: None, ..Content::new(&features()) };
        let input = [4, 0, 2, 5, 3].map(ItemId);
        let similar = |content: &Content| {
            let mut scratch = Scratch::default();
            content.similar(&input, 4, &mut scratch);
            scratch.similar
        };
        assert!(kept.kept.is_some());
        assert_eq!(similar(&kept), similar(&made));
    }
}
