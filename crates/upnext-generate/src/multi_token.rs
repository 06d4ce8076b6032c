//! Each place of a list from a horizon of its own, all horizons from one pass.
//!
//! Place j, pinned ones counted, is taken from horizon min(j, K). Every horizon is ranked once, over all that the request
//! lets into the list; place by place the best item that may stand there is taken from its horizon's ranking. Where that is
//! used up, what may still stand in the place is ranked anew. The chosen items are then scored together: each by its
//! log-probability, under its horizon, among the items that could have stood in its place.

use std::borrow::Cow;

use upnext_data::ItemId;

use crate::RequestError;
use crate::eligible::Eligible;
use crate::one_pass::POOL;
use crate::plan::Plan;
use crate::score::{Answer, Ask, Engine, Place, Scored};

/// Places of a list that are scored at once: each has eligible items of its own.
pub(crate) const AT_ONCE: usize = 16;

/// A list on its way to completion.
struct List<'a> {
    plan: &'a Plan,
    /// `(k, r)` states of the plan's horizons.
    states: Vec<&'a [f32]>,
    /// Items by horizon, best first; none before they are ranked.
    ranked: Vec<Vec<u32>>,
    items: Vec<u32>,
    done: Option<Result<(), RequestError>>,
}

/// Makes the lists of plans that have a prompt, at least one place, and horizons; `states` `(k, r)` are a plan's own.
pub(crate) fn complete(starts: &[(&Plan, &[f32])], engine: Engine<'_>) -> Vec<Answer> {
    let mut lists: Vec<List<'_>> =
        starts.iter().map(|&(plan, states)| List::new(plan, states, engine.vectors.rank())).collect();
    loop {
        lists.iter_mut().for_each(List::fill);
        let open: Vec<usize> = (0..lists.len()).filter(|&list| lists[list].done.is_none()).collect();
        if open.is_empty() {
            break;
        }
        let asks: Vec<Vec<Ask<'_>>> = open.iter().map(|&list| lists[list].asks()).collect();
        let ranked = together(asks, engine);
        for (list, ranked) in open.into_iter().zip(ranked) {
            lists[list].take(ranked);
        }
    }
    lists.iter_mut().for_each(List::stop);
    let mut scored: Vec<Result<Vec<Scored>, RequestError>> = lists.iter().map(|_| Ok(Vec::new())).collect();
    let longest = lists.iter().map(|list| list.items.len()).max().unwrap_or(0);
    for first in (0..longest).step_by(AT_ONCE) {
        let asks = lists.iter().map(|list| list.asks_for_scores(first)).collect();
        for (scored, more) in scored.iter_mut().zip(together(asks, engine)) {
            match (&mut *scored, more) {
                (Ok(scored), Ok(more)) => scored.extend(more),
                (Ok(_), Err(error)) => *scored = Err(error),
                (Err(_), _) => {}
            }
        }
    }
    lists.into_iter().zip(scored).map(|(list, scored)| list.finish(scored)).collect()
}

/// Ranks for several lists at once, each of which may fail alone.
fn together(asks: Vec<Vec<Ask<'_>>>, engine: Engine<'_>) -> Vec<Result<Vec<Scored>, RequestError>> {
    let counts: Vec<usize> = asks.iter().map(Vec::len).collect();
    let all: Vec<Ask<'_>> = asks.into_iter().flatten().collect();
    let mut ranked = engine.rank(&all).into_iter();
    // All of a list's are taken before one of them may fail it, so that its neighbours keep theirs.
    let of_list = |count: usize| ranked.by_ref().take(count).collect::<Vec<_>>().into_iter().collect();
    counts.into_iter().map(of_list).collect()
}

impl<'a> List<'a> {
    fn new(plan: &'a Plan, states: &'a [f32], rank: usize) -> Self {
        let states = states.chunks_exact(rank).take(plan.horizons).collect();
        Self { plan, states, ranked: Vec::new(), items: Vec::new(), done: None }
    }

