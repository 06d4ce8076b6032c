//! The semantic tower: item vectors out of what items are like, and what stands in for a collaborative row.
//!
//! An item's vector is `v = c + Σ tower(features)`: c its row of the table, or the out-of-vocabulary row where it has
//! none, because it is cold, or because training hides it (the idea of masking: DropoutNet, Volkovs et al. 2017; the
//! masking of collaborative embeddings, arXiv 2605.23312). A modality's tower is a linear map and a gated network beside
//! it, both without biases, so an absent modality, all zeros, adds nothing.
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
use upnext_kernels::products::Products;
use upnext_kernels::{Rows, RowsMut};

use crate::config::{ModelConfig, TowerConfig};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::ops::{gate, linear};

/// The name of the row that stands in for hidden ones, `(1, r)`.
pub const OUT_OF_VOCABULARY: &str = "items.out_of_vocabulary";

/// Items whose vectors one task finishes.
const CHUNK: usize = 512;

/// Whether a parameter of this name is a tower's.
#[must_use]
pub fn is_of(name: &str) -> bool {
    name.starts_with("tower.")
}

/// The name of a modality's matrix past the network, `(r, f)`.
pub(crate) fn direct(modality: &str) -> String {
    format!("tower.{modality}.direct")
}

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
/// `kept_u1` `(u, 1)` is 1 for rows that are seen, 0 for hidden ones and their share for gated ones, none when all are
/// seen; `content` has `(u, f)`
/// vectors for each modality of the configuration, in its order.
///
/// # Errors
/// When shapes disagree, or the model has no tower.
pub fn lift(
    model: &Model,
    rows_ur: &Tensor,
    kept_u1: Option<&Tensor>,
    content: &[Tensor],
    products: Products,
) -> Result<Tensor> {
    let mut vectors = masked(model, rows_ur, kept_u1)?;
    if let Some(semantic) = semantic(model, content, products)? {
        vectors = (vectors + semantic)?;
    }
    Ok(vectors)
}

