//! The narrow waist: every format is a table with named columns, read row by row.

use std::path::Path;

use crate::delimited::Delimited;
use crate::error::{Place, Problem, Result};
use crate::format::Format;
use crate::jsonl::JsonLines;
use crate::movielens::MovieLens;
use crate::parquet::Parquet;
use crate::sasrec::SasRec;
use crate::source::Source;

/// What stands in a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// Nothing: a null, or a key that a JSON row does not have.
    Missing,
    /// Text as it is written, not yet known to be UTF-8.
    Text(&'a [u8]),
    /// A whole number.
    Whole(i64),
    /// A number that need not be whole.
    Real(f64),
    /// An instant, in microseconds since 1970 (UTC).
    Instant(i64),
}

/// A file whose columns are known and whose rows are not read yet.
pub(crate) trait Table {
    /// Names of the columns; they may repeat.
    fn columns(&self) -> &[String];

    /// Where the header stands.
    fn header(&self) -> Place;

    /// Reads the rows of these columns, given by their index; a format that can leaves the others unread.
    ///
    /// # Errors
    /// A column of a type that has no values of ours, or a file that cannot be read.
    fn select(self: Box<Self>, wanted: &[usize]) -> Result<Box<dyn Rows>>;
}

/// The rows of a file, one after the other.
pub(crate) trait Rows {
    /// Goes to the next row and says where it begins; `None` behind the last one. Blank lines are passed over.
    fn advance(&mut self) -> Result<Option<Place>>;

    /// Whether the row as a whole is sound.
    fn check(&self) -> std::result::Result<(), Problem>;

    /// The row's value in the `index`-th of the selected columns.
    fn value(&self, index: usize) -> Value<'_>;
}

/// Reads a file's columns. Sources of every format but Parquet are text, uncompressed by now.
pub(crate) fn open(source: Source, format: Format) -> Result<Box<dyn Table>> {
    let path: &Path = &source.path.clone();
    let text = source.text;
    Ok(match format {
        Format::Csv => Box::new(Delimited::open(path, text, b',')?),
        Format::Tsv => Box::new(Delimited::open(path, text, b'\t')?),
        Format::RecBole => Box::new(Delimited::open(path, text, b'\t')?.without_types()),
        Format::JsonLines => Box::new(JsonLines::open(path, text)?),
        Format::MovieLens => Box::new(MovieLens::open(path, text)?),
        Format::Parquet => Box::new(Parquet::open(path, source.size, source.meter)?),
        Format::SasRec => Box::new(SasRec::open(path, text)),
    })
}
