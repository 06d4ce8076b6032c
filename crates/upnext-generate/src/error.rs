//! What can go wrong: with a generator ([`Error`]) and with one request ([`RequestError`]).

use std::sync::Arc;

/// Why a generator could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model folder could not be read.
    #[error("the model folder cannot be opened")]
    Model(#[from] upnext_model::Error),
    /// Two parts of a model speak of different catalogues.
    #[error("{found} {part}, but {items} items in the catalog: parts of two models were mixed")]
    Parts {
        /// The part that disagrees.
        part: &'static str,
        /// Items it covers.
        found: usize,
        /// Items of the catalog.
        items: usize,
    },
    /// The thread pool could not be started.
    #[error("cannot start a pool of {threads} threads")]
    Pool {
        /// Threads asked for.
        threads: usize,
        /// Why not.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

/// Result of this crate's constructors.
pub type Result<T> = std::result::Result<T, Error>;

/// Why one request has no slate. Its neighbours are not touched.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A list of no items was asked for.
    #[error("a list has at least one item; its length was set to 0")]
    NoLength,
    /// A beam search without, or with too many, beams was asked for.
    #[error("a beam search keeps 1 to {most} beams, not {width}")]
    Width {
        /// Beams asked for.
        width: usize,
        /// Most beams of one request ([`crate::MAX_WIDTH`]).
        most: usize,
    },
    /// A list grown item by item needs more of the window than may be reserved for it.
    #[error(
        "a beam of length {length} needs {reserve} places of the window of {window}, and at most {most} may be \
         reserved: ask for at most {} items, or for the method top-k", most + 1
    )]
    Reserve {
        /// Items asked for.
        length: usize,
        /// Decode steps after the prompt: length − 1.
        reserve: usize,
        /// Most decode steps: half the window.
        most: usize,
        /// T: positions that the model sees.
        window: usize,
    },
    /// An item was asked for that the model does not know.
    #[error("the model knows no item {0:?}")]
    Unknown(String),
    /// A state was asked for after a history of which the model knows nothing.
    #[error("no event of the history is of an item that the model knows, so there is no state after it")]
    NothingKnown,
    /// The network's scores overflowed or are not numbers.
    #[error("the model's scores for this history are not finite: its weights are too large to serve")]
    NotFinite,
    /// The network refused its input.
    #[error("the network failed")]
    Network(#[source] Arc<upnext_model::Error>),
}
