//! One thread's pass through the decoder: histories from their start, or hypotheses by one token.
//!
//! Letters: b histories · w hypotheses · n positions · k horizons read · d width · r rank.

use upnext_data::ItemId;
use upnext_kernels::attention::KeyValues;

use super::Network;
use crate::cache::Cache;
use crate::error::Result;
use crate::ops::attention::{self, Masks, Memory};
use crate::ops::{embed, linear, mlp, norm};
use crate::vectors::Vectors;

/// The matrices of one decoder layer.
pub(super) struct Layer {
    pub(super) attention: attention::Weights,
    pub(super) mlp: mlp::Weights,
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    items: Vec<f32>,
    norm: Vec<f32>,
    memory: Vec<KeyValues>,
    attention: attention::Scratch,
    mlp: mlp::Scratch,
}

impl Network {
    /// Reads a group of histories and gives the `(b, r)` states of their last positions. Their keys and values are
    /// left in `own`, one cache a history, or nowhere when `own` is empty.
    pub(super) fn read(
        &self,
        histories: &[&[ItemId]],
        vectors: &Vectors<'_>,
        own: &mut [Cache],
        states: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let lengths: Vec<usize> = histories.iter().map(|items| items.len()).collect();
        let mut x = self.embed(histories, vectors, scratch)?;
        own.iter_mut().for_each(Cache::clear);
        let mut memory = std::mem::take(&mut scratch.memory);
        for (l, layer) in self.layers.iter().enumerate() {
            let is_last = l + 1 == self.layers.len();
            let count = if is_last { lengths.len() } else { 1 };
            if own.is_empty() && memory.len() < count {
                memory.resize_with(count, || layer.attention.key_values());
            }
            if own.is_empty() && !is_last {
                layer.run(&mut x, &lengths, Memory::Once(&mut memory[0]), scratch);
                continue;
            }
            let mut kept: Vec<&mut KeyValues> = if own.is_empty() {
                memory[..count].iter_mut().for_each(KeyValues::clear);
                memory[..count].iter_mut().collect()
            } else {
                own.iter_mut().map(|cache| cache.layer_mut(l)).collect()
            };
            if is_last {
                x = layer.run_last(&x, &lengths, &mut kept, scratch);
            } else {
                layer.run(&mut x, &lengths, Memory::Kept { prompts: &[], own: &mut kept }, scratch);
            }
        }
        scratch.memory = memory;
        self.project(&x, states, scratch);
        Ok(())
    }

    /// Extends a group of hypotheses by one token each.
    pub(super) fn step(
        &self,
        tokens: &[ItemId],
        prompts: &[&Cache],
        own: &mut [Cache],
        vectors: &Vectors<'_>,
        states: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let d = self.config.width;
        let mut x = self.rows(tokens.iter().copied(), tokens.len(), vectors, scratch)?;
        if let Some(positions) = &self.positions {
            for (j, x) in x.chunks_exact_mut(d).enumerate() {
                embed::forward(x, positions, d, prompts[j].len() + own[j].len());
            }
        }
        let lengths = vec![1; tokens.len()];
        for (l, layer) in self.layers.iter().enumerate() {
            let prompts: Vec<&KeyValues> = prompts.iter().map(|cache| cache.layer(l)).collect();
            let mut own: Vec<&mut KeyValues> = own.iter_mut().map(|cache| cache.layer_mut(l)).collect();
            layer.run(&mut x, &lengths, Memory::Kept { prompts: &prompts, own: &mut own }, scratch);
        }
        self.project(&x, states, scratch);
        Ok(())
    }

