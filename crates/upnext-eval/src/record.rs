//! An evaluation on disk: the report, and the ranks behind it question by question.
//!
//! With them two systems can be compared without running either again. One JSON object:
//!
//! ```json
//! {
//!   "evaluation_report": 1,
//!   "report": { "protocol": "cold:0.1,1", "split": "test", "items": 3, "questions": 2, … },
//!   "questions": { "users": ["ann", "bob"], "targets": ["t1", "t9"], "cold": [1] },
//!   "systems": [{ "name": "model", "dropped": [1, 3], "kept": [2, 3], "among_cold": [1] }, …]
//! }
//! ```
//!
//! `report` is what `evaluate --json` prints. `questions.cold` names the questions whose target is cold by their place,
//! and `among_cold` holds a rank for each of these. The model is the first system.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use upnext_data::Catalog;

use crate::evaluate::target;
use crate::report::{Asked, Report};
use crate::system::System;
use crate::{Error, Result};

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// An evaluation with its ranks; past its constructors everything in it agrees.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it was read from, for errors; empty when it was not.
    pub(crate) path: PathBuf,
    /// Id of the protocol.
    pub(crate) protocol: String,
    /// Which questions were asked: `test` or `validation`.
    pub(crate) split: String,
    /// i: items that were ranked.
    pub(crate) items: u64,
    file: RecordFile,
}

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordFile {
    evaluation_report: u32,
    report: Value,
    questions: Questions,
    systems: Vec<Ranked>,
}

/// Whom and what was asked, question by question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Questions {
    /// Keys of the users.
    #[serde(deserialize_with = "users")]
    pub(crate) users: Vec<String>,
    /// Keys of the targets.
    #[serde(deserialize_with = "targets")]
    pub(crate) targets: Vec<String>,
    /// Places of the questions with cold targets, ascending.
    #[serde(deserialize_with = "cold")]
    pub(crate) cold: Vec<usize>,
}

/// The ranks of one system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranked {
    /// The system.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Of every question, with seen items dropped, from 1.
    #[serde(deserialize_with = "dropped")]
    pub dropped: Vec<u32>,
    /// Of every question, with seen items kept, from 1.
    #[serde(deserialize_with = "kept")]
    pub kept: Vec<u32>,
    /// Of every question with a cold target, among the cold items alone, from 1.
    #[serde(deserialize_with = "among_cold")]
    pub among_cold: Vec<u32>,
}

/// What tells a report from any other JSON before its fields are judged.
#[derive(Deserialize)]
struct Stamp {
    #[serde(deserialize_with = "stamp")]
    evaluation_report: u32,
}

/// Reads a field, naming it where it is something else.
macro_rules! named {
    ($($read:ident: $type:ty = $field:literal),* $(,)?) => {$(
        fn $read<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<$type, D::Error> {
            <$type>::deserialize(from)
                .map_err(|error| serde::de::Error::custom(format_args!("{}: {error}", $field)))
        }
    )*};
}

named! {
    stamp: u32 = "evaluation_report",
    users: Vec<String> = "questions.users",
    targets: Vec<String> = "questions.targets",
    cold: Vec<usize> = "questions.cold",
    name: String = "systems.name",
    dropped: Vec<u32> = "systems.dropped",
    kept: Vec<u32> = "systems.kept",
    among_cold: Vec<u32> = "systems.among_cold",
}

impl Record {
    /// The ranks of a report, with the keys of its users and targets.
    ///
    /// # Errors
    /// When the report is of other questions.
    pub fn of(report: &Report, asked: &Asked<'_>, catalog: &Catalog) -> Result<Self> {
        let questions = asked.questions();
        let user = |question: &upnext_data::Question| asked.histories.user_key(question.user).to_owned();
        let item =
            |question: &upnext_data::Question| catalog.key(target(question, asked.histories)).to_owned();
        let of_cold = &report.metrics.outcome.rank_among_cold;
        let places = of_cold.iter().enumerate().filter_map(|(place, rank)| rank.map(|_| place));
        let ranked = |name: &str, system: &System| Ranked {
            name: name.to_owned(),
            dropped: system.outcome.rank_dropped.clone(),
            kept: system.outcome.rank_kept.clone(),
            among_cold: system.outcome.rank_among_cold.iter().copied().flatten().collect(),
        };
        let rivals = report.baselines.iter().map(|rival| ranked(&rival.name, &rival.system));
        let systems = std::iter::once(ranked(&report.system, &report.metrics)).chain(rivals).collect();
        let json = |source| Error::ReportJson { path: PathBuf::new(), source };
        let file = RecordFile {
            evaluation_report: VERSION,
            report: serde_json::to_value(report).map_err(json)?,
            questions: Questions {
                users: questions.iter().map(user).collect(),
                targets: questions.iter().map(item).collect(),
                cold: places.collect(),
            },
            systems,
        };
        Self::checked(PathBuf::new(), file)
    }

