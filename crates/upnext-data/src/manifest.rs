//! What a prepared folder says about itself.
//!
//! The manifest remembers the length and blake3 of every other file, and carries a seal of its own contents, so that
//! any flipped bit in the folder is found.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::event_column::ColumnKind;
use crate::sealed::{FileHash, read_bytes};
use crate::{Error, Result};

/// The format version that this build writes and reads.
pub(crate) const VERSION: u32 = 1;
/// The name of the manifest.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The name of the catalogue.
pub(crate) const CATALOG: &str = "catalog.safetensors";
/// The name of the event columns' vocabularies.
pub(crate) const VOCABULARIES: &str = "vocabularies.safetensors";
/// What stands before and after the number in a shard's name.
const HISTORIES: &str = "histories-";
const SUFFIX: &str = ".safetensors";
/// The most bytes a manifest has.
const LIMIT: u64 = 1 << 24;

/// The name of a shard of the histories.
pub(crate) fn shard(index: usize) -> String {
    format!("{HISTORIES}{index:05}{SUFFIX}")
}

/// Whether a prepared folder may have an entry of this name.
pub(crate) fn is_part(name: &str) -> bool {
    let shard = name.strip_prefix(HISTORIES).and_then(|name| name.strip_suffix(SUFFIX));
    [MANIFEST, CATALOG, VOCABULARIES].contains(&name)
        || shard.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// Counts, origin and files of a prepared folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the folder's format.
    pub version: u32,
    /// How many users.
    pub users: usize,
    /// How many items.
    pub items: usize,
    /// How many events.
    pub events: usize,
    /// What the log says of each event beside item and time: names and kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_columns: Vec<(String, ColumnKind)>,
    /// Where it came from: options, sources, counts of skipped rows.
    pub origin: serde_json::Value,
    /// Every other file of the folder by name.
    pub files: BTreeMap<String, FileHash>,
}

/// The manifest as it stands on the disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    manifest: Manifest,
    /// The blake3 of the manifest in compact JSON.
    seal: String,
}

/// Enough of any version's manifest to tell its version.
#[derive(Deserialize)]
struct AnyVersion {
    manifest: AnyManifest,
}

#[derive(Deserialize)]
struct AnyManifest {
    version: u64,
}

impl Manifest {
    pub(crate) fn new(users: usize, items: usize, events: usize, origin: serde_json::Value) -> Self {
        Self {
            version: VERSION,
            users,
            items,
            events,
            event_columns: Vec::new(),
            origin,
            files: BTreeMap::new(),
        }
    }

    /// Reads the manifest of a folder, without its other files.
    ///
    /// # Errors
    /// When it is missing, of another version, or not as it was written.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let bytes = read_bytes(&path, LIMIT)?;
        let refuse = |source| Error::Manifest { path: path.clone(), source };
        let AnyVersion { manifest: AnyManifest { version } } =
            serde_json::from_slice(&bytes).map_err(refuse)?;
        if version != u64::from(VERSION) {
            return Err(Error::Version { path, found: version, supported: VERSION });
        }
        let Sealed { manifest, seal } = serde_json::from_slice(&bytes).map_err(refuse)?;
        let expected = manifest.seal().map_err(refuse)?;
        if seal != expected {
            return Err(Error::Seal { path, expected, found: seal });
        }
        Ok(manifest)
    }

    /// The manifest as it is written to this folder, sealed, with a line for each entry.
    ///
    /// # Errors
    /// When the origin is no JSON.
    pub fn to_json(&self, dir: &Path) -> Result<Vec<u8>> {
        let write = || {
            let mut bytes =
                serde_json::to_vec_pretty(&Sealed { manifest: self.clone(), seal: self.seal()? })?;
            bytes.push(b'\n');
            Ok(bytes)
        };
        write().map_err(|source| Error::Manifest { path: dir.join(MANIFEST), source })
    }

    /// Names the data: the blake3 of the files' names and hashes, in hexadecimal. It does not depend on the origin.
    #[must_use]
    pub fn data_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, file) in &self.files {
            hasher.update(format!("{name}\0{}\n", file.blake3).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn seal(&self) -> serde_json::Result<String> {
        Ok(blake3::hash(&serde_json::to_vec(self)?).to_hex().to_string())
    }

    /// What is remembered of a file.
    pub(crate) fn file(&self, dir: &Path, name: &str) -> Result<&FileHash> {
        let missing = || Error::Unlisted { path: dir.join(MANIFEST), name: name.to_owned() };
        self.files.get(name).ok_or_else(missing)
    }

    /// How many shards there are; every listed file must be one of them or the catalogue.
    pub(crate) fn shards(&self, dir: &Path) -> Result<usize> {
        let count = (0..self.files.len()).take_while(|&index| self.files.contains_key(&shard(index))).count();
        let number = |name: &str| name.strip_prefix(HISTORIES)?.strip_suffix(SUFFIX)?.parse().ok();
        let known = |name: &str| {
            name == CATALOG
                || name == VOCABULARIES
                || number(name).is_some_and(|index| index < count && shard(index) == name)
        };
        match self.files.keys().find(|name| !known(name)) {
            Some(name) => Err(Error::UnknownFile { path: dir.join(MANIFEST), name: name.clone() }),
            None if count == 0 => Err(Error::Unlisted { path: dir.join(MANIFEST), name: shard(0) }),
            None => Ok(count),
        }
    }

    pub(crate) fn check_count(
        &self,
        dir: &Path,
        what: &'static str,
        expected: usize,
        found: usize,
    ) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(Error::Count { path: dir.join(MANIFEST), what, expected, found })
    }
}
