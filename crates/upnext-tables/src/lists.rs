//! Lists to files: one row an item, as CSV or JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use upnext_generate::Slate;

use crate::error::{Error, Result};
use crate::partial::Partial;

/// A score in the precision it was computed in, which decides how many digits say it exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// Single precision, such as a model's raw scores.
    Single(f32),
    /// Double precision, such as log-probabilities.
    Double(f64),
}

impl From<f32> for Score {
    fn from(score: f32) -> Self {
        Self::Single(score)
    }
}

impl From<f64> for Score {
    fn from(score: f64) -> Self {
        Self::Double(score)
    }
}

/// Writes rows `user_id, rank, item_id, score` to a `.csv` or `.jsonl` file.
///
/// The rows go to a hidden file beside it, which [`RowSink::finish`] syncs and renames; a sink that is
/// dropped before removes it. So the file is whole or as it was, and an existing one is replaced.
/// Scores are written in the shortest form that reads back to the same number.
pub struct RowSink {
    partial: Partial,
    rows: Rows,
    count: u64,
    score: String,
}

enum Rows {
    Csv(Box<csv::Writer<File>>),
    JsonLines(BufWriter<File>),
}

impl RowSink {
    /// Opens a file for rows; its extension chooses the format.
    ///
    /// # Errors
    /// Another extension than `.csv` or `.jsonl`, or a folder that cannot be written to.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |source| Error::Write { path: path.into(), source };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let open = || Partial::create(path).map_err(failed);
        let (partial, rows) = match extension.as_str() {
            "csv" => {
                let (partial, file) = open()?;
                let mut out = csv::WriterBuilder::new().buffer_capacity(1 << 17).from_writer(file);
                let header = out.write_record(["user_id", "rank", "item_id", "score"]);
                header.map_err(|error| failed(error.into()))?;
                (partial, Rows::Csv(Box::new(out)))
            }
            "jsonl" => {
                let (partial, file) = open()?;
                (partial, Rows::JsonLines(BufWriter::with_capacity(1 << 17, file)))
            }
            _ => return Err(Error::ListFormat { path: path.into() }),
        };
        Ok(Self { partial, rows, count: 0, score: String::new() })
    }

    /// Adds one row; `rank` counts from 1.
    ///
    /// # Errors
    /// A score that is not finite, or a disk that takes no more.
    pub fn row(&mut self, user: &str, rank: usize, item: &str, score: impl Into<Score>) -> Result<()> {
        use std::fmt::Write as _;
        let score = score.into();
        let value = match score {
            Score::Single(score) => f64::from(score),
            Score::Double(score) => score,
        };
        if !value.is_finite() {
            let (user, item) = (user.into(), item.into());
            return Err(Error::Score { path: self.partial.path().into(), user, item, score: value });
        }
        self.score.clear();
        // Writing to a `String` cannot fail.
        let _ = match score {
            Score::Single(score) => write!(self.score, "{score:?}"),
            Score::Double(score) => write!(self.score, "{score:?}"),
        };
        let written = match &mut self.rows {
            Rows::Csv(out) => {
                out.write_record([user, &rank.to_string(), item, &self.score]).map_err(io::Error::from)
            }
            Rows::JsonLines(out) => write_json(out, user, rank, item, &self.score),
        };
        written.map_err(|source| self.failed(source))?;
        self.count += 1;
        Ok(())
    }

    /// Adds a slate's rows, best first.
    ///
    /// # Errors
    /// As [`RowSink::row`].
    pub fn slate(&mut self, user: &str, slate: &Slate) -> Result<()> {
        for (index, place) in slate.items.iter().enumerate() {
            self.row(user, index + 1, &place.key, place.score)?;
        }
        Ok(())
    }

    /// Syncs the rows to the disk, puts the file in its place, and says how many rows it has.
    ///
    /// # Errors
    /// When any of it fails; the file in its place is then as it was.
    pub fn finish(mut self) -> Result<u64> {
        self.commit().map_err(|source| self.failed(source))?;
        Ok(self.count)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.partial.path().into(), source }
    }

    fn commit(&mut self) -> io::Result<()> {
        match &mut self.rows {
            Rows::Csv(out) => {
                out.flush()?;
                self.partial.commit(out.get_ref())
            }
            Rows::JsonLines(out) => {
                out.flush()?;
                self.partial.commit(out.get_ref())
            }
        }
    }
}

fn write_json(out: &mut impl Write, user: &str, rank: usize, item: &str, score: &str) -> io::Result<()> {
    out.write_all(b"{\"user_id\":")?;
    serde_json::to_writer(&mut *out, user)?;
    write!(out, ",\"rank\":{rank},\"item_id\":")?;
    serde_json::to_writer(&mut *out, item)?;
    writeln!(out, ",\"score\":{score}}}")
}
