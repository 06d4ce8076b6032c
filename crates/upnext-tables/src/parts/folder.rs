//! Which files of a folder are a job's, and whose the folder is.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{JOB, LOCK, RUNNING, SEALS, SUMMARY, name};
use crate::error::{Error, Result};

/// Whose a folder is.
pub(super) enum Owner {
    /// Nobody's: no part is in it.
    Nobody,
    /// This job's.
    Us,
    /// Another job's, which differs in this field.
    Other(String),
}

/// Whose a folder is by its files. Parts or seals without a word on their job are another's.
pub(super) fn owner(folder: &Path, job: &Value) -> Result<Owner> {
    let path = folder.join(JOB);
    let failed = |source| Error::Read { path: path.clone(), source };
    let before = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice::<Value>(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed(source)),
    };
    let differs = before.as_ref().map_or_else(|| Some(JOB.to_owned()), |before| difference(before, job));
    match differs {
        None => Ok(Owner::Us),
        Some(_) if parts(folder).map_err(failed)?.is_empty() => Ok(Owner::Nobody),
        Some(field) => Ok(Owner::Other(field)),
    }
}

/// Parts, seals and records, whole or not.
fn parts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [folder.join(SEALS), folder.to_owned()] {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if is_part(visible(&entry.file_name().to_string_lossy())) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

pub(super) fn refuse_foreign(folder: &Path) -> Result<()> {
    let foreign = || -> io::Result<Option<String>> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !is_ours(&entry)? {
                return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    };
    let path = folder.to_owned();
    match foreign() {
        Ok(None) => Ok(()),
        Ok(Some(found)) => Err(Error::NotParts { path, found }),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// Takes away what a job has written: summaries, seals, parts, and the word on whose they were last, so that what a crash
/// leaves is still that job's, and never looks finished.
pub(super) fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if visible(&entry.file_name().to_string_lossy()).starts_with(SUMMARY) {
            fs::remove_file(entry.path())?;
        }
    }
    for path in parts(folder)? {
        fs::remove_file(path)?;
    }
    fs::remove_file(folder.join(JOB)).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// The name that a file has once it is written.
pub(super) fn visible(name: &str) -> &str {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")).unwrap_or(name)
}

/// Whether it is the name of a part, of its seal, or of its record of histories.
fn is_part(file: &str) -> bool {
    let Some((_, extension)) = name::parse(file) else { return false };
    let of_part = [".json", ".histories"].iter().find_map(|end| extension.strip_suffix(end));
    ["parquet", "csv", "jsonl"].contains(&of_part.unwrap_or(extension))
}

fn is_ours(entry: &DirEntry) -> io::Result<bool> {
    let (name, kind) = (entry.file_name(), entry.file_type()?);
    let name = name.to_string_lossy();
    let name = visible(&name);
    let is_lock = name == LOCK || name == RUNNING || name.starts_with("_running-");
    let is_note = name == JOB || (name.starts_with(SUMMARY) && name.ends_with(".json"));
    Ok(if kind.is_dir() { name == SEALS } else { kind.is_file() && (is_lock || is_note || is_part(name)) })
}

/// The first field in which two jobs differ.
fn difference(before: &Value, job: &Value) -> Option<String> {
    let (Some(before), Some(job)) = (before.as_object(), job.as_object()) else {
        return Some(JOB.to_owned());
    };
    before.keys().chain(job.keys()).find(|key| before.get(*key) != job.get(*key)).cloned()
}
