//! Writing a model folder: all of it, or nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use upnext_data::sealed::{FileHash, Tensor, Values, write_bytes, write_folder, write_tensors};
use upnext_data::{Catalog, ItemFeatures};

use super::{
    CATALOG, CONFIG, Card, ConfigFile, FORMAT, GENERATION, INDEX, MANIFEST, MODEL, README, TEXT_LIMIT,
    VECTORS, card, check_items, manifest, not_finite, tensors,
};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tower::{Finished, finish};

/// Writes a model folder: all of it, or nothing. `counts` `(i)` are the items' training events; the features are those
/// that the model's tower reads, if it has one.
///
/// # Errors
/// When `dir` exists and `overwrite` is false, sizes disagree, the features are not the tower's, a value is not finite,
/// or the disk refuses.
pub fn save(
    dir: &Path,
    model: &Model,
    catalog: &Catalog,
    counts: &[u64],
    features: Option<&ItemFeatures>,
    card: &Card,
    overwrite: bool,
) -> Result<()> {
    check_items(model.items(), catalog, counts)?;
    let finished = &finish(model, counts, features)?;
    write(dir, &Contents { model, catalog, counts, finished, card }, overwrite)
}

/// What a folder is made of.
pub(super) struct Contents<'a> {
    pub(super) model: &'a Model,
    pub(super) catalog: &'a Catalog,
    pub(super) counts: &'a [u64],
    pub(super) finished: &'a Finished<'a>,
    pub(super) card: &'a Card,
}

/// Writes a folder whose parts fit each other.
pub(super) fn write(dir: &Path, contents: &Contents<'_>, overwrite: bool) -> Result<()> {
    let Contents { model, catalog, counts, finished, card } = contents;
    let values = values(&dir.join(MODEL), model)?;
    let ours =
        |name: &str| [MODEL, VECTORS, CATALOG, CONFIG, GENERATION, README, MANIFEST, INDEX].contains(&name);
    write_folder(dir, overwrite, ours, |temp| {
        let mut files = BTreeMap::new();
        files.insert(MODEL.to_owned(), write_tensors(&temp.join(MODEL), &model_tensors(model, &values))?);
        files.insert(
            VECTORS.to_owned(),
            write_tensors(&temp.join(VECTORS), &vector_tensors(model, finished, counts))?,
        );
        files.insert(CATALOG.to_owned(), catalog.write(&temp.join(CATALOG))?);
        let config = ConfigFile {
            format: FORMAT,
            items: model.items(),
            model: model.config().clone(),
            run: card.run.clone(),
        };
        for (name, bytes) in [
            (CONFIG, json(CONFIG, &config)?),
            (GENERATION, json(GENERATION, &card.generation)?),
            (README, card::readme(model, card)?.into_bytes()),
        ] {
            files.insert(name.to_owned(), text(dir, temp, name, &bytes)?);
        }
        let manifest = manifest(card, model.items(), files)?;
        text(dir, temp, MANIFEST, &json(MANIFEST, &manifest)?)?;
        Ok(())
    })
}

/// Writes a text file of the folder that will be `dir`, unless it is longer than reading allows.
fn text(dir: &Path, temp: &Path, name: &str, bytes: &[u8]) -> Result<FileHash> {
    if bytes.len() as u64 > TEXT_LIMIT {
        let need =
            format!("would have {} bytes, but {TEXT_LIMIT} are the most: shorten the card", bytes.len());
        return Err(Error::File { path: dir.join(name), need });
    }
    Ok(write_bytes(&temp.join(name), bytes)?)
}

/// Copies of all parameters by name; refuses values that are not finite, also in the tables.
fn values(path: &Path, model: &Model) -> Result<BTreeMap<String, Vec<f32>>> {
    let refuse = |name: &str, values: &[f32]| match not_finite(values) {
        Some(need) => Err(Error::Tensor { path: path.to_owned(), name: name.to_owned(), need }),
        None => Ok(()),
    };
    refuse("items.input", model.input_table().rows())?;
    refuse("items.output", model.output_table().rows())?;
    let mut values = BTreeMap::new();
    for (name, _) in model.parameters().iter() {
        let copy = model.parameters().values(name)?;
        refuse(name, &copy)?;
        values.insert(name.to_owned(), copy);
    }
    Ok(values)
}

fn model_tensors<'a>(model: &'a Model, values: &'a BTreeMap<String, Vec<f32>>) -> Vec<Tensor<'a>> {
    let find = |name: &str| match name {
        "items.input" => model.input_table().rows(),
        "items.output" => model.output_table().rows(),
        name => values.get(name).map_or(&[][..], Vec::as_slice),
    };
    tensors(model.config(), model.items())
        .into_iter()
        .map(|(name, shape)| {
            let values = Values::F32(find(&name));
            Tensor::new(name, &shape, values)
        })
        .collect()
}

/// The finished item vectors and the training counts: with the decoder all that a server reads.
fn vector_tensors<'a>(model: &Model, finished: &'a Finished<'_>, counts: &'a [u64]) -> Vec<Tensor<'a>> {
    let shape = [model.items(), model.config().rank];
    let mut tensors = vec![
        Tensor::new("input", &shape, Values::F32(&finished.input)),
        Tensor::new("counts", &[counts.len()], Values::U64(counts)),
    ];
    if let Some(output) = &finished.output {
        tensors.push(Tensor::new("output", &shape, Values::F32(output)));
    }
    if model.config().tower.is_some() {
        let ineligible = &finished.ineligible;
        tensors.push(Tensor::new("ineligible", &[ineligible.len()], Values::U32(ineligible)));
    }
    tensors
}

fn json(name: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|source| Error::Json { path: name.into(), source })?;
    bytes.push(b'\n');
    Ok(bytes)
}