    /// Writes the file whole or not at all: beside its place, synced, then renamed into it.
    ///
    /// # Errors
    /// When the disk refuses; what stood there before stands there still.
    pub fn write(&self, path: &Path) -> Result<()> {
        let refused = |source| Error::WriteReport { path: path.to_owned(), source };
        let mut hidden = OsString::from(".");
        hidden.push(path.file_name().ok_or_else(|| refused(io::ErrorKind::InvalidInput.into()))?);
        hidden.push(".partial");
        let temporary = path.with_file_name(hidden);
        let written = self.write_at(&temporary).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // Nobody is left to tell; a file that stays is replaced by the next one of this name.
            let _ = fs::remove_file(&temporary);
        }
        written.and_then(|()| sync_folder(path)).map_err(refused)
    }

    fn write_at(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut out, &self.file)?;
        out.write_all(b"\n")?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Reads what [`Record::write`] wrote, trusting nothing.
    ///
    /// # Errors
    /// When the file cannot be read, is no such report, is of another version or contradicts itself; the error names the
    /// field.
    pub fn read(path: &Path) -> Result<Self> {
        let at = || path.to_owned();
        let bytes = fs::read(path).map_err(|source| Error::ReadReport { path: at(), source })?;
        let json = |source| Error::ReportJson { path: at(), source };
        let Stamp { evaluation_report: found } = serde_json::from_slice(&bytes).map_err(json)?;
        if found != VERSION {
            return Err(Error::ReportVersion { path: at(), found, known: VERSION });
        }
        Self::checked(at(), serde_json::from_slice(&bytes).map_err(json)?)
    }

    fn checked(path: PathBuf, file: RecordFile) -> Result<Self> {
        let refuse = |field: &str, need: String| {
            Err(Error::ReportField { path: path.clone(), field: field.to_owned(), need })
        };
        let [protocol, split] = ["protocol", "split"].map(|key| file.report[key].as_str());
        let Some(protocol) = protocol else { return refuse("report.protocol", "must be a text".into()) };
        let Some(split) = split else { return refuse("report.split", "must be a text".into()) };
        let Some(items) = file.report["items"].as_u64() else {
            return refuse("report.items", "must be a whole number".into());
        };
        let (protocol, split, questions) =
            (protocol.to_owned(), split.to_owned(), file.questions.users.len());
        if file.report["questions"].as_u64() != Some(questions as u64) {
            let need = format!("is {}, but {questions} questions follow", file.report["questions"]);
            return refuse("report.questions", need);
        }
        if file.questions.targets.len() != questions {
            let found = file.questions.targets.len();
            return refuse("questions.targets", format!("has {found} keys, but there are {questions} users"));
        }
        let cold = &file.questions.cold;
        if !cold.is_sorted_by(|left, right| left < right)
            || cold.last().is_some_and(|&last| last >= questions)
        {
            let need = format!("must be ascending places, each once, below {questions}");
            return refuse("questions.cold", need);
        }
        if file.systems.is_empty() {
            return refuse("systems", "must hold one system at least".into());
        }
        let mut names = BTreeSet::new();
        for system in &file.systems {
            if !names.insert(&system.name) {
                return refuse("systems", format!("holds {:?} twice", system.name));
            }
            let lists = [
                ("dropped", &system.dropped, questions),
                ("kept", &system.kept, questions),
                ("among_cold", &system.among_cold, cold.len()),
            ];
            for (field, ranks, expected) in lists {
                let field = format!("systems.{}.{field}", system.name);
                if ranks.len() != expected {
                    return refuse(&field, format!("has {} ranks, but {expected} are needed", ranks.len()));
                }
                let outside = |rank: &u32| !(1..=items).contains(&u64::from(*rank));
                if let Some(place) = ranks.iter().position(outside) {
                    let need =
                        format!("has rank {} at place {place}; ranks are from 1 to {items}", ranks[place]);
                    return refuse(&field, need);
                }
            }
        }
        Ok(Self { path, protocol, split, items, file })
    }

    /// Where it was read from; empty when it was not.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The report, as `evaluate --json` prints it.
    pub fn report(&self) -> &Value {
        &self.file.report
    }

    /// How many questions were asked.
    pub fn len(&self) -> usize {
        self.file.questions.users.len()
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn questions(&self) -> &Questions {
        &self.file.questions
    }

    /// A system by name, the model where none is given.
    ///
    /// # Errors
    /// When there is no such system.
    pub fn system(&self, name: Option<&str>) -> Result<&Ranked> {
        let systems = &self.file.systems;
        let found = systems.iter().find(|system| name.is_none_or(|name| system.name == name));
        found.ok_or_else(|| Error::NoSystem {
            path: self.path.clone(),
            name: name.unwrap_or_default().to_owned(),
            known: systems.iter().map(|system| system.name.clone()).collect(),
        })
    }
}

/// Makes the new name last. Only Unix lets a folder be opened for that.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A record of one system over 100 items: kept ranks are one worse, ranks among the cold half as deep, rounded up.
    pub(crate) fn record(path: &str, users: &[String], cold: &[usize], dropped: &[u32]) -> Record {
        let report = serde_json::json!({
            "protocol": "cold:0.1,1", "split": "test", "items": 100, "questions": users.len(),
        });
        let model = Ranked {
            name: "model".to_owned(),
            dropped: dropped.to_vec(),
            kept: dropped.iter().map(|rank| rank + 1).collect(),
            among_cold: cold.iter().map(|&place| dropped[place].div_ceil(2)).collect(),
        };
        let targets = (0..users.len()).map(|place| format!("t{place}")).collect();
        let questions = Questions { users: users.to_vec(), targets, cold: cold.to_vec() };
        let file = RecordFile { evaluation_report: VERSION, report, questions, systems: vec![model] };
        Record::checked(path.into(), file).unwrap()
    }

    /// The same where so many items are cold.
    pub(crate) fn with_cold(mut record: Record, items: u64) -> Record {
        record.file.report["cold_start"] = serde_json::json!({ "items": items });
        record
    }
}
