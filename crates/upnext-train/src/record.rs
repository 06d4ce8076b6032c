//! A run folder, read back: what was asked, how it went, what it came to. Nothing is written or locked, so that a run
//! can be looked at while it goes on.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use upnext_data::sealed::read_bytes;

use crate::log::METRICS;
use crate::run_folder::{CONFIG, SUMMARY};
use crate::{Error, Result, RunConfig, Summary};

/// The most bytes that a configuration or a summary may have.
const TEXT_LIMIT: u64 = 1 << 20;
/// The most bytes of a line of the log that are looked at.
const LINE_LIMIT: u64 = 1 << 20;

/// What a run folder holds, its weights excepted.
#[derive(Clone, Debug)]
pub struct Record {
    /// What the run was asked to do.
    pub config: RunConfig,
    /// What it came to; `None` while it goes on, or when it was killed.
    pub summary: Option<Summary>,
    /// The hash of the prepared data, if the log says it.
    pub data_hash: Option<String>,
    /// Trainable numbers, if the log says it.
    pub parameters: Option<u64>,
    /// Steps of an epoch, if the log says it.
    pub steps_per_epoch: Option<u64>,
    /// (step, loss), as the log has them.
    pub losses: Vec<(u64, f64)>,
    /// The validations.
    pub validations: Vec<Validation>,
    /// Tokens a second, averaged over the latest steps.
    pub tokens_per_second: Option<f64>,
    /// Steps that were skipped.
    pub skipped: u64,
    /// How often the weights were rolled back.
    pub rollbacks: u64,
    /// How often the run was resumed.
    pub resumed: u64,
    /// Lines of the log that are no JSON objects; the last one may be in the making.
    pub unreadable: u64,
}

/// One validation of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Validation {
    /// Steps done.
    pub step: u64,
    /// Epochs begun.
    pub epoch: u64,
    /// NDCG at 10, seen items dropped or kept as the run was told.
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: f64,
    /// Whether it was the best until then.
    pub best: bool,
}

impl Record {
    /// Whether a folder has the files of a run.
    #[must_use]
    pub fn is_run(path: &Path) -> bool {
        path.join(CONFIG).is_file() && (path.join(METRICS).is_file() || path.join(SUMMARY).is_file())
    }

    /// Reads a run folder.
    ///
    /// # Errors
    /// When its configuration, its log or its summary cannot be read; lines of the log that cannot be understood are
    /// only counted.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(CONFIG);
        let text = String::from_utf8(text(&path)?).map_err(|error| unreadable(&path, error))?;
        let config = RunConfig::from_toml(&text, &path)?;
        let path = run.join(SUMMARY);
        let summary = if path.is_file() { Some(summary(&path)?) } else { None };
        let mut record = Self {
            config,
            summary,
            data_hash: None,
            parameters: None,
            steps_per_epoch: None,
            losses: Vec::new(),
            validations: Vec::new(),
            tokens_per_second: None,
            skipped: 0,
            rollbacks: 0,
            resumed: 0,
            unreadable: 0,
        };
        let path = run.join(METRICS);
        if path.is_file() {
            record.read_log(&path)?;
        }
        Ok(record)
    }

    /// Steps that the log knows of.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let logged = self.losses.iter().map(|&(step, _)| step).max().unwrap_or(0);
        self.summary.as_ref().map_or(logged, |summary| summary.steps.max(logged))
    }

    /// The best validation, the first of equals.
    #[must_use]
    pub fn best(&self) -> Option<&Validation> {
        self.validations.iter().reduce(|best, next| if next.ndcg_10 > best.ndcg_10 { next } else { best })
    }

    /// (step, NDCG at 10) of the validations.
    #[must_use]
    pub fn validation_points(&self) -> Vec<(u64, f64)> {
        self.validations.iter().map(|validation| (validation.step, validation.ndcg_10)).collect()
    }

    fn read_log(&mut self, path: &Path) -> Result<()> {
        let mut file = BufReader::new(File::open(path).map_err(Error::io("opening", path))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = std::io::Read::take(&mut file, LINE_LIMIT);
            let count = limited.read_until(b'\n', &mut line).map_err(Error::io("reading", path))?;
            if count == 0 {
                return Ok(());
            }
            match serde_json::from_slice::<Value>(&line) {
                Ok(value) if value.is_object() => self.take(&value),
                _ => self.unreadable += 1,
            }
        }
    }

    /// Adds what a line of the log says; kinds of lines that are not known say nothing.
    fn take(&mut self, line: &Value) {
        let whole = |key: &str| line.get(key).and_then(Value::as_u64);
        let real = |key: &str| line.get(key).and_then(Value::as_f64);
        match line.get("event").and_then(Value::as_str) {
            Some(event @ ("started" | "resumed")) => {
                self.resumed += u64::from(event == "resumed");
                self.data_hash = line.get("data_hash").and_then(Value::as_str).map(str::to_owned);
                self.parameters = whole("parameters");
                self.steps_per_epoch = whole("steps_per_epoch");
            }
            Some("step") => {
                self.losses.extend(whole("step").zip(real("loss")));
                self.tokens_per_second = real("tokens_per_second").or(self.tokens_per_second);
            }
            Some("validated") => {
                let ndcg_10 = line.get("metrics").and_then(|metrics| metrics.get("ndcg@10")?.as_f64());
                if let (Some(step), Some(epoch), Some(ndcg_10)) = (whole("step"), whole("epoch"), ndcg_10) {
                    let best = line.get("best").and_then(Value::as_bool).unwrap_or(false);
                    self.validations.push(Validation { step, epoch, ndcg_10, best });
                }
            }
            Some("skipped") => self.skipped += 1,
            Some("rolled-back") => self.rollbacks += 1,
            _ => {}
        }
    }
}

