//! What a model folder says about itself, without its tensors: cheap for any size.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::read::Folder;
use super::{Generation, ModelManifest, README, tensors};
use crate::config::ModelConfig;
use crate::error::Result;

/// A model folder's text files, and what its parameters add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The model's sizes and switches.
    pub config: ModelConfig,
    /// The resolved configuration of the run that trained it.
    pub run: Value,
    /// What a request that says nothing gets.
    pub generation: Generation,
    /// Where it comes from and how good it is.
    pub manifest: ModelManifest,
    /// The parameters by what they are for, in the order of use.
    pub groups: Vec<Group>,
}

/// Parameters that do the same work, over all layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The tensors' name without the layer: `decoder.attention`, `items.input`.
    pub name: String,
    /// How many tensors they are.
    pub tensors: usize,
    /// How many numbers.
    pub parameters: usize,
}

impl Description {
    /// All trainable numbers.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.groups.iter().map(|group| group.parameters).sum()
    }

    /// Bytes of the folder's files, the manifest's own left out.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.manifest.files.values().map(|file| file.bytes).sum()
    }
}

/// Describes a model folder. The text files are checked as by [`open`](super::open), the others by their length alone.
///
/// # Errors
/// When a file is missing, of another version or another length, or a text file but the README was changed.
pub fn describe(dir: &Path) -> Result<Description> {
    let Folder { dir: _, manifest, config, run, generation } = Folder::open(dir)?;
    for (name, sealed) in manifest.files.iter().filter(|(name, _)| *name != README) {
        let (path, expected) = (dir.join(name), sealed.bytes);
        let found = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if found != expected {
            return Err(upnext_data::Error::Length { path, expected, found }.into());
        }
    }
    let groups = groups(&config, manifest.items);
    Ok(Description { config, run, generation, manifest, groups })
}

fn groups(config: &ModelConfig, items: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (name, shape) in tensors(config, items) {
        let (name, parameters) = (without_layer(&name), shape.iter().product());
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => {
                group.tensors += 1;
                group.parameters += parameters;
            }
            None => groups.push(Group { name, tensors: 1, parameters }),
        }
    }
    groups
}

/// `decoder.3.attention.qkv` as `decoder.attention`; a name without a layer as it is.
fn without_layer(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [stack, layer, part, ..] if layer.parse::<usize>().is_ok() => format!("{stack}.{part}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_add_up_to_the_model() {
        for tied in [true, false] {
            let config = ModelConfig { layers: 3, tied, ..ModelConfig::default() };
            let groups = groups(&config, 100);
            let sum: usize = groups.iter().map(|group| group.parameters).sum();
            assert_eq!(sum, config.parameter_count(100).unwrap());
            let attention = groups.iter().find(|group| group.name == "decoder.attention").unwrap();
            assert_eq!((attention.tensors, attention.parameters), (6, 3 * (3 + 1) * 64 * 64));
            assert_eq!(groups[0], Group { name: "items.input".into(), tensors: 1, parameters: 6_400 });
        }
    }
}
