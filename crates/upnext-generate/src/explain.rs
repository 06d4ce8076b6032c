//! Why an item is in a list: which events of the history raised it.
//!
//! By leaving one out: the history is read again without each of its events, all of these in one batch, and an event's
//! weight is the log-probability that the item loses without it.

use serde::Serialize;
use upnext_data::ItemId;

use crate::fallback::Popularity;
use crate::plan::Plan;
use crate::score::Engine;
use crate::{Generator, Request, RequestError};

/// Histories that are read at a time.
const BATCH: usize = 64;

/// What speaks for one item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The item's dense number in the model's catalog.
    pub item: ItemId,
    /// The shop's name for it.
    pub key: String,
    /// Its log-probability as the next item after the whole history.
    pub score: f64,
    /// The events that raised it most, the strongest first; none that lowered it.
    pub because: Vec<Reason>,
}

/// An event that speaks for an item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// The event's item.
    pub item: ItemId,
    /// The shop's name for it.
    pub key: String,
    /// How many of the events that the model reads came after it.
    pub ago: usize,
    /// ln p(item | history) - ln p(item | history without the event), above 0.
    pub weight: f64,
}

impl Generator {
    /// For each of the items of these keys the `most` events of a request's history that raised it most.
    ///
    /// The model reads as many histories as the window holds events: two hundred for a window of 200. Without its only
    /// event a history is empty, and popularity speaks. Exploration's noise is left out.
    ///
    /// # Errors
    /// [`RequestError::Unknown`] for a key that the catalogue lacks, [`RequestError::NothingKnown`] when no event of the
    /// history is read, or as the request would fail.
    pub fn explain(
        &self,
        request: &Request,
        keys: &[&str],
        most: usize,
    ) -> Result<Vec<Explanation>, RequestError> {
        let plan = self.plan(request)?;
        if plan.prompt.is_empty() {
            return Err(RequestError::NothingKnown);
        }
        let find =
            |key: &&str| self.catalog().find(key).ok_or_else(|| RequestError::Unknown((*key).to_owned()));
        let items: Vec<ItemId> = keys.iter().map(find).collect::<Result<_, _>>()?;
        let explain = || weigh(&plan, &items, self.engine(), self.popularity());
        let (whole, without) = self.on_threads(explain)?;
        let explanation = |(at, &item): (usize, &ItemId)| {
            let reason = |(event, without): (usize, &Vec<f64>)| Reason {
                item: plan.prompt[event],
                key: self.catalog().key(plan.prompt[event]).to_owned(),
                ago: plan.prompt.len() - 1 - event,
                weight: whole[at] - without[at],
            };
            let mut because: Vec<Reason> = without.iter().enumerate().map(reason).collect();
            because.retain(|reason| reason.weight > 0.0);
            because.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.ago.cmp(&b.ago)));
            because.truncate(most);
            Explanation { item, key: self.catalog().key(item).to_owned(), score: whole[at], because }
        };
        Ok(items.iter().enumerate().map(explanation).collect())
    }
}

/// Log-probabilities of items after the whole prompt, and after it without each of its events.
fn weigh(
    plan: &Plan,
    items: &[ItemId],
    engine: Engine<'_>,
    popularity: &Popularity,
) -> Result<(Vec<f64>, Vec<Vec<f64>>), RequestError> {
    let without = |event: usize| [&plan.prompt[..event], &plan.prompt[event + 1..]].concat();
    let mut histories = vec![plan.prompt.clone()];
    histories.extend((0..plan.prompt.len()).map(without));
    let mut found: Vec<Vec<f64>> = Vec::with_capacity(histories.len());
    let read = histories.iter().filter(|history| !history.is_empty()).map(Vec::as_slice);
    for batch in read.collect::<Vec<_>>().chunks(BATCH) {
        plan.stop.check()?;
        let states = engine.prefill(batch, None)?;
        found.extend(engine.log_probs(&states, plan, items)?);
    }
    if plan.prompt.len() == 1 {
        found.push(items.iter().map(|&item| popularity.log_share(item, plan)).collect());
    }
    let without = found.split_off(1);
    Ok((found.remove(0), without))
}
