//! Lists grown item by item: how hypotheses of many requests go through the network together.
//!
//! A prompt is prefilled once and never copied: every hypothesis keeps the keys and values of its own items alone
//! and attends to the prompt's before them. All hypotheses of all requests decode in one call a step; what a request
//! gets does not depend on the others, because the kernels work row by row.
//!
//! The items eligible at a step are those of the request without those already in the hypothesis. As many are left
//! in one hypothesis as in any other, so all of them end at the same length, [`Plan::places`], and sums of
//! log-probabilities are compared between lists of one length only. Which items a hypothesis is continued by is its
//! [`Rule`]'s to say.

mod beam;
mod sample;

pub(crate) use sample::Draws;

use std::borrow::Cow;
use std::iter::repeat_n;

use upnext_data::ItemId;
use upnext_model::Cache;

use crate::RequestError;
use crate::plan::{Plan, Way};
use crate::score::{Answer, Ask, Engine, Place};

/// A list in the making.
#[derive(Clone, Debug, Default)]
struct Hypothesis {
    items: Vec<u32>,
    log_probs: Vec<f64>,
    /// Sum of `log_probs`.
    score: f64,
}

/// How a search goes on.
#[derive(Clone, Copy)]
enum Rule<'p> {
    /// The best `width` lists of each step, until they have `grown` items; what the best of them then lacks is taken
    /// from one pass.
    Beam { width: usize, grown: usize },
    /// Lists drawn one beside the other.
    Sample(Draws),
    /// This list and no other: what are its log-probabilities?
    Given(&'p [u32]),
}

/// The search of one request.
struct Search<'p> {
    /// Where its answer belongs, and which prompt is its own.
    slot: usize,
    plan: &'p Plan,
    rule: Rule<'p>,
    hypotheses: Vec<Hypothesis>,
}

/// Prompts that have been read.
struct Prompts {
    /// `(b, r)` states after them.
    states_br: Vec<f32>,
    /// Their keys and values.
    caches: Vec<Cache>,
}

/// The finished lists of a search, best first, or why there are none.
type Finished = Result<Vec<Hypothesis>, RequestError>;

/// Answers plans that grow and have a prompt and at least one place, together.
pub(crate) fn answer(plans: &[&Plan], engine: Engine<'_>) -> Vec<Answer> {
    let tokens: Vec<_> = plans.iter().map(|plan| plan.prompt.as_slice()).collect();
    let mut caches: Vec<Cache> = plans.iter().map(|_| Cache::new(engine.network.config())).collect();
    let prompts = match engine.prefill(&tokens, Some(&mut caches)) {
        Ok(states_br) => Prompts { states_br, caches },
        Err(error) => return vec![Err(error); plans.len()],
    };
    let rule = |plan: &Plan| match plan.way {
        Way::OnePass => Rule::Beam { width: 1, grown: 0 },
        Way::Beam { width, grown } => Rule::Beam { width, grown },
        Way::Sample(draws) => Rule::Sample(draws),
    };
    let searches = plans.iter().enumerate().map(|(slot, &plan)| Search::new(slot, plan, rule(plan)));
    let found = run(searches.collect(), &prompts, engine);
    // Drawn lists are joined to one, whose own log-probabilities are then read.
    let joined: Vec<Option<Vec<u32>>> = plans
        .iter()
        .zip(&found)
        .map(|(plan, found)| match (plan.way, found) {
            (Way::Sample(_), Ok(lists)) => Some(sample::join(lists, plan.places)),
            _ => None,
        })
        .collect();
    let again: Vec<Search<'_>> = joined
        .iter()
        .enumerate()
        .filter_map(|(slot, joined)| {
            Some(Search::new(slot, plans[slot], Rule::Given(joined.as_deref()?)))
        })
        .collect();
    let slots: Vec<usize> = again.iter().map(|search| search.slot).collect();
    let mut answers: Vec<Answer> = found.into_iter().map(|found| found.map(best)).collect();
    for (slot, found) in slots.into_iter().zip(run(again, &prompts, engine)) {
        answers[slot] = found.map(best);
    }
    answers
}

/// The places of the first list.
fn best(lists: Vec<Hypothesis>) -> Vec<Place> {
    let Some(best) = lists.into_iter().next() else { return Vec::new() };
    let places = best.items.into_iter().zip(best.log_probs);
    places.map(|(id, log_prob)| Place { item: ItemId(id), log_prob }).collect()
}

