//! An earlier job's folder, as far as the next one asks: from which histories its lists were made.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use upnext_data::chance::name_key;

use super::folder::visible;
use super::record::Users;
use super::{JOB, RUNNING, RecordSeal, SEALS, SUMMARY, Seal, hash, job_hash, name, record_file};
use crate::error::{Error, Result};

/// A finished job, or as many of its shards as are needed. Nobody replaces it as long as this lives.
#[derive(Debug)]
pub struct EarlierJob {
    folder: PathBuf,
    about: Value,
    job: String,
    /// Of each shard the users who have events, and those who had none. Empty where a shard is not needed.
    shards: Vec<[Run; 2]>,
    _held: File,
}

/// Records that follow each other in byte order of their users.
#[derive(Debug, Default)]
struct Run {
    files: VecDeque<(PathBuf, RecordSeal)>,
    open: Option<(PathBuf, Users)>,
    /// The user who was read last.
    last: Option<(Vec<u8>, u64)>,
}

impl EarlierJob {
    /// Opens a folder of parts, or the folder of a summary. For one of several shards the same shard of the job will do,
    /// where it was cut into as many; else all of them must be finished.
    ///
    /// # Errors
    /// When it is no job's folder, is not finished, or keeps no record of histories; when somebody replaces it, or it
    /// cannot be read.
    pub fn open(path: &Path, shard: Option<(u32, u32)>) -> Result<Self> {
        let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path }.to_owned();
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let refuse = |what| Error::NotEarlier { path: folder.clone(), what };
        let none = || refuse("is no folder of parts, or was begun by an earlier version");
        let about: Value = fs::read(folder.join(JOB))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(none)?;
        let held = File::open(folder.join(RUNNING)).map_err(|_| none())?;
        held.try_lock_shared().map_err(|_| Error::PartsBusy { path: folder.clone() })?;
        let failed = |source| Error::Read { path: folder.clone(), source };
        let of = finished(&folder, shard).map_err(failed)?;
        let of =
            of.ok_or_else(|| refuse("is not finished: run its command again until all of it is made"))?;
        let job = job_hash(&about);
        let mut earlier = Self { shards: Vec::new(), folder: folder.clone(), about, job, _held: held };
        earlier.shards.resize_with(of as usize, Default::default);
        for (place, name, record) in records(&folder, &earlier.job)? {
            let index = place.shard.map_or(0, |(index, _)| index.saturating_sub(1)) as usize;
            let needed = shard.is_none_or(|own| own.1 != of || Some(own) == place.shard);
            if let (true, Some(runs)) = (needed, earlier.shards.get_mut(index)) {
                let record = record.ok_or_else(|| refuse("keeps no record of its histories"))?;
                runs[usize::from(record.asked)].files.push_back((record_file(&folder, &name), record));
            }
        }
        Ok(earlier)
    }

    /// What its lists depend on, as it was told to [`crate::Parts::open`].
    #[must_use]
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// Names the job.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Whether it knows a list of this user made from the very history of this hash. Users with events are asked after in
    /// byte order of their keys, and so are those without, to each of whom `asked` is said.
    ///
    /// # Errors
    /// When a record is damaged, or the disk refuses.
    pub fn has(&mut self, user: &str, history: u64, asked: bool) -> Result<bool> {
        let index = match self.shards.len() {
            1 => 0,
            of => (name_key(user) % of as u64) as usize,
        };
        match self.shards.get_mut(index) {
            Some(runs) => Ok(runs[usize::from(asked)].find(user)? == Some(history)),
            None => Ok(false),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Run {
    /// The hash of a user's history, read on from the user before.
    fn find(&mut self, user: &str) -> Result<Option<u64>> {
        loop {
            if let Some((key, history)) = &self.last {
                match key.as_slice().cmp(user.as_bytes()) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => return Ok(Some(*history)),
                    std::cmp::Ordering::Greater => return Ok(None),
                }
            }
            match self.next()? {
                Some(next) => self.last = Some(next),
                None => return Ok(None),
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        loop {
            if let Some((path, users)) = &mut self.open {
                let failed = |source| Error::Read { path: path.clone(), source };
                match users.next().map_err(failed)? {
                    Some(next) => return Ok(Some(next)),
                    None => self.open = None,
                }
            }
            let Some((path, seal)) = self.files.pop_front() else { return Ok(None) };
            let (blake3, bytes) = hash(path.clone())?;
            if (&blake3, bytes) != (&seal.blake3, seal.bytes) {
                return Err(Error::NotEarlier {
                    path,
                    what: "is not as it was written: make its part again",
                });
            }
            let users = Users::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
            self.open = Some((path, users));
        }
    }
}

/// Whether the job that writes into a folder has made all of its shards.
///
/// # Errors
/// When the folder cannot be read.
pub fn is_finished(folder: &Path) -> Result<bool> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    Ok(finished(folder, None).map_err(failed)?.is_some())
}

/// How many shards the job has, if all that are needed are finished.
fn finished(folder: &Path, own: Option<(u32, u32)>) -> io::Result<Option<u32>> {
    if folder.join(format!("{SUMMARY}.json")).is_file() {
        return Ok(Some(1));
    }
    let mut shards = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let file = file.to_string_lossy();
        let shard = file.strip_prefix(SUMMARY).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".json"));
        shards.extend(shard.and_then(name::shard));
    }
    let Some(&(_, of)) = shards.first() else { return Ok(None) };
    let is_there = match own {
        Some(own) if own.1 == of => shards.contains(&own),
        _ => (1..=of).all(|index| shards.contains(&(index, of))),
    };
    Ok(is_there.then_some(of))
}

/// The parts of a job by their places, and what is remembered of their records.
fn records(folder: &Path, job: &str) -> Result<Vec<(name::Place, String, Option<RecordSeal>)>> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let seals = folder.join(SEALS);
    let mut found = Vec::new();
    for entry in fs::read_dir(&seals).map_err(failed(&seals))? {
        let path = entry.map_err(failed(&seals))?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(part) = file.strip_suffix(".json").filter(|_| visible(&file) == file) else { continue };
        let Some((place, _)) = name::parse(part) else { continue };
        let bytes = fs::read(&path).map_err(failed(&path))?;
        let seal: Seal = serde_json::from_slice(&bytes)
            .map_err(|_| Error::NotEarlier { path, what: "is not as it was written: make its part again" })?;
        if seal.job == job {
            found.push((place, part.to_owned(), seal.record));
        }
    }
    found.sort_by_key(|(place, ..)| *place);
    Ok(found)
}
