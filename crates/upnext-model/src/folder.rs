//! The model folder: everything that a server, an evaluation or further training needs, checked on the way in.
//!
//! `models/README.md` at the root of the repository describes the format. Writing is all or nothing: a temporary
//! folder, synced, then renamed. Reading trusts no byte: [`open`] and [`open_model`] refuse what is missing, unknown,
//! mis-shaped, of another type, not finite or changed since it was written, and name the file and the tensor.

mod card;
mod describe;
mod extend;
mod index;
mod read;
mod seal;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use upnext_data::sealed::FileHash;
use upnext_data::{Catalog, ItemFeatures};

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::init;
use crate::model::Model;
use crate::network::Network;
use crate::tower::{Finished, finish, unread};
use crate::vectors::Vectors;

pub use describe::{Description, Group, describe};
pub use extend::{Addition, extend};
pub use index::{Index, MeasuredScoring, index_manifest, open_index, save_index};
pub use read::{Earlier, open, open_model, open_trained};
pub use write::save;

/// Version of the format that this build writes and reads.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const CONFIG: &str = "config.json";
const GENERATION: &str = "generation.json";
const MODEL: &str = "model.safetensors";
const VECTORS: &str = "vectors.safetensors";
const CATALOG: &str = "catalog.safetensors";
/// Written with the others and listed with them, then the user's to edit: nobody reads or checks it.
const README: &str = "README.md";
/// A folder that need not be there.
const INDEX: &str = "index";
/// The most bytes that a JSON or text file may have: parsed, a hostile one would take thirty times as much memory.
const TEXT_LIMIT: u64 = 1 << 20;
/// Every file beside the manifest, in byte order.
const FILES: [&str; 6] = [README, CATALOG, CONFIG, GENERATION, MODEL, VECTORS];

/// How much a model was trained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens read, over all epochs.
    pub tokens: u64,
    /// The time of the newest training event, in Unix seconds where the data have times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<i64>,
    /// The seal of the model that training went on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What is known about a model besides its values: where it comes from and how good it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// The resolved configuration of the run.
    pub run: Value,
    /// The id of the protocol: what was held out.
    pub protocol: String,
    /// The hash of the prepared data.
    pub data_hash: String,
    /// Validation metrics by name.
    pub metrics: Value,
    /// How much it was trained.
    pub trained: Trained,
    /// What made the features that the tower reads, by modality; none without a tower.
    pub encoders: BTreeMap<String, String>,
    /// Items that joined after training, oldest addition first.
    pub additions: Vec<Addition>,
    /// What a request that says nothing gets.
    pub generation: Generation,
}

/// A model folder's `manifest.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// Version of the folder format.
    pub version: u32,
    /// i: how many items the model knows.
    pub items: usize,
    /// The id of the protocol: what was held out.
    pub protocol: String,
    /// The hash of the prepared data.
    pub data_hash: String,
    /// Validation metrics by name.
    pub metrics: Value,
    /// How much it was trained.
    pub trained: Trained,
    /// What made the features that the tower reads, by modality; none without a tower.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub encoders: BTreeMap<String, String>,
    /// Items that joined after training, oldest addition first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additions: Vec<Addition>,
    /// blake3 and size of every other file.
    pub files: BTreeMap<String, FileHash>,
    /// blake3 of this manifest with an empty seal, as compact JSON.
    pub seal: String,
}

/// What a request that says nothing gets: a model folder's `generation.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Version of the folder format.
    pub format: u32,
    /// s: how long a list is.
    pub length: usize,
    /// Whether items of the history may be listed again.
    pub keep_seen: bool,
}

impl Default for Generation {
    fn default() -> Self {
        Self { format: FORMAT, length: 10, keep_seen: false }
    }
}

impl Generation {
    /// What happens to seen items, in a word.
    #[must_use]
    pub fn seen(&self) -> &'static str {
        if self.keep_seen { "kept" } else { "dropped" }
    }
}

/// A model folder's `config.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    format: u32,
    items: usize,
    model: ModelConfig,
    run: Value,
}

/// All that a server loads.
pub struct Served {
    /// The model's sizes and switches.
    pub config: ModelConfig,
    /// The decoder.
    pub network: Network,
    /// The item vectors.
    pub vectors: Vectors<'static>,
    /// Keys and columns of the items.
    pub catalog: Catalog,
    /// `(i)` training events of each item.
    pub counts: Vec<u64>,
    /// Items that must not be recommended, ascending: cold ones of which a model with a tower knows nothing.
    pub ineligible: Vec<u32>,
    /// Items that histories are read without, ascending: those of [`unread`].
    pub unread: Vec<u32>,
    /// What a request that says nothing gets.
    pub generation: Generation,
    /// Where it comes from and how good it is.
    pub manifest: ModelManifest,
}

impl Served {
    /// What [`open`] would give after [`save`], without the disk; the manifest lists no files.
    ///
    /// # Errors
    /// When the catalogue or the counts are not as many as the model's items, or the features are not its tower's.
    pub fn from_model(
        model: &Model,
        catalog: Catalog,
        counts: Vec<u64>,
        features: Option<&ItemFeatures>,
        card: &Card,
    ) -> Result<Self> {
        check_items(model.items(), &catalog, &counts)?;
        let Finished { input, output, ineligible, cold: _ } = finish(model, &counts, features)?;
        Ok(Self {
            unread: unread(model.config(), &counts, &ineligible),
            config: model.config().clone(),
            network: model.network()?,
            vectors: Vectors::packed(input.into_owned(), output.as_deref(), model.config().rank)?,
            catalog,
            counts,
            ineligible,
            generation: card.generation.clone(),
            manifest: manifest(card, model.items(), BTreeMap::new())?,
        })
    }
}

fn check_items(expected: usize, catalog: &Catalog, counts: &[u64]) -> Result<()> {
    for (what, found) in [("the catalog", catalog.len()), ("the list of training counts", counts.len())] {
        if found != expected {
            return Err(Error::Size { what, found, expected });
        }
    }
    Ok(())
}

/// A sealed manifest.
fn manifest(card: &Card, items: usize, files: BTreeMap<String, FileHash>) -> Result<ModelManifest> {
    let Card { protocol, data_hash, metrics, trained, encoders, additions, run: _, generation: _ } =
        card.clone();
    let mut manifest = ModelManifest {
        version: FORMAT,
        items,
        protocol,
        data_hash,
        metrics,
        trained,
        encoders,
        additions,
        files,
        seal: String::new(),
    };
    manifest.seal = seal::of(&manifest)?;
    Ok(manifest)
}

/// Names and shapes of all tensors of `model.safetensors`.
fn tensors(config: &ModelConfig, items: usize) -> Vec<(String, [usize; 2])> {
    let mut tensors = vec![("items.input".to_owned(), [items, config.rank])];
    if !config.tied {
        tensors.push(("items.output".to_owned(), [items, config.rank]));
    }
    tensors.extend(init::specs(config).into_iter().map(|spec| (spec.name, [spec.rows, spec.cols])));
    tensors
}

/// The place of the first value that is not finite, and the value.
fn not_finite(values: &[f32]) -> Option<String> {
    let index = values.iter().position(|value| !value.is_finite())?;
    Some(format!("holds {} at place {index}; every value must be finite", values[index]))
}
