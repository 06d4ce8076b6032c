//! One pass: the most probable next items, all from one state.
//!
//! Without rules one ranking answers. With them the ranking is gone through from the top, and what a rule forbids in a
//! place is passed over; where it is used up, what may still stand in the next place is ranked anew. What a rule has once
//! forbidden it forbids for good, with one exception: a place that serves two minimum shares at once may free the next
//! one, and then is ranked anew as well. So each place goes to the best item that may stand there.

use std::borrow::Cow;

use upnext_data::ItemId;
use upnext_model::Vectors;

use crate::plan::Plan;
use crate::score::{Answer, Ask, Engine, Lists, Partition, Place, Scored};
use crate::{RequestError, multi_token};

/// Most probable items that likeness is weighed over or rules are tried on, and how many for each place.
pub(crate) const POOL: (usize, usize) = (50, 5);

/// A list that one state is to complete.
pub(crate) struct Start<'a> {
    pub(crate) plan: &'a Plan,
    /// r wide.
    pub(crate) state: &'a [f32],
    /// What stands in the list already.
    pub(crate) begun: Vec<Place>,
}

/// Answers plans that have a prompt and at least one place, together.
pub(crate) fn answer(plans: &[&Plan], engine: Engine<'_>) -> Vec<Answer> {
    let prompts: Vec<_> = plans.iter().map(|plan| plan.prompt.as_slice()).collect();
    let horizons = plans.iter().map(|plan| plan.horizons).max().unwrap_or(1);
    match engine.prefill_ahead(&prompts, None, horizons) {
        Ok(states_bkr) => answer_after(plans, &states_bkr, horizons, engine),
        Err(error) => vec![Err(error); plans.len()],
    }
}

/// The same where the prompts have been read before: `(b, k, r)` are the states after them, of at least as many horizons
/// as the plans read.
pub(crate) fn answer_after(
    plans: &[&Plan],
    states_bkr: &[f32],
    horizons: usize,
    engine: Engine<'_>,
) -> Vec<Answer> {
    let rank = engine.vectors.rank();
    let mut answers: Vec<Answer> = vec![Ok(Lists::default()); plans.len()];
    let (mut next, mut ahead) = (Vec::new(), Vec::new());
    for (slot, (&plan, states)) in plans.iter().zip(states_bkr.chunks_exact(horizons * rank)).enumerate() {
        match plan.horizons > 1 {
            true => ahead.push((slot, (plan, states))),
            false => next.push((slot, Start { plan, state: &states[..rank], begun: Vec::new() })),
        }
    }
    let (slots, starts): (Vec<usize>, Vec<Start<'_>>) = next.into_iter().unzip();
    let next = slots.into_iter().zip(complete(starts, engine));
    let (slots, starts): (Vec<usize>, Vec<(&Plan, &[f32])>) = ahead.into_iter().unzip();
    let ahead = slots.into_iter().zip(multi_token::complete(&starts, engine));
    next.chain(ahead).for_each(|(slot, answer)| answers[slot] = answer);
    answers
}

/// A list on its way to completion.
struct List<'a> {
    plan: &'a Plan,
    state: &'a [f32],
    places: Vec<Place>,
    /// The items of the places.
    items: Vec<u32>,
    /// Over all that the request lets into the list, whatever the rules of the list let into a place.
    partition: Option<Partition>,
    done: Option<Result<(), RequestError>>,
}

/// Completes lists, one answer a list and in order. Scores are log-probabilities over all items that the request lets into
/// the list and that did not stand in it when the pass began.
pub(crate) fn complete(starts: Vec<Start<'_>>, engine: Engine<'_>) -> Vec<Answer> {
    let mut lists: Vec<List<'_>> = starts.into_iter().map(List::new).collect();
    loop {
        lists.iter_mut().for_each(|list| {
            list.settle();
            list.stop();
        });
        let open: Vec<usize> = (0..lists.len()).filter(|&list| lists[list].done.is_none()).collect();
        if open.is_empty() {
            break;
        }
        let asks: Vec<Ask<'_>> = open.iter().map(|&list| lists[list].ask()).collect();
        let ranked = engine.rank(&asks);
        drop(asks);
        for (list, ranked) in open.into_iter().zip(ranked) {
            match ranked {
                Ok(scored) => lists[list].take(&scored, engine.vectors),
                Err(error) => lists[list].done = Some(Err(error)),
            }
        }
    }
    lists.into_iter().map(List::finish).collect()
}

impl<'a> List<'a> {
    fn new(start: Start<'a>) -> Self {
        let items = start.begun.iter().map(|place| place.item.0).collect();
        let Start { plan, state, begun } = start;
        Self { plan, state, places: begun, items, partition: None, done: None }
    }

    fn push(&mut self, place: Place) {
        self.items.push(place.item.0);
        self.places.push(place);
    }

    /// Puts pinned items into their places, and sees whether the list is complete.
    fn settle(&mut self) {
        while let Some(item) = self.plan.rules.pin(self.items.len()) {
            self.push(Place::pinned(item));
        }
        if self.items.len() >= self.plan.places && self.done.is_none() {
            self.done = Some(Ok(()));
        }
    }

    /// Ends a list that is no longer wanted.
    fn stop(&mut self) {
        if let (None, Err(error)) = (&self.done, self.plan.stop.check()) {
            self.done = Some(Err(error));
        }
    }

