//! What a list as a whole must be like: pinned places, caps by attribute, minimum shares.
//!
//! Rules are kept place by place: an item stands in a place only if no rule is broken by it and none can no longer be
//! kept for want of places. So no list ever breaks one; a list that runs into a dead end is refused or short.

use std::borrow::Cow;

use upnext_data::{Catalog, ItemId};

use crate::eligible::{Eligible, ascending};
use crate::{Attribute, ItemSet, RequestError};

/// What a request asks of its list, by names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Places from 0 and the keys that stand there.
    pub(crate) pins: Vec<(usize, String)>,
    /// At most so many items with one value.
    pub(crate) caps: Vec<(usize, Attribute)>,
    /// At least so many items out of a set.
    pub(crate) shares: Vec<(usize, ItemSet)>,
}

/// The same, of one catalogue.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Ascending by place, all within the list.
    pins: Vec<(usize, u32)>,
    caps: Vec<(usize, Attribute)>,
    shares: Vec<(usize, ItemSet)>,
    /// Places of the list.
    places: usize,
}

impl Rules {
    /// Rules for a list of `length` items out of the eligible ones, which lose the pinned ones: these stand where they
    /// are told to and nowhere else.
    ///
    /// # Errors
    /// When rules contradict each other, or no list could keep them.
    pub(crate) fn resolve(
        asked: &Asked,
        length: usize,
        eligible: &mut Eligible,
        is_allowed: impl Fn(u32) -> bool,
        catalog: &Catalog,
    ) -> Result<Self, RequestError> {
        let Asked { caps, shares, .. } = asked.clone();
        let mut pins = Vec::with_capacity(asked.pins.len());
        for (place, key) in &asked.pins {
            let refuse = |why| Err(RequestError::Pin { place: *place, key: key.clone(), why });
            let Some(ItemId(item)) = catalog.find(key) else { return refuse("the model knows no such item") };
            if *place >= length {
                return refuse("the list ends before it");
            }
            if !is_allowed(item) {
                return refuse("the same request forbids the item");
            }
            if pins.iter().any(|&(other, _)| other == *place) {
                return refuse("another item is pinned there");
            }
            if pins.iter().any(|&(_, other)| other == item) {
                return refuse("the item is pinned to two places");
            }
            pins.push((*place, item));
        }
        pins.sort_unstable();
        let pinned: Vec<u32> = pins.iter().map(|&(_, item)| item).collect();
        if !pinned.is_empty() {
            *eligible = eligible.without(&pinned);
        }
        let places = length.min(eligible.count(catalog.len()) + pins.len());
        // A list that is short keeps its pinned items, in their order, at its end.
        let after = pins.len();
        for (index, (place, _)) in pins.iter_mut().enumerate() {
            *place = (*place).min(places - (after - index));
        }
        let rules = Self { pins, caps, shares, places };
        rules.check(eligible, &pinned, length)?;
        Ok(rules)
    }

    /// Refuses what no list could keep.
    fn check(&self, eligible: &Eligible, pinned: &[u32], length: usize) -> Result<(), RequestError> {
        for (most, attribute) in &self.caps {
            if let Some(&(found, _)) = saturated(attribute, most.saturating_add(1), pinned).first() {
                let name = attribute.name().to_owned();
                return Err(RequestError::PinsAndCap { name, most: *most, found });
            }
        }
        let needed = sum(self.shares.iter().map(|(least, set)| missing(*least, set, pinned)));
        if needed > length - pinned.len() {
            return Err(RequestError::Shares { needed, places: length - pinned.len() });
        }
        for (least, set) in &self.shares {
            let may = |id: &&u32| eligible.contains(**id) || pinned.contains(*id);
            let has = set.ids().iter().filter(may).take(*least).count();
            if has < *least {
                return Err(RequestError::Share { least: *least, has });
            }
        }
        Ok(())
    }

    /// Places of the list, those of pinned items among them.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// The item that is pinned to a place.
    pub(crate) fn pin(&self, place: usize) -> Option<u32> {
        let found = self.pins.binary_search_by_key(&place, |&(place, _)| place).ok()?;
        Some(self.pins[found].1)
    }

    pub(crate) fn is_pinned(&self, item: u32) -> bool {
        self.pins.iter().any(|&(_, pinned)| pinned == item)
    }

    /// Items pinned to this place or to later ones.
    pub(crate) fn pins_from(&self, place: usize) -> impl Iterator<Item = u32> {
        self.pins.iter().filter(move |&&(at, _)| at >= place).map(|&(_, item)| item)
    }

