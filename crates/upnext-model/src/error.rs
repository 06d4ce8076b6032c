//! What can go wrong in this crate.

use std::path::PathBuf;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between a configuration, a model folder and a forward pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value is out of bounds, or does not go with another.
    #[error("`{key}` is {value}, but it {need}")]
    Config {
        /// The key, with its table: `model.width`.
        key: &'static str,
        /// The value that was given.
        value: String,
        /// What is asked of it.
        need: String,
    },
    /// A model would be larger than any machine we know.
    #[error("the {what} for {items} items would hold more than 2^36 numbers: lower the sizes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The number of items it was counted for.
        items: usize,
    },
    /// Item features that are not what the model's tower reads.
    #[error("{need}")]
    Features {
        /// What is wrong, and what to do.
        need: String,
    },
    /// Two sizes that must agree do not.
    #[error("{what} has {found} entries where {expected} are needed")]
    Size {
        /// What was given.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The size it must have.
        expected: usize,
    },
    /// A parameter was asked for that the model does not have.
    #[error("the model has no parameter {name:?}")]
    UnknownParameter {
        /// The name that was asked for.
        name: String,
    },
    /// A parameter was created twice.
    #[error("the parameter {name:?} exists already")]
    RepeatedParameter {
        /// Its name.
        name: String,
    },
    /// The batch's token ranges are not a partition of its tokens, or one is longer than the window.
    #[error(
        "history {history} of the batch covers tokens {start}..{end}: it must be ascending, at most {window} long, and all of them must cover the {tokens} tokens"
    )]
    Offsets {
        /// The number of the history within the batch.
        history: usize,
        /// First token.
        start: usize,
        /// One past the last token.
        end: usize,
        /// The model's window.
        window: usize,
        /// Tokens in the batch.
        tokens: usize,
    },
    /// A history without items has no last state.
    #[error("history {history} of the batch is empty: the decoder needs at least one item")]
    EmptyHistory {
        /// The number of the history within the batch.
        history: usize,
    },
    /// A history would outgrow the window.
    #[error(
        "history {history} of the batch reaches {len} positions, but the window has {window}: cut it first"
    )]
    PastWindow {
        /// The number of the history within the batch.
        history: usize,
        /// How long it would be.
        len: usize,
        /// The model's window.
        window: usize,
    },
    /// An item that the table does not hold.
    #[error("item {item} is not one of the {items} items of the model")]
    UnknownItem {
        /// The item's number.
        item: u32,
        /// How many there are.
        items: usize,
    },
    /// A file or folder could not be read or written.
    #[error("{path}: cannot be read or written")]
    Io {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of the model folder is missing.
    #[error("{path}: missing; a model folder needs this file")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A JSON file of the model folder does not say what it must.
    #[error("{path}: not the JSON that a model folder holds")]
    Json {
        /// The path.
        path: PathBuf,
        /// The cause, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A file was written by another version of the format.
    #[error(
        "{path}: format version {found}, but this build reads version {expected}: save the model again with it"
    )]
    Version {
        /// The path.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version this build reads.
        expected: u32,
    },
    /// A file is not what the folder's manifest says it is.
    #[error("{path}: {need}")]
    File {
        /// The path.
        path: PathBuf,
        /// What is wrong and what is needed.
        need: String,
    },
    /// A tensor is missing, unknown, mis-shaped, of another type, or not finite.
    #[error("{path}: tensor {name:?} {need}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong and what is needed.
        need: String,
    },
    /// Reading or writing shared formats failed.
    #[error(transparent)]
    Data(#[from] upnext_data::Error),
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Candle(#[from] candle_core::Error),
}
