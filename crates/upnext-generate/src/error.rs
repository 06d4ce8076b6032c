//! What can go wrong: with a generator ([`Error`]) and with one request ([`RequestError`]).

use std::sync::Arc;

use upnext_model::Adjustment;

use crate::Scoring;

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
    /// The way to score needs an index that is not there.
    #[error(
        "scoring by {scoring} needs an index of the model's items; `upnext index` makes one in the model folder"
    )]
    NoIndex {
        /// The way to score.
        scoring: Scoring,
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

/// Why a session could not be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes are no snapshot.
    #[error("these bytes are no snapshot of a session")]
    Format(#[source] serde_json::Error),
    /// They are one of another version.
    #[error("the snapshot has version {0}, and this program reads version 2")]
    Version(u32),
    /// They are not as they were written.
    #[error("the snapshot was changed since it was written: it holds another history than its checksum says")]
    Damaged,
    /// Its session cannot be opened.
    #[error("the session cannot be opened")]
    Open(#[from] RequestError),
}

/// Why one request has no slate. Its neighbours are not touched.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A list of no items was asked for.
    #[error("a list has at least one item; its length was set to 0")]
    NoLength,
    /// A method was asked for with none, or too many, of something.
    #[error("{what}: at least 1{}, not {found}", most.map(|most| format!(" and at most {most}")).unwrap_or_default())]
    Method {
        /// Beams, drawn lists, …
        what: &'static str,
        /// Asked for.
        found: usize,
        /// Most of them ([`crate::MAX_WIDTH`]), where there is a most.
        most: Option<usize>,
    },
    /// Places were to be read from horizons of their own, and the model has none.
    #[error(
        "the method multi-token reads each place of a list from a horizon of its own, and this model {}: train one with \
         [model] horizons = K, or ask for the method top-k",
        if *merged { "was trained on all horizons merged" } else { "knows the next item alone" }
    )]
    NoHorizons {
        /// Whether the model was trained on several horizons merged.
        merged: bool,
    },
    /// Beams cannot be dealt out to groups.
    #[error("{width} beams cannot be dealt out evenly to {groups} groups: ask for a multiple")]
    Groups {
        /// Groups asked for.
        groups: usize,
        /// Beams asked for.
        width: usize,
    },
    /// Groups of beams were to keep off each other by what is no such number.
    #[error("the diversity of groups is a finite number from 0 on, not {0}")]
    Diversity(f32),
    /// Items were to be drawn at a temperature that is not a positive number.
    #[error("items are drawn at a temperature above 0, not at {0}")]
    Temperature(f32),
    /// Scores were to be moved by what is not a number, or is infinite.
    #[error(
        "scores can only be moved by finite numbers, not by a cold boost of {} and a popularity penalty of {}",
        .0.cold_boost, .0.popularity_penalty
    )]
    Adjustment(Adjustment),
    /// A list grown item by item needs more of the window than may be reserved for it.
    #[error(
        "a list of {length} items that grows item by item needs {reserve} places of the window of {window}, and at most {most} \
         may be reserved: ask for at most {} items, for the method top-k, or by hybrid for fewer by beam", most + 1
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
    /// A session was opened with less of the window reserved than a request in it needs.
    #[error(
        "the list needs {steps} places of the window, and the session was opened with {reserve} reserved: open it with \
         more, or ask for a shorter list or for the method top-k"
    )]
    Session {
        /// Decode steps of the request.
        steps: usize,
        /// Steps that the session reserved.
        reserve: usize,
    },
    /// An item cannot stand where it is pinned.
    #[error("item {key:?} cannot be pinned to place {} of the list, counted from 1: {why}", place + 1)]
    Pin {
        /// The place, from 0.
        place: usize,
        /// The item.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// The pinned items alone are more of one value than a cap lets in.
    #[error("{found} pinned items have one value of {name}, and at most {most} may")]
    PinsAndCap {
        /// The attribute.
        name: String,
        /// Items of one value at most.
        most: usize,
        /// Pinned items of one value.
        found: usize,
    },
    /// Minimum shares are together more than the list.
    #[error(
        "{places} places of the list are not pinned, and its minimum shares still ask for {needed} items"
    )]
    Shares {
        /// Items that the shares ask for, beyond the pinned ones.
        needed: usize,
        /// Places without a pinned item.
        places: usize,
    },
    /// Fewer items of a set may be shown than the list is to have.
    #[error("a list is to have at least {least} items of a set of which only {has} may be shown")]
    Share {
        /// Items asked for.
        least: usize,
        /// Eligible or pinned items of the set.
        has: usize,
    },
    /// Place by place, a list kept its rules and then found no item for a share.
    #[error(
        "the rules of the list left no item for a minimum share at place {}, counted from 1: ask for a smaller share, or \
         raise a cap", place + 1
    )]
    DeadEnd {
        /// Where the list ended, from 0.
        place: usize,
    },
    /// A set of items or an attribute is another generator's.
    #[error(
        "a set of items or an attribute of this request was made by another generator; make it by the one that answers"
    )]
    Foreign,
    /// Likeness was to be weighed by what is no share, or in a list that grows item by item.
    #[error(
        "likeness weighs from 0 to below 1, and only in lists from one pass, of the methods top-k and hybrid: not {0} here"
    )]
    Diversify(f32),
    /// Noise was to be added by what is no weight.
    #[error("exploration is a finite weight from 0 on, not {0}")]
    Explore(f32),
    /// Alternatives were asked of a method that finds one list.
    #[error("alternatives are the other lists of a beam search; this method finds one list")]
    Alternatives,
    /// A moment was named for a history whose times are not known.
    #[error(
        "events after `at` are left out, but a history of ids says no times; leave them out of it, or give keys with times"
    )]
    NoTimes,
    /// Log-probabilities were asked for where no item may be shown.
    #[error("the request lets no item be shown, so that none has a probability")]
    NothingEligible,
    /// An item was asked for that the model does not know.
    #[error("the model knows no item {0:?}")]
    Unknown(String),
    /// A state was asked for after a history of which the model knows nothing.
    #[error("no event of the history is of an item that the model knows, so there is no state after it")]
    NothingKnown,
    /// The request's deadline passed before its list was complete.
    #[error("the deadline passed before the list was complete")]
    Late,
    /// The request was called off.
    #[error("the request was called off")]
    Cancelled,
    /// The network's scores overflowed or are not numbers.
    #[error("the model's scores for this history are not finite: its weights are too large to serve")]
    NotFinite,
    /// The network refused its input.
    #[error("the network failed")]
    Network(#[source] Arc<upnext_model::Error>),
}

impl RequestError {
    /// Whether the same request would be refused after any other history.
    #[must_use]
    pub fn is_of_any_history(&self) -> bool {
        matches!(
            self,
            Self::Reserve { .. }
                | Self::NoHorizons { .. }
                | Self::Pin { .. }
                | Self::PinsAndCap { .. }
                | Self::Shares { .. }
                | Self::Foreign
        )
    }
}
