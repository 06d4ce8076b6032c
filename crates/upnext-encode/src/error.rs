//! What can go wrong in encoding.

use std::path::{Path, PathBuf};

use upnext_data::Catalog;

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
    /// What a feature file says of how it was made is nothing that we can do again.
    #[error("the features do not say how to make more of them: {text:?}")]
    Description {
        /// What they say.
        text: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Features that another version of this program made.
    #[error(
        "the features were made by version {found} of the {kind} encoder, this program has version {known}; encode all items anew"
    )]
    Version {
        /// The kind of encoder.
        kind: &'static str,
        /// The file's version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Imported vectors, of which more cannot be made.
    #[error(
        "the vectors of modality {modality:?} were imported from {file}: import those of the new items from where they came"
    )]
    Imported {
        /// The modality.
        modality: String,
        /// The file.
        file: String,
    },
    /// A template that is none.
    #[error("template {template:?}: {problem}")]
    Template {
        /// The template.
        template: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file stands where one should be written.
    #[error("{}: exists; --overwrite replaces it", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read, or is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{what} {}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// As many keys as vectors are needed.
    #[error("{} has {keys} keys, but {} has {rows} rows: one key a row is needed, in the order of the rows", keys_path.display(), path.display())]
    KeyCount {
        /// The file of the keys.
        keys_path: PathBuf,
        /// How many it has.
        keys: usize,
        /// The file of the vectors.
        path: PathBuf,
        /// How many it has.
        rows: usize,
    },
    /// One row of imported vectors.
    #[error("{}, row {row}, item {key:?}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: usize,
        /// Its key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Vectors of another catalogue.
    #[error("{}: none of its {keys} keys is an item of the catalogue: its first key is {first:?}, the catalogue's {known:?}", path.display())]
    NoneKnown {
        /// The file.
        path: PathBuf,
        /// How many keys it has.
        keys: usize,
        /// Its first key.
        first: String,
        /// The catalogue's first key.
        known: String,
    },
    /// Vectors of another width than was asked for.
    #[error("{}: its vectors are {found} wide, not {expected}", path.display())]
    WrongWidth {
        /// The file.
        path: PathBuf,
        /// Their width.
        found: usize,
        /// What was asked for.
        expected: usize,
    },
    /// An encoder of a kind that is not read.
    #[error("{}: an encoder of the kind {found:?} is not read; bert, roberta, xlm-roberta, distilbert and modernbert are: import its vectors instead", path.display())]
    Architecture {
        /// Its configuration.
        path: PathBuf,
        /// Its kind.
        found: String,
    },
    /// Another encoder than the one that made the features.
    #[error("{}: not the encoder {name:?} that made the features: its {what} is {found}, not {expected}", path.display())]
    OtherEncoder {
        /// The name of the one that made them.
        name: String,
        /// The file or folder that differs.
        path: PathBuf,
        /// What of it.
        what: &'static str,
        /// What it was.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Features of an encoder whose folder was not named.
    #[error("the encoder {name:?} made the features: name its folder with --encoder")]
    EncoderNeeded {
        /// The encoder's name.
        name: String,
    },
    /// A text that has no vector.
    #[error("the text {text:?} cannot be encoded: {problem}")]
    Text {
        /// Its beginning.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// A tensor operation failed.
    #[error("{what}: {message}")]
    Compute {
        /// What was being done.
        what: &'static str,
        /// What candle says.
        message: String,
    },
    /// No thread could be started.
    #[error("starting threads")]
    Threads {
        /// What the system says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Whoever is told of the progress broke off.
    #[error("interrupted; no features were written")]
    Interrupted,
    /// Files below, and what is wrong with their contents.
    #[error(transparent)]
    Data(#[from] upnext_data::Error),
}

impl Error {
    /// A column that a catalogue does not have.
    pub(crate) fn no_column(name: &str, catalog: &Catalog) -> Self {
        let known = catalog.columns().iter().map(|column| column.name.clone()).collect();
        Self::NoColumn { name: name.to_owned(), known }
    }

    /// A failure of candle's; its own backtrace is for its developers.
    pub(crate) fn compute(what: &'static str, error: &candle_core::Error) -> Self {
        Self::Compute { what, message: error.to_string() }
    }

    /// A file with a problem.
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }

    /// For `map_err`: what was being done to which file.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
