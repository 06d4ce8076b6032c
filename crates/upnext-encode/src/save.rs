//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use upnext_data::FeatureFile;
use upnext_data::sealed::FileHash;

use crate::{Error, Result};

/// Writes a feature file: under another name first, synced, then renamed, so that nobody ever sees half of one.
///
/// # Errors
/// When something has that name already and `overwrite` is false, the features make no sense, or the disk refuses. What
/// was there before is then there still.
pub fn save(file: &FeatureFile, path: &Path, overwrite: bool) -> Result<FileHash> {
    check_free(path, overwrite)?;
    install(path, |temporary| Ok(file.write(temporary)?))
}

/// Refuses to write over something, before much work is done.
///
/// # Errors
/// When a file is there and `overwrite` is false, or a folder.
pub fn check_free(path: &Path, overwrite: bool) -> Result<()> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder; name a file"));
    }
    if !overwrite && path.exists() { Err(Error::Exists(path.to_owned())) } else { Ok(()) }
}

/// Fills a temporary sibling and gives it the name once it is complete.
pub(crate) fn install<T>(path: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else { return Err(Error::file(path, "has no name")) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io("making", parent))?;
    let mut sibling = std::ffi::OsString::from(".");
    sibling.push(name);
    sibling.push(format!(".upnext-new-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let temporary = Temporary(parent.join(sibling));
    let value = fill(&temporary.0)?;
    let written =
        File::options().write(true).open(&temporary.0).map_err(Error::io("opening", &temporary.0))?;
    written.sync_all().map_err(Error::io("syncing", &temporary.0))?;
    fs::rename(&temporary.0, path).map_err(Error::io("renaming", path))?;
    if cfg!(unix) {
        let folder = File::open(parent).map_err(Error::io("opening", parent))?;
        folder.sync_all().map_err(Error::io("syncing", parent))?;
    }
    Ok(value)
}

/// A file that is removed unless it got its name.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing is left to remove once it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("x");
        install(&path, |to| fs::write(to, "old").map_err(Error::io("writing", to))).unwrap();
        let fail = |to: &Path| {
            fs::write(to, "half").map_err(Error::io("writing", to))?;
            Err::<(), _>(Error::NoColumns)
        };
        assert!(matches!(install(&path, fail), Err(Error::NoColumns)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(matches!(check_free(&path, false), Err(Error::Exists(_))));
        assert!(check_free(&path, true).is_ok());
        assert!(check_free(dir.path(), true).unwrap_err().to_string().ends_with("is a folder; name a file"));
    }
}
