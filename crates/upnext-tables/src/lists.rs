//! Lists to files: a row an item or a row a user, as Parquet, CSV or JSON lines.

mod form;
pub(crate) mod parquet;
pub(crate) mod schema;
mod text;

use std::fs::File;
use std::io;
use std::path::Path;

use upnext_generate::Slate;

pub use self::form::{Beside, Form, Layout};
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
    /// A text for each column of the form.
    texts: Vec<String>,
    because: Vec<String>,
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
    form: Form,
    /// Whether keys in one field are joined by bars.
    joins: bool,
    list: Option<List>,
    count: u64,
}

impl RowSink {
    /// Opens a file for a row an item; its extension chooses the format.
    ///
    /// # Errors
    /// As [`RowSink::with_form`].
    pub fn create(path: &Path) -> Result<Self> {
        Self::with_form(path, Form::default())
    }

    /// Opens a file for rows of this form; its extension chooses the format.
    ///
    /// # Errors
    /// Another extension than `.parquet`, `.csv` or `.jsonl`, CSV for nested lists, columns of one name, or a folder that
    /// cannot be written to.
    pub fn with_form(path: &Path, form: impl Into<Form>) -> Result<Self> {
        let form = form.into();
        let failed = |source| Error::Write { path: path.into(), source };
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match (extension.as_str(), form.layout) {
            ("parquet" | "jsonl", _) | ("csv", Layout::Rows) => {}
            ("csv", Layout::Nested) => return Err(Error::NestedCsv { path: path.into() }),
            _ => return Err(Error::ListFormat { path: path.into() }),
        }
        form.check(path)?;
        let (partial, file) = Partial::create(path).map_err(failed)?;
        let file: Box<dyn ListFile> = match (extension.as_str(), form.layout) {
            ("csv", _) => Box::new(CsvRows::new(file, &form).map_err(failed)?),
            ("jsonl", Layout::Rows) => Box::new(JsonRows::new(file, &form)),
            ("jsonl", Layout::Nested) => Box::new(JsonLists::new(file, &form)),
            _ => Box::new(ParquetLists::new(file, &form).map_err(failed)?),
        };
        Ok(Self { partial, file, form, joins: extension == "csv", list: None, count: 0 })
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
    /// As [`RowSink::place`].
    pub fn row(&mut self, user: &str, rank: usize, item: &str, score: impl Into<Score>) -> Result<()> {
        self.place(user, rank, item, score.into(), Beside::default())
    }

    /// As [`RowSink::row`], with what stands beside the score.
    ///
    /// # Errors
    /// A score that is not finite, another number of texts than the form has columns, a key that cannot be told from
    /// several where keys are joined, or a disk that takes no more.
    pub fn place(
        &mut self,
        user: &str,
        rank: usize,
        item: &str,
        score: Score,
        beside: Beside<'_>,
    ) -> Result<()> {
        let path = || self.partial.path().into();
        if !f64::from(score).is_finite() {
            return Err(Error::Score {
                path: path(),
                user: user.into(),
                item: item.into(),
                score: score.into(),
            });
        }
        let (expected, found) = (self.form.columns.len(), beside.texts.len());
        if expected != found {
            return Err(Error::ListTexts { path: path(), expected, found });
        }
        if let Some(key) = beside.because.iter().find(|key| self.joins && key.contains('|')) {
            return Err(Error::JoinedKey { path: path(), key: (*key).to_owned() });
        }
        if self.list.as_ref().is_none_or(|list| list.user != user) {
            self.begin(user)?;
        }
        if let Some(list) = &mut self.list {
            let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
            let (texts, because) = (owned(beside.texts), owned(beside.because));
            list.places.push(Placed { rank, item: item.into(), score, texts, because });
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