fn summary(path: &Path) -> Result<Summary> {
    serde_json::from_slice(&text(path)?).map_err(|error| unreadable(path, error))
}

fn text(path: &Path) -> Result<Vec<u8>> {
    read_bytes(path, TEXT_LIMIT).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: impl std::error::Error) -> Error {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Error::Record { path: path.to_owned(), reason: format!("{error}{source}") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LOG: &str = r#"{"event":"started","data_hash":"abc","parameters":7,"steps_per_epoch":2,"step":0}
{"event":"step","step":1,"epoch":1,"loss":2.5,"tokens_per_second":10.0}
{"event":"skipped","step":2,"loss":null,"in_a_row":1}
{"event":"validated","step":2,"epoch":1,"best":true,"metrics":{"ndcg@10":0.25}}
{"event":"resumed","data_hash":"abc","parameters":7,"steps_per_epoch":2,"step":2}
{"event":"step","step":3,"epoch":2,"loss":1.5,"tokens_per_second":30.0}
{"event":"validated","step":4,"epoch":2,"best":false,"metrics":{"ndcg@10":0.125}}
{"event":"later","of":"another version"}
{"event":"step","step":4,"ep"#;

    #[test]
    fn a_run_that_goes_on_is_read_up_to_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Record::is_run(dir.path()));
        fs::write(dir.path().join(CONFIG), "[train]\nseed = 3\n").unwrap();
        assert!(!Record::is_run(dir.path()));
        fs::write(dir.path().join(METRICS), LOG).unwrap();
        assert!(Record::is_run(dir.path()));
        let record = Record::read(dir.path()).unwrap();
        assert_eq!(record.losses, [(1, 2.5), (3, 1.5)]);
        assert_eq!(record.best(), Some(&Validation { step: 2, epoch: 1, ndcg_10: 0.25, best: true }));
        assert_eq!(record.validation_points(), [(2, 0.25), (4, 0.125)]);
        assert_eq!((record.skipped, record.rollbacks, record.resumed, record.unreadable), (1, 0, 1, 1));
        assert_eq!((record.steps(), record.parameters, record.tokens_per_second), (3, Some(7), Some(30.0)));
        assert_eq!((record.config.train.seed, record.summary), (3, None));
    }

    #[test]
    fn a_broken_summary_or_configuration_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str| {
            let error = Record::read(dir.path()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        };
        fs::write(dir.path().join(METRICS), "").unwrap();
        fs::write(dir.path().join(CONFIG), "[train]\nlr = \"fast\"\n").unwrap();
        check(CONFIG);
        fs::write(dir.path().join(CONFIG), b"\xff").unwrap();
        check(CONFIG);
        fs::write(dir.path().join(CONFIG), "").unwrap();
        fs::write(dir.path().join(SUMMARY), "{").unwrap();
        check(SUMMARY);
    }
}
