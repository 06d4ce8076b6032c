//! New items in an old model, without training: tonight's titles, by what they are like.
//!
//! Ids are appended, so nothing that was there moves: tables, decoder and the vectors of the model's own items are
//! copied as they are (but for those that joined before, nothing was known of, and something is now). A new item has no collaborative row; it is served as a cold one, by what stands in for its row
//! and what the tower says of its features.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use upnext_data::{Catalog, Column, ItemFeatures, ItemId, Strings};

use super::read::{Finishing, Folder};
use super::write::{Contents, write};
use super::{Card, Generation, ModelManifest};
use crate::error::{Error, Result};
use crate::items::Table;
use crate::model::Model;
use crate::tower::{Finished, check_modalities, join};

/// Items that joined a model after its training.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// How many joined.
    pub items: usize,
    /// How many of them have no features, and so are never recommended.
    pub without_features: usize,
    /// How many of the items that were offered the model knew already; they stayed as they were, columns and all, but for
    /// `revived`.
    pub known: usize,
    /// How many of these were never recommended for want of features, and have some now.
    #[serde(default)]
    pub revived: usize,
    /// Columns of the offered items that the model's catalogue has not: what they said is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns_left_out: Vec<String>,
    /// blake3 of the features that were offered.
    pub features: String,
    /// The seal of the model that they joined.
    pub to: String,
}

/// Writes the model of `dir` with new items as `out`: those of `offered` that it does not know, by their `features`. Items
/// that joined without features and have some now are served by them from then on.
///
/// # Errors
/// When the model has no tower, the features are none of its tower's or of other items than those offered, no item is
/// new, or none that is new has features; when `dir` is no model folder, `out` exists and `overwrite` is false, or the
/// disk refuses.
pub fn extend(
    dir: &Path,
    offered: &Catalog,
    features: &ItemFeatures,
    out: &Path,
    overwrite: bool,
) -> Result<Addition> {
    let folder = Folder::open(dir)?;
    let refuse = |need: String| Err(Error::Features { need });
    let Some(tower) = &folder.config.tower else {
        return refuse(format!(
            "{} has no semantic tower: what a new item is like would say nothing to it; train a model with a \
             [model.tower] on features first",
            dir.display()
        ));
    };
    check_modalities(tower, features)?;
    if features.items() != offered.len() {
        return refuse(format!("{} items are offered with features of {}", offered.len(), features.items()));
    }
    let catalog = folder.catalog()?;
    let Finishing { mut input, mut output, mut counts, mut ineligible } = folder.vectors()?;
    let place = |item: u32| catalog.find(offered.key(ItemId(item))).map(|place| place.0);
    let is_new = |&item: &u32| place(item).is_none();
    let new: Vec<u32> = (0..offered.len() as u32).filter(is_new).collect();
    // Items that nothing was known of, and of which something is known now: (offered, known as).
    let told = |item: u32| {
        let known = place(item).filter(|place| ineligible.binary_search(place).is_ok())?;
        features.has(ItemId(item)).then_some((item, known))
    };
    let revived: Vec<(u32, u32)> = (0..offered.len() as u32).filter_map(told).collect();
    if new.is_empty() && revived.is_empty() {
        return refuse(format!("the model knows all {} items already: there is none to add", offered.len()));
    }
    let is_bare = |&&item: &&u32| !features.has(ItemId(item));
    let bare: Vec<u32> = new.iter().filter(is_bare).copied().collect();
    if !new.is_empty() && bare.len() == new.len() && revived.is_empty() {
        let first = offered.key(ItemId(bare[0]));
        return refuse(format!(
            "none of the {} new items has features ({first:?} the first): without them nothing is known of an item",
            new.len()
        ));
    }
    let (model, rank, old) = (folder.trained()?, folder.config.rank, counts.len());
    let again: Vec<u32> = revived.iter().map(|&(item, _)| item).collect();
    let told = join(&model, &counts, features, &again)?;
    for (j, &(_, known)) in revived.iter().enumerate() {
        let (from, to) = (j * rank..(j + 1) * rank, known as usize * rank..(known as usize + 1) * rank);
        input[to.clone()].copy_from_slice(&told.input[from.clone()]);
        if let (Some(output), Some(told)) = (&mut output, &told.output) {
            output[to].copy_from_slice(&told[from]);
        }
    }
    ineligible.retain(|item| revived.iter().all(|(_, known)| known != item));
    let joined = join(&model, &counts, features, &new)?;
    input.extend(&joined.input);
    if let (Some(output), Some(joined)) = (&mut output, &joined.output) {
        output.extend(joined);
    }
    counts.resize(old + new.len(), 0);
    let bare_places = (0..).zip(&new).filter(|(_, item)| is_bare(item)).map(|(place, _)| old as u32 + place);
    ineligible.extend::<Vec<u32>>(bare_places.collect());

    let is_unknown = |column: &&Column| catalog.column(&column.name).is_none();
    let addition = Addition {
        items: new.len(),
        without_features: bare.len(),
        known: offered.len() - new.len(),
        revived: revived.len(),
        columns_left_out: offered
            .columns()
            .iter()
            .filter(is_unknown)
            .map(|column| column.name.clone())
            .collect(),
        features: features.hash(),
        to: folder.manifest.seal.clone(),
    };
    let model = with_rows(model, new.len(), &joined.input_row, joined.output_row.as_deref())?;
    let catalog = appended(&catalog, offered, &new, &revived)?;
    let card = card(folder.manifest, folder.run, folder.generation, &addition);
    let cold = counts.iter().filter(|&&count| count < tower.cold_below).count();
    let finished = Finished { input: input.into(), output: output.map(Into::into), ineligible, cold };
    let contents =
        Contents { model: &model, catalog: &catalog, counts: &counts, finished: &finished, card: &card };
    write(out, &contents, overwrite)?;
    Ok(addition)
}

