//! The semantic tower: item vectors out of what items are like, and what stands in for a collaborative row.
//!
//! An item's vector is `v = c + Σ tower(features)`: c its row of the table, or the out-of-vocabulary row where it has
//! none, because it is cold, or because training hides it (the idea of masking: DropoutNet, Volkovs et al. 2017; the
//! masking of collaborative embeddings, arXiv 2605.23312). A modality's tower is a gated network without biases, so an
//! absent modality, all zeros, adds nothing.
//!
//! Masks are drawn for each distinct item, side and step, and applied to the step's gathered rows before anything reads
//! them: true next items, negatives and accidental hits see one view of an item, and the out-of-vocabulary row does not
//! give the answer away.
//!
//! Letters: u rows · i items · r rank · f width of a modality · m hidden width.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use upnext_data::{ItemFeatures, ItemId};
use upnext_kernels::gate::swiglu;
use upnext_kernels::product::{Packed, Write, multiply};
use upnext_kernels::{Rows, RowsMut};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::ops::{gate, linear};

/// The name of the row that stands in for hidden ones, `(1, r)`.
pub const OUT_OF_VOCABULARY: &str = "items.out_of_vocabulary";

/// Items whose vectors one task finishes.
const CHUNK: usize = 512;

/// The name of a modality's first matrix, `(2m, f)`.
pub(crate) fn gate_up(modality: &str) -> String {
    format!("tower.{modality}.gate_up")
}

/// The name of a modality's second matrix, `(r, m)`.
pub(crate) fn down(modality: &str) -> String {
    format!("tower.{modality}.down")
}

/// Finished item vectors: what a server reads.
pub struct Finished<'a> {
    /// `(i, r)` of the input side, and of both when the model is tied.
    pub input: Cow<'a, [f32]>,
    /// `(i, r)` of the output side, when it is one of its own.
    pub output: Option<Cow<'a, [f32]>>,
    /// Items that must not be recommended, ascending: cold ones of which a model with a tower knows nothing at all.
    pub ineligible: Vec<u32>,
    /// How many items are served without their collaborative row.
    pub cold: usize,
}

/// Differentiable vectors `(u, r)` of a step's rows.
///
/// `kept_u1` `(u, 1)` is 1 for rows that are seen and 0 for hidden ones, none when all are seen; `content` has `(u, f)`
/// vectors for each modality of the configuration, in its order.
///
/// # Errors
/// When shapes disagree, or the model has no tower.
pub fn lift(model: &Model, rows_ur: &Tensor, kept_u1: Option<&Tensor>, content: &[Tensor]) -> Result<Tensor> {
    let mut vectors = masked(model, rows_ur, kept_u1)?;
    if let Some(semantic) = semantic(model, content)? {
        vectors = (vectors + semantic)?;
    }
    Ok(vectors)
}

/// Rows `(u, r)` with the hidden ones replaced.
///
/// # Errors
/// When shapes disagree.
pub fn masked(model: &Model, rows_ur: &Tensor, kept_u1: Option<&Tensor>) -> Result<Tensor> {
    let Some(kept) = kept_u1 else { return Ok(rows_ur.clone()) };
    let hidden = kept.affine(-1.0, 1.0)?;
    let stand_in = model.parameters().get(OUT_OF_VOCABULARY)?;
    Ok((rows_ur.broadcast_mul(kept)? + hidden.broadcast_mul(stand_in)?)?)
}

/// What the towers say of rows whose features are given, `(u, r)`; none when there is no modality.
///
/// # Errors
/// When shapes disagree.
pub fn semantic(model: &Model, content: &[Tensor]) -> Result<Option<Tensor>> {
    let modalities = model.config().tower.iter().flat_map(|tower| &tower.modalities);
    let mut sum: Option<Tensor> = None;
    for ((name, _), features_uf) in modalities.zip(content) {
        let hidden = gate::run(&linear::run(features_uf, model.parameters().get(&gate_up(name))?)?)?;
        let one = linear::run(&hidden, model.parameters().get(&down(name))?)?;
        sum = Some(match sum {
            Some(sum) => (sum + one)?,
            None => one,
        });
    }
    Ok(sum)
}

/// Features of some items as tensors, one a modality.
///
/// # Errors
/// When there is no room.
pub fn content(features: &ItemFeatures, items: &[u32]) -> Result<Vec<Tensor>> {
    let one = |(place, (_, width)): (usize, (&str, usize))| {
        Ok(Tensor::from_vec(features.gather(place, items), (items.len(), width), &Device::Cpu)?)
    };
    features.modalities().enumerate().map(one).collect()
}

/// Refuses features of other modalities than the model's.
///
/// # Errors
/// [`Error::Features`] says what is missing or different; also when there are none at all.
pub fn check(model: &crate::ModelConfig, items: usize, features: Option<&ItemFeatures>) -> Result<()> {
    let refuse = |need: String| Err(Error::Features { need });
    match (&model.tower, features) {
        (None, _) => Ok(()),
        (Some(_), None) => {
            refuse("the model has a tower, but no item features were given: name them by --features".into())
        }
        (Some(tower), Some(features)) => {
            let found: Vec<(String, usize)> =
                features.modalities().map(|(name, width)| (name.to_owned(), width)).collect();
            if found != tower.modalities {
                return refuse(format!(
                    "the model's tower reads {}, but the features have {}",
                    listed(&tower.modalities),
                    listed(&found)
                ));
            }
            if features.items() != items {
                return refuse(format!(
                    "the model knows {items} items, but the features are of {}",
                    features.items()
                ));
            }
            Ok(())
        }
    }
}

