//! From states to log-probabilities: the kernels' blocked scoring, normalised over the eligible items.

use std::borrow::Cow;
use std::sync::Arc;

use upnext_data::ItemId;
use upnext_kernels::score::{self, Offset, Query, Ranked, rank};
use upnext_model::{Adjusting, Adjustment, Cache, Network, Vectors};

use crate::RequestError;
use crate::eligible::Eligible;
use crate::explore::Noise;
use crate::plan::Plan;
use crate::scoring::Scorer;

/// A place of a list in the making.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) item: ItemId,
    /// ln p(item | history and earlier places), over the items eligible at this step.
    pub(crate) log_prob: f64,
    /// By how much it may be wrong.
    pub(crate) slack: f64,
}

impl Place {
    /// A place that the request has filled: it has no score.
    pub(crate) fn pinned(item: u32) -> Self {
        Self { item: ItemId(item), log_prob: 0.0, slack: 0.0 }
    }
}

/// What an ask is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    ids: Vec<u32>,
    scores: Vec<f32>,
    pub(crate) partition: Partition,
}

/// The log-sum-exp of a step's scores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partition {
    /// Over all eligible items; negative infinity where there are none.
    log_sum_exp: f64,
    /// By how much it may be wrong.
    slack: f64,
}

impl Partition {
    fn of(ranked: &Ranked) -> Self {
        Self { log_sum_exp: ranked.log_sum_exp, slack: ranked.slack }
    }
}

impl Scored {
    /// The items, ordered by score and then by id.
    pub(crate) fn items(&self) -> &[u32] {
        &self.ids
    }

    /// The items, ordered by score and then by id, with log-probabilities under a partition.
    pub(crate) fn places(&self, partition: Partition) -> Vec<Place> {
        let scored = self.ids.iter().zip(&self.scores);
        // Rounding may leave a certain item a hair above 0.
        let place = |(&id, &score): (&u32, &f32)| Place {
            item: ItemId(id),
            log_prob: (f64::from(score) - partition.log_sum_exp).min(0.0),
            slack: partition.slack,
        };
        scored.map(place).collect()
    }
}

/// The list that answers a request, and alternatives to it, best first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    pub(crate) best: Vec<Place>,
    pub(crate) others: Vec<Vec<Place>>,
}

impl From<Vec<Place>> for Lists {
    fn from(best: Vec<Place>) -> Self {
        Self { best, others: Vec::new() }
    }
}

/// What a request is answered with, or why it is not.
pub(crate) type Answer = Result<Lists, RequestError>;

/// Asks for the `k` best eligible items after a state, or for one that is given.
pub(crate) struct Ask<'a> {
    /// r wide.
    pub(crate) state: &'a [f32],
    pub(crate) eligible: Cow<'a, Eligible>,
    pub(crate) adjustment: Adjustment,
    pub(crate) noise: Option<&'a Noise>,
    pub(crate) k: usize,
    /// The item, if it is known which one; `k` is 0 then.
    pub(crate) given: Option<u32>,
}

impl Ask<'_> {
    fn query<'q>(&'q self, offsets: &'q [Offset<'q>], eligible: score::Eligible<'q>, k: usize) -> Query<'q> {
        Query { vector: self.state, offsets, eligible, k }
    }
}

/// The frozen model, and whether the threads of the current pool share its work. They never move a bit of it.
#[derive(Clone, Copy)]
pub(crate) struct Engine<'a> {
    pub(crate) network: &'a Network,
    pub(crate) vectors: &'a Vectors<'static>,
    pub(crate) adjusting: &'a Adjusting,
    pub(crate) scorer: &'a Scorer,
    /// Items that histories are read without, ascending.
    pub(crate) unread: &'a [u32],
    pub(crate) parallel: bool,
}

