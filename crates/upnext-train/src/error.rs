//! What can go wrong in a run.

use std::path::PathBuf;

use crate::config::Place;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run could not begin, go on or end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A run configuration is not valid; the place says where, the message what and what to do.
    #[error("{place}: {message}{}", place.excerpt())]
    Config {
        /// File and line, or the override.
        place: Place,
        /// What is wrong, naming the key.
        message: String,
    },
    /// The run folder exists and the call did not say what to do with it.
    #[error("the run folder {} exists already: resume it, overwrite it, or choose another", .0.display())]
    Exists(PathBuf),
    /// The folder to overwrite does not look like a run.
    #[error("{} is not empty and holds no run (no config.toml): it is not overwritten; choose another folder", .0.display())]
    NotARun(PathBuf),
    /// What is named as the run folder is none.
    #[error("{} is a file, but a run needs a folder: choose another", .0.display())]
    NotAFolder(PathBuf),
    /// A resumed run was made from something else.
    #[error("{} cannot be resumed: {what} differs: {detail}", run.display())]
    Differs {
        /// The run folder.
        run: PathBuf,
        /// What differs: the configuration or the data.
        what: &'static str,
        /// Both sides of each difference.
        detail: String,
    },
    /// The run would not fit into memory.
    #[error(
        "the run needs about {} MiB of memory, but {} MiB are available: {remedy}",
        needed / MIB, available / MIB
    )]
    Memory {
        /// Bytes that the run would need on top of what the process holds.
        needed: u64,
        /// Bytes that the system has left.
        available: u64,
        /// What would need less.
        remedy: &'static str,
    },
    /// A device was asked for that this build cannot use.
    #[error(
        "this build cannot use {name}: build it with `cargo build --release --features {name}`, or train with --device cpu"
    )]
    NotBuiltFor {
        /// The kind of device.
        name: &'static str,
    },
    /// A device was asked for that is not there.
    #[error(
        "the {name} device cannot be opened: {reason}; `--device auto` takes what is there, and the CPU otherwise"
    )]
    NoDevice {
        /// The kind of device.
        name: &'static str,
        /// What the driver said.
        reason: String,
    },
    /// Training cannot go on from a model as it was asked to.
    #[error("{0}")]
    From(String),
    /// A model with a tower was to be trained on a device.
    #[error("a model with a tower trains on the CPU: use --device cpu")]
    TowerOnDevice,
    /// A model of several horizons was to be trained on a device.
    #[error("a model of more than one of model.horizons trains on the CPU: use --device cpu")]
    HorizonsOnDevice,
    /// Another process trains in the run folder.
    #[error("another training is writing to {}: wait for it, stop it, or name another folder", .0.display())]
    Busy(PathBuf),
    /// A dense update was asked for over a table that is too large for it.
    #[error(
        "train.table_optimizer = \"dense\" updates all {items} items each step, and is offered up to {most}: use \"lazy\""
    )]
    DenseTable {
        /// i.
        items: usize,
        /// Most items that a dense update takes.
        most: usize,
    },
    /// The loss kept being no number.
    #[error(
        "training diverged: losses or gradients were not finite {in_a_row} times in a row at step {step}, after {rollbacks} rollbacks; lower train.lr or train.clip, or look at the data"
    )]
    Diverged {
        /// Steps done.
        step: u64,
        /// Skipped steps in a row.
        in_a_row: u32,
        /// Rollbacks before.
        rollbacks: u32,
    },
    /// A checkpoint is damaged or of another model.
    #[error("the checkpoint {} cannot be used: {reason}", path.display())]
    Checkpoint {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of a run folder is not what a run writes there.
    #[error("{}: not what a run writes: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An internal file could not be written as JSON.
    #[error("writing JSON")]
    Json(#[from] serde_json::Error),
    /// The configuration could not be written as TOML.
    #[error("writing the configuration")]
    Toml(#[from] toml::ser::Error),
    /// A tensor operation failed.
    #[error("computing a step")]
    Tensor(#[from] candle_core::Error),
    /// The data were refused.
    #[error("preparing the training data")]
    Data(#[from] upnext_data::Error),
    /// The model was refused.
    #[error("running the model")]
    Model(#[from] upnext_model::Error),
    /// Validation failed.
    #[error("validating")]
    Eval(#[from] upnext_eval::Error),
}

const MIB: u64 = 1 << 20;

impl Error {
    /// For `map_err` on input and output.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
