//! What is asked: a history, a length, a method and what may be shown.
//!
//! A [`Request`] was checked when it was built. It knows no catalog: keys are looked up when it is answered, and
//! what depends on the model's window is checked then.

use std::time::Instant;

use upnext_data::ItemId;
use upnext_data::chance::name_key;
use upnext_model::Adjustment;

use crate::rules::Asked;
use crate::stop::Stop;
use crate::{Attribute, Cancel, ItemSet, RequestError};

/// Most beams, drawn lists or items to draw from of one request: a step weighs width² candidates, and a request must not exhaust a server's memory.
pub const MAX_WIDTH: usize = 1024;

/// Something the user watched, bought or played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The shop's name for the item.
    pub key: &'a str,
    /// When, in Unix seconds.
    pub at: i64,
}

impl<'a> From<(&'a str, i64)> for Event<'a> {
    fn from((key, at): (&'a str, i64)) -> Self {
        Self { key, at }
    }
}

/// How a list is made.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The most probable next items, all from one pass.
    TopK,
    /// Each place from a horizon of its own, all from one pass: place j is the item that the model holds most probable as the
    /// j-th event to come, among those that do not stand before it. What the model has no horizon for is taken from its last
    /// one. For models with `horizons` of their own ([`upnext_model::ModelConfig::own_horizons`]).
    MultiToken,
    /// The most probable list that a search with `width` partial lists finds, each item after those before it.
    Beam {
        /// w: partial lists kept after each step, 1 to [`MAX_WIDTH`]. One is greedy search.
        width: usize,
    },
    /// Beams in groups that keep off each other's items (Vijayakumar et al. 2018, arXiv 1610.02424): lists of different kinds
    /// to choose among, by [`RequestBuilder::alternatives`].
    DiverseBeam {
        /// w: partial lists of all groups together, a multiple of their number, at most [`MAX_WIDTH`].
        width: usize,
        /// Groups, at least 1. One is [`Method::Beam`].
        groups: usize,
        /// What an item loses, in log-probability, for each list of an earlier group that takes it in the same place; 0 or
        /// more. It decides which lists are kept, not what they score.
        diversity: f32,
    },
    /// The first items by beam, each after those before it; the rest from one pass after them.
    Hybrid {
        /// Items found by beam, at least 1.
        autoregressive: usize,
        /// w: as in a beam.
        width: usize,
    },
    /// Lists drawn item by item, each in proportion to its probability, and joined to one by the sums of their reciprocal
    /// ranks (Volodkevich et al. 2024, arXiv 2409.17730). The draws are [`RequestBuilder::seed`]'s.
    Sample {
        /// What log-probabilities are divided by before an item is drawn, above 0.
        temperature: f32,
        /// Most probable items of a step that are drawn from, 1 to [`MAX_WIDTH`].
        top_k: usize,
        /// Lists drawn, 1 to [`MAX_WIDTH`].
        draws: usize,
    },
}

/// A history by the names its caller has for items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// The shop's keys, oldest first.
    Keys(Vec<String>),
    /// Ids of the model's catalog, oldest first, and how many events were left out because theirs is not in it.
    Items { items: Vec<ItemId>, skipped: usize },
}

/// A valid request for one list.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub(crate) past: Past,
    pub(crate) length: Option<usize>,
    pub(crate) method: Method,
    pub(crate) keep_seen: Option<bool>,
    pub(crate) deny: Vec<String>,
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) only: Vec<ItemSet>,
    pub(crate) never: Vec<ItemSet>,
    pub(crate) rules: Asked,
    pub(crate) diversify: f32,
    pub(crate) alternatives: usize,
    pub(crate) at: Option<i64>,
    pub(crate) adjustment: Adjustment,
    pub(crate) explore: f32,
    pub(crate) seed: u64,
    pub(crate) stop: Stop,
}

impl Request {
    /// A request that continues a history of keys by [`Method::TopK`].
    ///
    /// The model folder says how long a list is and whether seen items are kept, unless the request does: ten items, and
    /// seen ones dropped unless the model was trained with `train.keep_seen`, in folders written by `upnext train`.
    ///
    /// Events are put in order of time; events of one instant keep the order given, as `upnext prepare` does.
    ///
    /// ```
    /// use upnext_generate::{Event, Method, Request};
    ///
    /// let history = [Event::from(("rebecca", 200)), Event::from(("vertigo", 100))];
    /// let request = Request::builder(&history).length(5).deny(&["psycho"]).build()?;
    /// assert_eq!(request.length(), Some(5));
    /// assert_eq!(request.method(), Method::TopK);
    /// assert!(Request::builder(&history).length(0).build().is_err());
    /// # Ok::<(), upnext_generate::RequestError>(())
    /// ```
    pub fn builder(history: &[Event<'_>]) -> RequestBuilder {
        let mut ordered: Vec<&Event<'_>> = history.iter().collect();
        ordered.sort_by_key(|event| event.at);
        let keys = ordered.iter().map(|event| event.key.to_owned()).collect();
        RequestBuilder::new(Past::Keys(keys), Some(ordered.iter().map(|event| event.at).collect()))
    }

    /// A request that continues a history of ids of the model's own catalog, oldest first. An id beyond the catalog
    /// is skipped and counted like an unknown key. For ids of a prepared folder see [`crate::ItemMap::request`].
    pub fn from_items(history: &[ItemId]) -> RequestBuilder {
        Self::from_mapped(history.to_vec(), 0)
    }

    pub(crate) fn from_mapped(items: Vec<ItemId>, skipped: usize) -> RequestBuilder {
        RequestBuilder::new(Past::Items { items, skipped }, None)
    }

    /// Items asked for; `None` leaves it to the model folder.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        self.length
    }

