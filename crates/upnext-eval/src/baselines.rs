//! The baselines of a report, fitted on training events and chosen on validation.

use std::sync::Arc;

use serde_json::{Value, json};
use upnext_data::popularity;
use upnext_data::{Histories, ItemFeatures};
use upnext_data::{Split, Training};

use crate::content_knn::ContentKnn;
use crate::evaluate::{Options, evaluate_next};
use crate::markov::Markov;
use crate::metric::Metric;
use crate::popularity::Popularity;
use crate::random::Random;
use crate::rank::Seen;
use crate::transitions::Transitions;
use crate::{Asked, Result, Scorer};

/// Name of the first-order chain in reports.
pub const FIRST_ORDER: &str = "first-order-markov";
/// Name of the windowed chain in reports.
pub const WINDOWED: &str = "windowed-markov";

/// The metric that a baseline's parameters are chosen by.
pub(crate) const CHOSEN_BY: Metric = Metric::Ndcg(10);

/// One system to print beside the model.
pub struct Baseline<'a> {
    /// The system.
    pub scorer: Box<dyn Scorer + 'a>,
    /// How it was set up, for the report; null when it has no parameters.
    pub parameters: Value,
}

/// Fits popularity, first-order Markov and windowed Markov to the split's training events, content-kNN where there are
/// features, and adds a random order where a question asks for a cold item.
///
/// Parameters are those with the best NDCG@10 on the split's validation questions, of cold and of warm targets, of all
/// that a question asks for in any order, under the seen policy that is asked for: decay {0.8, 0.6}, window {10, 5} and
/// ν {1, 0.75} for the windowed chain, ν {1, 0.75, 0.5} for the first-order one, and for content-kNN the grid of
/// [`ContentKnn::choose`]. Of equal ones the first named wins, as it does when a split has no validation questions. The
/// parameters and the validation value are in [`Baseline::parameters`].
///
/// # Errors
/// When the split is of other histories, or they hold items outside the catalogue.
pub fn fit(
    asked: &Asked<'_>,
    features: Option<&ItemFeatures>,
    seen: Seen,
    options: Options<'_>,
) -> Result<Vec<Baseline<'static>>> {
    let Asked { histories, split, items, seed, .. } = *asked;
    let training = split.training(histories)?;
    let counts = popularity::counts(&training.histories, &training.train, items);
    let cold = asked.cold(&counts);
    let fitting = Fitting { histories, training: &training, split, items, counts: &counts, seen, options };
    let first = fitting.choose(FIRST_ORDER, &[(1, 1.0)], &[1.0, 0.75, 0.5])?;
    let windowed = fitting.choose(WINDOWED, &[(10, 0.8), (10, 0.6), (5, 0.8), (5, 0.6)], &[1.0, 0.75])?;
    let popular = Baseline { scorer: Box::new(Popularity::new(&counts)), parameters: Value::Null };
    let asks_cold = asked
        .questions()
        .iter()
        .any(|question| question.held_out(histories).items.first().is_some_and(|&item| cold.has(item)));
    let random =
        asks_cold.then(|| Baseline { scorer: Box::new(Random::new(items, seed)), parameters: Value::Null });
    let content = features.map(|features| fitting.content(features)).transpose()?;
    Ok([random, Some(popular), first, windowed, content].into_iter().flatten().collect())
}

/// What every candidate of a grid is fitted to.
struct Fitting<'a> {
    histories: &'a Histories,
    training: &'a Training<'a>,
    split: &'a Split,
    items: usize,
    counts: &'a [u64],
    seen: Seen,
    options: Options<'a>,
}

impl Fitting<'_> {
    /// The best chain over all (window, decay) and ν, if there are any; one pair's transitions are held at a time.
    fn choose(&self, name: &str, pairs: &[(usize, f64)], norms: &[f64]) -> Result<Option<Baseline<'static>>> {
        let mut best: Option<(f64, Markov)> = None;
        for &(window, decay) in pairs {
            let Training { histories, train } = self.training;
            let counted = Transitions::count(histories, train, self.items, window, decay)?;
            let counted = Arc::new(counted);
            for &norm in norms {
                let chain = Markov::new(name, Arc::clone(&counted), self.counts, norm);
                let value = self.validate(&chain)?;
                if best.as_ref().is_none_or(|(most, _)| value > *most) {
                    best = Some((value, chain));
                }
            }
        }
        Ok(best.map(|(value, chain)| {
            let parameters = self.describe(&chain, value);
            Baseline { scorer: Box::new(chain), parameters }
        }))
    }

    /// Validation NDCG@10; 0 when there is nothing to validate on.
    fn validate(&self, chain: &Markov) -> Result<f64> {
        if self.split.validation.is_empty() {
            return Ok(0.0);
        }
        let asked = &self.split.validation;
        let metrics = evaluate_next(chain, self.histories, asked, self.seen, self.options)?;
        Ok(metrics.get(CHOSEN_BY).unwrap_or(0.0))
    }

    fn content(&self, features: &ItemFeatures) -> Result<Baseline<'static>> {
        let (knn, value) =
            ContentKnn::choose(features, self.histories, &self.split.validation, self.seen, self.options)?;
        let mut parameters = json!(knn.parameters());
        if let Some(value) = value {
            parameters["validation_ndcg@10"] = json!(value);
        }
        Ok(Baseline { scorer: Box::new(knn), parameters })
    }

    fn describe(&self, chain: &Markov, value: f64) -> Value {
        let chosen = chain.parameters();
        let mut described = json!({ "window": chosen.window, "decay": chosen.decay, "norm": chosen.norm });
        if !self.split.validation.is_empty() {
            described["validation_ndcg@10"] = json!(value);
        }
        described
    }
}
