//! A folder of list files, part by part: what a job that may be killed at any moment leaves, and goes on from.
//!
//! A part is written under a hidden name, synced and renamed; then a seal with its hash is, in `_parts/`. A part counts as
//! written once both are there and agree. Names that begin with an underscore are passed over by whoever reads the folder
//! as one table.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use upnext_data::sealed::hash_file;

use crate::error::{Error, Result};
use crate::lists::{Layout, RowSink};
use crate::partial::Partial;

/// What the folder is for, so that no other job goes on in it.
const JOB: &str = "_job.json";
/// The seals.
const SEALS: &str = "_parts";
/// What the whole job came to.
const SUMMARY: &str = "_summary.json";
/// How the name of a part begins.
const PART: &str = "part-";

/// An opened folder of parts.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
    layout: Layout,
}

/// What is remembered of a part.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    blake3: String,
    bytes: u64,
    /// What the job counted while it wrote the part.
    tally: Value,
}

impl Parts {
    /// Opens a folder for a job, or makes it. `job` is an object that says all that the lists depend on; a folder that
    /// holds parts of another job is refused, or with `overwrite` emptied of them.
    ///
    /// # Errors
    /// When the folder belongs to another job or holds other files, or the disk refuses.
    pub fn open(folder: &Path, job: &Value, layout: Layout, overwrite: bool) -> Result<Self> {
        let parts = Self { folder: folder.to_owned(), layout };
        let failed = |source| Error::Write { path: folder.to_owned(), source };
        fs::create_dir_all(folder.join(SEALS)).map_err(failed)?;
        if let Some(found) = parts.foreign().map_err(failed)? {
            return Err(Error::NotParts { path: folder.to_owned(), found });
        }
        let path = folder.join(JOB);
        let other = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).map(|before| difference(&before, job)).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        match other {
            Some(None) => {}
            _ if overwrite => parts.clear().map_err(failed)?,
            Some(Some(field)) => return Err(Error::OtherJob { path: folder.to_owned(), field }),
            None => return Err(Error::OtherJob { path: folder.to_owned(), field: JOB.to_owned() }),
        }
        parts.put(&path, job)?;
        Ok(parts)
    }

    /// What the job counted when it wrote this part, if the part is whole.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn written(&self, name: &str) -> Result<Option<Value>> {
        let (path, seal) = (self.folder.join(name), self.seal(name));
        let Ok(bytes) = fs::read(&seal) else { return Ok(None) };
        let Ok(seal) = serde_json::from_slice::<Seal>(&bytes) else { return Ok(None) };
        if !path.is_file() {
            return Ok(None);
        }
        let (blake3, bytes) = hash_file(&path).map_err(|error| Error::Read {
            path: path.clone(),
            source: io::Error::other(error),
        })?;
        Ok((blake3 == seal.blake3 && bytes == seal.bytes).then_some(seal.tally))
    }

    /// A sink for the lists of a part.
    ///
    /// # Errors
    /// As [`RowSink::with_layout`].
    pub fn sink(&self, name: &str) -> Result<RowSink> {
        RowSink::with_layout(&self.folder.join(name), self.layout)
    }

    /// Seals a part whose sink is finished.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn seal_part(&self, name: &str, tally: Value) -> Result<()> {
        let path = self.folder.join(name);
        let (blake3, bytes) =
            hash_file(&path).map_err(|error| Error::Read { path, source: io::Error::other(error) })?;
        self.put(&self.seal(name), &Seal { blake3, bytes, tally })
    }

    /// Writes what the job came to, the last of its files.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&self, name: Option<&str>, summary: &Value) -> Result<PathBuf> {
        let name = name.map_or_else(|| SUMMARY.to_owned(), |shard| format!("_summary-{shard}.json"));
        let path = self.folder.join(name);
        self.put(&path, summary)?;
        Ok(path)
    }

    fn seal(&self, name: &str) -> PathBuf {
        self.folder.join(SEALS).join(format!("{name}.json"))
    }

    /// Writes JSON, all of it or nothing.
    fn put(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let write = || {
            let (mut partial, mut file) = Partial::create(path)?;
            serde_json::to_writer_pretty(&mut file, value)?;
            file.write_all(b"\n")?;
            partial.commit(&file)
        };
        write().map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    /// A file that no job of ours has written.
    fn foreign(&self) -> io::Result<Option<String>> {
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if !is_ours(&name) {
                return Ok(Some(name.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    /// Takes away what a job has written. The word on which job it was goes first, so that a crash in between leaves no
    /// folder that looks whole.
    fn clear(&self) -> io::Result<()> {
        let _ = fs::remove_file(self.folder.join(JOB));
        fs::remove_dir_all(self.folder.join(SEALS))?;
        for entry in fs::read_dir(&self.folder)? {
            fs::remove_file(entry?.path())?;
        }
        fs::create_dir_all(self.folder.join(SEALS))
    }
}

fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    // A part or a note that was being written when its job was killed.
    let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")).unwrap_or(&name);
    [JOB, SEALS, SUMMARY].contains(&name) || name.starts_with(PART) || name.starts_with("_summary-")
}

/// The first field in which two jobs differ.
fn difference(before: &Value, job: &Value) -> Option<String> {
    let (Some(before), Some(job)) = (before.as_object(), job.as_object()) else {
        return Some(JOB.to_owned());
    };
    before.keys().chain(job.keys()).find(|key| before.get(*key) != job.get(*key)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(parts: &Parts, name: &str, users: usize) {
        let mut sink = parts.sink(name).unwrap();
        for user in 0..users {
            sink.row(&format!("user {user}"), 1, "item", -0.5).unwrap();
        }
        sink.finish().unwrap();
        parts.seal_part(name, json!({ "lists": users })).unwrap();
    }

    #[test]
    fn only_a_whole_part_counts_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, job) = (dir.path().join("out"), json!({ "model": "a", "length": 10 }));
        let parts = Parts::open(&folder, &job, Layout::Rows, false).unwrap();
        assert_eq!(parts.written("part-0.csv").unwrap(), None);
        write(&parts, "part-0.csv", 3);
        // The same job goes on where it was.
        let parts = Parts::open(&folder, &job, Layout::Rows, false).unwrap();
        assert_eq!(parts.written("part-0.csv").unwrap(), Some(json!({ "lists": 3 })));
        for damage in [&b"user_id,rank"[..], b""] {
            let whole = fs::read(folder.join("part-0.csv")).unwrap();
            fs::write(folder.join("part-0.csv"), damage).unwrap();
            assert_eq!(parts.written("part-0.csv").unwrap(), None);
            fs::write(folder.join("part-0.csv"), whole).unwrap();
        }
        let seal = folder.join("_parts/part-0.csv.json");
        let bytes = fs::read(&seal).unwrap();
        fs::write(&seal, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(parts.written("part-0.csv").unwrap(), None);
        fs::write(&seal, &bytes).unwrap();
        fs::remove_file(folder.join("part-0.csv")).unwrap();
        assert_eq!(parts.written("part-0.csv").unwrap(), None);
    }

    #[test]
    fn another_job_is_refused_by_the_field_that_differs() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        let open = |job: &Value, overwrite| Parts::open(&folder, job, Layout::Rows, overwrite);
        let (first, second) = (json!({ "model": "a", "length": 10 }), json!({ "model": "a", "length": 20 }));
        write(&open(&first, false).unwrap(), "part-0.csv", 1);
        let refused = open(&second, false).unwrap_err().to_string();
        assert!(refused.contains("length"), "{refused}");
        let parts = open(&second, true).unwrap();
        assert_eq!(parts.written("part-0.csv").unwrap(), None);
        assert!(!folder.join("part-0.csv").exists());
        let summary = parts.finish(Some("2of3"), &json!({})).unwrap();
        assert_eq!(summary, folder.join("_summary-2of3.json"));
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        let refused = open(&second, true).unwrap_err().to_string();
        assert!(refused.contains("notes.txt"), "{refused}");
        assert!(folder.join("notes.txt").exists());
    }
}