    /// How the list is made.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The moment that the list is made for, in Unix seconds, if one was named.
    #[must_use]
    pub fn at(&self) -> Option<i64> {
        self.at
    }
}

/// Collects the parts of a [`Request`]; [`RequestBuilder::build`] checks them.
#[derive(Clone, Debug)]
#[must_use = "a builder asks for nothing until it is built"]
pub struct RequestBuilder {
    request: Request,
    /// Times of the history, ascending, where they are known.
    times: Option<Vec<i64>>,
}

impl RequestBuilder {
    fn new(past: Past, times: Option<Vec<i64>>) -> Self {
        let request = Request {
            past,
            length: None,
            method: Method::TopK,
            keep_seen: None,
            deny: Vec::new(),
            allow: None,
            only: Vec::new(),
            never: Vec::new(),
            rules: Asked::default(),
            diversify: 0.0,
            alternatives: 0,
            at: None,
            adjustment: Adjustment::default(),
            explore: 0.0,
            seed: 0,
            stop: Stop::default(),
        };
        Self { request, times }
    }

    /// s: how many items the list should have.
    pub fn length(mut self, length: usize) -> Self {
        self.request.length = Some(length);
        self
    }

    /// How the list is made; [`Method::TopK`] unless told.
    pub fn method(mut self, method: Method) -> Self {
        self.request.method = method;
        self
    }

    /// Whether items of the history may be shown again.
    pub fn keep_seen(mut self, keep: bool) -> Self {
        self.request.keep_seen = Some(keep);
        self
    }

    /// Keys that must not be shown, besides those named before. Keys that the catalog lacks cannot be shown anyway.
    pub fn deny(mut self, keys: &[&str]) -> Self {
        self.request.deny.extend(keys.iter().map(|&key| key.to_owned()));
        self
    }

    /// The only keys that may be shown, together with those named before. An empty list allows nothing.
    pub fn allow(mut self, keys: &[&str]) -> Self {
        let allowed = self.request.allow.get_or_insert_default();
        allowed.extend(keys.iter().map(|&key| key.to_owned()));
        self
    }

    /// Items outside the set may not be shown: what is available, what a household may see. Several sets are all obeyed.
    pub fn only(mut self, set: &ItemSet) -> Self {
        self.request.only.push(set.clone());
        self
    }

    /// Items of the set may not be shown. Sets that many requests share are looked up once, unlike keys to deny.
    pub fn without(mut self, set: &ItemSet) -> Self {
        self.request.never.push(set.clone());
        self
    }

    /// This item stands in this place, counted from 0, seen or not, and has no score. Where a list grows item by item, the
    /// model reads it as watched before the next place. In a list that is short, pinned items stand at the end.
    pub fn pin(mut self, place: usize, key: &str) -> Self {
        self.request.rules.pins.push((place, key.to_owned()));
        self
    }

    /// At most `most` items of the list have the same value of an attribute.
    pub fn at_most(mut self, most: usize, attribute: &Attribute) -> Self {
        self.request.rules.caps.push((most, attribute.clone()));
        self
    }

    /// At least `least` items of the list are in a set. Several such shares may ask for no more items than the list has.
    pub fn at_least(mut self, least: usize, set: &ItemSet) -> Self {
        self.request.rules.shares.push((least, set.clone()));
        self
    }

    /// Maximal marginal relevance (Carbonell and Goldstein 1998): each place goes to the item with the largest
    /// `(1 - weight) · ln p - weight · max cos`, the cosine taken with the items before it, among the most probable ones
    /// (fifty, or five for each place). For [`Method::TopK`], and for what [`Method::Hybrid`] takes from one pass; a list by
    /// popularity is not spread.
    pub fn diversify(mut self, weight: f32) -> Self {
        self.request.diversify = weight;
        self
    }

    /// Up to so many further lists of [`Method::Beam`] or [`Method::DiverseBeam`], best first, beside the best one. Of lists
    /// that hold the same items in another order the best alone is kept.
    pub fn alternatives(mut self, most: usize) -> Self {
        self.request.alternatives = most;
        self
    }

