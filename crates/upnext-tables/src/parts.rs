//! A folder of list files, part by part: what a job that may be killed at any moment leaves, and goes on from.
//!
//! A part is written under a hidden name, synced and renamed; then a seal with its hash is, in `_parts/`. A part counts as
//! written once both are there and agree. Names that begin with an underscore are passed over by whoever reads the folder
//! as one table. Several processes may work in one folder, each on parts of its own.

use std::fs::{self, DirEntry, File};
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
/// Held while a folder is opened.
const LOCK: &str = "_lock";
/// Shared by all who work in the folder, as long as they do; with a shard's name behind it, held by who makes that shard.
const RUNNING: &str = "_running";
/// The seals.
const SEALS: &str = "_parts";
/// What the whole job came to.
const SUMMARY: &str = "_summary";

/// An opened folder of parts.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
    layout: Layout,
    /// The shard, such as `2of8`; none for a whole job.
    shard: Option<String>,
    /// Names the job: the blake3 of its JSON.
    job: String,
    /// Locks that end with it.
    _held: [File; 2],
}

/// What is remembered of a part.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    /// The job that wrote the part.
    job: String,
    blake3: String,
    bytes: u64,
    /// What the job counted while it wrote the part.
    tally: Value,
}

/// Whose a folder is.
enum Owner {
    /// Nobody's: no part is in it.
    Nobody,
    /// This job's.
    Us,
    /// Another job's, which differs in this field.
    Other(String),
}

impl Parts {
    /// The name of a part: `chunk` of the users of shard `histories` of the data.
    #[must_use]
    pub fn name(&self, histories: usize, chunk: usize, extension: &str) -> String {
        let shard = self.shard.as_ref().map(|shard| format!("{shard}-")).unwrap_or_default();
        format!("part-{shard}{histories:05}-{chunk:05}.{extension}")
    }

    /// Opens a folder for a job, or for a shard of it, such as `2of8`, or makes it. `job` is an object that says all that the
    /// lists depend on; a folder that holds parts of another job is refused, or with `overwrite` emptied of them.
    ///
    /// # Errors
    /// When the folder belongs to another job or holds other files, when another process makes the same shard, or works
    /// on the job that is to be replaced, or the disk refuses.
    pub fn open(
        folder: &Path,
        job: &Value,
        shard: Option<&str>,
        layout: Layout,
        overwrite: bool,
    ) -> Result<Self> {
        let failed = |source| Error::Write { path: folder.to_owned(), source };
        let busy = || Error::PartsBusy { path: folder.to_owned() };
        let lock = |name: &str| File::create(folder.join(name)).map_err(failed);
        fs::create_dir_all(folder).map_err(failed)?;
        // Nothing is put into a folder that is not ours.
        refuse_foreign(folder)?;
        let opening = lock(LOCK)?;
        opening.lock().map_err(failed)?;
        refuse_foreign(folder)?;
        let own = lock(&format!("{RUNNING}-{}", shard.unwrap_or("all")))?;
        own.try_lock().map_err(|_| busy())?;
        let running = lock(RUNNING)?;
        let owner = owner(folder, job)?;
        if let (Owner::Other(field), false) = (&owner, overwrite) {
            return Err(Error::OtherJob { path: folder.to_owned(), field: field.clone() });
        }
        if !matches!(owner, Owner::Us) {
            // Nobody may be at work on what goes.
            running.try_lock().map_err(|_| busy())?;
            clear(folder).map_err(failed)?;
            fs::create_dir_all(folder.join(SEALS)).map_err(failed)?;
            put(&folder.join(JOB), job)?;
            running.unlock().map_err(failed)?;
        }
        running.lock_shared().map_err(failed)?;
        let job = blake3::hash(job.to_string().as_bytes()).to_hex().to_string();
        Ok(Self {
            folder: folder.to_owned(),
            layout,
            shard: shard.map(str::to_owned),
            job,
            _held: [own, running],
        })
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
        let (blake3, bytes) = hash(path)?;
        let is_whole = blake3 == seal.blake3 && bytes == seal.bytes && seal.job == self.job;
        Ok(is_whole.then_some(seal.tally))
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
        let (blake3, bytes) = hash(self.folder.join(name))?;
        put(&self.seal(name), &Seal { job: self.job.clone(), blake3, bytes, tally })
    }

    /// Writes what the job, or its shard, came to, the last of its files.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&self, summary: &Value) -> Result<()> {
        let shard = self.shard.as_ref().map(|shard| format!("-{shard}")).unwrap_or_default();
        put(&self.folder.join(format!("{SUMMARY}{shard}.json")), summary)
    }

    fn seal(&self, name: &str) -> PathBuf {
        self.folder.join(SEALS).join(format!("{name}.json"))
    }
}

fn hash(path: PathBuf) -> Result<(String, u64)> {
    hash_file(&path).map_err(|error| Error::Read { path, source: io::Error::other(error) })
}

