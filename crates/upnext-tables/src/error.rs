//! What can be wrong with a table, and where.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No event file was named.
    #[error("no event file was named; give at least one")]
    NoFiles,
    /// The file is missing, may not be read, or broke off.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the decompressor says.
        source: std::io::Error,
    },
    /// A folder stands where a file was expected.
    #[error("{}: is a folder; name the files in it", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The file has no byte at all, or only empty lines.
    #[error("{}: is empty; expected a header line or `user item` lines", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The files hold no event.
    #[error("{}: no event in it; there is a header and nothing below it", path.display())]
    NoEvents {
        /// The last event file.
        path: PathBuf,
    },
    /// Neither the content nor the extension says what the file is.
    #[error("{}: not recognised as CSV, TSV or SASRec text; say which with --format csv|tsv|sasrec", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A format name that does not exist.
    #[error("format {name:?} is not known; the formats are csv, tsv and sasrec")]
    UnknownFormatName {
        /// The name.
        name: String,
    },
    /// Text in UTF-16, which spreadsheets write as "Unicode text".
    #[error("{}: is UTF-16 text; save it as UTF-8", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// An item file cannot be a list of `user item` lines.
    #[error("{}: item files are CSV or TSV with a header, not SASRec text", path.display())]
    ItemFormat {
        /// The file.
        path: PathBuf,
    },
    /// A column that is needed is not in the header.
    #[error("{}:{line}: no column {column:?}; found {}; name the right one with {flag}", path.display(), found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// Line of the header.
        line: u64,
        /// The column that was looked for.
        column: String,
        /// The columns there are, quoted, the first few of them.
        found: Vec<String>,
        /// The flag that maps it.
        flag: &'static str,
    },
    /// A header that cannot be used.
    #[error("{}:{line}: {problem}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Line of the header.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A row that cannot be used.
    #[error("{}:{line}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Line on which the row begins, from 1.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// More bad rows than were allowed.
    #[error("more than {limit} bad rows; correct the file or raise --max-bad-rows")]
    TooManyBadRows {
        /// The number that was allowed.
        limit: u64,
        /// The row that was one too many.
        source: Box<Error>,
    },
    /// More users or items than a `u32` can number.
    #[error("{}:{line}: more than 4,294,967,295 distinct {what}", path.display())]
    TooManyKeys {
        /// The file.
        path: PathBuf,
        /// The row's line.
        line: u64,
        /// Users or items.
        what: &'static str,
    },
    /// The prepared folder could not be built or written.
    #[error("the prepared folder could not be written")]
    Data(#[from] upnext_data::Error),
    /// A list file of a kind that is not written.
    #[error("{}: lists are written as .csv or .jsonl", path.display())]
    ListFormat {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// A list file could not be written; what stood there before is unharmed.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A score that is not a number cannot be written.
    #[error("{}: the score of item {item:?} for user {user:?} is {score}, not a finite number", path.display())]
    Score {
        /// The file.
        path: PathBuf,
        /// The user's key.
        user: String,
        /// The item's key.
        item: String,
        /// The score.
        score: f64,
    },
}

/// What is wrong with a row or a header. Values are shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// More or fewer fields than the header.
    #[error(
        "{found} fields where the header has {expected}; put fields that hold the separator in double quotes"
    )]
    FieldCount {
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// Not two words on a line of `SASRec` text.
    #[error("word count is {found}; `user item` has 2")]
    WordCount {
        /// Words on the line.
        found: usize,
    },
    /// A key without a byte.
    #[error("column {column:?}: is empty; every row needs one")]
    EmptyKey {
        /// The column.
        column: String,
    },
    /// A key that is too long to be one.
    #[error("column {column:?}: is {bytes} bytes long, {value:?}…; keys have at most {limit}")]
    LongKey {
        /// The column.
        column: String,
        /// Length of the key.
        bytes: usize,
        /// Its beginning.
        value: String,
        /// The longest that is accepted.
        limit: usize,
    },
    /// A zero byte.
    #[error("column {column:?}: {value:?} holds a NUL byte; remove it")]
    Nul {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// Bytes that are no text.
    #[error("column {column:?}: {value:?} is not UTF-8; convert the file, for instance with iconv -t utf-8")]
    NotUtf8 {
        /// The column.
        column: String,
        /// The value, with the bad bytes replaced.
        value: String,
    },
    /// A time that is no whole number.
    #[error("column {column:?}: {value:?} is not a whole number; write times as Unix seconds")]
    Time {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A time that does not fit.
    #[error("column {column:?}: {value:?} is out of the range of whole numbers; write times as Unix seconds")]
    TimeRange {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A second row for an item.
    #[error("column {column:?}: item {key:?} already has a row on line {first}; keep one of them")]
    DuplicateItem {
        /// The column.
        column: String,
        /// The item's key.
        key: String,
        /// Line of its first row.
        first: u64,
    },
    /// Two columns of one name.
    #[error("column {name:?} stands twice in the header; rename one of them")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// A display column without a name.
    #[error("column {number} has no name; name it or remove it")]
    NamelessColumn {
        /// The column's number, from 1.
        number: usize,
    },
    /// A quote that is opened and never closed.
    #[error(
        "a quoted field begins in this row and does not end before the file does; close or double the quote"
    )]
    OpenQuote,
    /// A row longer than memory should be spent on.
    #[error(
        "the row is longer than {limit} bytes; look for a quote that is not closed or a missing line end"
    )]
    LongRow {
        /// The longest that is accepted.
        limit: usize,
    },
}

impl Problem {
    /// Whether reading can go on behind the row.
    pub(crate) fn can_be_skipped(&self) -> bool {
        !matches!(self, Self::OpenQuote | Self::LongRow { .. })
    }
}
