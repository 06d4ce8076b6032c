//! Vectors by key to files that other applications read: NumPy's `.npy`, or Parquet.

mod npy;
mod parquet;

use std::fs::File;
use std::io;
use std::path::Path;

use self::npy::Npy;
use self::parquet::ParquetVectors;
use crate::error::{Error, Result};
use crate::partial::Partial;

/// A file that takes vectors, each whole.
trait VectorFile {
    fn add(&mut self, key: &str, vector: &[f32]) -> io::Result<()>;

    /// Writes what is left; the file is then complete, though not yet on the disk.
    fn finish(&mut self) -> io::Result<&File>;
}

/// Writes vectors to a `.parquet` file, with a column of keys and a column `vector` of lists, or to a `.npy` file, a
/// `(n, r)` matrix of little-endian f32 with the keys one a line in `NAME.keys.txt` beside it.
///
/// The rows go to hidden files, which [`VectorSink::finish`] syncs and renames, the keys first; an existing file is replaced.
pub struct VectorSink {
    partial: Partial,
    file: Box<dyn VectorFile>,
    width: usize,
    count: u64,
}

impl VectorSink {
    /// Opens a file for vectors of one width; its extension chooses the format, `key` names the column of the keys.
    ///
    /// # Errors
    /// Another extension than `.parquet` or `.npy`, or a folder that cannot be written to.
    pub fn create(path: &Path, key: &str, width: usize) -> Result<Self> {
        let failed = |source| Error::Write { path: path.into(), source };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !["parquet", "npy"].contains(&extension.as_str()) {
            return Err(Error::VectorFormat { path: path.into() });
        }
        let (partial, file) = Partial::create(path).map_err(failed)?;
        let file: Box<dyn VectorFile> = match extension.as_str() {
            "npy" => Box::new(Npy::new(path, file, width).map_err(failed)?),
            _ => Box::new(ParquetVectors::new(file, key).map_err(failed)?),
        };
        Ok(Self { partial, file, width, count: 0 })
    }

    /// Adds a vector.
    ///
    /// # Errors
    /// A vector of another width, a key that its format cannot hold, or a disk that takes no more.
    pub fn row(&mut self, key: &str, vector: &[f32]) -> Result<()> {
        if vector.len() != self.width {
            let (found, expected) = (vector.len(), self.width);
            return Err(Error::VectorWidth { key: key.into(), found, expected });
        }
        self.count += 1;
        self.file.add(key, vector).map_err(|source| self.failed(source))
    }

    /// Syncs the rows to the disk, puts the file in its place, and says how many vectors it holds.
    ///
    /// # Errors
    /// When any of it fails; the file in its place is then as it was.
    pub fn finish(mut self) -> Result<u64> {
        let committed = self.file.finish().and_then(|file| self.partial.commit(file));
        committed.map_err(|source| self.failed(source))?;
        Ok(self.count)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.partial.path().into(), source }
    }
}
