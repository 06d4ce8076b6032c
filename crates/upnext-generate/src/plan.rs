//! A request against one model: what the network reads, what may be shown, how far the list can grow.

use upnext_data::{Catalog, ItemId, window};
use upnext_model::{Adjustment, ModelConfig, Served};

use crate::eligible::Eligible;
use crate::explore::Noise;
use crate::multi_token;
use crate::request::Past;
use crate::rules::Rules;
use crate::score::Place;
use crate::search::{Beams, Draws};
use crate::stop::Stop;
use crate::{Method, Request, RequestError};

/// How a list is found, once it is known how long it can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// All of it from one pass.
    OnePass,
    /// By beams until `grown` items stand in it; the rest from one pass.
    Beam { beams: Beams, grown: usize },
    /// Joined from drawn lists.
    Sample(Draws),
}

/// A resolved request. Every id in it is one of the catalog's.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The window of the history that the network reads; empty when no event is known.
    pub(crate) prompt: Vec<ItemId>,
    pub(crate) eligible: Eligible,
    pub(crate) rules: Rules,
    /// What exploration adds to scores.
    pub(crate) noise: Option<Noise>,
    /// Weight of likeness against probability where a list comes from one pass.
    pub(crate) diversify: f32,
    pub(crate) adjustment: Adjustment,
    /// Items that the list will have: those asked for, or all eligible ones if these are fewer.
    pub(crate) places: usize,
    pub(crate) way: Way,
    /// Horizons that places are read from; 1 where all are from the state of the next item.
    pub(crate) horizons: usize,
    /// Further lists that are wanted.
    pub(crate) alternatives: usize,
    pub(crate) stop: Stop,
    /// Items asked for.
    pub(crate) requested: usize,
    /// Events that are not read: their item is unknown, or nothing was ever learned of it.
    pub(crate) skipped: usize,
    /// Unknown keys of the allow list.
    pub(crate) unknown_allowed: usize,
}

impl Plan {
    /// Looks the request's keys up, and in the model folder what the request leaves open.
    ///
    /// The reserve is what the request asks for, not what will be eligible: which events a list is made from must
    /// not depend on how many items were denied.
    pub(crate) fn new(request: &Request, served: &Served) -> Result<Self, RequestError> {
        Self::after(&Known::of(&request.past, served), None, request, served)
    }

    /// The same after a history that was looked up before, and of whose window so many places are reserved, if that was
    /// fixed before, too.
    pub(crate) fn after(
        known: &Known,
        reserve: Option<usize>,
        request: &Request,
        served: &Served,
    ) -> Result<Self, RequestError> {
        request.stop.check()?;
        let (catalog, window) = (&served.catalog, served.config.window);
        let length = request.length.unwrap_or(served.generation.length);
        let keep_seen = request.keep_seen.unwrap_or(served.generation.keep_seen);
        let horizons = horizons(request.method, &served.config)?;
        let steps = match request.method {
            Method::TopK | Method::MultiToken => 0,
            Method::Beam { .. } | Method::DiverseBeam { .. } | Method::Sample { .. } => {
                length.saturating_sub(1)
            }
            Method::Hybrid { autoregressive, .. } => autoregressive.min(length.saturating_sub(1)),
        };
        if steps > window / 2 {
            return Err(RequestError::Reserve { length, reserve: steps, most: window / 2, window });
        }
        let reserve = match reserve {
            Some(reserve) if steps > reserve => return Err(RequestError::Session { steps, reserve }),
            Some(reserve) => reserve,
            None => steps,
        };
        let seen: &[ItemId] = if keep_seen { &[] } else { &known.items };
        let (mut eligible, unknown_allowed) = Eligible::resolve(request, seen, &served.ineligible, catalog);
        let rules = Rules::resolve(
            &request.rules,
            length,
            &mut eligible,
            |id| permits(request, id, catalog),
            catalog,
        )?;
        let places = rules.places();
        let (prompt, skipped) = (known.prompt(window, reserve).to_vec(), known.skipped);
        let is_asked = !prompt.is_empty() && places > 0;
        Ok(Self {
            prompt,
            eligible,
            rules,
            adjustment: request.adjustment,
            noise: if is_asked { Noise::new(request.explore, request.seed, catalog.len()) } else { None },
            diversify: request.diversify,
            places,
            way: Way::new(request, places),
            horizons,
            alternatives: request.alternatives,
            stop: request.stop.clone(),
            requested: length,
            skipped,
            unknown_allowed,
        })
    }

    /// False when the list is known without the network: nothing is known of the user, or nothing may be shown.
    pub(crate) fn asks_network(&self) -> bool {
        !self.prompt.is_empty() && self.places > 0
    }

    /// A list at its end: pinned items that no place was found for stand behind it; without its shares it is refused.
    pub(crate) fn end(&self, mut places: Vec<Place>) -> Result<Vec<Place>, RequestError> {
        places.extend(self.rules.pins_from(places.len()).map(Place::pinned));
        let items: Vec<u32> = places.iter().map(|place| place.item.0).collect();
        match self.rules.are_kept(&items) {
            true => Ok(places),
            false => Err(RequestError::DeadEnd { place: items.len() }),
        }
    }