/// The same model with `count` more rows of each table.
fn with_rows(model: Model, count: usize, input_row: &[f32], output_row: Option<&[f32]>) -> Result<Model> {
    let longer = |table: &Table, row: &[f32]| {
        let mut rows = table.rows().to_vec();
        rows.extend(row.repeat(count));
        Table::from_rows(rows, table.rank())
    };
    let input = longer(model.input_table(), input_row)?;
    let output = match (model.untied_table(), output_row) {
        (Some(table), Some(row)) => Some(longer(table, row)?),
        _ => None,
    };
    Ok(model.with_tables(input, output))
}

/// The catalogue with the new items behind its own: the same columns, filled where the new items have them, and filled
/// anew where something is known of an item at last (`revived`: offered, known as).
fn appended(catalog: &Catalog, offered: &Catalog, new: &[u32], revived: &[(u32, u32)]) -> Result<Catalog> {
    let again: BTreeMap<usize, u32> = revived.iter().map(|&(item, known)| (known as usize, item)).collect();
    let joined = |own: &Strings, offered: Option<&Strings>| -> Strings {
        let told =
            |known: usize| Some(offered?.get(*again.get(&known)? as usize)).filter(|text| !text.is_empty());
        let own = own.iter().enumerate().map(|(known, text)| told(known).unwrap_or(text));
        let text = |&item: &u32| offered.map_or("", |offered| offered.get(item as usize));
        own.chain(new.iter().map(text)).collect()
    };
    let columns = catalog.columns().iter().map(|column| Column {
        name: column.name.clone(),
        values: joined(&column.values, offered.column(&column.name).map(|column| &column.values)),
    });
    Ok(Catalog::new(joined(catalog.keys(), Some(offered.keys())), columns.collect())?)
}

fn card(
    manifest: ModelManifest,
    run: serde_json::Value,
    generation: Generation,
    addition: &Addition,
) -> Card {
    let ModelManifest { protocol, data_hash, metrics, trained, encoders, mut additions, .. } = manifest;
    additions.push(addition.clone());
    Card { run, protocol, data_hash, metrics, trained, encoders, additions, generation }
}
