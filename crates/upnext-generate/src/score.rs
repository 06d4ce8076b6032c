//! From states to log-probabilities: the kernels' blocked scoring, normalised over the eligible items.

use std::borrow::Cow;
use std::sync::Arc;

use upnext_data::ItemId;
use upnext_kernels::score::{Query, Ranked, rank};
use upnext_model::{Cache, Network, Vectors};

use crate::RequestError;
use crate::eligible::Eligible;

/// A place of a list in the making.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) item: ItemId,
    /// ln p(item | history and earlier places), over the items eligible at this step.
    pub(crate) log_prob: f64,
}

/// One list, or why there is none.
pub(crate) type Answer = Result<Vec<Place>, RequestError>;

/// Asks for the `k` best eligible items after a state.
pub(crate) struct Ask<'a> {
    /// r wide.
    pub(crate) state: &'a [f32],
    pub(crate) eligible: Cow<'a, Eligible>,
    pub(crate) k: usize,
}

/// The frozen model, and whether the threads of the current pool share its work. They never move a bit of it.
#[derive(Clone, Copy)]
pub(crate) struct Engine<'a> {
    pub(crate) network: &'a Network,
    pub(crate) vectors: &'a Vectors<'static>,
    pub(crate) parallel: bool,
}

impl Engine<'_> {
    /// States `(b, r)` after each prompt, and their keys and values where caches are given, one a prompt.
    pub(crate) fn prefill(
        &self,
        prompts: &[&[ItemId]],
        caches: Option<&mut [Cache]>,
    ) -> Result<Vec<f32>, RequestError> {
        self.network.prefill(prompts, self.vectors, caches, self.parallel).map_err(network)
    }

    /// States `(w, r)` after one more token for each hypothesis.
    pub(crate) fn extend(
        &self,
        tokens: &[ItemId],
        prompts: &[&Cache],
        own: &mut [Cache],
    ) -> Result<Vec<f32>, RequestError> {
        self.network.extend(tokens, prompts, own, self.vectors, self.parallel).map_err(network)
    }

    /// For every ask its best items, ordered by score and then by id.
    pub(crate) fn rank(&self, asks: &[Ask<'_>]) -> Vec<Answer> {
        let queries: Vec<Query<'_>> = asks
            .iter()
            .map(|ask| Query { vector: ask.state, eligible: ask.eligible.as_kernel(), k: ask.k })
            .collect();
        rank(&queries, &self.vectors.table(), self.parallel).iter().map(normalised).collect()
    }
}

/// Subtracts the log-sum-exp over all eligible items. A score that is not finite would order a list by accident.
fn normalised(ranked: &Ranked) -> Answer {
    let finite = ranked.log_sum_exp.is_finite() && ranked.scores.iter().all(|score| score.is_finite());
    if !finite {
        return Err(RequestError::NotFinite);
    }
    let places = ranked.ids.iter().zip(&ranked.scores);
    Ok(places
        .map(|(&id, &score)| {
            // Rounding may leave a certain item a hair above 0.
            Place { item: ItemId(id), log_prob: (f64::from(score) - ranked.log_sum_exp).min(0.0) }
        })
        .collect())
}

pub(crate) fn network(source: upnext_model::Error) -> RequestError {
    RequestError::Network(Arc::new(source))
}