impl Engine<'_> {
    /// Whether the network reads an item where it stands in a history or in a list.
    pub(crate) fn reads(&self, item: ItemId) -> bool {
        self.unread.binary_search(&item.0).is_err()
    }

    /// States `(b, r)` after each prompt, and their keys and values where caches are given, one a prompt.
    pub(crate) fn prefill(
        &self,
        prompts: &[&[ItemId]],
        caches: Option<&mut [Cache]>,
    ) -> Result<Vec<f32>, RequestError> {
        self.prefill_ahead(prompts, caches, 1)
    }

    /// The same, `(b, k, r)`, for so many horizons of the model.
    pub(crate) fn prefill_ahead(
        &self,
        prompts: &[&[ItemId]],
        caches: Option<&mut [Cache]>,
        horizons: usize,
    ) -> Result<Vec<f32>, RequestError> {
        let read = self.network.prefill_ahead(prompts, self.vectors, caches, self.parallel, horizons);
        read.map_err(network)
    }

    /// States `(w, r)` after one more token for each hypothesis.
    pub(crate) fn extend(
        &self,
        tokens: &[ItemId],
        prompts: &[&Cache],
        own: &mut [Cache],
    ) -> Result<Vec<f32>, RequestError> {
        self.extend_ahead(tokens, prompts, own, 1)
    }

    /// The same, `(w, k, r)`, for so many horizons of the model.
    pub(crate) fn extend_ahead(
        &self,
        tokens: &[ItemId],
        prompts: &[&Cache],
        own: &mut [Cache],
        horizons: usize,
    ) -> Result<Vec<f32>, RequestError> {
        let read = self.network.extend_ahead(tokens, prompts, own, self.vectors, self.parallel, horizons);
        read.map_err(network)
    }

    /// For every state `(b, r)` the log-probabilities of some items, over what a plan holds eligible.
    pub(crate) fn log_probs(
        &self,
        states_br: &[f32],
        plan: &Plan,
        items: &[ItemId],
    ) -> Result<Vec<Vec<f64>>, RequestError> {
        let offsets = self.adjusting.offsets(plan.adjustment);
        let mut ids: Vec<u32> = items.iter().map(|item| item.0).collect();
        ids.sort_unstable();
        ids.dedup();
        let states = || states_br.chunks_exact(self.vectors.rank());
        let query = |vector, eligible, k| Query { vector, offsets: &offsets, eligible, k };
        let all = states().map(|state| query(state, plan.eligible.as_kernel(), 0));
        let some = states().map(|state| query(state, score::Eligible::Only(&ids), ids.len()));
        let queries: Vec<Query<'_>> = all.chain(some).collect();
        let mut ranked = rank(&queries, &self.vectors.table(), self.parallel);
        let some = ranked.split_off(ranked.len() / 2);
        let of_state = |(all, some): (Ranked, Ranked)| {
            if all.eligible == 0 {
                return Err(RequestError::NothingEligible);
            }
            let scored = finite(some, all.eligible, Partition::of(&all))?;
            let score = |item: &ItemId| {
                let at = scored.ids.iter().position(|&id| id == item.0);
                at.map_or(f64::NEG_INFINITY, |at| f64::from(scored.scores[at]) - all.log_sum_exp)
            };
            Ok(items.iter().map(score).collect())
        };
        ranked.into_iter().zip(some).map(of_state).collect()
    }

    /// For every ask its best items, ordered by score and then by id, or the one that is given.
    pub(crate) fn rank(&self, asks: &[Ask<'_>]) -> Vec<Result<Scored, RequestError>> {
        let of = |ask: &Ask<'_>| -> Vec<Offset<'_>> { self.adjusting.offsets(ask.adjustment) };
        let mut offsets: Vec<Vec<Offset<'_>>> = asks.iter().map(of).collect();
        for (offsets, ask) in offsets.iter_mut().zip(asks) {
            offsets.extend(ask.noise.map(Noise::offset));
        }
        let asked = || asks.iter().zip(&offsets);
        let best = asked().map(|(ask, offsets)| ask.query(offsets, ask.eligible.as_kernel(), ask.k));
        let given = asked().filter(|(ask, _)| ask.given.is_some());
        let given =
            given.map(|(ask, offsets)| ask.query(offsets, score::Eligible::Only(ask.given.as_slice()), 1));
        let (best, given): (Vec<Query<'_>>, Vec<Query<'_>>) = (best.collect(), given.collect());
        let best = self.scorer.rank(&best, &self.vectors.table(), self.parallel);
        let mut given = rank(&given, &self.vectors.table(), false).into_iter();
        let answer = |(ask, best): (&Ask<'_>, Ranked)| {
            let (eligible, partition) = (best.eligible, Partition::of(&best));
            finite(if ask.given.is_some() { given.next().unwrap_or(best) } else { best }, eligible, partition)
        };
        asks.iter().zip(best).map(answer).collect()
    }
}

/// A ranking under how many items are eligible and their partition. A score that is not finite would order a list by
/// accident.
fn finite(ranked: Ranked, eligible: usize, partition: Partition) -> Result<Scored, RequestError> {
    let is_finite = partition.log_sum_exp.is_finite() && ranked.scores.iter().all(|score| score.is_finite());
    if eligible > 0 && !is_finite {
        return Err(RequestError::NotFinite);
    }
    Ok(Scored { ids: ranked.ids, scores: ranked.scores, partition })
}

pub(crate) fn network(source: upnext_model::Error) -> RequestError {
    RequestError::Network(Arc::new(source))
}
