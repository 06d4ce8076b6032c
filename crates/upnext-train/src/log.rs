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
/// Bytes that are searched for a line's end at a time.
const PIECE: usize = 1 << 12;

/// The log of a run.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    /// Opens the log of a run folder and forgets what lies beyond `bytes`: steps that will be done again.
    ///
    /// A log that is shorter, or has no line's end there, was changed by somebody else. Its whole lines stay, what
    /// follows them goes, and the second value says so.
    pub(crate) fn open(run: &Path, bytes: u64) -> Result<(Self, Option<String>)> {
        let path = run.join(METRICS);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        let held = file.metadata().map_err(Error::io("reading", &path))?.len();
        let kept = whole_lines(&mut file, bytes.min(held)).map_err(Error::io("reading", &path))?;
        file.set_len(kept).map_err(Error::io("cutting", &path))?;
        file.seek(SeekFrom::Start(kept)).map_err(Error::io("reading", &path))?;
        let damage = (kept < bytes).then(|| {
            format!(
                "{bytes} bytes of it belong to the checkpoint, and {kept} of them, in whole lines, are left"
            )
        });
        Ok((Self { path, file, bytes: kept }, damage))
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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

/// How many of the first `bytes` bytes of a file are whole lines.
fn whole_lines(file: &mut File, mut bytes: u64) -> std::io::Result<u64> {
    let mut piece = [0; PIECE];
    while bytes > 0 {
        let piece = &mut piece[..bytes.min(PIECE as u64) as usize];
        let begin = bytes - piece.len() as u64;
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(piece)?;
        if let Some(at) = piece.iter().rposition(|&byte| byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        bytes = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_that_is_opened_again_goes_on_where_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, damage) = Log::open(dir.path(), 0).unwrap();
        assert_eq!(damage, None);
        log.append(&json!({ "step": 1 })).unwrap();
        let kept = log.sync().unwrap();
        log.append(&json!({ "step": 2, "late": true })).unwrap();
        let (mut log, damage) = Log::open(dir.path(), kept).unwrap();
        assert_eq!(damage, None);
        log.append(&json!({ "step": 2 })).unwrap();
        let text = std::fs::read_to_string(dir.path().join(METRICS)).unwrap();
        assert_eq!(text, "{\"step\":1}\n{\"step\":2}\n");
        assert_eq!(Log::first_line(dir.path()), Some(json!({ "step": 1 })));
    }

    #[test]
    fn a_log_that_somebody_cut_keeps_its_whole_lines_and_says_so() {
        let long = format!("{{\"key\":\"{}\"}}", "x".repeat(3 * PIECE));
        let text = format!("{{\"step\":1}}\n{long}\n");
        let all = text.len() as u64;
        let cases = [
            (text.as_str(), all, all, false),
            (text.as_str(), all + 9, all, true),
            (text.as_str(), all - 1, 11, true),
            (&text[..text.len() - 1], all, 11, true),
            (&text[..20], all, 11, true),
            (&text[..11], 11, 11, false),
            (&text[..10], 11, 0, true),
            ("", 11, 0, true),
        ];
        for (text, bytes, kept, damaged) in cases {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(METRICS);
            std::fs::write(&path, text).unwrap();
            let (mut log, damage) = Log::open(dir.path(), bytes).unwrap();
            assert_eq!((log.bytes, damage.is_some()), (kept, damaged), "{} of {bytes}", text.len());
            log.append(&json!({ "step": 2 })).unwrap();
            let found = std::fs::read_to_string(&path).unwrap();
            assert_eq!(found, format!("{}{{\"step\":2}}\n", &text[..kept as usize]));
        }
    }
}
