//! Which items a list may show: everything but what was seen or denied, or an allow list without these.

use upnext_data::{Catalog, ItemId};
use upnext_kernels::score;

use crate::{ItemSet, Request};

/// The items that may be shown, as ascending distinct ids: those that may not, or those that may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Eligible {
    /// Everything but these.
    AllBut(Vec<u32>),
    /// These alone.
    Only(Vec<u32>),
}

impl Eligible {
    /// What a request allows besides these seen items and those that no request may show, and how many keys of its
    /// allow list are unknown.
    pub(crate) fn resolve(
        request: &Request,
        seen: &[ItemId],
        ineligible: &[u32],
        catalog: &Catalog,
    ) -> (Self, usize) {
        let seen = seen.iter().map(|item| item.0);
        let denied = request.deny.iter().filter_map(|key| catalog.find(key)).map(|item| item.0);
        let never = request.never.iter().flat_map(ItemSet::ids).copied();
        let excluded = ascending(ineligible.iter().copied().chain(never).chain(seen).chain(denied).collect());
        if request.allow.is_none() && request.only.is_empty() {
            return (Self::AllBut(excluded), 0);
        }
        let (allow, unknown) = match &request.allow {
            Some(keys) => {
                let (set, unknown) = ItemSet::of_keys(catalog, keys.iter().map(String::as_str), 0);
                (Some(set), unknown)
            }
            None => (None, 0),
        };
        let mut sets: Vec<&ItemSet> = allow.iter().chain(&request.only).collect();
        // The smallest set has the fewest items to look up in the others.
        sets.sort_by_key(|set| set.len());
        let (first, others) = (sets[0], &sets[1..]);
        let is_allowed = |id: &u32| {
            others.iter().all(|set| set.contains(ItemId(*id))) && excluded.binary_search(id).is_err()
        };
        (Self::Only(first.ids().iter().copied().filter(is_allowed).collect()), unknown)
    }

    /// How many of `items` items may be shown.
    pub(crate) fn count(&self, items: usize) -> usize {
        match self {
            Self::AllBut(excluded) => items - excluded.len(),
            Self::Only(allowed) => allowed.len(),
        }
    }

    /// How long the list of ids is, of whichever kind.
    pub(crate) fn listed(&self) -> usize {
        match self {
            Self::AllBut(ids) | Self::Only(ids) => ids.len(),
        }
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        match self {
            Self::AllBut(excluded) => excluded.binary_search(&id).is_err(),
            Self::Only(allowed) => allowed.binary_search(&id).is_ok(),
        }
    }

    /// What is left once `chosen` stand in the list: no item is shown twice.
    pub(crate) fn without(&self, chosen: &[u32]) -> Self {
        match self {
            Self::AllBut(excluded) => Self::AllBut(ascending([excluded.as_slice(), chosen].concat())),
            Self::Only(allowed) => {
                let chosen = ascending(chosen.to_vec());
                let is_left = |id: &u32| chosen.binary_search(id).is_err();
                Self::Only(allowed.iter().copied().filter(is_left).collect())
            }
        }
    }

    pub(crate) fn as_kernel(&self) -> score::Eligible<'_> {
        match self {
            Self::AllBut(excluded) => score::Eligible::AllBut(excluded),
            Self::Only(allowed) => score::Eligible::Only(allowed),
        }
    }
}

pub(crate) fn ascending(mut ids: Vec<u32>) -> Vec<u32> {
    // A stable sort: it is linear when long sorted runs are joined, as in `without`.
    ids.sort();
    ids.dedup();
    ids
}
