//! A folder of list files, part by part: what a job that may be killed at any moment leaves, and goes on from.
//!
//! A part is written under a hidden name, synced and renamed; then a seal with its hash is, in `_parts/`. A part counts as
//! written once both are there and agree. Beside the seal stands a record of the histories that its lists were made from, so
//! that a later job can pass over users of whom there is nothing new ([`EarlierJob`]). Names that begin with an underscore are passed over by whoever reads the folder
//! as one table. Several processes may work in one folder, each on parts of its own.

mod earlier;
mod folder;
mod name;
mod record;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use upnext_data::sealed::{FileHash, hash_file};

pub use self::earlier::{EarlierJob, is_finished};
use self::folder::{Owner, clear, owner, refuse_foreign};
pub use self::record::{HistoryRecord, history_hash};
use crate::error::{Error, Result};
use crate::lists::{Form, RowSink};
use crate::partial::Partial;

/// What the folder is for, so that no other job goes on in it.
const JOB: &str = "_job.json";
/// Held while a folder is opened.
const LOCK: &str = "_lock";
/// Shared by all who work in the folder, as long as they do; with a shard's name behind it, held by who makes that shard.
const RUNNING: &str = "_running";
/// The seals.
const SEALS: &str = "_parts";
/// The extension of the records of histories, beside the seals.
const RECORD: &str = "histories";
/// What the whole job came to.
const SUMMARY: &str = "_summary";

/// An opened folder of parts.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
    form: Form,
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
    /// None in folders of earlier versions.
    #[serde(default)]
    record: Option<RecordSeal>,
}

/// What is remembered of a part's record of histories.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordSeal {
    blake3: String,
    bytes: u64,
    /// Whether its users have no events.
    asked: bool,
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
        form: impl Into<Form>,
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
        Ok(Self {
            folder: folder.to_owned(),
            form: form.into(),
            shard: shard.map(str::to_owned),
            job: job_hash(job),
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
        let Some(record) = &seal.record else { return Ok(None) };
        let record_path = record_file(&self.folder, name);
        let is_whole = record_path.is_file()
            && seal.job == self.job
            && hash(path)? == (seal.blake3, seal.bytes)
            && hash(record_path)? == (record.blake3.clone(), record.bytes);
        Ok(is_whole.then_some(seal.tally))
    }

    /// A sink for the lists of a part.
    ///
    /// # Errors
    /// As [`RowSink::with_form`].
    pub fn sink(&self, name: &str) -> Result<RowSink> {
        RowSink::with_form(&self.folder.join(name), self.form.clone())
    }

    /// Seals a part whose sink is finished, with the histories that its lists were made from.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn seal_part(&self, name: &str, tally: Value, record: &HistoryRecord) -> Result<()> {
        put_bytes(&record_file(&self.folder, name), &record.bytes)?;
        let FileHash { blake3, bytes } = FileHash::of(&record.bytes);
        let record = Some(RecordSeal { blake3, bytes, asked: record.asked });
        let (blake3, bytes) = hash(self.folder.join(name))?;
        put(&self.seal(name), &Seal { job: self.job.clone(), blake3, bytes, tally, record })
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

/// Where the record of a part's histories stands.
fn record_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(SEALS).join(format!("{name}.{RECORD}"))
}

/// Names a job by what its lists depend on.
fn job_hash(job: &Value) -> String {
    blake3::hash(job.to_string().as_bytes()).to_hex().to_string()
}

/// Writes JSON, all of it or nothing.
fn put(path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec_pretty(value).map(|mut bytes| {
        bytes.push(b'\n');
        bytes
    });
    let json = json.map_err(|error| Error::Write { path: path.to_owned(), source: error.into() })?;
    put_bytes(path, &json)
}

/// Writes bytes, all of them or nothing.
fn put_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let (mut partial, mut file) = Partial::create(path)?;
        file.write_all(bytes)?;
        partial.commit(&file)
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
