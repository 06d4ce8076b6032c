//! Beam search: lists grown item by item, the `width` most probable kept after each step.
//!
//! A prompt is prefilled once and never copied: every hypothesis keeps the keys and values of its own items alone
//! and attends to the prompt's before them. All hypotheses of all requests decode in one call a step; what a request
//! gets does not depend on the others, because the kernels work row by row.
//!
//! The items eligible at a step are those of the request without those already in the hypothesis. As many are left
//! in one hypothesis as in any other, so all of them end at the same length, [`Plan::places`], and sums of
//! log-probabilities are compared between lists of one length only.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::iter::repeat_n;

use upnext_data::ItemId;
use upnext_model::Cache;

use crate::plan::Plan;
use crate::score::{Answer, Ask, Engine, Place};

/// A list in the making.
#[derive(Clone, Debug, Default)]
struct Hypothesis {
    items: Vec<u32>,
    log_probs: Vec<f64>,
    /// Sum of `log_probs`.
    score: f64,
}

/// One more item for one hypothesis.
struct Candidate {
    parent: usize,
    item: u32,
    log_prob: f64,
    /// Of the list with the item.
    score: f64,
}

/// The search of one request.
struct Search<'p> {
    /// Where its answer belongs, and which prompt is its own.
    slot: usize,
    plan: &'p Plan,
    width: usize,
    hypotheses: Vec<Hypothesis>,
}

/// Answers plans that have a prompt and at least one place, together.
pub(crate) fn answer(plans: &[&Plan], engine: Engine<'_>) -> Vec<Answer> {
    let prompts: Vec<_> = plans.iter().map(|plan| plan.prompt.as_slice()).collect();
    let mut caches: Vec<Cache> = plans.iter().map(|_| Cache::new(engine.network.config())).collect();
    let mut states_wr = match engine.prefill(&prompts, Some(&mut caches)) {
        Ok(states) => states,
        Err(error) => return vec![Err(error); plans.len()],
    };
    let mut searches: Vec<Search<'_>> =
        plans.iter().enumerate().map(|(slot, &plan)| Search::new(slot, plan)).collect();
    let mut own: Vec<Cache> = plans.iter().map(|_| Cache::new(engine.network.config())).collect();
    let mut answers: Vec<(usize, Answer)> = Vec::with_capacity(plans.len());
    loop {
        (searches, own) = step(searches, own, &states_wr, engine, &mut answers);
        if searches.is_empty() {
            break;
        }
        let tokens: Vec<ItemId> = searches.iter().flat_map(Search::last_items).collect();
        let prompts: Vec<&Cache> = searches.iter().flat_map(|search| search.prompts(&caches)).collect();
        match engine.extend(&tokens, &prompts, &mut own) {
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

/// Grows every search by one item. Finished and failed ones move to `answers`; the others come back with the keys
/// and values of their hypotheses' parents.
fn step<'p>(
    searches: Vec<Search<'p>>,
    own: Vec<Cache>,
    states_wr: &[f32],
    engine: Engine<'_>,
    answers: &mut Vec<(usize, Answer)>,
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
            Ok(_) if search.is_done() => answers.push((search.slot, Ok(search.best()))),
            Ok(parents) => {
                kept.extend(gather(caches, &parents));
                open.push(search);
            }
        }
    }
    (open, kept)
}

impl<'p> Search<'p> {
    fn new(slot: usize, plan: &'p Plan) -> Self {
        Self { slot, plan, width: plan.width.unwrap_or(1), hypotheses: vec![Hypothesis::default()] }
    }

    /// What each hypothesis asks. Its own `width` best are enough: no worse one can be among the best of all.
    fn asks<'s>(&self, states: &mut impl Iterator<Item = &'s [f32]>) -> Vec<Ask<'s>> {
        let ask = |(hypothesis, state): (&Hypothesis, &'s [f32])| Ask {
            state,
            eligible: Cow::Owned(self.plan.eligible.without(&hypothesis.items)),
            k: self.width,
        };
        self.hypotheses.iter().zip(states).map(ask).collect()
    }

    /// Replaces the hypotheses by the best `width` of their continuations, best first; returns their parents.
    fn grow(&mut self, lists: &[Vec<Place>]) -> Vec<usize> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for (parent, (hypothesis, places)) in self.hypotheses.iter().zip(lists).enumerate() {
            candidates.extend(places.iter().map(|place| Candidate {
                parent,
                item: place.item.0,
                log_prob: place.log_prob,
                score: hypothesis.score + place.log_prob,
            }));
        }
        let order = |a: &Candidate, b: &Candidate| self.order(a, b);
        if candidates.len() > self.width {
            candidates.select_nth_unstable_by(self.width, order);
            candidates.truncate(self.width);
        }
        candidates.sort_unstable_by(order);
        self.hypotheses = candidates.iter().map(|candidate| self.child(candidate)).collect();
        candidates.iter().map(|candidate| candidate.parent).collect()
    }

    /// Higher scores first, equal ones by the ids of the whole list. No two candidates are the same list.
    fn order(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let items = |candidate: &Candidate| self.hypotheses[candidate.parent].items.as_slice();
        b.score.total_cmp(&a.score).then_with(|| items(a).cmp(items(b))).then(a.item.cmp(&b.item))
    }

    fn child(&self, candidate: &Candidate) -> Hypothesis {
        let mut child = self.hypotheses[candidate.parent].clone();
        child.items.push(candidate.item);
        child.log_probs.push(candidate.log_prob);
        child.score = candidate.score;
        child
    }

    /// Hypotheses are as long as they can be. A search left without any is done as well.
    fn is_done(&self) -> bool {
        self.hypotheses.first().is_none_or(|best| best.items.len() >= self.plan.places)
    }

    /// Every hypothesis continues the same prompt.
    fn prompts<'c>(&self, caches: &'c [Cache]) -> impl Iterator<Item = &'c Cache> {
        repeat_n(&caches[self.slot], self.hypotheses.len())
    }

    fn last_items(&self) -> impl Iterator<Item = ItemId> {
        self.hypotheses.iter().filter_map(|hypothesis| hypothesis.items.last()).map(|&id| ItemId(id))
    }

    fn best(&self) -> Vec<Place> {
        let Some(best) = self.hypotheses.first() else { return Vec::new() };
        let places = best.items.iter().zip(&best.log_probs);
        places.map(|(&id, &log_prob)| Place { item: ItemId(id), log_prob }).collect()
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
