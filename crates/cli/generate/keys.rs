//! Files of item ids, one a line.

use std::path::Path;

use anyhow::Result;
use upnext_data::chance::name_key;
use upnext_generate::{Generator, ItemSet};

use crate::failure::BadInput;
use crate::say;

/// The items that a file of keys names.
pub(super) struct Keys {
    pub(super) set: ItemSet,
    /// Tells lists of keys apart.
    pub(super) digest: String,
}

impl Keys {
    /// Those item ids of a file, one a line, that the model knows; the others are counted aloud.
    pub(super) fn read(path: Option<&Path>, generator: &Generator) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|source| BadInput::unreadable(path, &source))?;
        let lines =
            text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
        let is_known = |key: &&str| generator.catalog().find(key).is_some();
        let (mut known, unknown): (Vec<&str>, Vec<&str>) = lines.partition(is_known);
        known.sort_unstable();
        known.dedup();
        if let Some(first) = unknown.first() {
            let (path, first) = (path.display(), say::shorten(first, 40));
            say::news(&format!(
                "{path}: {} ids are not the model's, {first:?} the first",
                say::count(unknown.len())
            ));
            if known.is_empty() {
                let what = format!("{path}: no line is the id of an item that the model knows");
                return Err(BadInput(what).into());
            }
        }
        let digest = format!("{} keys, {:016x}", known.len(), name_key(&known.join("\n")));
        Ok(Some(Self { set: generator.items_of(known).0, digest }))
    }
}