/// Rows `(u, r)` with what is hidden of them replaced.
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
pub fn semantic(model: &Model, content: &[Tensor], products: Products) -> Result<Option<Tensor>> {
    let modalities = model.config().tower.iter().flat_map(|tower| &tower.modalities);
    let mut sum: Option<Tensor> = None;
    for ((name, _), features_uf) in modalities.zip(content) {
        let product = |x: &Tensor, name: &str| -> Result<Tensor> {
            Ok(linear::run(x, model.parameters().get(name)?, products)?)
        };
        let wide = product(features_uf, &gate_up(name))?;
        let one = (product(features_uf, &direct(name))? + product(&gate::run(&wide)?, &down(name))?)?;
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
pub fn check(model: &ModelConfig, items: usize, features: Option<&ItemFeatures>) -> Result<()> {
    let refuse = |need: String| Err(Error::Features { need });
    match (&model.tower, features) {
        (None, _) => Ok(()),
        (Some(_), None) => {
            refuse("the model has a tower, but no item features were given: name them by --features".into())
        }
        (Some(tower), Some(features)) => {
            check_modalities(tower, features)?;
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

/// Refuses features whose modalities are not the tower's.
///
/// # Errors
/// [`Error::Features`] lists both.
pub fn check_modalities(tower: &TowerConfig, features: &ItemFeatures) -> Result<()> {
    let found: Vec<(String, usize)> =
        features.modalities().map(|(name, width)| (name.to_owned(), width)).collect();
    if found == tower.modalities {
        return Ok(());
    }
    let (reads, found) = (listed(&tower.modalities), listed(&found));
    Err(Error::Features { need: format!("the model's tower reads {reads}, but the features have {found}") })
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
    let served: Vec<Served> = counts.iter().map(|&count| Served::of(config, count)).collect();
    let cold = served.iter().filter(|&&served| served == Served::Cold).count();
    let towers = Towers::new(model, features)?;
    let gated = config.tower.as_ref().is_some_and(|tower| tower.gate > 0.0);
    let side = |rows: &'a [f32]| -> Result<Cow<'a, [f32]>> {
        if cold == 0 && !gated && towers.parts.is_empty() {
            return Ok(Cow::Borrowed(rows));
        }
        let stand_in = stand_in(model, rows, counts)?;
        let mut out = rows.to_vec();
        out.par_chunks_mut(CHUNK * config.rank).enumerate().for_each(|(chunk, out)| {
            let items: Vec<u32> = (chunk * CHUNK..).take(out.len() / config.rank).map(|j| j as u32).collect();
            for (&item, out) in items.iter().zip(out.chunks_exact_mut(config.rank)) {
                served[item as usize].apply(&stand_in, out);
            }
            towers.add(&items, out);
        });
        Ok(Cow::Owned(out))
    };
    let is_cold = |item: usize| served[item] == Served::Cold;
    let nothing_known =
        |item: usize| is_cold(item) && features.is_some_and(|all| !all.has(ItemId(item as u32)));
    let ineligible = match config.tower {
        Some(_) => (0..items).filter(|&item| nothing_known(item)).map(|item| item as u32).collect(),
        None => Vec::new(),
    };
    let output = model.untied_table().map(|table| side(table.rows())).transpose()?;
    Ok(Finished { input: side(model.input_table().rows())?, output, ineligible, cold })
}

/// Items that histories are read without, ascending: no event of theirs was trained on, and no features speak for them.
/// To a decoder they would be a token that it has never met, and would cost it what it knows of the others.
#[must_use]
pub fn unread(config: &ModelConfig, counts: &[u64], ineligible: &[u32]) -> Vec<u32> {
    match config.tower {
        Some(_) => ineligible.to_vec(),
        None => (0..).zip(counts).filter(|(_, count)| **count == 0).map(|(item, _)| item).collect(),
    }
}

/// Vectors of items that joined after training, and the rows that stand for them in the tables.
pub(crate) struct Joined {
    /// `(n, r)` of the input side.
    pub(crate) input: Vec<f32>,
    /// `(n, r)` of the output side, when it is one of its own.
    pub(crate) output: Option<Vec<f32>>,
    /// `(r)` what new rows of the input table hold.
    pub(crate) input_row: Vec<f32>,
    /// `(r)` what those of the output table hold.
    pub(crate) output_row: Option<Vec<f32>>,
}

/// The vectors that [`finish`] would give to cold `items` of these features, which need not be the model's.
pub(crate) fn join(model: &Model, counts: &[u64], features: &ItemFeatures, items: &[u32]) -> Result<Joined> {
    let (config, towers) = (model.config(), Towers::new(model, Some(features))?);
    let side = |rows: &[f32]| -> Result<(Vec<f32>, Vec<f32>)> {
        let stand_in = stand_in(model, rows, counts)?;
        let mut out = stand_in.repeat(items.len());
        out.par_chunks_mut(CHUNK * config.rank)
            .zip(items.par_chunks(CHUNK))
            .for_each(|(out, items)| towers.add(items, out));
        Ok((out, stand_in))
    };
    let (input, input_row) = side(model.input_table().rows())?;
    let (output, output_row) = model.untied_table().map(|table| side(table.rows())).transpose()?.unzip();
    Ok(Joined { input, output, input_row, output_row })
}

/// How an item's row is served.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Served {
    /// As it is.
    Whole,
    /// So much of it, the rest being what stands in for it.
    Share(f32),
    /// What stands in for it.
    Cold,
}

impl Served {
    /// By the item's training events; without a tower an item is cold when it has none.
    fn of(config: &ModelConfig, count: u64) -> Self {
        let (below, share) = match &config.tower {
            Some(tower) => (tower.cold_below, tower.share(count)),
            None => (1, None),
        };
        match share {
            _ if count < below => Self::Cold,
            Some(share) => Self::Share(share),
            None => Self::Whole,
        }
    }

    fn apply(self, stand_in: &[f32], row: &mut [f32]) {
        match self {
            Self::Whole => {}
            Self::Share(share) => {
                let parts = row.iter_mut().zip(stand_in);
                parts.for_each(|(row, other)| *row = *row * share + other * (1.0 - share));
            }
            Self::Cold => row.copy_from_slice(stand_in),
        }
    }
}

/// `(r)` the row that stands in for hidden ones among a table's `rows`: the trained one, else the mean of the warm ones.
///
/// # Errors
/// When the model's parameters cannot be read.
pub fn stand_in(model: &Model, rows: &[f32], counts: &[u64]) -> Result<Vec<f32>> {
    match model.config().tower.as_ref().is_some_and(TowerConfig::trains_stand_in) {
        true => model.parameters().values(OUT_OF_VOCABULARY),
        false => Ok(mean(rows, model.config(), counts)),
    }
}

/// The mean of the rows that are not cold; of all when all are.
fn mean(rows: &[f32], config: &ModelConfig, counts: &[u64]) -> Vec<f32> {
    let (rank, is_cold) = (config.rank, |&count: &u64| Served::of(config, count) == Served::Cold);
    let all = counts.iter().all(is_cold);
    let mut sum = vec![0.0_f64; rank];
    let mut count = 0_usize;
    for (row, _) in rows.chunks_exact(rank).zip(counts).filter(|(_, count)| all || !is_cold(count)) {
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        count += 1;
    }
    sum.iter().map(|sum| (sum / count.max(1) as f64) as f32).collect()
}

/// The towers over slices, as servers' vectors are finished.
struct Towers<'a> {
    features: Option<&'a ItemFeatures>,
    parts: Vec<Part>,
    rank: usize,
}

/// One modality's tower, packed.
struct Part {
    /// Place among the features.
    place: usize,
    direct: Packed,
    gate_up: Packed,
    down: Packed,
}

impl<'a> Towers<'a> {
    fn new(model: &Model, features: Option<&'a ItemFeatures>) -> Result<Self> {
        let (rank, mut parts) = (model.config().rank, Vec::new());
        if let Some(tower) = &model.config().tower {
            for (place, (name, width)) in tower.modalities.iter().enumerate() {
                let values = |name: &str| model.parameters().values(name);
                parts.push(Part {
                    place,
                    direct: Packed::transposed(&values(&direct(name))?, rank, *width),
                    gate_up: Packed::transposed(&values(&gate_up(name))?, 2 * tower.hidden, *width),
                    down: Packed::transposed(&values(&down(name))?, rank, tower.hidden),
                });
            }
        }
        Ok(Self { features, parts, rank })
    }

    /// Adds what the towers say of `items` to their vectors.
    fn add(&self, items: &[u32], out: &mut [f32]) {
        let Some(features) = self.features else { return };
        let n = items.len();
        for Part { place, direct, gate_up, down } in &self.parts {
            let (width, hidden) = (gate_up.inner(), down.inner());
            let x = features.gather(*place, items);
            let x = Rows::new(&x, n, width);
            let (mut wide, mut gated) = (vec![0.0; n * 2 * hidden], vec![0.0; n * hidden]);
            multiply(x, gate_up, RowsMut::new(&mut wide, n, 2 * hidden), Write::Set);
            swiglu(&wide, hidden, &mut gated);
            let gated = Rows::new(&gated, n, hidden);
            multiply(x, direct, RowsMut::new(out, n, self.rank), Write::Add);
            multiply(gated, down, RowsMut::new(out, n, self.rank), Write::Add);
        }
    }
}
