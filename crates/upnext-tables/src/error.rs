//! What can be wrong with a table, and where.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of text, from 1.
    Line(u64),
    /// A row of a file without lines, from 1.
    Row(u64),
    /// The names and types of the columns.
    Schema,
}

impl std::fmt::Display for Place {
    /// What follows the file's name: `:12`, `: row 12` or nothing.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(out, ":{line}"),
            Self::Row(row) => write!(out, ": row {row}"),
            Self::Schema => Ok(()),
        }
    }
}

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
    /// A Parquet file that cannot be decoded.
    #[error("{}: cannot be read as Parquet; it is damaged, or of a kind that is not supported", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file inside another compression.
    #[error("{}: is Parquet packed once more; unpack it first", path.display())]
    PackedParquet {
        /// The file.
        path: PathBuf,
    },
    /// A column of a type that holds no keys, numbers, text or times.
    #[error("{}: column {column:?} is of the type {kind}; cast it to text, a whole number or a timestamp", path.display())]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// A part of a Parquet file that would unpack into an absurd size.
    #[error("{}: row group {group}, column {column:?}: {packed} bytes that unpack into {unpacked}; that is no data", path.display())]
    Bomb {
        /// The file.
        path: PathBuf,
        /// The row group, from 0.
        group: usize,
        /// The column.
        column: String,
        /// Its bytes in the file.
        packed: i64,
        /// Its bytes in memory.
        unpacked: i64,
    },
    /// A folder stands where a file was expected.
    #[error("{}: is a folder; name a file in it", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder without a file that could be read.
    #[error("{}: no file in this folder", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A pattern that is none, or that no file matches.
    #[error("{}: {reason}", path.display())]
    Pattern {
        /// The pattern.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Fields between semicolons.
    #[error("{}: fields are separated by semicolons; save it with commas or tabs", path.display())]
    Semicolons {
        /// The file.
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
    #[error("{}: not recognised as a table; say which it is with --format {}", path.display(), crate::format::Format::NAMES.join("|"))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A format name that does not exist.
    #[error("format {name:?} is not known; the formats are {}", crate::format::Format::NAMES.join(", "))]
    UnknownFormatName {
        /// The name.
        name: String,
    },
    /// A unit of times that does not exist.
    #[error(
        "time unit {name:?} is not known; the units are seconds, milliseconds, microseconds, nanoseconds and dates"
    )]
    UnknownTimeUnit {
        /// The name.
        name: String,
    },
    /// A column to keep without a name.
    #[error("{text:?} is no column; write a name such as rating, rating:number or device:category")]
    KeptColumn {
        /// What was given.
        text: String,
    },
    /// A size that is none.
    #[error("{text:?} is no size; write one such as 512MB or 2GiB")]
    Size {
        /// What was given.
        text: String,
    },
    /// A moment that is none.
    #[error("{text:?} is no moment; write Unix seconds or a date (2020-01-31 or 2020-01-31T10:00:00Z)")]
    Moment {
        /// What was given.
        text: String,
    },
    /// A condition that is none.
    #[error("{text:?} is no condition; write one such as 'rating >= 4' or 'device != tv'")]
    Condition {
        /// What was given.
        text: String,
    },
    /// Whoever is told of the progress broke off.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// Memory that nothing can be done with.
    #[error("a memory limit of {limit} bytes is too small; give at least {least}")]
    MemoryLimit {
        /// The limit.
        limit: u64,
        /// The smallest.
        least: u64,
    },
    /// The disk has no room for what does not fit into memory.
    #[error("{}: about {needed} bytes are needed here and {free} are free; raise --memory-limit, or name a larger disk with --spill", folder.display())]
    Room {
        /// The folder.
        folder: PathBuf,
        /// Bytes that will be needed.
        needed: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// What does not fit into memory could not be written or read again.
    #[error("{}: cannot keep what does not fit into memory; make room there, or name another folder with --spill", folder.display())]
    Spill {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No user or item has as many events as it must.
    #[error(
        "no event is left: no user has {users} events of items that have {items}; lower --min-user-events or --min-item-events"
    )]
    NothingLeft {
        /// Events that a user must have.
        users: u64,
        /// Events that an item must have.
        items: u64,
    },
    /// Every event was left out.
    #[error("no event is left of {rows}: --keep, --from or --to left all of them out")]
    AllFiltered {
        /// How many there were.
        rows: u64,
    },
    /// Text in UTF-16, which spreadsheets write as "Unicode text".
    #[error("{}: is UTF-16 text; save it as UTF-8", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// An item file cannot be a list of `user item` lines.
    #[error("{}: SASRec text has no items; name a file with a row an item", path.display())]
    ItemFormat {
        /// The file.
        path: PathBuf,
    },
    /// A column that is needed is not in the header.
    #[error("{}{place}: no column {column:?}; found {}; name the right one with {flag}", path.display(), found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// Where the header stands.
        place: Place,
        /// The column that was looked for.
        column: String,
        /// The columns there are, quoted, the first few of them.
        found: Vec<String>,
        /// The flag that maps it.
        flag: &'static str,
    },
    /// A header that cannot be used.
    #[error("{}{place}: {problem}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Where the header stands.
        place: Place,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A row that cannot be used.
    #[error("{}{place}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Where the row begins.
        place: Place,
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
    #[error("more than 4,294,967,295 distinct {what}")]
    TooManyKeys {
        /// Users or items.
        what: &'static str,
    },
    /// The prepared folder could not be built or written.
    #[error("the prepared folder could not be written")]
    Data(#[from] upnext_data::Error),
    /// A list file of a kind that is not written.
    #[error("{}: lists are written as .parquet, .csv or .jsonl", path.display())]
    ListFormat {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// Nested lists in CSV.
    #[error("{}: CSV has a row an item and no lists; write nested lists as .parquet or .jsonl", path.display())]
    NestedCsv {
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
    /// Not as many fields between `::` or tabs as the first line.
    #[error("{found} fields where a line has {expected}")]
    DatFieldCount {
        /// Fields of the row.
        found: usize,
        /// Fields of a line.
        expected: usize,
    },
    /// Nothing where a value is needed.
    #[error("column {column:?}: is null; every row needs a value")]
    Null {
        /// The column.
        column: String,
    },
    /// A number with a fraction, or an instant, where a key is needed.
    #[error("column {column:?}: {value} cannot be a key; write keys as text or whole numbers")]
    KeyType {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A line that is no JSON object.
    #[error("{value:?} is not a JSON object: {reason}")]
    Json {
        /// The line's beginning.
        value: String,
        /// What the parser says.
        reason: String,
    },
    /// A list or an object where one value is needed.
    #[error("column {column:?}: is a list or an object; write one value, or leave the column out")]
    Nested {
        /// The column.
        column: String,
    },
    /// Two columns that could both be meant.
    #[error("columns {first:?} and {second:?} could both be meant; say which with {flag}")]
    Ambiguous {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// The flag that decides.
        flag: &'static str,
    },
    /// Text where numbers are expected.
    #[error("column {column:?}: {value:?} is not a number; name it {column}:category to keep text")]
    NoNumber {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A number with a fraction as a category.
    #[error("column {column:?}: a number with a fraction is no category; name it {column}:number")]
    RealCategory {
        /// The column.
        column: String,
    },
    /// Times in two units.
    #[error(
        "column {column:?}: {value:?} looks like {unit} where the file began with {first}; correct it, or name the unit of all with --time-unit"
    )]
    MixedUnits {
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// The unit it seems to be in.
        unit: &'static str,
        /// The unit of the file's first time.
        first: &'static str,
    },
    /// A time that is neither a number nor a date.
    #[error("column {column:?}: {value:?} is not a time; write Unix time or ISO 8601 (2020-01-31T10:00:00Z)")]
    Time {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A time that does not fit.
    #[error("column {column:?}: {value:?} is out of the range of times; write Unix seconds")]
    TimeRange {
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A second row for an item.
    #[error("column {column:?}: item {key:?} already has a row (see {first}); keep one of them")]
    DuplicateItem {
        /// The column.
        column: String,
        /// The item's key.
        key: String,
        /// Where its first row begins.
        first: Place,
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
