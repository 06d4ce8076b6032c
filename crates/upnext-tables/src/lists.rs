//! Lists to files: a row an item or a row a user, as Parquet, CSV or JSON lines.

pub(crate) mod parquet;
mod text;

use std::fs::File;
use std::io;
use std::path::Path;

use upnext_generate::Slate;

use self::parquet::ParquetLists;
use self::text::{CsvRows, JsonLists, JsonRows};
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

impl From<Score> for f64 {
    fn from(score: Score) -> Self {
        match score {
            Score::Single(score) => score.into(),
            Score::Double(score) => score,
        }
    }
}

/// What a row of a list file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One item: `user_id`, `rank` from 1, `item_id`, `score`.
    #[default]
    Rows,
    /// One user: `user_id`, the list `items` of its item ids, best first, and the list `scores` beside it.
    Nested,
}

/// One user's list, as far as it is known.
#[derive(Default)]
struct List {
    user: String,
    places: Vec<Placed>,
}

/// An item of a list.
struct Placed {
    rank: usize,
    item: String,
    score: Score,
}

/// A file that takes lists, each whole.
trait ListFile {
    fn add(&mut self, list: &List) -> io::Result<()>;

    /// Writes what is left; the file is then complete, though not yet on the disk.
    fn finish(&mut self) -> io::Result<&File>;
}

/// Writes lists to a `.parquet`, `.csv` or `.jsonl` file.
///
/// The rows go to a hidden file beside it, which [`RowSink::finish`] syncs and renames; a sink that is
/// dropped before removes it. So the file is whole or as it was, and an existing one is replaced.
/// Text has scores in the shortest form that reads back to the same number, Parquet has them as doubles.
pub struct RowSink {
    partial: Partial,
    file: Box<dyn ListFile>,
    list: Option<List>,
    count: u64,
}

impl RowSink {
    /// Opens a file for a row an item; its extension chooses the format.
    ///
    /// # Errors
    /// As [`RowSink::with_layout`].
    pub fn create(path: &Path) -> Result<Self> {
        Self::with_layout(path, Layout::Rows)
    }

    /// Opens a file for rows of this layout; its extension chooses the format.
    ///
    /// # Errors
    /// Another extension than `.parquet`, `.csv` or `.jsonl`, CSV for nested lists, or a folder that cannot be
    /// written to.
    pub fn with_layout(path: &Path, layout: Layout) -> Result<Self> {
        let failed = |source| Error::Write { path: path.into(), source };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match (extension.as_str(), layout) {
            ("parquet" | "jsonl", _) | ("csv", Layout::Rows) => {}
            ("csv", Layout::Nested) => return Err(Error::NestedCsv { path: path.into() }),
            _ => return Err(Error::ListFormat { path: path.into() }),
        }
        let (partial, file) = Partial::create(path).map_err(failed)?;
        let file: Box<dyn ListFile> = match (extension.as_str(), layout) {
            ("csv", _) => Box::new(CsvRows::new(file).map_err(failed)?),
            ("jsonl", Layout::Rows) => Box::new(JsonRows::new(file)),
            ("jsonl", Layout::Nested) => Box::new(JsonLists::new(file)),
            _ => Box::new(ParquetLists::new(file, layout).map_err(failed)?),
        };
        Ok(Self { partial, file, list: None, count: 0 })
    }

    /// Begins the list of a user. One that stays empty is a row of the nested layout, and none otherwise.
    ///
    /// # Errors
    /// A disk that takes no more.
    pub fn begin(&mut self, user: &str) -> Result<()> {
        self.flush()?;
        self.list = Some(List { user: user.into(), places: Vec::new() });
        Ok(())
    }

    /// Adds an item to the list of a user; `rank` counts from 1. Rows of one user that follow each other are one
    /// list.
    ///
    /// # Errors
    /// A score that is not finite, or a disk that takes no more.
    pub fn row(&mut self, user: &str, rank: usize, item: &str, score: impl Into<Score>) -> Result<()> {
        let score = score.into();
        if !f64::from(score).is_finite() {
            let (user, item) = (user.into(), item.into());
            return Err(Error::Score { path: self.partial.path().into(), user, item, score: score.into() });
        }
        if self.list.as_ref().is_none_or(|list| list.user != user) {
            self.begin(user)?;
        }
        if let Some(list) = &mut self.list {
            list.places.push(Placed { rank, item: item.into(), score });
        }
        self.count += 1;
        Ok(())
    }

    /// Adds a slate, best first.
    ///
    /// # Errors
    /// As [`RowSink::row`].
    pub fn slate(&mut self, user: &str, slate: &Slate) -> Result<()> {
        self.begin(user)?;
        for (index, place) in slate.items.iter().enumerate() {
            self.row(user, index + 1, &place.key, place.score)?;
        }
        Ok(())
    }

    /// Syncs the rows to the disk, puts the file in its place, and says how many items it lists.
    ///
    /// # Errors
    /// When any of it fails; the file in its place is then as it was.
    pub fn finish(mut self) -> Result<u64> {
        self.flush()?;
        let committed = self.file.finish().and_then(|file| self.partial.commit(file));
        committed.map_err(|source| self.failed(source))?;
        Ok(self.count)
    }

    fn flush(&mut self) -> Result<()> {
        match self.list.take() {
            Some(list) => self.file.add(&list).map_err(|source| self.failed(source)),
            None => Ok(()),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.partial.path().into(), source }
    }
}
