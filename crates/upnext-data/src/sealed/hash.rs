//! What a manifest remembers of a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Bytes that are read, hashed or written at once.
pub(super) const CHUNK: usize = 1 << 18;

/// Length and blake3 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHash {
    /// The blake3 of the file's bytes, 64 hexadecimal digits.
    pub blake3: String,
    /// How many bytes it has.
    pub bytes: u64,
}

impl FileHash {
    /// That of a file of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { blake3: blake3::hash(bytes).to_hex().to_string(), bytes: bytes.len() as u64 }
    }

    /// Refuses a file that is not the one remembered here.
    ///
    /// # Errors
    /// When its length or its hash differs.
    pub fn check(&self, path: &Path, found: &Self) -> Result<()> {
        let path = path.to_owned();
        if self.bytes != found.bytes {
            return Err(Error::Length { path, expected: self.bytes, found: found.bytes });
        }
        if self.blake3 != found.blake3 {
            return Err(Error::Hash { path, expected: self.blake3.clone(), found: found.blake3.clone() });
        }
        Ok(())
    }
}

/// Reads a file through and returns its blake3 (64 hexadecimal digits) and its length in bytes.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).map_err(Error::io("opening", path))?;
    let (mut hasher, mut buffer, mut bytes) = (blake3::Hasher::new(), vec![0; CHUNK], 0);
    loop {
        match file.read(&mut buffer).map_err(Error::io("reading", path))? {
            0 => return Ok((hasher.finalize().to_hex().to_string(), bytes)),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// Reads a small file whole, as a manifest or a configuration.
///
/// # Errors
/// When it cannot be read or has more than `limit` bytes.
pub fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("opening", path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io("reading", path))?;
    if bytes.len() as u64 > limit {
        let found = std::fs::metadata(path).map_or(bytes.len() as u64, |metadata| metadata.len());
        return Err(Error::TooLong { path: path.to_owned(), found, limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let bytes: Vec<u8> = (0..CHUNK * 2 + 17).map(|index| index as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let expected = (blake3::hash(&bytes).to_hex().to_string(), bytes.len() as u64);
        assert_eq!(hash_file(&path).unwrap(), expected);
        assert_eq!(read_bytes(&path, bytes.len() as u64).unwrap(), bytes);
        assert!(matches!(read_bytes(&path, 99).unwrap_err(), Error::TooLong { limit: 99, .. }));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = hash_file(Path::new("/no/such")).unwrap_err();
        assert_eq!(error.to_string(), "opening /no/such");
    }
}
