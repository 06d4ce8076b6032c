//! What is wrong with one row or header, and where it stands.

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
    /// A vector with a hole.
    #[error("column {column:?}: the vector of item {key:?} has a null in it; every element needs a value")]
    NullElement {
        /// The column.
        column: String,
        /// The item's key.
        key: String,
    },
    /// A vector of another width than the first.
    #[error("column {column:?}: the vector of item {key:?} is {found} wide where the first is {expected}")]
    VectorWidth {
        /// The column.
        column: String,
        /// The item's key.
        key: String,
        /// Its width.
        found: usize,
        /// The width of the first.
        expected: usize,
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