/// Grows searches to their ends, one answer a search, in their order.
fn run(searches: Vec<Search<'_>>, prompts: &Prompts, engine: Engine<'_>) -> Vec<Finished> {
    let rank = engine.vectors.rank();
    let mut states_wr: Vec<f32> = searches
        .iter()
        .flat_map(|search| &prompts.states_br[search.slot * rank..][..rank])
        .copied()
        .collect();
    let mut own: Vec<Cache> = searches.iter().map(|_| Cache::new(engine.network.config())).collect();
    let mut searches = searches;
    let mut answers: Vec<(usize, Finished)> = Vec::with_capacity(searches.len());
    while !searches.is_empty() {
        (searches, own) = step(searches, own, &states_wr, engine, &mut answers);
        if searches.is_empty() {
            break;
        }
        let tokens: Vec<ItemId> = searches.iter().flat_map(Search::last_items).collect();
        let read: Vec<&Cache> = searches.iter().flat_map(|search| search.prompts(&prompts.caches)).collect();
        match engine.extend(&tokens, &read, &mut own) {
            Ok(states) => states_wr = states,
            Err(error) => {
                answers.extend(searches.iter().map(|search| (search.slot, Err(error.clone()))));
                break;
            }
        }
    }
    answers.sort_by_key(|(slot, _)| *slot);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Grows every search by one item, or by all that it lacks. Finished and failed ones move to `answers`; the others come
/// back with the keys and values of their hypotheses' parents.
fn step<'p>(
    searches: Vec<Search<'p>>,
    own: Vec<Cache>,
    states_wr: &[f32],
    engine: Engine<'_>,
    answers: &mut Vec<(usize, Finished)>,
) -> (Vec<Search<'p>>, Vec<Cache>) {
    let mut states = states_wr.chunks_exact(engine.vectors.rank());
    let asks: Vec<Ask<'_>> = searches.iter().flat_map(|search| search.asks(&mut states)).collect();
    let mut ranked = engine.rank(&asks).into_iter();
    let mut own = own.into_iter();
    let (mut open, mut kept) = (Vec::with_capacity(searches.len()), Vec::with_capacity(own.len()));
    for mut search in searches {
        // All of a search's lists are taken before one of them may fail it, so that its neighbours keep theirs.
        let lists: Vec<Answer> = ranked.by_ref().take(search.hypotheses.len()).collect();
        let caches: Vec<Cache> = own.by_ref().take(search.hypotheses.len()).collect();
        match lists.into_iter().collect::<Result<Vec<_>, _>>().map(|lists| search.grow(&lists)) {
            Err(error) => answers.push((search.slot, Err(error))),
            Ok(_) if search.is_done() => answers.push((search.slot, Ok(search.hypotheses))),
            Ok(parents) => {
                kept.extend(gather(caches, &parents));
                open.push(search);
            }
        }
    }
    (open, kept)
}

impl Hypothesis {
    fn then(&self, place: &Place) -> Self {
        let mut longer = self.clone();
        longer.items.push(place.item.0);
        longer.log_probs.push(place.log_prob);
        longer.score += place.log_prob;
        longer
    }
}

impl<'p> Search<'p> {
    fn new(slot: usize, plan: &'p Plan, rule: Rule<'p>) -> Self {
        Self { slot, plan, rule, hypotheses: vec![Hypothesis::default()] }
    }

    /// Items that the hypotheses have; as many in each.
    fn length(&self) -> usize {
        self.hypotheses.first().map_or(0, |hypothesis| hypothesis.items.len())
    }

    /// What each hypothesis asks.
    fn asks<'s>(&self, states: &mut impl Iterator<Item = &'s [f32]>) -> Vec<Ask<'s>> {
        let (k, given) = match self.rule {
            // Its own `width` best are enough: no worse one can be among the best of all.
            Rule::Beam { width, grown } if self.length() < grown => (width, None),
            Rule::Beam { .. } => (self.plan.places - self.length(), None),
            Rule::Sample(draws) => (draws.top_k, None),
            Rule::Given(items) => (0, items.get(self.length()).copied()),
        };
        let ask = |(hypothesis, state): (&Hypothesis, &'s [f32])| Ask {
            state,
            eligible: Cow::Owned(self.plan.eligible.without(&hypothesis.items)),
            adjustment: self.plan.adjustment,
            k,
            given,
        };
        self.hypotheses.iter().zip(states).map(ask).collect()
    }

    /// Replaces the hypotheses by their continuations, best first; returns these' parents.
    fn grow(&mut self, lists: &[Vec<Place>]) -> Vec<usize> {
        let (children, parents) = match self.rule {
            Rule::Beam { width, grown } if self.length() < grown => {
                // Before the rest is taken from one pass, the best list alone goes on.
                let last = self.length() + 1 == grown && grown < self.plan.places;
                beam::best(&self.hypotheses, lists, if last { 1 } else { width })
            }
            Rule::Sample(draws) => sample::draw(&self.hypotheses, lists, draws),
            Rule::Beam { .. } | Rule::Given(_) => {
                let all = |(hypothesis, places): (&Hypothesis, &Vec<Place>)| {
                    places.iter().fold(hypothesis.clone(), |longer, place| longer.then(place))
                };
                (self.hypotheses.iter().zip(lists).map(all).collect(), (0..lists.len()).collect())
            }
        };
        self.hypotheses = children;
        parents
    }

    /// Hypotheses are as long as they can be. A search left without any is done as well.
    fn is_done(&self) -> bool {
        self.hypotheses.is_empty() || self.length() >= self.plan.places
    }

    /// Every hypothesis continues the same prompt.
    fn prompts<'c>(&self, caches: &'c [Cache]) -> impl Iterator<Item = &'c Cache> {
        repeat_n(&caches[self.slot], self.hypotheses.len())
    }

    fn last_items(&self) -> impl Iterator<Item = ItemId> {
        self.hypotheses.iter().filter_map(|hypothesis| hypothesis.items.last()).map(|&id| ItemId(id))
    }
}

/// The caches of `parents`, in their order. The last child of a parent takes its cache, the others copy it.
fn gather(caches: Vec<Cache>, parents: &[usize]) -> Vec<Cache> {
    let mut children = vec![0usize; caches.len()];
    for &parent in parents {
        children[parent] += 1;
    }
    let mut caches: Vec<Option<Cache>> = caches.into_iter().map(Some).collect();
    let inherit = |&parent: &usize| {
        children[parent] -= 1;
        if children[parent] == 0 { caches[parent].take() } else { caches[parent].clone() }
    };
    parents.iter().filter_map(inherit).collect()
}
