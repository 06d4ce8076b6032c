//! What can go wrong with data.

use std::io;
use std::path::{Path, PathBuf};

use crate::protocol::ProtocolError;
use crate::sealed::{HeaderError, TensorError};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why data was refused. Messages name the file, the tensor or field, and both sides of a mismatch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried, as "reading".
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Vectors of items that make no sense.
    #[error("{what} {need}")]
    Feature {
        /// Which vectors.
        what: String,
        /// What is wrong, or asked of them.
        need: String,
    },
    /// A code that the column's vocabulary does not have.
    #[error("event column {column:?}: event {event} has code {code}, but the vocabulary has {codes}")]
    NoSuchCode {
        /// The column.
        column: String,
        /// The event.
        event: usize,
        /// Its code.
        code: u32,
        /// How many there are.
        codes: usize,
    },
    /// The folder to be written is there already.
    #[error("{path} exists already: name another folder, or ask to overwrite it")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// What would be overwritten was not written by us.
    #[error("{path} is no folder of ours (it has no manifest.json): remove it by hand or name another")]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that would be overwritten holds something that is not part of one.
    #[error(
        "{path} holds {entry:?}, which is no part of what would replace it: move it away or name another folder"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        entry: String,
    },
    /// A path without a last part, such as `/` or `..`.
    #[error("{path} names no folder that could be written")]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A tensor file whose header is not in order.
    #[error("the tensor header of {path}")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: HeaderError,
    },
    /// A tensor that cannot be written as it was given.
    #[error("tensor {tensor:?} of shape {shape:?} with {values} values cannot be written to {path}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its extents.
        shape: Vec<usize>,
        /// How many elements were given.
        values: usize,
    },
    /// A header that the safetensors format does not allow.
    #[error("the tensors cannot be written to {path}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// A tensor that is not what was asked for.
    #[error("tensor {tensor:?} of {path}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: TensorError,
    },
    /// Elements of a tensor that were read but make no sense.
    #[error("tensor {tensor:?} of {path}")]
    InTensor {
        /// The file.
        path: PathBuf,
        /// The tensor, or the part of the names of those that belong together.
        tensor: String,
        /// What is wrong.
        source: Box<Error>,
    },
    /// Contents of a file that were read but make no sense.
    #[error("in {path}")]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A file that is not as long as it was when it was written.
    #[error("{path} is damaged: it has {found} bytes, its manifest says {expected}; get or prepare it again")]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes by the manifest.
        expected: u64,
        /// Bytes on the disk.
        found: u64,
    },
    /// A file that is not what was written.
    #[error(
        "{path} is damaged: its blake3 is {found}, its manifest says {expected}; get or prepare it again"
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// By the manifest.
        expected: String,
        /// Of the bytes on the disk.
        found: String,
    },
    /// A manifest that cannot be read or written.
    #[error("the manifest {path} is not what upnext writes")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A manifest, or another small file, far beyond its usual size.
    #[error("{path} has {found} bytes, more than the {limit} that such a file may have")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A manifest that was changed after it was written.
    #[error("{path} was changed after it was written: its seal is {found}, its contents give {expected}")]
    Seal {
        /// The file.
        path: PathBuf,
        /// The seal of the contents.
        expected: String,
        /// The seal it carries.
        found: String,
    },
    /// A folder of another format version.
    #[error("{path} has format version {found}, this build reads {supported}: prepare the data again")]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        supported: u32,
    },
    /// A manifest that lacks a file that every prepared folder has.
    #[error("{path} lists no {name}")]
    Unlisted {
        /// The manifest.
        path: PathBuf,
        /// The file.
        name: String,
    },
    /// A manifest that lists a file that no prepared folder of this version has.
    #[error("{path} lists {name:?}, which is no file of a prepared folder; shards are numbered without gaps")]
    UnknownFile {
        /// The manifest.
        path: PathBuf,
        /// The file.
        name: String,
    },
    /// A manifest whose counts are not those of its files.
    #[error("{path} says {expected} {what}, the folder's files hold {found}")]
    Count {
        /// The manifest.
        path: PathBuf,
        /// What is counted.
        what: &'static str,
        /// By the manifest.
        expected: usize,
        /// In the files.
        found: usize,
    },
    /// Offsets that do not cut an array into pieces.
    #[error("{what}[{index}] is {found}, where {rule}")]
    Offset {
        /// Which offsets.
        what: &'static str,
        /// At which place.
        index: usize,
        /// What stands there.
        found: u64,
        /// What should.
        rule: &'static str,
    },
    /// Text that is no UTF-8.
    #[error("the text is not UTF-8")]
    Text(#[from] std::string::FromUtf8Error),
    /// Arrays that should be equally long.
    #[error("{what} has {found} entries where {expected} are needed")]
    Entries {
        /// Which array.
        what: String,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// More than ids can number.
    #[error("{found} {what} are more than the {} that 32-bit ids can number", u32::MAX)]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// Two things of one name.
    #[error("the {what} {key:?} occurs twice")]
    Duplicate {
        /// What they are.
        what: &'static str,
        /// Their name.
        key: String,
    },
    /// Keys out of byte order.
    #[error("the {what} {key:?} (at {index}) is not after the one before it in byte order")]
    Unsorted {
        /// Whose keys.
        what: &'static str,
        /// Where the order breaks.
        index: usize,
        /// The key there.
        key: String,
    },
    /// Time that runs backwards within a history.
    #[error("times[{event}] of user {user:?} is {found}, before the {previous} of the event before it")]
    Backwards {
        /// Whose history.
        user: String,
        /// Which event of all.
        event: usize,
        /// Its time.
        found: i64,
        /// The time of the event before it.
        previous: i64,
    },
    /// An event with an item that the catalogue does not have.
    #[error("items[{event}] is item {item}, but the catalog has {items} items")]
    NoSuchItem {
        /// Which event of all.
        event: usize,
        /// Its item.
        item: u32,
        /// The size of the catalogue.
        items: usize,
    },
    /// A protocol that makes no sense.
    #[error("protocol {id:?}: the nearest valid form is {nearest}")]
    Protocol {
        /// What was given.
        id: String,
        /// How it could be written.
        nearest: &'static str,
        /// What is wrong.
        source: ProtocolError,
    },
    /// A window that leaves no room.
    #[error(
        "a window of {window} cannot keep {reserve} positions free: it is at least 1, of which at most half stay free"
    )]
    Reserve {
        /// The window's positions.
        window: usize,
        /// The positions kept free.
        reserve: usize,
    },
    /// A batch that holds nothing.
    #[error("a batch of {size} {unit} is too small: at least {least} are needed (the window is {window})")]
    BatchSize {
        /// What was asked for.
        size: usize,
        /// Of what: users or tokens.
        unit: &'static str,
        /// The least that works.
        least: usize,
        /// The window's positions.
        window: usize,
    },
    /// A training sequence that is longer than its history.
    #[error("user {user} trains on {train} events but has {events}")]
    Train {
        /// Whose.
        user: u32,
        /// Events that were to train.
        train: usize,
        /// Events there are.
        events: usize,
    },
    /// A generated world that cannot be.
    #[error(transparent)]
    World(#[from] crate::synthetic::WorldError),
    /// Nothing to learn from.
    #[error("no user has two training events: there is nothing to learn from")]
    NoPairs,
}

impl Error {
    /// For `map_err`: an input or output error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// For `map_err`: contents of this file that make no sense.
    pub(crate) fn within(path: &Path) -> impl FnOnce(Self) -> Self {
        move |source| Self::In { path: path.to_owned(), source: Box::new(source) }
    }
}
