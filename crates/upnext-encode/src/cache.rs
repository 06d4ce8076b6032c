//! Vectors of texts that were encoded before, in a folder: `DIR/<encoder>/<contents>.safetensors`.
//!
//! A vector is found by the blake3 of the encoder's identity and its text, so a changed text, prompt or weight is a new
//! entry. A file is never changed: each flush adds one, whose name is the hash of what it holds. A file that does not
//! have the contents of its name is removed, and its texts are encoded again.

use std::fs;
use std::path::{Path, PathBuf};

use upnext_data::sealed::{Tensor, TensorFile, Values, write_tensors};

use crate::save::install;
use crate::{Error, Result};

/// Bytes of a key.
const KEY: usize = 32;
/// Vectors after which a file is written: what a crash can cost.
const FLUSH: usize = 8192;
const EXTENSION: &str = "safetensors";

/// The name of a vector.
pub(crate) type Key = [u8; KEY];

/// The vectors of one encoder.
pub(crate) struct Cache {
    dir: PathBuf,
    identity: blake3::Hash,
    /// f: how wide a vector is.
    width: usize,
    keys: Vec<u8>,
    values: Vec<f32>,
}

/// What a cache had.
pub(crate) struct Found {
    /// Of each key asked for its vector.
    pub(crate) vectors: Vec<Option<Vec<f32>>>,
    /// Files that were damaged and are gone now.
    pub(crate) damaged: usize,
}

impl Cache {
    /// The cache of an encoder in this folder, which need not be there yet.
    pub(crate) fn new(dir: &Path, identity: blake3::Hash, width: usize) -> Self {
        let dir = dir.join(&identity.to_hex()[..16]);
        Self { dir, identity, width, keys: Vec::new(), values: Vec::new() }
    }

    /// The name of a text's vector.
    pub(crate) fn key(&self, text: &str) -> Key {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.identity.as_bytes()).update(text.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Looks for vectors.
    ///
    /// # Errors
    /// When the folder cannot be listed or a damaged file cannot be removed.
    pub(crate) fn find(&self, keys: &[Key]) -> Result<Found> {
        let mut found = Found { vectors: vec![None; keys.len()], damaged: 0 };
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by_key(|&place| keys[place]);
        for path in self.files()? {
            // Another run may have found the same damage, and what cannot be read now may be whole: neither is this run's
            // concern, for a vector that is not found is made again.
            if fs::File::open(&path).is_err() {
                continue;
            }
            let Some((part_keys, values)) = self.read(&path) else {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    removed => removed.map_err(Error::io("removing the damaged", &path))?,
                }
                found.damaged += 1;
                continue;
            };
            for (key, row) in part_keys.as_chunks::<KEY>().0.iter().zip(values.chunks_exact(self.width)) {
                if let Ok(at) = order.binary_search_by_key(key, |&place| keys[place]) {
                    found.vectors[order[at]] = Some(row.to_vec());
                }
            }
        }
        Ok(found)
    }

    /// Takes a vector in; now and then writes those that it has.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn push(&mut self, key: &Key, vector: &[f32]) -> Result<()> {
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(vector);
        if self.keys.len() < FLUSH * KEY { Ok(()) } else { self.flush() }
    }

    /// Writes the vectors that no file has yet.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let (keys, values) = (std::mem::take(&mut self.keys), std::mem::take(&mut self.values));
        if keys.is_empty() {
            return Ok(());
        }
        let count = keys.len() / KEY;
        let tensors = [
            Tensor::new("keys", &[count, KEY], Values::U8(&keys)),
            Tensor::new("values", &[count, self.width], Values::F32(&values)),
        ];
        let path = self.dir.join(format!("{}.{EXTENSION}", digest(&keys, &values)));
        install(&path, |temporary| Ok(write_tensors(temporary, &tensors)?))?;
        Ok(())
    }

    /// The files, by name.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("listing", &self.dir))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("listing", &self.dir))?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Keys and values of a file; nothing where it is not what its name says.
    fn read(&self, path: &Path) -> Option<(Vec<u8>, Vec<f32>)> {
        let mut file = TensorFile::open(path).ok()?;
        file.expect_names(&["keys", "values"]).ok()?;
        let &[count, KEY] = file.info("keys")?.shape.as_slice() else { return None };
        file.expect_shape("values", &[count, self.width]).ok()?;
        let (keys, values) = (file.u8("keys").ok()?, file.f32("values").ok()?);
        let named = path.file_stem().is_some_and(|stem| stem == digest(&keys, &values).as_str());
        named.then_some((keys, values))
    }
}

fn digest(keys: &[u8], values: &[f32]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(keys);
    values.iter().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &Path) -> Cache {
        Cache::new(dir, blake3::hash(b"encoder"), 2)
    }

    #[test]
    fn what_was_written_is_found_by_its_text_and_encoder() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = cache(dir.path());
        let keys = ["a", "b"].map(|text| first.key(text));
        first.push(&keys[0], &[1.0, 2.0]).unwrap();
        first.flush().unwrap();
        let found = cache(dir.path()).find(&keys).unwrap();
        assert_eq!(found.vectors, [Some(vec![1.0, 2.0]), None]);
        let other = Cache::new(dir.path(), blake3::hash(b"another"), 2);
        assert_ne!(other.key("a"), keys[0]);
        assert_eq!(other.find(&keys).unwrap().vectors, [None, None]);
    }

    #[test]
    fn every_damage_is_noticed_and_the_file_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = cache(dir.path());
        let key = first.key("a");
        first.push(&key, &[1.0, 2.0]).unwrap();
        first.flush().unwrap();
        let path = first.files().unwrap().remove(0);
        let bytes = fs::read(&path).unwrap();
        let data = bytes.len() - KEY - 8;
        for place in (0..16).chain(data..bytes.len()) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let found = first.find(&[key]).unwrap();
            assert_eq!((found.vectors[0].as_ref(), found.damaged), (None, 1), "byte {place}");
            assert!(!path.exists());
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(first.find(&[key]).unwrap().damaged, 1);
        fs::write(path.with_file_name(".half.safetensors"), "x").unwrap();
        assert_eq!(first.find(&[key]).unwrap().damaged, 0, "what is being written is not looked at");
    }
}
