//! Opens the folders that are named on the command line, and says which one may have been meant.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use upnext_data::sealed::recover;
use upnext_data::{Catalog, FeatureFile, ItemFeatures, Prepared, Reader};
use upnext_model::ModelManifest;

use crate::failure::BadInput;
use crate::say;

/// Whether a folder is there, if need be under the name that a crash left it.
fn is_there(dir: &Path) -> bool {
    dir.is_dir() || (!dir.exists() && matches!(recover(dir), Ok(true)))
}

/// A prepared folder.
pub(crate) fn prepared(dir: &Path) -> Result<Prepared> {
    check_prepared(dir)?;
    Prepared::open(dir).with_context(|| format!("opening prepared folder {}", dir.display()))
}

/// A prepared folder, to be read shard by shard.
pub(crate) fn reader(dir: &Path) -> Result<Reader> {
    check_prepared(dir)?;
    Reader::open(dir).with_context(|| format!("opening prepared folder {}", dir.display()))
}

fn check_prepared(dir: &Path) -> Result<()> {
    if !is_there(dir) {
        let made = "make one with `upnext prepare EVENTS --out DATA`";
        let why = if dir.exists() { "is a file, not a prepared folder" } else { "no such folder" };
        return Err(BadInput(format!("--data {}: {why}; {made}", dir.display())).into());
    }
    Ok(())
}

/// The features of a catalogue's items out of feature files, with a word on how many items they cover. For an existing
/// model, features must have been made as those of its training were.
pub(crate) fn features(
    paths: &[PathBuf],
    catalog: &Catalog,
    model: Option<&ModelManifest>,
) -> Result<ItemFeatures> {
    let read = |path: &PathBuf| {
        if !path.is_file() {
            let what = format!("--features {}: no such file; upnext encode makes one", path.display());
            return Err(BadInput(what).into());
        }
        FeatureFile::read(path).with_context(|| format!("reading features {}", path.display()))
    };
    let files: Vec<FeatureFile> = paths.iter().map(read).collect::<Result<_>>()?;
    let (features, coverage) = ItemFeatures::of(catalog, &files)?;
    let own = features.encoders();
    let model = model.into_iter().flat_map(|manifest| &manifest.encoders);
    for (modality, trained) in own.iter().chain(model) {
        let files = files.iter().filter(|file| file.modalities.iter().any(|one| one.name == *modality));
        if let Some(file) = files.into_iter().find(|file| !upnext_encode::alike(&file.encoder, trained)) {
            let what = format!(
                "the modality {modality:?} was made by {} here and by {trained} elsewhere: vectors of two encoders do not go \
                 together",
                file.encoder
            );
            return Err(BadInput(what).into());
        }
    }
    for part in coverage {
        let (known, all) = (say::count(part.items), say::count(catalog.len()));
        let unknown = match part.unknown {
            0 => String::new(),
            unknown => format!("; {} vectors are of items not in it", say::count(unknown)),
        };
        say::news(&format!(
            "features {}, {} wide: {known} of {all} items of the catalogue{unknown}",
            part.modality, part.width
        ));
    }
    Ok(features)
}

/// Refuses what is no model folder, where it is clear which one was meant.
pub(crate) fn check_model(dir: &Path) -> Result<()> {
    let model = dir.join("model");
    if is_there(dir) && dir.join("manifest.json").is_file() {
        return Ok(());
    }
    let what = if model.join("manifest.json").is_file() {
        format!("is a run folder; its model is {}", model.display())
    } else if dir.exists() {
        "is no model folder (it has no manifest.json)".to_owned()
    } else {
        "no such folder; a training writes its model to RUN/model".to_owned()
    };
    Err(BadInput(format!("--model {}: {what}", dir.display())).into())
}