    /// The horizon of a place, both from 0.
    fn horizon(&self, place: usize) -> usize {
        place.min(self.states.len() - 1)
    }

    /// Fills places as far as what is ranked goes.
    fn fill(&mut self) {
        while self.done.is_none() {
            let place = self.items.len();
            if place >= self.plan.places {
                self.done = Some(Ok(()));
            } else if let Some(item) = self.plan.rules.pin(place) {
                self.items.push(item);
            } else {
                let may = |&item: &u32| self.plan.rules.allows(&self.items, item);
                let ranked = self.ranked.get(self.horizon(place)).into_iter().flatten();
                let Some(item) = ranked.copied().find(may) else { break };
                self.items.push(item);
            }
        }
        self.stop();
    }

    /// Ends a list that is no longer wanted.
    fn stop(&mut self) {
        if let (None | Some(Ok(())), Err(error)) = (&self.done, self.plan.stop.check()) {
            self.done = Some(Err(error));
        }
    }

    fn ask(&self, horizon: usize, eligible: Cow<'a, Eligible>, k: usize) -> Ask<'a> {
        let Plan { adjustment, ref noise, .. } = *self.plan;
        let state = self.states[horizon];
        Ask { state, eligible, adjustment, noise: noise.as_ref(), k, given: None }
    }

    /// All horizons that the list reads, or, once they are ranked, the next place.
    fn asks(&self) -> Vec<Ask<'a>> {
        let place = self.items.len();
        if !self.ranked.is_empty() {
            let eligible = self.plan.rules.eligible(&self.plan.eligible, &self.items);
            return vec![self.ask(self.horizon(place), Cow::Owned(eligible), 1)];
        }
        let k = match self.plan.rules.bind() {
            true => POOL.0.max(POOL.1.saturating_mul(self.plan.places)),
            false => self.plan.places,
        };
        let horizons = 0..=self.horizon(self.plan.places - 1);
        horizons.map(|horizon| self.ask(horizon, Cow::Borrowed(&self.plan.eligible), k)).collect()
    }

    /// Takes rankings that the list has asked for.
    fn take(&mut self, ranked: Result<Vec<Scored>, RequestError>) {
        match ranked {
            Err(error) => self.done = Some(Err(error)),
            Ok(ranked) if self.ranked.is_empty() => {
                self.ranked = ranked.iter().map(|scored| scored.items().to_vec()).collect();
            }
            // Nothing may stand here any more: the list is short.
            Ok(ranked) => match ranked.first().and_then(|scored| scored.items().first()) {
                Some(&item) => self.items.push(item),
                None => self.done = Some(Ok(())),
            },
        }
    }

    /// Each item that is not pinned among those that could have stood in its place, for some places from `first` on.
    fn asks_for_scores(&self, first: usize) -> Vec<Ask<'a>> {
        if !matches!(self.done, Some(Ok(()))) {
            return Vec::new();
        }
        let ask = |(place, &item): (usize, &u32)| {
            let eligible = self.plan.rules.eligible(&self.plan.eligible, &self.items[..place]);
            let ask = self.ask(self.horizon(place), Cow::Owned(eligible), 0);
            (!self.plan.rules.is_pinned(item)).then_some(Ask { given: Some(item), ..ask })
        };
        self.items.iter().enumerate().skip(first).take(AT_ONCE).filter_map(ask).collect()
    }

    fn finish(self, scored: Result<Vec<Scored>, RequestError>) -> Answer {
        self.done.unwrap_or(Ok(()))?;
        let mut scored = scored?.into_iter().flat_map(|scored| scored.places(scored.partition));
        let place = |&item: &u32| match self.plan.rules.is_pinned(item) {
            true => Some(Place::pinned(item)),
            false => scored.next().filter(|place| place.item == ItemId(item)),
        };
        self.plan.end(self.items.iter().filter_map(place).collect()).map(Into::into)
    }
}