    /// The moment that the list is made for, in Unix seconds: later events of the history have not happened yet and are
    /// left out. For a history of keys, whose events have times.
    pub fn at(mut self, at: i64) -> Self {
        self.request.at = Some(at);
        self
    }

    /// By how much new items are moved up and popular ones down. A list by popularity, for somebody of whom nothing is
    /// known, is not moved.
    ///
    /// Scores are log-probabilities of the moved distribution.
    pub fn adjust(mut self, by: Adjustment) -> Self {
        self.request.adjustment = by;
        self
    }

    /// Adds noise to the scores, so many times a standard Gumbel draw for each item from [`RequestBuilder::seed`]: at 1 a list
    /// by [`Method::TopK`] is drawn in proportion to the items' probabilities (Kool et al. 2019, arXiv 1903.06059), nearer to
    /// 0 it keeps to the probable. Scores are log-probabilities of the noisy distribution. A list by popularity has none. It takes four bytes an
    /// item for each request of a chunk ([`crate::Options::chunk`]).
    pub fn explore(mut self, weight: f32) -> Self {
        self.request.explore = weight;
        self
    }

    /// Where the draws of [`Method::Sample`] and of exploration come from; 0 unless told. The same request with the same seed gets the same
    /// list.
    pub fn seed(mut self, seed: u64) -> Self {
        self.request.seed = seed;
        self
    }

    /// A seed of this user's own, so that neighbours under one seed do not get the same draws.
    pub fn seed_for(self, seed: u64, user: &str) -> Self {
        self.seed(seed ^ name_key(user))
    }

    /// From this moment on the request is refused as late: when it is taken up, and before each step that ranks items. A
    /// step that has begun is not interrupted; its neighbours in a batch are not touched.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.request.stop.deadline = Some(deadline);
        self
    }

    /// Lets another thread call the request off; looked at when the deadline is.
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.request.stop.cancel = Some(cancel.clone());
        self
    }

    /// The request, checked.
    ///
    /// # Errors
    /// When the length is 0, a number of the method lies outside its bounds, an adjustment is not finite, likeness or
    /// alternatives are asked of a method that has none, or a moment is named for a history without times. What depends on the model, its catalogue and window, is checked
    /// when the request is answered.
    pub fn build(mut self) -> Result<Request, RequestError> {
        if let Some(at) = self.request.at {
            let (Some(times), Past::Keys(keys)) = (&self.times, &mut self.request.past) else {
                return Err(RequestError::NoTimes);
            };
            keys.truncate(times.partition_point(|&time| time <= at));
        }
        if self.request.length == Some(0) {
            return Err(RequestError::NoLength);
        }
        if !self.request.adjustment.is_finite() {
            return Err(RequestError::Adjustment(self.request.adjustment));
        }
        if !(self.request.explore >= 0.0 && self.request.explore.is_finite()) {
            return Err(RequestError::Explore(self.request.explore));
        }
        let is_once = matches!(self.request.method, Method::TopK | Method::Hybrid { .. });
        let weight = self.request.diversify;
        if !(0.0..1.0).contains(&weight) || (weight > 0.0 && !is_once) {
            return Err(RequestError::Diversify(weight));
        }
        let is_beam = matches!(self.request.method, Method::Beam { .. } | Method::DiverseBeam { .. });
        if self.request.alternatives > 0 && !is_beam {
            return Err(RequestError::Alternatives);
        }
        match self.request.method {
            Method::TopK | Method::MultiToken => {}
            Method::Beam { width } => within("beams", width)?,
            Method::DiverseBeam { width, groups, diversity } => {
                within("beams", width)?;
                if groups == 0 || !width.is_multiple_of(groups) {
                    return Err(RequestError::Groups { groups, width });
                }
                if !(diversity >= 0.0 && diversity.is_finite()) {
                    return Err(RequestError::Diversity(diversity));
                }
            }
            Method::Hybrid { autoregressive, width } => {
                within("beams", width)?;
                if autoregressive == 0 {
                    return Err(RequestError::Method { what: "items found by beam", found: 0, most: None });
                }
            }
            Method::Sample { temperature, top_k, draws } => {
                within("items to draw from", top_k)?;
                within("drawn lists", draws)?;
                if !(temperature > 0.0 && temperature.is_finite()) {
                    return Err(RequestError::Temperature(temperature));
                }
            }
        }
        Ok(self.request)
    }
}

/// A number of a method must lie between 1 and [`MAX_WIDTH`].
fn within(what: &'static str, found: usize) -> Result<(), RequestError> {
    if (1..=MAX_WIDTH).contains(&found) {
        return Ok(());
    }
    Err(RequestError::Method { what, found, most: Some(MAX_WIDTH) })
}
