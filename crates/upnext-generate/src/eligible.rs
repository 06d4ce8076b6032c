//! Which items a list may show: everything but what was seen or denied, or an allow list without these.

use upnext_data::{Catalog, ItemId};
use upnext_kernels::score;

use crate::Request;

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
        let excluded = ascending(ineligible.iter().copied().chain(seen).chain(denied).collect());
        let Some(allow) = &request.allow else { return (Self::AllBut(excluded), 0) };
        let known: Vec<u32> = allow.iter().filter_map(|key| catalog.find(key)).map(|item| item.0).collect();
        let unknown = allow.len() - known.len();
        let allowed = ascending(known).into_iter().filter(|id| excluded.binary_search(id).is_err()).collect();
        (Self::Only(allowed), unknown)
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

fn ascending(mut ids: Vec<u32>) -> Vec<u32> {
    // A stable sort: it is linear when long sorted runs are joined, as in `without`.
    ids.sort();
    ids.dedup();
    ids
}
