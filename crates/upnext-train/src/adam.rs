//! Adam with decoupled weight decay, for matrices and for the rows of item tables.
//!
//! Kingma & Ba 2015 (arXiv 1412.6980), Loshchilov & Hutter 2019 (arXiv 1711.05101). A table's moments are `(i, r)` like
//! the table. The lazy form moves the rows that a step read and leaves the others and their moments as they are; the
//! dense form decays all moments and moves all rows every step. Both correct for the start by the updates of the whole
//! run, so a row's first update is the same in both.

use std::collections::BTreeMap;

use rayon::prelude::*;
use upnext_kernels::rows::{self, adam_rows, adamw};
use upnext_model::{Model, Table};

use crate::config::TrainConfig;
use crate::{Error, Result};

/// Most items of a table that is updated densely beside a sampled loss.
pub const DENSE_ITEMS: usize = 200_000;

/// Keeps a division by a moment of zero finite.
const EPS: f32 = 1e-8;
/// Rows (or values, of a matrix) that one task updates.
const CHUNK: usize = 1024;

/// First and second moments of some values.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient.
    pub first: Vec<f32>,
    /// Running mean of its square.
    pub second: Vec<f32>,
}

impl Moments {
    /// Moments before the first update.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len] }
    }
}

/// The moments of a whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// Updates done.
    pub updates: u64,
    /// Of the input table.
    pub input: Moments,
    /// Of the output table, when it is one of its own.
    pub output: Option<Moments>,
    /// Of each parameter by name.
    pub parameters: BTreeMap<String, Moments>,
}

impl Adam {
    /// Moments before the first update.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let table = |table: &Table| Moments::zeros(table.rows().len());
        let parameters = model.parameters().iter();
        Self {
            updates: 0,
            input: table(model.input_table()),
            output: (!model.config().tied).then(|| table(model.output_table())),
            parameters: parameters
                .map(|(name, var)| (name.to_owned(), Moments::zeros(var.elem_count())))
                .collect(),
        }
    }
}

/// The numbers of the update that follows `updates` others.
#[must_use]
pub fn numbers(config: &TrainConfig, updates: u64, lr: f64) -> rows::Adam {
    let correction = |beta: f64| {
        let done = i32::try_from(updates + 1).unwrap_or(i32::MAX);
        (1.0 / (1.0 - beta.powi(done))) as f32
    };
    rows::Adam {
        lr: lr as f32,
        beta1: config.beta1 as f32,
        beta2: config.beta2 as f32,
        eps: EPS,
        weight_decay: config.weight_decay as f32,
        correction1: correction(config.beta1),
        correction2: correction(config.beta2),
    }
}

/// Updates all values; gradients are multiplied by `scale` first.
///
/// # Panics
/// When lengths differ.
pub fn dense(values: &mut [f32], moments: &mut Moments, gradient: &[f32], scale: f32, update: &rows::Adam) {
    assert_eq!(
        (values.len(), moments.first.len()),
        (gradient.len(), gradient.len()),
        "a gradient for each value"
    );
    let size = CHUNK * 64;
    let moments = moments.first.par_chunks_mut(size).zip(moments.second.par_chunks_mut(size));
    let chunks = values.par_chunks_mut(size).zip(gradient.par_chunks(size)).zip(moments);
    chunks.for_each(|((values, gradient), (m, v))| adamw(values, m, v, gradient, scale, update));
}

/// Updates the rows `ids` (ascending, each once) of a table by their gradients `(u, r)`, multiplied by `scale`.
///
/// # Errors
/// When the ids are not ascending or not in the table.
pub fn lazy(
    table: &mut Table,
    moments: &mut Moments,
    ids: &[u32],
    gradients: &[f32],
    scale: f32,
    update: &rows::Adam,
) -> Result<()> {
    let (width, items) = (table.rank(), table.items());
    if !ids.is_sorted_by(|a, b| a < b) || ids.last().is_some_and(|&last| last as usize >= items) {
        return Err(candle_core::Error::Msg("updated rows must be ascending and in the table".into()).into());
    }
    // Ascending ids cut the table into runs of rows that tasks own apart.
    let (mut values, mut m, mut v) = (table.rows_mut(), &mut moments.first[..], &mut moments.second[..]);
    let (mut tasks, mut first) = (Vec::new(), 0);
    for (ids, gradients) in ids.chunks(CHUNK).zip(gradients.chunks(CHUNK * width)) {
        let end = ids.last().map_or(first, |&last| last as usize + 1);
        let own = (end - first) * width;
        let parts = (split(&mut values, own), split(&mut m, own), split(&mut v, own));
        tasks.push((parts, ids.iter().map(|&id| id - first as u32).collect::<Vec<u32>>(), gradients));
        first = end;
    }
    tasks.into_par_iter().for_each(|((values, m, v), ids, gradients)| {
        adam_rows(values, m, v, width, &ids, gradients, scale, update);
    });
    Ok(())
}

/// Takes the first `len` values off a slice.
fn split<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (taken, left) = std::mem::take(rest).split_at_mut(len);
    *rest = left;
    taken
}

/// Refuses a dense update of a table that is too large for it.
pub(crate) fn check_dense(items: usize) -> Result<()> {
    match items <= DENSE_ITEMS {
        true => Ok(()),
        false => Err(Error::DenseTable { items, most: DENSE_ITEMS }),
    }
}

#[cfg(test)]
mod tests;
