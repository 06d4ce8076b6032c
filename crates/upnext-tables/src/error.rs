//! What can be wrong with a table, and where.

use std::path::PathBuf;

pub use crate::problem::{Place, Problem};

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
    /// A folder in the folder that was named; what it holds would be passed over.
    #[error("{}: is a folder within the one that was named; name what is to be read by a pattern, such as 'logs/**/*.csv'", path.display())]
    FolderWithin {
        /// The folder within.
        path: PathBuf,
    },
    /// Something was asked of the times of a file that has none.
    #[error("{}: SASRec text says no times, and {flag} asks for them; leave it out", path.display())]
    NoTimes {
        /// The file.
        path: PathBuf,
        /// What asks for them.
        flag: &'static str,
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
    #[error("{}: not recognised as a table; an item file needs a header with commas or tabs, or is JSON lines or Parquet; of events say which it is with --format {}", path.display(), crate::format::Format::NAMES.join("|"))]
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
    /// An item file without an item.
    #[error("{}: no item in it; there is a header and nothing below it", path.display())]
    NoItems {
        /// The file.
        path: PathBuf,
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
    /// A vector file of a kind that is not written.
    #[error("{}: vectors are written as .parquet or .npy", path.display())]
    VectorFormat {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// A vector of another width than its file's.
    #[error("the vector of {key:?} has {found} numbers where {expected} are needed")]
    VectorWidth {
        /// Whose it is.
        key: String,
        /// Its width.
        found: usize,
        /// The file's.
        expected: usize,
    },
    /// Nested lists in CSV.
    #[error("{}: CSV has a row an item and no lists; write nested lists as .parquet or .jsonl", path.display())]
    NestedCsv {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// A column of items that a list file cannot tell from another.
    #[error("{}: lists have a column {column:?} of their own, or it was named twice; leave it out", path.display())]
    ListColumn {
        /// The file that was asked for.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// Another number of texts beside an item than the list file has columns for.
    #[error("{}: {found} texts beside an item, where the file has {expected} columns for them", path.display())]
    ListTexts {
        /// The file.
        path: PathBuf,
        /// Columns of the file.
        expected: usize,
        /// Texts that were given.
        found: usize,
    },
    /// An item id that holds what ids are joined by.
    #[error("{}: CSV joins the ids that speak for an item by |, and {key:?} holds one; write .jsonl or .parquet", path.display())]
    JoinedKey {
        /// The file.
        path: PathBuf,
        /// The id.
        key: String,
    },
    /// A folder holds the parts of another job.
    #[error(
        "{}: holds parts of another job, which differs in {field}; name another folder, or replace them with --overwrite",
        path.display()
    )]
    OtherJob {
        /// The folder.
        path: PathBuf,
        /// What of the job differs.
        field: String,
    },
    /// Another process works in a folder of parts.
    #[error("{}: another process makes lists in it; wait for its end, or name another folder", path.display())]
    PartsBusy {
        /// The folder.
        path: PathBuf,
    },
    /// No job that a later one could go by.
    #[error("{}: {what}", path.display())]
    NotEarlier {
        /// The folder, or a file in it.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A folder for parts holds something else.
    #[error("{}: holds {found:?}, which no job of ours has written; name a folder of its own", path.display())]
    NotParts {
        /// The folder.
        path: PathBuf,
        /// One of the other files.
        found: String,
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
