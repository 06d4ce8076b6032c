//! Atomic folders: a temporary sibling, synced, then renamed.
//!
//! For a folder `data` the siblings are `.data.upnext-new-…`, being filled, and `.data.upnext-old-…`, being replaced.
//! Whoever works on one holds a lock on it, which ends with the process: an unlocked sibling is left from a crash.
//! [`recover`] removes such leftovers, after putting an old folder back where neither old nor new has the name.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Writes a folder whole or not at all: `fill` writes its files into the temporary folder that it is given.
///
/// Everything is synced before the folder gets its name, and the name before this returns. With `overwrite` an
/// existing folder gives way if it is empty, or has a `manifest.json` and nothing but entries whose names are `ours`;
/// until the new one is complete the old one stays as it is. Modes follow the umask. Missing parents are made.
///
/// # Errors
/// When `fill` fails, the folder exists and `overwrite` is false, it holds something else, or the disk refuses. What
/// was there before is then there still.
pub fn write_folder<T, E: From<Error>>(
    dir: &Path,
    overwrite: bool,
    ours: fn(&str) -> bool,
    fill: impl FnOnce(&Path) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let place = Place::of(dir)?;
    fs::create_dir_all(&place.parent).map_err(Error::io("making", &place.parent))?;
    place.recover()?;
    let ours = overwrite.then_some(ours);
    place.check(ours)?;
    let new = Sibling::make(&place.sibling(NEW))?;
    let value = fill(&new.path)?;
    sync_tree(&new.path)?;
    place.install(new, ours)?;
    Ok(value)
}

/// Clears what crashes left beside a folder; an old folder gets its name back if it is the only one. Says whether the
/// folder is there now.
///
/// # Errors
/// When the disk refuses.
pub fn recover(dir: &Path) -> Result<bool> {
    let place = Place::of(dir)?;
    place.recover()?;
    Ok(place.exists())
}

const NEW: &str = "upnext-new-";
const OLD: &str = "upnext-old-";

/// Where a folder stands or shall stand.
struct Place {
    parent: PathBuf,
    name: OsString,
    target: PathBuf,
}

impl Place {
    fn of(dir: &Path) -> Result<Self> {
        // A link is followed, so that the folder behind it is replaced and the link stays.
        let target = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Error::NoName { path: dir.to_owned() });
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        Ok(Self { parent: parent.to_owned(), name: name.to_owned(), target: target.clone() })
    }

    fn exists(&self) -> bool {
        fs::symlink_metadata(&self.target).is_ok()
    }

    /// Refuses to write over what must stay: everything, unless names are told that are `ours`.
    fn check(&self, ours: Option<fn(&str) -> bool>) -> Result<()> {
        let path = self.target.clone();
        if !self.exists() {
            return Ok(());
        }
        let Some(ours) = ours else { return Err(Error::Exists { path }) };
        let Ok(entries) = fs::read_dir(&path) else { return Err(Error::NotOurs { path }) };
        let names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
        if let Some(entry) = names.iter().find(|name| !name.to_str().is_some_and(ours)) {
            return Err(Error::Foreign { path, entry: entry.to_string_lossy().into_owned() });
        }
        if names.is_empty() || path.join("manifest.json").is_file() {
            Ok(())
        } else {
            Err(Error::NotOurs { path })
        }
    }

    fn prefix(&self, kind: &str) -> OsString {
        let mut prefix = OsString::from(".");
        prefix.push(&self.name);
        prefix.push(".");
        prefix.push(kind);
        prefix
    }

    /// A sibling's path that no other process or thread uses.
    fn sibling(&self, kind: &str) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut name = self.prefix(kind);
        name.push(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        self.parent.join(name)
    }

    /// Gives the finished sibling its name.
    fn install(&self, mut new: Sibling, ours: Option<fn(&str) -> bool>) -> Result<()> {
        self.check(ours)?;
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(Error::io("renaming", from));
        if !self.exists() {
            rename(&new.path, &self.target)?;
            new.placed = true;
            return sync_dir(&self.parent);
        }
        let mut old = Sibling::lock(self.sibling(OLD), &self.target);
        rename(&self.target, &old.path)?;
        if let Err(error) = rename(&new.path, &self.target) {
            rename(&old.path, &self.target)?;
            return Err(error);
        }
        new.placed = true;
        sync_dir(&self.parent)?;
        // From here on the new folder stands; the old one is removed when its sibling is dropped.
        old.placed = false;
        Ok(())
    }

    fn recover(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.parent) else { return Ok(()) };
        let (new, old) = (self.prefix(NEW), self.prefix(OLD));
        let begins =
            |name: &OsStr, prefix: &OsStr| name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
        for entry in entries {
            let path = entry.map_err(Error::io("listing", &self.parent))?.path();
            let name = path.file_name().unwrap_or_default();
            let (is_new, is_old) = (begins(name, &new), begins(name, &old));
            if !(is_new || is_old) || !unlocked(&path) {
                continue;
            }
            if is_old && !self.exists() {
                fs::rename(&path, &self.target).map_err(Error::io("renaming", &path))?;
                sync_dir(&self.parent)?;
            } else {
                fs::remove_dir_all(&path).map_err(Error::io("removing", &path))?;
            }
        }
        Ok(())
    }
}

/// A folder beside the target, ours while the lock is held; removed on drop unless it was placed.
struct Sibling {
    path: PathBuf,
    placed: bool,
    /// Held, not read. Systems without locks on folders do without.
    _lock: Option<File>,
}

impl Sibling {
    fn make(path: &Path) -> Result<Self> {
        fs::create_dir(path).map_err(Error::io("making", path))?;
        let mut sibling = Self::lock(path.to_owned(), path);
        sibling.placed = false;
        Ok(sibling)
    }

    /// Locks a folder that has, or is about to get, this path; it is left alone on drop.
    fn lock(path: PathBuf, folder: &Path) -> Self {
        let lock = File::open(folder).ok().filter(|folder| folder.try_lock().is_ok());
        Self { path, placed: true, _lock: lock }
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed now is a leftover for the next call.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Whether nobody works on a folder. One that cannot be opened or locked at all is left alone.
fn unlocked(folder: &Path) -> bool {
    match File::open(folder).map(|folder| folder.try_lock()) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => false,
    }
}

/// Syncs every file and folder below, then the folder itself.
fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io("listing", dir))? {
        let entry = entry.map_err(Error::io("listing", dir))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(Error::io("listing", dir))?);
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            let file =
                File::options().read(true).write(true).open(&path).map_err(Error::io("opening", &path))?;
            file.sync_all().map_err(Error::io("syncing", &path))?;
        }
    }
    sync_dir(dir)
}

/// Makes the names in a folder last. Only Unix lets a folder be opened for that.
fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        let folder = File::open(dir).map_err(Error::io("opening", dir))?;
        folder.sync_all().map_err(Error::io("syncing", dir))?;
    }
    Ok(())
}
