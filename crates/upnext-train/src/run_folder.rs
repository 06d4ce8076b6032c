//! The run folder: made, replaced or found again.
//!
//! `config.toml` (resolved), `metrics.jsonl`, `checkpoints/`, `model/` and `summary.json`.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use upnext_data::sealed;

use crate::checkpoint::Origin;
use crate::log::{Log, METRICS};
use crate::{Error, Result, RunConfig, TrainOptions, checkpoint};

/// The name of the configuration.
pub(crate) const CONFIG: &str = "config.toml";
/// The name of the summary.
pub(crate) const SUMMARY: &str = "summary.json";
const MODEL: &str = "model";

/// A run folder that is ready for a run.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Whether a run of the same configuration and data was begun in it before.
    pub(crate) found: bool,
    /// Held, not read: keeps other trainings out, and ends with the process however it ends. Systems without locks on
    /// folders do without.
    _lock: Option<File>,
}

impl RunFolder {
    /// Makes the folder, or finds the run that is resumed.
    pub(crate) fn open(
        path: &Path,
        config: &RunConfig,
        origin: &Origin,
        options: &TrainOptions<'_>,
    ) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            return Err(Error::NotAFolder(path.to_owned()));
        }
        let folder = Self { path: path.to_owned(), found: false, _lock: lock(path)? };
        let begun = path.join(CONFIG).is_file();
        match fs::read_dir(path) {
            // A run that was killed before its configuration was written left nothing but that file's copy.
            Ok(entries) if !begun => {
                let leftover = format!("{CONFIG}.new");
                if entries.flatten().any(|entry| entry.file_name() != leftover.as_str()) {
                    return Err(Error::NotARun(path.to_owned()));
                }
            }
            Ok(_) if options.resume => {
                folder.same(config, origin)?;
                return Ok(Self { found: true, ..folder });
            }
            Ok(_) if options.overwrite => folder.clear()?,
            Ok(_) => return Err(Error::Exists(path.to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("listing", path)(error)),
        }
        fs::create_dir_all(path).map_err(Error::io("making", path))?;
        let folder = if folder._lock.is_some() { folder } else { Self { _lock: lock(path)?, ..folder } };
        folder.write(CONFIG, config.to_toml()?.as_bytes())?;
        Ok(folder)
    }

    /// Refuses to resume a run of another configuration, or one made from something else.
    fn same(&self, config: &RunConfig, origin: &Origin) -> Result<()> {
        let path = self.path.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        let differences = RunConfig::from_toml(&text, &path)?.differences(config)?;
        let differs = |what, detail| Error::Differs { run: self.path.clone(), what, detail };
        if !differences.is_empty() {
            return Err(differs("the configuration", differences.join("; ")));
        }
        let Some(begun) = Log::first_line(&self.path).filter(|line| line.get("data_hash").is_some()) else {
            return Ok(());
        };
        let given = [
            ("the prepared data", "data_hash", Some(&origin.data_hash)),
            ("what the tower reads (--features)", "features", origin.features.as_ref()),
            ("the model to go on from (--from)", "from", origin.from.as_ref()),
        ];
        for (what, key, given) in given {
            let begun = begun.get(key).and_then(serde_json::Value::as_str);
            if begun != given.map(String::as_str) {
                let show = |hash: Option<&str>| hash.unwrap_or("none").to_owned();
                let (begun, given) = (show(begun), show(given.map(String::as_str)));
                return Err(differs(what, format!("{METRICS} says {begun}, given is {given}")));
            }
        }
        Ok(())
    }

    /// Where the best model goes.
    pub(crate) fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// Clears what a crash left beside the best model; says whether there is one.
    pub(crate) fn recover_model(&self) -> Result<bool> {
        Ok(sealed::recover(&self.model())?)
    }

    /// Removes what a run made, but nothing else that somebody keeps in the folder.
    ///
    /// `config.toml` stays until the new one takes its place: it marks the folder as a run's, so that one that is half
    /// cleared can be overwritten again. Checkpoints go first, since the rest without them is a run yet to begin.
    fn clear(&self) -> Result<()> {
        // What a crash left beside the model goes, or becomes the model, which goes.
        sealed::recover(&self.model())?;
        let copy = format!("{SUMMARY}.new");
        for name in [checkpoint::FOLDER, MODEL, SUMMARY, copy.as_str(), METRICS] {
            let path = self.path.join(name);
            let removed = match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
                Ok(_) => fs::remove_file(&path),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            };
            removed.map_err(Error::io("removing", &path))?;
        }
        Ok(())
    }

    /// Takes the summary away that the run had when it was stopped: it goes on.
    pub(crate) fn reopen(&self) -> Result<()> {
        let path = self.path.join(SUMMARY);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("removing", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes `summary.json`.
    pub(crate) fn summarise(&self, summary: &crate::Summary) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(summary)?;
        text.push(b'\n');
        self.write(SUMMARY, &text)
    }

    /// Writes a file whole or not at all: a copy, synced, renamed.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, copy) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let mut file = File::create(&copy).map_err(Error::io("making", &copy))?;
        file.write_all(bytes).map_err(Error::io("writing", &copy))?;
        file.sync_all().map_err(Error::io("syncing", &copy))?;
        fs::rename(&copy, &path).map_err(Error::io("renaming", &copy))?;
        // Not every system lets a folder be synced; the rename itself has been done.
        if let Ok(folder) = File::open(&self.path) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// Locks a folder that is there.
fn lock(path: &Path) -> Result<Option<File>> {
    let Ok(folder) = File::open(path) else { return Ok(None) };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(Error::Busy(path.to_owned())),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_training_is_kept_out_until_the_first_ends() {
        let home = tempfile::tempdir().unwrap();
        let (run, config) = (home.path().join("run"), RunConfig::default());
        let origin = Origin { config: String::new(), data_hash: "hash".into(), features: None, from: None };
        let open = |resume| {
            RunFolder::open(&run, &config, &origin, &TrainOptions { resume, ..TrainOptions::default() })
        };
        let first = open(false).unwrap();
        assert!(matches!(open(true), Err(Error::Busy(_))));
        drop(first);
        assert!(open(true).unwrap().found);
    }
}
