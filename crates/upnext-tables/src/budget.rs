//! How a memory limit is spent.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::parquet::MAGIC;
use crate::source::Compression;

/// The smallest limit: a shard that is being written, and buffers.
pub const LEAST_MEMORY: u64 = 128 << 20;
/// Parts at least, so that threads have something to share.
const LEAST_PARTS: u64 = 16;
/// Parts at most: each may have an open file.
const MOST_PARTS: u64 = 256;
/// Bytes that a compressed byte is taken to hold.
const INFLATION: u64 = 4;

/// What a preparation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Bytes of records in memory.
    pub(crate) spools: u64,
    /// Bytes up to which a part is sorted in memory. Sorting takes about three times as many.
    pub(crate) part: u64,
    /// How many parts the events are cut into.
    pub(crate) parts: usize,
    /// Bytes of records that the files are expected to hold.
    expected: u64,
}

impl Budget {
    pub(crate) fn of(limit: Option<u64>, files: &[PathBuf]) -> Result<Self> {
        let expected = expected(files);
        let Some(limit) = limit else {
            let parts = LEAST_PARTS as usize;
            return Ok(Self { spools: u64::MAX, part: u64::MAX, parts, expected: 0 });
        };
        if limit < LEAST_MEMORY {
            return Err(Error::MemoryLimit { limit, least: LEAST_MEMORY });
        }
        // Of the limit, three tenths hold records and three tenths sort parts; the rest is for the shard that is
        // being written, keys and buffers.
        let threads = rayon::current_num_threads() as u64;
        let part = (limit * 3 / 10 / (3 * threads)).max(1 << 20);
        let parts = (expected * 3 / 2 / part).clamp(LEAST_PARTS, MOST_PARTS) as usize;
        Ok(Self { spools: limit * 3 / 10, part, parts, expected })
    }

    /// Refuses to begin what `folder` has no room for.
    pub(crate) fn check_disk(&self, folder: &Path) -> Result<()> {
        if self.expected <= self.spools {
            return Ok(());
        }
        let Some(free) = free(folder) else { return Ok(()) };
        if free < self.expected {
            return Err(Error::Room { folder: folder.into(), needed: self.expected, free });
        }
        Ok(())
    }
}

/// Bytes of records that the files will come to, about as many as their text.
fn expected(files: &[PathBuf]) -> u64 {
    let of = |path: &PathBuf| {
        // What is no file, such as a pipe, is read once, and not here.
        let Some(size) =
            std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
        else {
            return 0;
        };
        let mut magic = [0; 4];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
        let packed = Compression::of_file(path) != Compression::None || (read.is_ok() && magic == *MAGIC);
        if packed { size.saturating_mul(INFLATION) } else { size }
    };
    files.iter().map(of).fold(0, u64::saturating_add)
}

/// Bytes that the folder's disk has left, where the system says.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}
