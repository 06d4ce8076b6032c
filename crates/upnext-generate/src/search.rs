//! Lists grown item by item: how hypotheses of many requests go through the network together.
//!
//! A prompt is prefilled once and never copied: every hypothesis keeps the keys and values of its own items alone
//! and attends to the prompt's before them. All hypotheses of all requests decode in one call a step; what a request
//! gets does not depend on the others, because the kernels work row by row.
//!
//! The items eligible at a step are those of the request without those already in the hypothesis, and as its rules have
//! it. Without rules as many are left in one hypothesis as in any other, so all of them end at the same length,
//! [`Plan::places`], and sums of log-probabilities are compared between lists of one length only; with them, a list that
//! nothing can be added to gives way to those that go on. Which items a hypothesis is continued by is its [`Rule`]'s to
//! say.

mod beam;
mod sample;

pub(crate) use beam::Beams;
pub(crate) use sample::Draws;

use std::borrow::Cow;
use std::iter::repeat_n;

use upnext_data::ItemId;
use upnext_model::Cache;

use crate::RequestError;
use crate::one_pass::{Start, complete};
use crate::plan::{Plan, Way};
use crate::score::{Answer, Ask, Engine, Lists, Place, Scored};

/// A list in the making.
#[derive(Clone, Debug, Default)]
struct Hypothesis {
    items: Vec<u32>,
    log_probs: Vec<f64>,
    /// By how much each of them may be wrong.
    slacks: Vec<f64>,
    /// Sum of `log_probs`.
    score: f64,
    /// The group of beams that keeps it; none before there are any.
    group: Option<usize>,
}

/// How a search goes on.
#[derive(Clone, Copy)]
enum Rule<'p> {
    /// The best lists of each step.
    Beam(Beams),
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
    /// Items that its lists are to have.
    places: usize,
    /// All of one length.
    hypotheses: Vec<Hypothesis>,
    /// Drawn lists that nothing could be added to.
    ended: Vec<Hypothesis>,
    /// Whether the first item was drawn, once for each list.
    has_fanned_out: bool,
    /// Whether the state after the last item is asked for.
    wants_state: bool,
}

/// Prompts that have been read.
#[derive(Clone, Copy)]
pub(crate) struct Prompts<'a> {
    /// `(b, r)` states after them.
    pub(crate) states_br: &'a [f32],
    /// Their keys and values.
    pub(crate) caches: &'a [Cache],
}

/// A search at its end.
struct Found {
    /// Best first.
    lists: Vec<Hypothesis>,
    /// `(r)` the state after the best list, where it was wanted.
    state: Vec<f32>,
}

/// Answers plans that grow and have a prompt and at least one place, together.
pub(crate) fn answer(plans: &[&Plan], engine: Engine<'_>) -> Vec<Answer> {
    let tokens: Vec<_> = plans.iter().map(|plan| plan.prompt.as_slice()).collect();
    let mut caches: Vec<Cache> = plans.iter().map(|_| Cache::new(engine.network.config())).collect();
    match engine.prefill(&tokens, Some(&mut caches)) {
        Ok(states) => answer_after(plans, Prompts { states_br: &states, caches: &caches }, engine),
        Err(error) => vec![Err(error); plans.len()],
    }
}