    /// Whether which items may stand in a place depends on what stands before it, beyond that none stands twice.
    pub(crate) fn bind(&self) -> bool {
        !self.caps.is_empty() || !self.shares.is_empty()
    }

    /// About how many items a place's own list of what may stand there can have, beyond those that the request names.
    pub(crate) fn listed(&self) -> usize {
        let closed = self.caps.iter().map(|(most, attribute)| {
            // Of the list's items a value needs so many to be closed.
            attribute
                .largest()
                .saturating_mul((self.places / (*most).max(1)).max(1))
                .min(attribute.of_items())
        });
        let open = self.shares.iter().map(|(_, set)| set.len());
        sum(closed.chain(open))
    }

    /// What may stand in the next place of a list that begins with `chosen`.
    pub(crate) fn eligible(&self, eligible: &Eligible, chosen: &[u32]) -> Eligible {
        let held = self.held(chosen);
        let mut closed: Vec<u32> = chosen.to_vec();
        for (most, attribute) in &self.caps {
            for (_, value) in saturated(attribute, *most, &held) {
                closed.extend_from_slice(attribute.of_value(value));
            }
        }
        let open = eligible.without(&closed);
        match self.binding(chosen, &held) {
            None => open,
            Some(sets) => {
                let ids = ascending(sets.iter().flat_map(|set| set.ids()).copied().collect());
                Eligible::Only(ids.into_iter().filter(|&id| open.contains(id)).collect())
            }
        }
    }

    /// Whether an item that was eligible before `chosen` grew may still stand in the next place.
    pub(crate) fn allows(&self, chosen: &[u32], item: u32) -> bool {
        if chosen.contains(&item) {
            return false;
        }
        let held = self.held(chosen);
        let fits = |(most, attribute): &(usize, Attribute)| {
            attribute.of_item(item).iter().all(|&value| count(attribute, value, &held) < *most)
        };
        self.caps.iter().all(fits)
            && self
                .binding(chosen, &held)
                .is_none_or(|sets| sets.iter().any(|set| set.contains(ItemId(item))))
    }

    /// Whether the next place must serve a share.
    pub(crate) fn are_binding(&self, chosen: &[u32]) -> bool {
        self.binding(chosen, &self.held(chosen)).is_some()
    }

    /// Whether a finished list has its shares.
    pub(crate) fn are_kept(&self, list: &[u32]) -> bool {
        self.shares.iter().all(|(least, set)| missing(*least, set, list) == 0)
    }

    /// What stands in the list already, or will.
    fn held<'c>(&self, chosen: &'c [u32]) -> Cow<'c, [u32]> {
        if self.pins.is_empty() {
            return Cow::Borrowed(chosen);
        }
        Cow::Owned(chosen.iter().copied().chain(self.pins_from(chosen.len())).collect())
    }

    /// The sets that the next place must serve one of, once every free place is needed.
    fn binding(&self, chosen: &[u32], held: &[u32]) -> Option<Vec<&ItemSet>> {
        if self.shares.is_empty() {
            return None;
        }
        let lacking: Vec<(usize, &ItemSet)> = self
            .shares
            .iter()
            .map(|(least, set)| (missing(*least, set, held), set))
            .filter(|(lacks, _)| *lacks > 0)
            .collect();
        let needed = sum(lacking.iter().map(|(lacks, _)| *lacks));
        let free = self.places - chosen.len() - self.pins_from(chosen.len()).count();
        (needed > 0 && needed >= free).then(|| lacking.into_iter().map(|(_, set)| set).collect())
    }
}

/// A sum that ends at the largest number there is.
fn sum(numbers: impl Iterator<Item = usize>) -> usize {
    numbers.fold(0, usize::saturating_add)
}

/// How many items of a set a list still lacks.
fn missing(least: usize, set: &ItemSet, list: &[u32]) -> usize {
    least.saturating_sub(list.iter().filter(|&&item| set.contains(ItemId(item))).count())
}

/// How many items of a list have a value.
fn count(attribute: &Attribute, value: u32, list: &[u32]) -> usize {
    list.iter().filter(|&&item| attribute.of_item(item).binary_search(&value).is_ok()).count()
}

/// How often, and which, values that a list has at least so often.
fn saturated(attribute: &Attribute, least: usize, list: &[u32]) -> Vec<(usize, u32)> {
    if least == 0 {
        return (0..attribute.values() as u32).map(|value| (0, value)).collect();
    }
    let mut values: Vec<u32> = list.iter().flat_map(|&item| attribute.of_item(item)).copied().collect();
    values.sort_unstable();
    let runs = values.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0]));
    runs.filter(|&(found, _)| found >= least).collect()
}
