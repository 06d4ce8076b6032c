//! What a report says of one system: its metrics under both seen policies, and for cold and warm targets apart.

use serde::Serialize;
use serde_json::Value;

use crate::bootstrap;
use crate::evaluate::Outcome;
use crate::metric::Metrics;

/// One system's metrics: with seen dropped at the top, with seen kept under `kept`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct System {
    /// The ranks behind the metrics.
    #[serde(skip)]
    pub outcome: Outcome,
    /// With items of the input dropped.
    #[serde(flatten)]
    pub dropped: Metrics,
    /// With items of the input kept.
    pub kept: Metrics,
    /// Where some targets are cold: those questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold: Option<Targets>,
    /// Where some targets are cold: the other questions, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm: Option<Targets>,
}

/// One system's metrics for the questions with cold targets, or for those with warm ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Targets {
    /// How many questions there are.
    pub questions: usize,
    /// How many users asked them.
    pub users: usize,
    /// Ranked among all items, with items of the input dropped.
    #[serde(flatten)]
    pub dropped: Metrics,
    /// Ranked among all items, with items of the input kept.
    pub kept: Metrics,
    /// Cold targets ranked among the cold items alone, with items of the input dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub among_cold: Option<Metrics>,
}

/// A system that is printed beside the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rival {
    /// The name.
    #[serde(skip)]
    pub name: String,
    /// Its metrics.
    #[serde(flatten)]
    pub system: System,
    /// The parameters it was given or that were chosen on validation; left out when it has none.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
}

impl System {
    /// The metrics of an outcome; `seed` is the bootstrap's.
    pub(crate) fn of(outcome: Outcome, seed: u64) -> Self {
        let has_cold = outcome.rank_among_cold.iter().any(Option::is_some);
        let part = |cold: bool| if has_cold { Targets::of(&outcome, cold, seed) } else { None };
        let (cold, warm) = (part(true), part(false));
        let [dropped, kept] =
            [crate::Seen::Dropped, crate::Seen::Kept].map(|seen| outcome.metrics_with_intervals(seen, seed));
        Self { outcome, dropped, kept, cold, warm }
    }
}

impl Targets {
    /// The questions whose target is cold, or not; none when there are none.
    fn of(outcome: &Outcome, cold: bool, seed: u64) -> Option<Self> {
        let chosen: Vec<usize> = (0..outcome.users.len())
            .filter(|&question| outcome.rank_among_cold[question].is_some() == cold)
            .collect();
        let users: Vec<_> = chosen.iter().map(|&question| outcome.users[question]).collect();
        let of =
            |ranks: &[u32]| Metrics::of_ranks(ranks).with_intervals(bootstrap::of_ranks(&users, ranks, seed));
        let pick = |ranks: &[u32]| of(&chosen.iter().map(|&question| ranks[question]).collect::<Vec<_>>());
        let among: Vec<u32> =
            chosen.iter().filter_map(|&question| outcome.rank_among_cold[question]).collect();
        let mut distinct = users.clone();
        distinct.dedup();
        (!chosen.is_empty()).then(|| Self {
            questions: chosen.len(),
            users: distinct.len(),
            dropped: pick(&outcome.rank_dropped),
            kept: pick(&outcome.rank_kept),
            among_cold: cold.then(|| of(&among)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;
    use upnext_data::UserId;

    #[test]
    fn cold_and_warm_questions_are_told_apart_and_make_up_the_whole() {
        let outcome = Outcome {
            users: [0, 0, 1, 2].map(UserId).to_vec(),
            rank_dropped: vec![1, 30, 3, 200],
            rank_kept: vec![2, 31, 3, 200],
            rank_among_cold: vec![None, Some(2), None, Some(11)],
        };
        let system = System::of(outcome, 1);
        let (cold, warm) = (system.cold.unwrap(), system.warm.unwrap());
        assert_eq!((cold.questions, cold.users, warm.questions, warm.users), (2, 2, 2, 2));
        let hit = |metrics: &Metrics| metrics.get(Metric::HitRate(10)).unwrap();
        assert_eq!((hit(&system.dropped), hit(&cold.dropped), hit(&warm.dropped)), (0.5, 0.0, 1.0));
        assert_eq!(hit(cold.among_cold.as_ref().unwrap()), 0.5);
        assert_eq!(warm.among_cold, None);
        assert_eq!(warm.kept.get(Metric::Mrr), Some((0.5 + 1.0 / 3.0) / 2.0));
    }

    #[test]
    fn without_a_cold_target_nothing_is_told_apart() {
        let ranks = vec![1, 2];
        let outcome = Outcome {
            users: [0, 1].map(UserId).to_vec(),
            rank_dropped: ranks.clone(),
            rank_kept: ranks,
            rank_among_cold: vec![None; 2],
        };
        let value = serde_json::to_value(System::of(outcome, 1)).unwrap();
        assert!(value.get("cold").is_none() && value.get("warm").is_none());
    }
}