/// The same where the prompts have been read before.
pub(crate) fn answer_after(plans: &[&Plan], prompts: Prompts<'_>, engine: Engine<'_>) -> Vec<Answer> {
    // A plan for one pass is a search that grows nothing and is completed from the prompt's state.
    let first = |slot: usize| match plans[slot].way {
        Way::OnePass => Search::new(slot, plans[slot], Rule::Beam(Beams::of(1)), 0),
        Way::Beam { beams, grown } => Search::new(slot, plans[slot], Rule::Beam(beams), grown),
        Way::Sample(draws) => Search::new(slot, plans[slot], Rule::Sample(draws), plans[slot].places),
    };
    let found = run((0..plans.len()).map(first).collect(), prompts, engine);
    // What a beam has begun is completed from one pass; drawn lists are joined to one, whose own log-probabilities are read.
    let mut joined: Vec<Option<Vec<u32>>> = vec![None; plans.len()];
    let mut begun: Vec<(usize, Start<'_>)> = Vec::new();
    let mut answers: Vec<Answer> = vec![Ok(Lists::default()); plans.len()];
    for (slot, (plan, found)) in plans.iter().zip(&found).enumerate() {
        match (found, plan.way) {
            (Err(error), _) => answers[slot] = Err(error.clone()),
            (Ok(found), Way::Sample(_)) => joined[slot] = Some(sample::join(&found.lists, plan)),
            (Ok(found), _) if !found.state.is_empty() => {
                begun.push((slot, Start { plan, state: &found.state, begun: best(&found.lists) }));
            }
            (Ok(found), _) => answers[slot] = listed(&found.lists, plan),
        }
    }
    let again: Vec<usize> = (0..plans.len()).filter(|&slot| joined[slot].is_some()).collect();
    let searches = again.iter().map(|&slot| {
        let list = joined[slot].as_deref().unwrap_or_default();
        Search::new(slot, plans[slot], Rule::Given(list), list.len())
    });
    for (&slot, found) in again.iter().zip(run(searches.collect(), prompts, engine)) {
        answers[slot] = found.and_then(|found| plans[slot].end(best(&found.lists))).map(Into::into);
    }
    let (slots, starts): (Vec<usize>, Vec<Start<'_>>) = begun.into_iter().unzip();
    for (slot, answer) in slots.into_iter().zip(complete(starts, engine)) {
        answers[slot] = answer;
    }
    answers
}

/// The best list of a search that keeps its minimum shares, and the alternatives to it that the request asks for.
fn listed(lists: &[Hypothesis], plan: &Plan) -> Answer {
    let has_shares = |list: &&Hypothesis| plan.end(list.places()).is_ok();
    let kept: Vec<Hypothesis> = lists.iter().filter(has_shares).cloned().collect();
    if kept.is_empty() {
        return plan.end(best(lists)).map(Into::into);
    }
    let mut lists = beam::distinct(kept, plan.alternatives).into_iter().map(|list| plan.end(list.places()));
    Ok(Lists { best: lists.next().unwrap_or(Ok(Vec::new()))?, others: lists.collect::<Result<_, _>>()? })
}

/// The places of the first list.
fn best(lists: &[Hypothesis]) -> Vec<Place> {
    lists.first().map(Hypothesis::places).unwrap_or_default()
}

/// Grows searches to their ends, one answer a search, in their order.
fn run(
    searches: Vec<Search<'_>>,
    prompts: Prompts<'_>,
    engine: Engine<'_>,
) -> Vec<Result<Found, RequestError>> {
    let rank = engine.vectors.rank();
    let mut states_wr: Vec<f32> = searches
        .iter()
        .flat_map(|search| &prompts.states_br[search.slot * rank..][..rank])
        .copied()
        .collect();
    let mut own: Vec<Cache> = searches.iter().map(|_| Cache::new(engine.network.config())).collect();
    let mut searches = searches;
    let mut answers: Vec<(usize, Result<Found, RequestError>)> = Vec::with_capacity(searches.len());
    while !searches.is_empty() {
        (searches, own, states_wr) = step(searches, own, &states_wr, engine, &mut answers);
        if searches.is_empty() {
            break;
        }
        match read_last(&searches, own, &mut states_wr, prompts.caches, engine) {
            Ok(read) => own = read,
            Err(error) => {
                answers.extend(searches.iter().map(|search| (search.slot, Err(error.clone()))));
                break;
            }
        }
    }
    answers.sort_by_key(|(slot, _)| *slot);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Reads the last item of every hypothesis. `own` and `states_wr`, so far those of the hypotheses' parents, become their
/// own; they stay as they are where the item is one that histories are read without.
fn read_last(
    searches: &[Search<'_>],
    own: Vec<Cache>,
    states_wr: &mut [f32],
    prompts: &[Cache],
    engine: Engine<'_>,
) -> Result<Vec<Cache>, RequestError> {
    let (mut longer, mut same) = (Vec::with_capacity(own.len()), Vec::new());
    let (mut tokens, mut before) = (Vec::with_capacity(own.len()), Vec::with_capacity(own.len()));
    let last = searches.iter().flat_map(|search| search.last_items().zip(search.prompts(prompts)));
    let mut states = Vec::with_capacity(own.len());
    for (((item, prompt), cache), state) in
        last.zip(own).zip(states_wr.chunks_exact_mut(engine.vectors.rank()))
    {
        let is_read = engine.reads(item);
        match is_read {
            true => {
                longer.push(cache);
                tokens.push(item);
                before.push(prompt);
            }
            false => same.push(cache),
        }
        states.push((is_read, state));
    }
    if tokens.is_empty() {
        return Ok(same);
    }
    let read = engine.extend(&tokens, &before, &mut longer)?;
    let mut read = read.chunks_exact(engine.vectors.rank());
    let (mut longer, mut same) = (longer.into_iter(), same.into_iter());
    let cache = |(is_read, state): (bool, &mut [f32])| {
        if !is_read {
            return same.next();
        }
        state.copy_from_slice(read.next()?);
        longer.next()
    };
    Ok(states.into_iter().filter_map(cache).collect())
}

/// Grows every search by one item. Finished and failed ones move to `answers`; the others come back with the keys
/// and values of their hypotheses' parents, and these' states.
fn step<'p>(
    searches: Vec<Search<'p>>,
    own: Vec<Cache>,
    states_wr: &[f32],
    engine: Engine<'_>,
    answers: &mut Vec<(usize, Result<Found, RequestError>)>,
) -> (Vec<Search<'p>>, Vec<Cache>, Vec<f32>) {
    let mut states = states_wr.chunks_exact(engine.vectors.rank());
    let (mut asks, mut asked, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let stopped: Vec<Option<RequestError>> =
        searches.iter().map(|search| search.plan.stop.check().err()).collect();
    for (search, stopped) in searches.iter().zip(&stopped) {
        let own: Vec<&[f32]> = states.by_ref().take(search.hypotheses.len()).collect();
        let some = if stopped.is_some() { Vec::new() } else { search.asks(&own) };
        asked.push(some.len());
        asks.extend(some);
        after.push(own);
    }
    let mut ranked = engine.rank(&asks).into_iter();
    drop(asks);
    let mut own = own.into_iter();
    let (mut open, mut kept) = (Vec::with_capacity(searches.len()), Vec::with_capacity(own.len()));
    let mut kept_states = Vec::with_capacity(states_wr.len());
    for (((mut search, asked), states), stopped) in searches.into_iter().zip(asked).zip(after).zip(stopped) {
        // All of a search's lists are taken before one of them may fail it, so that its neighbours keep theirs.
        let lists: Vec<Result<Scored, RequestError>> = ranked.by_ref().take(asked).collect();
        let caches: Vec<Cache> = own.by_ref().take(search.hypotheses.len()).collect();
        if search.is_full() && stopped.is_none() {
            answers.push((search.slot, Ok(search.found(states.first().copied().unwrap_or_default()))));
            continue;
        }
        let own_sums = |scored: Scored| scored.places(scored.partition);
        let lists: Result<Vec<_>, _> = lists.into_iter().map(|list| list.map(own_sums)).collect();
        match stopped.map_or(lists, Err).map(|lists| search.grow(&lists)) {
            Err(error) => answers.push((search.slot, Err(error))),
            Ok(_) if search.is_done() => answers.push((search.slot, Ok(search.found(&[])))),
            Ok(parents) => {
                kept.extend(gather(caches, &parents));
                parents.iter().for_each(|&parent| kept_states.extend_from_slice(states[parent]));
                open.push(search);
            }
        }
    }
    (open, kept, kept_states)
}

impl Hypothesis {
    fn places(&self) -> Vec<Place> {
        let places = self.items.iter().zip(&self.log_probs).zip(&self.slacks);
        places.map(|((&id, &log_prob), &slack)| Place { item: ItemId(id), log_prob, slack }).collect()
    }

    fn then(&self, place: &Place) -> Self {
        let mut longer = self.clone();
        longer.items.push(place.item.0);
        longer.log_probs.push(place.log_prob);
        longer.slacks.push(place.slack);
        longer.score += place.log_prob;
        longer
    }
}

impl<'p> Search<'p> {
    fn new(slot: usize, plan: &'p Plan, rule: Rule<'p>, places: usize) -> Self {
        let wants_state = matches!(rule, Rule::Beam(_)) && places < plan.places;
        let (hypotheses, ended) = (vec![Hypothesis::default()], Vec::new());
        Self { slot, plan, rule, places, hypotheses, ended, has_fanned_out: false, wants_state }
    }

    /// Items that the hypotheses have; as many in each.
    fn length(&self) -> usize {
        self.hypotheses.first().map_or(0, |hypothesis| hypothesis.items.len())
    }

    /// Whether only the state after the last item is missing.
    fn is_full(&self) -> bool {
        self.wants_state && self.length() >= self.places
    }

    /// What each hypothesis asks; nothing where the next item is known.
    fn asks<'s>(&self, states: &[&'s [f32]]) -> Vec<Ask<'s>>
    where
        'p: 's,
    {
        let length = self.length();
        if self.is_full() || self.plan.rules.pin(length).is_some() {
            return Vec::new();
        }
        let (k, given) = match self.rule {
            // Its own `width` best are enough: no worse one can be among the best of all.
            Rule::Beam(beams) => (beams.width, None),
            Rule::Sample(draws) => (draws.top_k, None),
            Rule::Given(items) => (0, items.get(length).copied()),
        };
        let ask = |(hypothesis, &state): (&Hypothesis, &&'s [f32])| Ask {
            state,
            eligible: Cow::Owned(self.plan.rules.eligible(&self.plan.eligible, &hypothesis.items)),
            adjustment: self.plan.adjustment,
            noise: self.plan.noise.as_ref(),
            k,
            given,
        };
        self.hypotheses.iter().zip(states).map(ask).collect()
    }

    /// Replaces the hypotheses by their continuations, best first; returns these' parents. Without any continuation the
    /// hypotheses stay as they are, and the search is over.
    fn grow(&mut self, lists: &[Vec<Place>]) -> Vec<usize> {
        let length = self.length();
        let (children, parents) = match (self.plan.rules.pin(length), self.rule) {
            (Some(item), _) => {
                let place = Place::pinned(item);
                let longer = self.hypotheses.iter().map(|hypothesis| hypothesis.then(&place)).collect();
                (longer, (0..self.hypotheses.len()).collect())
            }
            (None, Rule::Beam(beams)) => {
                // What is completed from one pass is the best list alone.
                let is_last = self.wants_state && length + 1 == self.places;
                beam::best(&self.hypotheses, lists, if is_last { Beams::of(1) } else { beams })
            }
            (None, Rule::Sample(draws)) => {
                let over = |(hypothesis, places): (&Hypothesis, &Vec<Place>)| {
                    places.is_empty().then(|| hypothesis.clone())
                };
                self.ended.extend(self.hypotheses.iter().zip(lists).filter_map(over));
                let fans_out = !std::mem::replace(&mut self.has_fanned_out, true);
                sample::draw(&self.hypotheses, lists, draws, fans_out)
            }
            (None, Rule::Given(_)) => {
                let longer = self.hypotheses.iter().zip(lists);
                let longer = longer.map(|(hypothesis, places)| {
                    places.iter().fold(hypothesis.clone(), |longer, place| longer.then(place))
                });
                (longer.collect(), (0..lists.len()).collect())
            }
        };
        if children.is_empty() {
            self.places = length;
            self.wants_state = false;
            if matches!(self.rule, Rule::Sample(_)) {
                self.hypotheses.clear();
            }
        } else {
            self.hypotheses = children;
        }
        parents
    }

    /// Hypotheses are as long as they can be.
    fn is_done(&self) -> bool {
        self.hypotheses.is_empty() || (self.length() >= self.places && !self.wants_state)
    }

    fn found(self, state: &[f32]) -> Found {
        let mut lists = self.hypotheses;
        lists.extend(self.ended);
        Found { lists, state: state.to_vec() }
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
