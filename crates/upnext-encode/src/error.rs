//! What can go wrong in encoding.

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why items could not be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A column was asked for that the items do not have.
    #[error("the items have no column {name:?}; they have {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    NoColumn {
        /// The column.
        name: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// There is nothing to encode.
    #[error(
        "the items have no columns to encode: prepare the data with --items, or name a file that has text"
    )]
    NoColumns,
    /// A width that makes no sense.
    #[error("a vector of {0} numbers cannot be hashed into; 8 to 65536 are possible")]
    Width(usize),
    /// A column that is asked for twice.
    #[error("column {0:?} is named twice")]
    Twice(String),
    /// The description of the encoder cannot be written.
    #[error("describing the encoder")]
    Describe(#[from] serde_json::Error),
}
