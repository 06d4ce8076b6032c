//! Ways to harm a model folder, and to make its manifest agree with the harm, so that a deeper check must notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tempfile::TempDir;
use upnext_data::sealed::{FileHash, hash_file};
use upnext_model::folder::{open, open_model, save};
use upnext_model::{ModelConfig, ModelManifest};

use super::world::{card, catalog, chain, counts, model};

pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const VECTORS: &str = "vectors.safetensors";
pub(crate) const CATALOG: &str = "catalog.safetensors";
pub(crate) const CARD: &str = "README.md";

const ITEMS: usize = 6;

fn config() -> ModelConfig {
    ModelConfig {
        layers: 1,
        width: 8,
        heads: 2,
        hidden: 6,
        rank: 4,
        window: 5,
        horizons: 3,
        ..Default::default()
    }
}

/// The files of a sound folder, saved once.
pub(crate) fn files() -> &'static [(&'static str, Vec<u8>)] {
    static SAVED: OnceLock<Vec<(&str, Vec<u8>)>> = OnceLock::new();
    SAVED.get_or_init(|| {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("model");
        save(&dir, &model(&config(), ITEMS), &catalog(ITEMS), &counts(ITEMS), None, &card(), false).unwrap();
        FILES.iter().map(|&name| (name, fs::read(dir.join(name)).unwrap())).collect()
    })
}

/// A sound folder of its own.
pub(crate) fn intact() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    fs::create_dir(&dir).unwrap();
    files().iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
    (root, dir)
}

/// Opens a folder after `damage`, as a server and as a trainer: the first must refuse it, naming all of `named`.
pub(crate) fn check(what: &str, named: &[&str], damage: impl FnOnce(&Path)) {
    let (_root, dir) = intact();
    damage(&dir);
    let start = Instant::now();
    let served = open(&dir).map(|_| ()).expect_err(what);
    let _may_not_look_at_every_file = open_model(&dir);
    assert!(start.elapsed() < Duration::from_secs(1), "{what}: took {:?}", start.elapsed());
    let message = chain(&served);
    for part in named {
        assert!(message.contains(part), "{what}: {part:?} is not in {message:?}");
    }
}

/// As [`check`], with a manifest that agrees with the damage.
pub(crate) fn check_sealed(what: &str, named: &[&str], damage: impl FnOnce(&Path)) {
    check(what, named, |dir| {
        damage(dir);
        reseal(dir);
    });
}

const FILES: [&str; 7] = [
    CARD,
    "catalog.safetensors",
    "config.json",
    "generation.json",
    "manifest.json",
    "model.safetensors",
    "vectors.safetensors",
];

/// Writes the hashes of the files as they are now, and the manifest's seal.
pub(crate) fn reseal(dir: &Path) {
    edit_json(&dir.join("manifest.json"), |manifest| {
        let files = manifest["files"].as_object_mut().unwrap();
        for (name, entry) in files {
            if let Ok((blake3, bytes)) = hash_file(&dir.join(name)) {
                *entry = serde_json::to_value(FileHash { blake3, bytes }).unwrap();
            }
        }
        seal(manifest);
    });
}

/// Writes the seal of a manifest as it is now; one that is no manifest keeps the seal that it has.
pub(crate) fn seal(manifest: &mut Value) {
    manifest["seal"] = Value::from("");
    if let Ok(parsed) = serde_json::from_value::<ModelManifest>(manifest.clone()) {
        let json = serde_json::to_vec(&parsed).unwrap();
        manifest["seal"] = Value::from(blake3::hash(&json).to_hex().to_string());
    }
}

pub(crate) fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

/// Edits a tensor file's header, tensor by tensor, and its data.
pub(crate) fn edit_tensors(path: &Path, edit: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
    let (header, mut data) = split(path);
    let mut header: Map<String, Value> = serde_json::from_slice(&header).unwrap();
    edit(&mut header, &mut data);
    join(path, &serde_json::to_vec(&header).unwrap(), &data);
}

/// Edits a tensor file's header as text.
pub(crate) fn edit_header(path: &Path, edit: impl FnOnce(String) -> String) {
    let (header, data) = split(path);
    join(path, edit(String::from_utf8(header).unwrap()).as_bytes(), &data);
}

/// Replaces the first bytes of one tensor.
pub(crate) fn poke(path: &Path, tensor: &str, bytes: &[u8]) {
    edit_tensors(path, |header, data| {
        let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        data[start..start + bytes.len()].copy_from_slice(bytes);
    });
}

/// Removes a tensor with its data, so that the others lie without a hole.
pub(crate) fn remove_tensor(path: &Path, tensor: &str) {
    edit_tensors(path, |header, data| {
        let range = |entry: &Value| [0, 1].map(|end| entry["data_offsets"][end].as_u64().unwrap());
        let [start, end] = range(&header.remove(tensor).unwrap());
        data.drain(start as usize..end as usize);
        for (name, entry) in header.iter_mut().filter(|(name, _)| *name != "__metadata__") {
            let [first, last] = range(entry);
            if first >= end {
                entry["data_offsets"] = serde_json::json!([first - (end - start), last - (end - start)]);
            }
            assert!(!name.is_empty());
        }
    });
}

pub(crate) fn split(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (bytes[8..8 + header].to_vec(), bytes[8 + header..].to_vec())
}

pub(crate) fn join(path: &Path, header: &[u8], data: &[u8]) {
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], header, data].concat()).unwrap();
}
