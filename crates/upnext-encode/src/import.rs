//! Vectors that were made elsewhere: of pictures, sound, text, anything that has one vector an item.
//!
//! [`Vectors`] are rows and their keys, out of a `.npy` file or a safetensors tensor beside a file of keys, or out of a
//! table (whose formats this crate does not know); [`Vectors::into_features`] checks them against a catalogue. Vectors
//! of items that the catalogue does not have are kept: they may be tonight's.

mod keys;
mod npy;
mod tensor;

use std::path::{Path, PathBuf};

use upnext_data::sealed::{FileHash, hash_file};
use upnext_data::{Catalog, FeatureFile, Modality, Strings};

use crate::{Description, Error, Imported, Result};

pub use tensor::is_feature_file;

/// Widest vector that a feature file holds.
const WIDEST: usize = 1 << 16;

/// Rows of a file and their keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// The file.
    pub path: PathBuf,
    /// `(n)` the items' keys.
    pub keys: Strings,
    /// f: how wide a row is.
    pub width: usize,
    /// `(n, f)` the rows.
    pub values: Vec<f32>,
}

/// A matrix without keys.
struct Matrix {
    rows: usize,
    width: usize,
    values: Vec<f32>,
}

impl Vectors {
    /// Reads a `.npy` file: two dimensions, f32, f64 or f16, in C order. `keys` has one key a line, in the order of the rows.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or there are not as many keys as rows.
    pub fn from_npy(path: &Path, keys: &Path) -> Result<Self> {
        let matrix = npy::read(path)?;
        Self::join(path, matrix, keys)
    }

    /// Reads a tensor of two dimensions out of a safetensors file: the one of this name, or the only one. `keys` as in
    /// [`Vectors::from_npy`].
    ///
    /// # Errors
    /// When a file cannot be read, there is no such tensor or several without a name, or there are not as many keys as
    /// rows.
    pub fn from_tensor(path: &Path, name: Option<&str>, keys: &Path) -> Result<Self> {
        let matrix = tensor::read(path, name)?;
        Self::join(path, matrix, keys)
    }

    fn join(path: &Path, matrix: Matrix, keys_path: &Path) -> Result<Self> {
        let keys = keys::read(keys_path)?;
        if keys.len() != matrix.rows {
            let (keys_path, path) = (keys_path.to_owned(), path.to_owned());
            return Err(Error::KeyCount { keys_path, keys: keys.len(), path, rows: matrix.rows });
        }
        Ok(Self { path: path.to_owned(), keys, width: matrix.width, values: matrix.values })
    }

    /// The vectors as a feature file of one modality; `width` is what they must have, where somebody knows.
    ///
    /// # Errors
    /// When the width is wrong, a key occurs twice, a vector is not finite, or the catalogue knows none of the keys; the
    /// error names the file, the row and the key.
    pub fn into_features(
        self,
        catalog: &Catalog,
        modality: &str,
        width: Option<usize>,
    ) -> Result<FeatureFile> {
        self.check_width(width)?;
        self.check_keys(catalog)?;
        if let Some(at) = self.values.iter().position(|value| !value.is_finite()) {
            let problem =
                format!("the vector holds {}; every value must be a finite 32-bit number", self.values[at]);
            return Err(self.row(at / self.width, problem));
        }
        let (blake3, bytes) = hash_file(&self.path)?;
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let description = Description::Imported(Imported {
            version: 1,
            modality: modality.to_owned(),
            file: name.unwrap_or_default(),
            hash: FileHash { blake3, bytes },
        });
        let items = (0..self.keys.len() as u32).collect();
        let modality = Modality { name: modality.to_owned(), width: self.width, items, values: self.values };
        Ok(FeatureFile { keys: self.keys, encoder: description.to_json()?, modalities: vec![modality] })
    }

    fn check_width(&self, expected: Option<usize>) -> Result<()> {
        let (path, found) = (self.path.clone(), self.width);
        if found == 0 || found > WIDEST {
            return Err(Error::file(
                &path,
                format!("its vectors are {found} wide; 1 to {WIDEST} are possible"),
            ));
        }
        match expected.filter(|&expected| expected != found) {
            Some(expected) => Err(Error::WrongWidth { path, found, expected }),
            None => Ok(()),
        }
    }

    fn check_keys(&self, catalog: &Catalog) -> Result<()> {
        if self.keys.is_empty() {
            return Err(Error::file(&self.path, "it holds no vector"));
        }
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_by_key(|&row| (self.keys.get(row), row));
        if let Some(pair) = order.windows(2).find(|pair| self.keys.get(pair[0]) == self.keys.get(pair[1])) {
            return Err(self.row(pair[1], format!("the same key as row {}", pair[0] + 1)));
        }
        if self.keys.iter().all(|key| catalog.find(key).is_none()) {
            let known = catalog.keys().iter().next().unwrap_or_default().to_owned();
            let (path, first) = (self.path.clone(), self.keys.get(0).to_owned());
            return Err(Error::NoneKnown { path, keys: self.keys.len(), first, known });
        }
        Ok(())
    }

    fn row(&self, row: usize, problem: String) -> Error {
        Error::Row { path: self.path.clone(), row: row + 1, key: self.keys.get(row).to_owned(), problem }
    }
}

/// Takes a modality out of another feature file, with its keys; what it says of how it was made stays.
///
/// # Errors
/// When the file cannot be read, has no such modality or one of another width, or the catalogue knows none of its keys.
pub fn feature_file(
    path: &Path,
    catalog: &Catalog,
    modality: &str,
    width: Option<usize>,
) -> Result<FeatureFile> {
    let mut file = FeatureFile::read(path)?;
    let names: Vec<String> = file.modalities.iter().map(|modality| modality.name.clone()).collect();
    file.modalities.retain(|other| other.name == modality);
    let Some(found) = file.modalities.first().map(|modality| modality.width) else {
        return Err(Error::file(
            path,
            format!("it has no modality {modality:?}; it has {}", names.join(", ")),
        ));
    };
    if let Some(expected) = width.filter(|&expected| expected != found) {
        return Err(Error::WrongWidth { path: path.to_owned(), found, expected });
    }
    if file.keys.iter().all(|key| catalog.find(key).is_none()) {
        let known = catalog.keys().iter().next().unwrap_or_default().to_owned();
        let first = file.keys.iter().next().unwrap_or_default().to_owned();
        return Err(Error::NoneKnown { path: path.to_owned(), keys: file.keys.len(), first, known });
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
