//! `metrics.jsonl`: one JSON object a line, each written whole before the next step begins.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result};

/// The name of the log in a run folder.
pub(crate) const METRICS: &str = "metrics.jsonl";
/// Most bytes of the first line that are read back.
const FIRST_LINE: u64 = 1 << 16;

/// The log of a run.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    /// Opens the log of a run folder and forgets what lies beyond `bytes`: steps that will be done again.
    pub(crate) fn open(run: &Path, bytes: u64) -> Result<Self> {
        let path = run.join(METRICS);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        let held = file.metadata().map_err(Error::io("reading", &path))?.len();
        let bytes = bytes.min(held);
        file.set_len(bytes).map_err(Error::io("cutting", &path))?;
        file.seek(SeekFrom::Start(bytes)).map_err(Error::io("reading", &path))?;
        Ok(Self { path, file, bytes })
    }

    /// Appends a line.
    pub(crate) fn append(&mut self, value: &Value) -> Result<()> {
        let line = format!("{value}\n");
        self.file.write_all(line.as_bytes()).map_err(Error::io("writing", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes sure that what was appended is on the disk; gives its length in bytes.
    pub(crate) fn sync(&self) -> Result<u64> {
        self.file.sync_data().map_err(Error::io("syncing", &self.path))?;
        Ok(self.bytes)
    }

    /// The first line of a run's log, if there is a whole one.
    pub(crate) fn first_line(run: &Path) -> Option<Value> {
        let mut text = String::new();
        File::open(run.join(METRICS)).ok()?.take(FIRST_LINE).read_to_string(&mut text).ok()?;
        let (line, _) = text.split_once('\n')?;
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_that_is_opened_again_goes_on_where_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        log.append(&json!({ "step": 1 })).unwrap();
        let kept = log.sync().unwrap();
        log.append(&json!({ "step": 2, "late": true })).unwrap();
        let mut log = Log::open(dir.path(), kept).unwrap();
        log.append(&json!({ "step": 2 })).unwrap();
        let text = std::fs::read_to_string(dir.path().join(METRICS)).unwrap();
        assert_eq!(text, "{\"step\":1}\n{\"step\":2}\n");
        assert_eq!(Log::first_line(dir.path()), Some(json!({ "step": 1 })));
        assert_eq!(
            Log::open(dir.path(), 1 << 40).unwrap().bytes,
            text.len() as u64,
            "a shorter log is kept whole"
        );
    }
}
