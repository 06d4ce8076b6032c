//! Files, folders and patterns to files.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files that `paths` name, in order: a file is itself, a folder its files by name, a pattern (`logs/*.csv`)
/// what it matches by name. Hidden files and those that begin with `_`, such as `_SUCCESS`, are no data.
pub(crate) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(in_folder(path)?);
        } else if !path.exists() && is_pattern(path) {
            files.extend(matching(path)?);
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() { Err(Error::NoFiles) } else { Ok(files) }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Read { path: folder.into(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_data(&path) {
            check(&path)?;
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(Error::EmptyFolder { path: folder.into() }) } else { Ok(files) }
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let refuse = |reason: String| Error::Pattern { path: pattern.into(), reason };
    let text = pattern.to_str().ok_or_else(|| refuse("is not UTF-8".into()))?;
    let found = glob::glob(text).map_err(|error| refuse(error.to_string()))?;
    let mut files = Vec::new();
    for path in found {
        // What may not be looked into may hold what is looked for.
        let path = path.map_err(|error| Error::Read { path: error.path().into(), source: error.into() })?;
        if is_data(&path) && !path.is_dir() {
            check(&path)?;
            files.push(path);
        }
    }
    if files.is_empty() { Err(refuse("no file matches".into())) } else { Ok(files) }
}

/// Refuses what would be passed over in silence: a folder within a folder, a link to nothing.
fn check(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(Error::FolderWithin { path: path.into() }),
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Read { path: path.into(), source }),
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn is_data(path: &Path) -> bool {
    path.file_name().is_some_and(|name| !matches!(name.as_encoded_bytes().first(), None | Some(b'.' | b'_')))
}