    /// True when the list grows item by item.
    pub(crate) fn grows(&self) -> bool {
        self.way != Way::OnePass
    }

    /// About how many bytes a search holds at its widest: keys and values of the prompt and of every hypothesis and
    /// its parent, every hypothesis's eligible items, and the candidates of a step.
    pub(crate) fn bytes(&self, config: &ModelConfig) -> usize {
        const CANDIDATE: usize = 64;
        // Keys are stored in panels of 32 positions.
        let panels = |positions: usize| positions.div_ceil(32).saturating_mul(32);
        let (width, weighed, grown) = match self.way {
            Way::OnePass => (0, 0, 0),
            Way::Beam { beams, grown } => (beams.width, beams.width, grown),
            Way::Sample(draws) => (draws.count, draws.top_k, self.places),
        };
        let own = panels(grown).saturating_mul(2 * width);
        let per_position = 2 * config.layers * config.width * size_of::<f32>();
        let read = if width > 0 { panels(self.prompt.len()) } else { 0 };
        let cached = read.saturating_add(own).saturating_mul(per_position);
        let listed = self.eligible.listed().saturating_add(self.rules.listed());
        let each = match self.horizons {
            1 => width.max(1),
            _ => self.places.clamp(1, multi_token::AT_ONCE),
        };
        let eligible = listed.saturating_mul(each * size_of::<u32>());
        cached
            .saturating_add(eligible)
            .saturating_add(width.saturating_mul(weighed).saturating_mul(CANDIDATE))
    }
}

impl Way {
    /// A list of one item is the same by every search, from one pass; so is one whose items all come from one.
    fn new(request: &Request, places: usize) -> Self {
        match request.method {
            // Alternatives to the best item are lists of a search, too.
            Method::Beam { width } if places > 1 || request.alternatives > 0 => {
                Self::Beam { beams: Beams::of(width), grown: places }
            }
            Method::DiverseBeam { width, groups, diversity } if places > 1 || request.alternatives > 0 => {
                let beams = Beams { width, groups, diversity: f64::from(diversity) };
                Self::Beam { beams, grown: places }
            }
            Method::Hybrid { autoregressive, width } if places > 1 && autoregressive > 0 => {
                Self::Beam { beams: Beams::of(width), grown: autoregressive.min(places) }
            }
            Method::Sample { temperature, top_k, draws } => Self::Sample(Draws {
                temperature: f64::from(temperature),
                top_k,
                count: draws,
                seed: request.seed,
            }),
            Method::TopK
            | Method::MultiToken
            | Method::Beam { .. }
            | Method::DiverseBeam { .. }
            | Method::Hybrid { .. } => Self::OnePass,
        }
    }
}

/// How many of a model's horizons a method reads.
fn horizons(method: Method, config: &ModelConfig) -> Result<usize, RequestError> {
    match (method, config.own_horizons()) {
        (Method::MultiToken, 1) => Err(RequestError::NoHorizons { merged: config.merge_horizons }),
        (Method::MultiToken, own) => Ok(own),
        _ => Ok(1),
    }
}

/// Whether a request lets an item be shown, seen or not.
fn permits(request: &Request, id: u32, catalog: &Catalog) -> bool {
    let key = catalog.key(ItemId(id));
    let among = |keys: &[String]| keys.iter().any(|other| other == key);
    !among(&request.deny)
        && request.allow.as_ref().is_none_or(|keys| among(keys))
        && request.only.iter().all(|set| set.contains(ItemId(id)))
        && !request.never.iter().any(|set| set.contains(ItemId(id)))
}

/// What a model knows of a history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Items of the catalogue, oldest first.
    pub(crate) items: Vec<ItemId>,
    /// Those of them that the network reads.
    pub(crate) read: Vec<ItemId>,
    /// Events that are not read: their item is unknown, or nothing was ever learned of it.
    pub(crate) skipped: usize,
}

impl Known {
    pub(crate) fn of(past: &Past, served: &Served) -> Self {
        let mut known = Self::default();
        match past {
            Past::Keys(keys) => keys.iter().for_each(|key| known.push(served.catalog.find(key), served)),
            Past::Items { items, skipped } => {
                let inside = |&item: &ItemId| (item.index() < served.catalog.len()).then_some(item);
                items.iter().for_each(|item| known.push(inside(item), served));
                known.skipped += skipped;
            }
        }
        known
    }

    /// One more event, of this item if the catalogue has it.
    pub(crate) fn push(&mut self, item: Option<ItemId>, served: &Served) {
        let is_read = |item: &ItemId| served.unread.binary_search(&item.0).is_err();
        self.items.extend(item);
        match item.filter(is_read) {
            Some(item) => self.read.push(item),
            None => self.skipped += 1,
        }
    }

    /// The window that the network reads.
    pub(crate) fn prompt(&self, window: usize, reserve: usize) -> &[ItemId] {
        &self.read[window::of(self.read.len(), window, reserve)]
    }
}
