//! Opens the folders that are named on the command line, and says which one may have been meant.

use std::path::Path;

use anyhow::{Context, Result};
use upnext_data::Prepared;
use upnext_data::sealed::recover;

use crate::failure::BadInput;

/// Whether a folder is there, if need be under the name that a crash left it.
fn is_there(dir: &Path) -> bool {
    dir.is_dir() || (!dir.exists() && matches!(recover(dir), Ok(true)))
}

/// A prepared folder.
pub(crate) fn prepared(dir: &Path) -> Result<Prepared> {
    if !is_there(dir) {
        let made = "make one with `upnext prepare EVENTS --out DATA`";
        let why = if dir.exists() { "is a file, not a prepared folder" } else { "no such folder" };
        return Err(BadInput(format!("--data {}: {why}; {made}", dir.display())).into());
    }
    Prepared::open(dir).with_context(|| format!("opening prepared folder {}", dir.display()))
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