    /// Places that no item is pinned to and that are still empty.
    fn lacks(&self) -> usize {
        self.plan.places - self.items.len() - self.plan.rules.pins_from(self.items.len()).count()
    }

    fn ask(&self) -> Ask<'a> {
        let plan = self.plan;
        let k = match plan.diversify > 0.0 || plan.rules.bind() {
            true => POOL.0.max(POOL.1.saturating_mul(self.lacks())),
            false => self.lacks(),
        };
        // The first ranking is of all that the request allows, so that scores are over all of it.
        let eligible = match (self.partition, self.items.is_empty()) {
            (None, true) => Cow::Borrowed(&plan.eligible),
            (None, false) => Cow::Owned(plan.eligible.without(&self.items)),
            (Some(_), _) => Cow::Owned(plan.rules.eligible(&plan.eligible, &self.items)),
        };
        Ask {
            state: self.state,
            eligible,
            adjustment: plan.adjustment,
            noise: plan.noise.as_ref(),
            k,
            given: None,
        }
    }

    /// Takes of a ranking what may stand in the next places.
    fn take(&mut self, scored: &Scored, vectors: &Vectors<'_>) {
        let partition = *self.partition.get_or_insert(scored.partition);
        let mut ranked = scored.places(partition);
        if ranked.is_empty() {
            // Nothing may stand here any more: the list is short.
            self.done = Some(Ok(()));
            return;
        }
        if !self.plan.rules.bind() && self.plan.diversify == 0.0 {
            for place in ranked {
                self.push(place);
                self.settle();
            }
            return;
        }
        let weighed = (self.plan.diversify > 0.0).then(|| Likeness::new(&ranked, &self.items, vectors));
        let mut likeness = match weighed.transpose() {
            Ok(likeness) => likeness,
            Err(error) => {
                self.done = Some(Err(error));
                return;
            }
        };
        let mut was_binding = false;
        while self.items.len() < self.plan.places {
            let is_binding = self.plan.rules.are_binding(&self.items);
            if was_binding && !is_binding {
                // More may stand here than this ranking was gone through for.
                break;
            }
            was_binding = is_binding;
            let may = |place: &Place| self.plan.rules.allows(&self.items, place.item.0);
            let next = match &likeness {
                None => ranked.iter().position(may),
                Some(likeness) => likeness.best(&ranked, self.plan.diversify, may),
            };
            let Some(next) = next else { break };
            // What was passed over may not stand in a later place of this ranking either, unless likeness chose.
            let passed = if likeness.is_some() { next..next + 1 } else { 0..next + 1 };
            let (place, before) = (ranked[next], self.items.len());
            ranked.drain(passed);
            self.push(place);
            self.settle();
            if let Some(likeness) = &mut likeness {
                likeness.take_out(next);
                // Pinned items that stand behind it are as near to what follows.
                if let Err(error) = likeness.see_all(&self.items[before..], vectors) {
                    self.done = Some(Err(error));
                    return;
                }
            }
        }
    }

    fn finish(self) -> Answer {
        self.done.unwrap_or(Ok(()))?;
        self.plan.end(self.places).map(Into::into)
    }
}

/// How like the items before it each item of a pool is.
struct Likeness {
    /// Unit vectors of the pool.
    units: Vec<Vec<f32>>,
    /// Largest cosine with a chosen item; none before there is one.
    most: Vec<Option<f32>>,
}

impl Likeness {
    fn new(pool: &[Place], chosen: &[u32], vectors: &Vectors<'_>) -> Result<Self, RequestError> {
        let units: Vec<Vec<f32>> =
            pool.iter().map(|place| unit(place.item.0, vectors)).collect::<Result<_, _>>()?;
        let mut likeness = Self { most: vec![None; units.len()], units };
        likeness.see_all(chosen, vectors)?;
        Ok(likeness)
    }

    fn see_all(&mut self, chosen: &[u32], vectors: &Vectors<'_>) -> Result<(), RequestError> {
        chosen.iter().try_for_each(|&item| {
            self.see(&unit(item, vectors)?);
            Ok(())
        })
    }

    fn see(&mut self, chosen: &[f32]) {
        for (most, unit) in self.most.iter_mut().zip(&self.units) {
            let cosine = dot(unit, chosen);
            *most = Some(most.map_or(cosine, |most| most.max(cosine)));
        }
    }

    /// The item of the pool with the largest marginal relevance, the first of equal ones.
    fn best(&self, pool: &[Place], weight: f32, may: impl Fn(&Place) -> bool) -> Option<usize> {
        let worth = |at: usize| {
            let weight = f64::from(weight);
            (1.0 - weight) * pool[at].log_prob - weight * f64::from(self.most[at].unwrap_or(0.0))
        };
        let open = (0..pool.len()).filter(|&at| may(&pool[at]));
        open.max_by(|&a, &b| worth(a).total_cmp(&worth(b)).then(b.cmp(&a)))
    }

    /// Takes an item out of the pool.
    fn take_out(&mut self, at: usize) {
        self.units.remove(at);
        self.most.remove(at);
    }
}

/// An item's output vector at length 1.
fn unit(item: u32, vectors: &Vectors<'_>) -> Result<Vec<f32>, RequestError> {
    let mut row = vec![0.0; vectors.rank()];
    vectors.output_unit(ItemId(item), &mut row).map_err(crate::score::network)?;
    Ok(row)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