fn listed(modalities: &[(String, usize)]) -> String {
    if modalities.is_empty() {
        return "nothing".to_owned();
    }
    let one = |(name, width): &(String, usize)| format!("{name:?} ({width} wide)");
    modalities.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The vectors of all items as they are served: rows of items with fewer than `cold_below` training events (1 without a
/// tower) give way to the out-of-vocabulary row, or to the mean of the others where that is not trained; the towers
/// add what they say. Nothing is copied where nothing changes.
///
/// # Errors
/// When the features are not the model's, or there are not as many counts as items.
pub fn finish<'a>(model: &'a Model, counts: &[u64], features: Option<&ItemFeatures>) -> Result<Finished<'a>> {
    let (config, items) = (model.config(), model.items());
    if counts.len() != items {
        return Err(Error::Size {
            what: "the list of training counts",
            found: counts.len(),
            expected: items,
        });
    }
    check(config, items, features)?;
    let below = config.tower.as_ref().map_or(1, |tower| tower.cold_below);
    let is_cold: Vec<bool> = counts.iter().map(|&count| count < below).collect();
    let cold = is_cold.iter().filter(|&&cold| cold).count();
    let towers = Towers::new(model, features)?;
    let side = |rows: &'a [f32]| -> Result<Cow<'a, [f32]>> {
        if cold == 0 && towers.parts.is_empty() {
            return Ok(Cow::Borrowed(rows));
        }
        let stand_in = match config.tower.as_ref().is_some_and(crate::TowerConfig::masks) {
            true => model.parameters().values(OUT_OF_VOCABULARY)?,
            false => mean(rows, config.rank, &is_cold),
        };
        let mut out = rows.to_vec();
        out.par_chunks_mut(CHUNK * config.rank).enumerate().for_each(|(chunk, out)| {
            let first = chunk * CHUNK;
            for (row, out) in out.chunks_exact_mut(config.rank).enumerate() {
                if is_cold[first + row] {
                    out.copy_from_slice(&stand_in);
                }
            }
            towers.add(first, out);
        });
        Ok(Cow::Owned(out))
    };
    let nothing_known =
        |item: usize| is_cold[item] && features.is_some_and(|all| !all.has(ItemId(item as u32)));
    let ineligible = match config.tower {
        Some(_) => (0..items).filter(|&item| nothing_known(item)).map(|item| item as u32).collect(),
        None => Vec::new(),
    };
    let output = model.untied_table().map(|table| side(table.rows())).transpose()?;
    Ok(Finished { input: side(model.input_table().rows())?, output, ineligible, cold })
}

/// The mean of the rows that are not cold; of all when all are.
fn mean(rows: &[f32], rank: usize, is_cold: &[bool]) -> Vec<f32> {
    let all = is_cold.iter().all(|&cold| cold);
    let mut sum = vec![0.0_f64; rank];
    let mut count = 0_usize;
    for (row, _) in rows.chunks_exact(rank).zip(is_cold).filter(|(_, cold)| all || !**cold) {
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        count += 1;
    }
    sum.iter().map(|sum| (sum / count.max(1) as f64) as f32).collect()
}

/// The towers over slices, as servers' vectors are finished.
struct Towers<'a> {
    features: Option<&'a ItemFeatures>,
    /// Place among the features, both matrices packed, hidden width.
    parts: Vec<(usize, Packed, Packed)>,
    rank: usize,
}

impl<'a> Towers<'a> {
    fn new(model: &Model, features: Option<&'a ItemFeatures>) -> Result<Self> {
        let (rank, mut parts) = (model.config().rank, Vec::new());
        if let Some(tower) = &model.config().tower {
            for (place, (name, width)) in tower.modalities.iter().enumerate() {
                let values = |name: &str| model.parameters().values(name);
                let first = Packed::transposed(&values(&gate_up(name))?, 2 * tower.hidden, *width);
                let second = Packed::transposed(&values(&down(name))?, rank, tower.hidden);
                parts.push((place, first, second));
            }
        }
        Ok(Self { features, parts, rank })
    }

    /// Adds what the towers say of the items `first..` to their vectors.
    fn add(&self, first: usize, out: &mut [f32]) {
        let Some(features) = self.features else { return };
        let n = out.len() / self.rank;
        let items: Vec<u32> = (first as u32..).take(n).collect();
        for (place, gate_up, down) in &self.parts {
            let (width, hidden) = (gate_up.inner(), down.inner());
            let x = features.gather(*place, &items);
            let (mut wide, mut gated) = (vec![0.0; n * 2 * hidden], vec![0.0; n * hidden]);
            multiply(Rows::new(&x, n, width), gate_up, RowsMut::new(&mut wide, n, 2 * hidden), Write::Set);
            swiglu(&wide, hidden, &mut gated);
            let gated = Rows::new(&gated, n, hidden);
            multiply(gated, down, RowsMut::new(out, n, self.rank), Write::Add);
        }
    }
}
