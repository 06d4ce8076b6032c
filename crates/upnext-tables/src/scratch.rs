//! A folder for what a job needs while it runs, beside what it makes.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// How often a name is tried: somebody who clears leftovers may take a folder that is not locked yet.
const TRIES: usize = 16;

/// A hidden folder `.OUT.upnext-scratch-…`, which goes with its owner. What a killed process leaves is removed when the
/// next one asks for a folder beside the same output.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    /// Held, not read. Systems without locks on folders do without, and leave leftovers alone.
    _lock: File,
}

impl Scratch {
    /// Makes one for this process.
    ///
    /// # Errors
    /// When the folder that `out` is to stand in cannot be written to.
    pub fn beside(out: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let failed = |source| Error::Write { path: out.to_owned(), source };
        // `.` has no name.
        let out = &out.canonicalize().unwrap_or_else(|_| out.to_owned());
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut prefix = OsString::from(".");
        prefix.push(out.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?);
        prefix.push(".upnext-scratch-");
        clear(parent, &prefix).map_err(failed)?;
        for _ in 0..TRIES {
            let mut name = prefix.clone();
            name.push(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
            let folder = parent.join(name);
            fs::create_dir(&folder).map_err(failed)?;
            let Ok(lock) = File::open(&folder) else { continue };
            let is_taken = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            if !is_taken && folder.is_dir() {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(failed(io::ErrorKind::ResourceBusy.into()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is a leftover for the next one.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of processes that have ended.
fn clear(parent: &Path, prefix: &OsString) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        if lock.try_lock().is_ok() {
            // It may have gone with its owner in the meantime.
            fs::remove_dir_all(entry.path()).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_owner_and_leftovers_go_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("lists");
        let one = Scratch::beside(&out).unwrap();
        fs::write(one.path().join("file"), "text").unwrap();
        let left = one.path().with_file_name(".lists.upnext-scratch-1-1");
        fs::create_dir(&left).unwrap();
        let others =
            [".other.upnext-scratch-1-1", "lists.upnext-scratch-1-1"].map(|name| dir.path().join(name));
        others.iter().for_each(|other| fs::create_dir(other).unwrap());
        let two = Scratch::beside(&out).unwrap();
        assert!(one.path().join("file").exists() && two.path().is_dir() && one.path() != two.path());
        assert!(!left.exists() && others.iter().all(|other| other.exists()));
        drop((one, two));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(Scratch::beside(&dir.path().join("no/lists")).is_err());
    }

    #[test]
    fn many_may_ask_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("lists");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let scratch = Scratch::beside(&out).unwrap();
                        fs::write(scratch.path().join("file"), "text").unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
