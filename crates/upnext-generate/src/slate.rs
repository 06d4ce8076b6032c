//! The list that is handed to the user.

use serde::Serialize;
use upnext_data::ItemId;

/// One place of a [`Slate`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoredItem {
    /// The item's dense number in the model's catalog.
    pub item: ItemId,
    /// The shop's name for it.
    pub key: String,
    /// Log-probability at its step, among the items eligible at that step; 0 for an item that the request pinned.
    pub score: f64,
    /// Whether the request pinned it to its place.
    pub pinned: bool,
}

/// What a slate's log-probabilities guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Exactness {
    /// Scores are over all eligible items, in full precision.
    Exact,
    /// Items were compared by exact scores, and none was passed over that one pass would have taken; the list's score, by
    /// which searches choose between lists, is off by at most `by`.
    Bounded {
        /// In log-probability, summed over the places.
        by: f64,
    },
    /// Some items were not looked at: better ones may be missing, and scores are estimates.
    Approximate,
}

impl Exactness {
    /// Of a list whose places' log-probabilities may be wrong by so much together.
    pub(crate) fn within(by: f64) -> Self {
        if by == 0.0 { Self::Exact } else { Self::Bounded { by } }
    }
}

/// A list of next items, best first, without repeats and without ineligible items.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Slate {
    /// The places of the list, the first to be shown first.
    pub items: Vec<ScoredItem>,
    /// Sum of the items' scores; 0 for an empty list.
    pub score: f64,
    /// Other lists of the search, best first, as many as the request asks for.
    pub alternatives: Vec<Alternative>,
    /// What the scores guarantee.
    pub exactness: Exactness,
    /// Items asked for.
    pub requested: usize,
    /// Events of the history that were left out: the item is not in the catalog, or no training has met it and no features
    /// speak for it.
    pub skipped: usize,
    /// Keys of the allow list that are not in the catalog; they were left out.
    pub unknown_allowed: usize,
    /// True when no event of the history is known: the list is by popularity in training.
    pub fallback: bool,
}

/// Another list for the same request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alternative {
    /// The places of the list, the first to be shown first.
    pub items: Vec<ScoredItem>,
    /// Sum of the items' scores.
    pub score: f64,
}

impl Slate {
    /// True when the list has fewer items than were asked for, for want of any that may stand in it.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.items.len() < self.requested
    }
}