    /// `(n, d)` embeddings of histories, each from position 0.
    pub(super) fn embed(
        &self,
        histories: &[&[ItemId]],
        vectors: &Vectors<'_>,
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let d = self.config.width;
        let count = histories.iter().map(|items| items.len()).sum();
        let mut x =
            self.rows(histories.iter().flat_map(|items| items.iter().copied()), count, vectors, scratch)?;
        if let Some(positions) = &self.positions {
            let mut rest = &mut x[..];
            for items in histories {
                let (rows, below) = rest.split_at_mut(items.len() * d);
                embed::forward(rows, positions, d, 0);
                rest = below;
            }
        }
        Ok(x)
    }

    /// `(n, d)`: the items' vectors as they enter the decoder, before positions.
    fn rows(
        &self,
        items: impl Iterator<Item = ItemId>,
        count: usize,
        vectors: &Vectors<'_>,
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let mut rows = std::mem::take(&mut scratch.items);
        rows.resize(count * self.config.rank, 0.0);
        for (item, row) in items.zip(rows.chunks_exact_mut(self.config.rank)) {
            vectors.input_row(item, row)?;
        }
        let Some(project_in) = &self.project_in else {
            if let Some(scale) = self.config.entering_scale() {
                rows.iter_mut().for_each(|value| *value *= scale);
            }
            return Ok(rows);
        };
        let mut x = vec![0.0; count * self.config.width];
        linear::forward(&rows, project_in, &mut x);
        scratch.items = rows;
        Ok(x)
    }

    /// `(n, d)` outputs of the last layer to `(n, k, r)` states, those of the first k horizons: the final norm, and g.
    pub(super) fn project(&self, x: &[f32], states: &mut [f32], scratch: &mut Scratch) {
        let ahead = self.ahead(x, states.len() / self.config.rank);
        let x = ahead.as_deref().unwrap_or(x);
        let Some(head) = &self.head else { return norm::forward(x, self.config.width, states) };
        scratch.norm.resize(x.len(), 0.0);
        norm::forward(x, self.config.width, &mut scratch.norm);
        linear::forward(&scratch.norm, head, states);
    }

    /// `(n, d)` to `rows` rows, `(n, k, d)`: each with the vectors of the horizons added, the first of which is zero. `None`
    /// where only that one is read.
    fn ahead(&self, x: &[f32], rows: usize) -> Option<Vec<f32>> {
        let d = self.config.width;
        let further = rows / (x.len() / d) - 1;
        if further == 0 {
            return None;
        }
        let mut ahead = Vec::with_capacity(rows * d);
        for x in x.chunks_exact(d) {
            ahead.extend_from_slice(x);
            for added in self.horizons.chunks_exact(d).take(further) {
                ahead.extend(x.iter().zip(added).map(|(x, added)| x + added));
            }
        }
        Some(ahead)
    }
}

impl Layer {
    /// Both sub-layers over `x (rows, d)`, in place.
    pub(super) fn run(
        &self,
        x: &mut [f32],
        lengths: &[usize],
        memory: Memory<'_, '_>,
        scratch: &mut Scratch,
    ) {
        let masks = Masks::default();
        attention::forward(x, lengths, &self.attention, memory, &masks, None, &mut scratch.attention);
        mlp::forward(x, &self.mlp, None, None, &mut scratch.mlp);
    }

    /// Both sub-layers for the last rows of histories, `(b, d)`; the rows before them leave only keys and values.
    fn run_last(
        &self,
        x: &[f32],
        lengths: &[usize],
        own: &mut [&mut KeyValues],
        scratch: &mut Scratch,
    ) -> Vec<f32> {
        let d = self.attention.width();
        let (mut rest, mut last) = (x, Vec::with_capacity(lengths.len() * d));
        for (&length, own) in lengths.iter().zip(own.iter_mut()) {
            let (rows, below) = rest.split_at(length * d);
            let (before, row) = rows.split_at((length - 1) * d);
            attention::remember(before, &self.attention, own, &mut scratch.attention);
            last.extend_from_slice(row);
            rest = below;
        }
        self.run(&mut last, &vec![1; lengths.len()], Memory::Kept { prompts: &[], own }, scratch);
        last
    }
}
