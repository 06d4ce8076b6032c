//! Validation: the protocol's questions over the whole catalogue.

use upnext_data::{Histories, Question};
use upnext_eval::rank::Seen;
use upnext_eval::{Metrics, ModelScorer, Options, evaluate_next};
use upnext_model::tower::{Finished, unread};
use upnext_model::{Model, Vectors};

use crate::Result;
use crate::summary::Best;

/// Metrics of a model with its item vectors as they would be served, of all that the questions ask for.
pub(crate) fn validate(
    model: &Model,
    finished: &Finished<'_>,
    counts: &[u64],
    histories: &Histories,
    questions: &[Question],
    seen: Seen,
) -> Result<Metrics> {
    let network = model.network()?;
    let vectors = Vectors::from_tables(&finished.input, finished.output.as_deref(), model.config().rank)?;
    let unread = unread(model.config(), counts, &finished.ineligible);
    let scorer =
        ModelScorer::new(&network, &vectors).without(&finished.ineligible).reading_without(&unread, counts);
    Ok(evaluate_next(&scorer, histories, questions, seen, Options::default())?)
}

/// A validation, as the best so far.
pub(crate) fn best(step: u64, epoch: u64, metrics: &Metrics) -> Result<Best> {
    let metrics = match serde_json::to_value(metrics)? {
        serde_json::Value::Object(metrics) => metrics,
        _ => serde_json::Map::new(),
    };
    Ok(Best { step, epoch, metrics })
}