/// Writes JSON, all of it or nothing.
fn put(path: &Path, value: &impl Serialize) -> Result<()> {
    let write = || {
        let (mut partial, mut file) = Partial::create(path)?;
        serde_json::to_writer_pretty(&mut file, value)?;
        file.write_all(b"\n")?;
        partial.commit(&file)
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Whose a folder is by its files. Parts or seals without a word on their job are another's.
fn owner(folder: &Path, job: &Value) -> Result<Owner> {
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

/// Parts and seals, whole or not.
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

fn refuse_foreign(folder: &Path) -> Result<()> {
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
fn clear(folder: &Path) -> io::Result<()> {
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
fn visible(name: &str) -> &str {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")).unwrap_or(name)
}

/// Whether it is the name of a part, or of its seal: `part-[IofN-]SHARD-CHUNK.EXTENSION[.json]`.
fn is_part(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((numbers, extension)) = name.strip_prefix("part-").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let numbers: Vec<&str> = numbers.split('-').collect();
    let is_numbered = match numbers[..] {
        [shard, chunk] => is_number(shard) && is_number(chunk),
        [of, shard, chunk] => {
            of.split_once("of").is_some_and(|(index, of)| is_number(index) && is_number(of))
                && is_number(shard)
                && is_number(chunk)
        }
        _ => false,
    };
    is_numbered && ["parquet", "csv", "jsonl"].contains(&extension.strip_suffix(".json").unwrap_or(extension))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PART: &str = "part-00000-00000.csv";

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
        let parts = Parts::open(&folder, &job, None, Layout::Rows, false).unwrap();
        assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
        write(&parts, "part-00000-00000.csv", 3);
        drop(parts);
        // The same job goes on where it was.
        let parts = Parts::open(&folder, &job, None, Layout::Rows, false).unwrap();
        assert_eq!(parts.written("part-00000-00000.csv").unwrap(), Some(json!({ "lists": 3 })));
        for damage in [&b"user_id,rank"[..], b""] {
            let whole = fs::read(folder.join("part-00000-00000.csv")).unwrap();
            fs::write(folder.join("part-00000-00000.csv"), damage).unwrap();
            assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
            fs::write(folder.join("part-00000-00000.csv"), whole).unwrap();
        }
        let seal = folder.join("_parts/part-00000-00000.csv.json");
        let bytes = fs::read(&seal).unwrap();
        fs::write(&seal, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
        fs::write(&seal, &bytes).unwrap();
        fs::remove_file(folder.join("part-00000-00000.csv")).unwrap();
        assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
    }

    #[test]
    fn another_job_is_refused_by_the_field_that_differs() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        let open = |job: &Value, overwrite| Parts::open(&folder, job, None, Layout::Rows, overwrite);
        let (first, second) = (json!({ "model": "a", "length": 10 }), json!({ "model": "a", "length": 20 }));
        // A job that left no part is in nobody's way.
        drop(open(&second, false).unwrap());
        write(&open(&first, false).unwrap(), PART, 1);
        let refused = open(&second, false).unwrap_err().to_string();
        assert!(refused.contains("length"), "{refused}");
        let parts = open(&second, true).unwrap();
        assert_eq!(parts.written(PART).unwrap(), None);
        assert!(!folder.join(PART).exists());
        parts.finish(&json!({})).unwrap();
        assert!(folder.join("_summary.json").exists());
        // Parts without a word on their job are nobody's to take up.
        write(&parts, PART, 1);
        drop(parts);
        fs::remove_file(folder.join(JOB)).unwrap();
        assert!(open(&second, false).unwrap_err().to_string().contains(JOB));
        assert_eq!(open(&second, true).unwrap().written(PART).unwrap(), None);
        assert!(!folder.join("_summary.json").exists(), "no job looks finished by another's summary");
    }

    #[test]
    fn nobody_is_disturbed_at_work() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (json!({ "model": "a" }), json!({ "model": "b" }));
        let open = |job: &Value, shard, overwrite| {
            Parts::open(dir.path(), job, Some(shard), Layout::Rows, overwrite)
        };
        let busy = |opened: Result<Parts>| matches!(opened, Err(Error::PartsBusy { .. }));
        let one = open(&first, "1of2", false).unwrap();
        let two = open(&first, "2of2", true).unwrap();
        // Neither the same shard twice, nor another job while one of the shards is made.
        assert!(busy(open(&first, "1of2", false)) && busy(open(&second, "1of9", true)));
        write(&one, &one.name(0, 0, "csv"), 2);
        drop(one);
        assert!(busy(open(&second, "1of9", true)));
        drop(two);
        let other = open(&second, "1of2", true).unwrap();
        let name = other.name(0, 0, "csv");
        assert_eq!(other.written(&name).unwrap(), None);
        // A seal of another job vouches for nothing here.
        write(&other, &name, 2);
        let seal = dir.path().join("_parts").join(format!("{name}.json"));
        let text = fs::read_to_string(&seal).unwrap().replace(&other.job, "0");
        fs::write(seal, text).unwrap();
        assert_eq!(other.written(&name).unwrap(), None);
    }

    #[test]
    fn what_no_job_of_ours_has_written_stays_as_it_is() {
        for name in ["notes.txt", "part-00000-c000.snappy.parquet", "part-00000.parquet", ".part-1.partial"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), "mine").unwrap();
            for overwrite in [false, true] {
                let refused = Parts::open(dir.path(), &json!({}), None, Layout::Rows, overwrite).unwrap_err();
                assert!(refused.to_string().contains(name), "{refused}");
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(PART)).unwrap();
        assert!(Parts::open(dir.path(), &json!({}), None, Layout::Rows, true).is_err());
    }

    #[test]
    fn many_may_open_one_folder_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, job) = (dir.path().join("out"), json!({ "model": "a" }));
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (folder, job) = (&folder, &job);
                scope.spawn(move || {
                    for round in 0..25 {
                        let shard = format!("{worker}of8");
                        let parts =
                            Parts::open(folder, job, Some(&shard), Layout::Rows, round % 2 == 0).unwrap();
                        let name = parts.name(0, round, "csv");
                        write(&parts, &name, 2);
                        assert_eq!(parts.written(&name).unwrap(), Some(json!({ "lists": 2 })));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.join(SEALS)).unwrap().count(), 200);
    }
}
