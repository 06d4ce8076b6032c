//! The metrics by name, and a set of their values.
//!
//! A metric of one question is a function of the target's rank alone; the files `recall.rs`,
//! `ndcg.rs` and `mrr.rs` hold the formulas.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::{mrr, ndcg, recall};

/// A metric of what came next, with its cut where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Hit rate at k, `hr@k`: see [`recall::recall`].
    HitRate(u32),
    /// `ndcg@k`: see [`ndcg::ndcg`].
    Ndcg(u32),
    /// `mrr` over the whole ranking: see [`mrr::reciprocal_rank`].
    Mrr,
    /// `mrr@k`: see [`mrr::reciprocal_rank_at`].
    MrrAt(u32),
}

/// The metrics that every report holds, in the order in which it prints them.
pub const REPORTED: [Metric; 13] = [
    Metric::HitRate(1),
    Metric::HitRate(5),
    Metric::HitRate(10),
    Metric::HitRate(20),
    Metric::HitRate(50),
    Metric::HitRate(100),
    Metric::Ndcg(5),
    Metric::Ndcg(10),
    Metric::Ndcg(20),
    Metric::Ndcg(50),
    Metric::Ndcg(100),
    Metric::Mrr,
    Metric::MrrAt(100),
];

impl Metric {
    /// The metric's value for a target at `rank`, counted from 1.
    ///
    /// ```
    /// use upnext_eval::Metric;
    /// assert_eq!(Metric::HitRate(10).of_rank(10), 1.0);
    /// assert_eq!(Metric::Ndcg(10).of_rank(3), 0.5);
    /// assert_eq!(Metric::Mrr.of_rank(200), 0.005);
    /// assert_eq!(Metric::MrrAt(100).of_rank(200), 0.0);
    /// ```
    pub fn of_rank(self, rank: u32) -> f64 {
        match self {
            Self::HitRate(k) => recall::recall(rank, k),
            Self::Ndcg(k) => ndcg::ndcg(rank, k),
            Self::Mrr => mrr::reciprocal_rank(rank),
            Self::MrrAt(k) => mrr::reciprocal_rank_at(rank, k),
        }
    }

    /// The metric's value for all that came next, whichever came first, from its ranks in ascending order: the share of it
    /// that was hit, its gain over that of the best list, or the reciprocal rank of the best of it. With one rank,
    /// [`Metric::of_rank`]; 0 without any.
    ///
    /// ```
    /// use upnext_eval::Metric;
    /// assert_eq!(Metric::HitRate(10).of_ranks(&[4, 12]), 0.5);
    /// assert_eq!(Metric::Ndcg(10).of_ranks(&[1, 2]), 1.0);
    /// assert_eq!(Metric::Mrr.of_ranks(&[4, 12]), 0.25);
    /// ```
    pub fn of_ranks(self, ranks: &[u32]) -> f64 {
        match self {
            Self::HitRate(_) => self.mean(ranks),
            Self::Ndcg(k) => ndcg::ndcg_of_all(ranks, k),
            Self::Mrr | Self::MrrAt(_) => ranks.first().map_or(0.0, |&best| self.of_rank(best)),
        }
    }

    /// The mean over the ranks of many questions; 0 when there are none.
    pub fn mean(self, ranks: &[u32]) -> f64 {
        if ranks.is_empty() {
            return 0.0;
        }
        ranks.iter().map(|&rank| self.of_rank(rank)).sum::<f64>() / ranks.len() as f64
    }
}

/// The name on output: `hr@10`, `ndcg@10`, `mrr`, `mrr@100`.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HitRate(k) => write!(f, "hr@{k}"),
            Self::Ndcg(k) => write!(f, "ndcg@{k}"),
            Self::Mrr => write!(f, "mrr"),
            Self::MrrAt(k) => write!(f, "mrr@{k}"),
        }
    }
}

/// A metric that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no metric {0:?}; known are hr@K, ndcg@K, mrr and mrr@K with K from 1")]
pub struct UnknownMetric(String);

/// The name as it is printed.
///
/// ```
/// use upnext_eval::Metric;
/// assert_eq!("ndcg@10".parse(), Ok(Metric::Ndcg(10)));
/// assert!("ndcg@0".parse::<Metric>().is_err());
/// ```
impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        let unknown = || UnknownMetric(name.to_owned());
        let Some((kind, cut)) = name.split_once('@') else {
            return if name == "mrr" { Ok(Self::Mrr) } else { Err(unknown()) };
        };
        let cut = cut.parse::<NonZeroU32>().map_err(|_| unknown())?.get();
        match kind {
            "hr" => Ok(Self::HitRate(cut)),
            "ndcg" => Ok(Self::Ndcg(cut)),
            "mrr" => Ok(Self::MrrAt(cut)),
            _ => Err(unknown()),
        }
    }
}

/// Values of the [`REPORTED`] metrics under one seen policy, with their 95 % intervals if computed.
///
/// Serialises as one flat object, `{"hr@1": …, …, "mrr@100": …, "ci95": {"hr@1": [low, high], …}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// One value per [`REPORTED`] metric.
    values: Vec<f64>,
    /// `[low, high]` per [`REPORTED`] metric.
    ci95: Option<Vec<[f64; 2]>>,
}

impl Metrics {
    /// Means over questions, without intervals.
    pub fn of_ranks(ranks: &[u32]) -> Self {
        Self { values: REPORTED.iter().map(|metric| metric.mean(ranks)).collect(), ci95: None }
    }

    /// Means over questions that ask for several events each, see [`Metric::of_ranks`], without intervals.
    pub fn of_next(ranks: &[Vec<u32>]) -> Self {
        let mean = |metric: &Metric| match ranks.len() {
            0 => 0.0,
            questions => ranks.iter().map(|ranks| metric.of_ranks(ranks)).sum::<f64>() / questions as f64,
        };
        Self { values: REPORTED.iter().map(mean).collect(), ci95: None }
    }

    /// The same values with `[low, high]` for each [`REPORTED`] metric, in that order.
    pub(crate) fn with_intervals(mut self, intervals: Vec<[f64; 2]>) -> Self {
        self.ci95 = Some(intervals);
        self
    }

    /// The value of a metric; `None` when it is not one of [`REPORTED`].
    pub fn get(&self, metric: Metric) -> Option<f64> {
        place(metric).and_then(|at| self.values.get(at)).copied()
    }

    /// The 95 % interval of a metric, where intervals were computed.
    pub fn interval(&self, metric: Metric) -> Option<[f64; 2]> {
        place(metric).and_then(|at| self.ci95.as_ref()?.get(at)).copied()
    }
}

/// Where a metric stands in [`REPORTED`].
fn place(metric: Metric) -> Option<usize> {
    REPORTED.iter().position(|&reported| reported == metric)
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (metric, value) in REPORTED.iter().zip(&self.values) {
            map.serialize_entry(&metric.to_string(), value)?;
        }
        if let Some(intervals) = &self.ci95 {
            map.serialize_entry("ci95", &Intervals(intervals))?;
        }
        map.end()
    }
}

/// `{"hr@10": [low, high], …}`.
struct Intervals<'a>(&'a [[f64; 2]]);

impl Serialize for Intervals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(REPORTED.iter().map(ToString::to_string).zip(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_ranks_worked_by_hand() {
        let metrics = Metrics::of_ranks(&[1, 3, 7, 15, 200]);
        let check = |metric: Metric, expected: f64| {
            let found = metrics.get(metric).unwrap();
            assert!((found - expected).abs() < 1e-12, "{metric}: {found} against {expected}");
        };
        check(Metric::HitRate(1), 0.2);
        check(Metric::HitRate(5), 0.4);
        check(Metric::HitRate(10), 0.6);
        check(Metric::HitRate(20), 0.8);
        check(Metric::HitRate(100), 0.8);
        check(Metric::Ndcg(10), (1.0 + 0.5 + 1.0 / 3.0) / 5.0);
        check(Metric::Ndcg(20), (1.0 + 0.5 + 1.0 / 3.0 + 0.25) / 5.0);
        check(Metric::Mrr, (1.0 + 1.0 / 3.0 + 1.0 / 7.0 + 1.0 / 15.0 + 1.0 / 200.0) / 5.0);
        check(Metric::MrrAt(100), (1.0 + 1.0 / 3.0 + 1.0 / 7.0 + 1.0 / 15.0) / 5.0);
    }

    #[test]
    fn one_event_a_question_gives_the_metrics_of_its_rank_to_the_bit() {
        let ranks: Vec<u32> = (0..500).map(|at| 1 + (at * 37) % 150).collect();
        let each: Vec<Vec<u32>> = ranks.iter().map(|&rank| vec![rank]).collect();
        let bits = |metrics: Metrics| metrics.values.into_iter().map(f64::to_bits).collect::<Vec<u64>>();
        assert_eq!(bits(Metrics::of_next(&each)), bits(Metrics::of_ranks(&ranks)));
        assert_eq!(bits(Metrics::of_next(&[])), bits(Metrics::of_ranks(&[])));
    }

    #[test]
    fn a_printed_name_is_read_back_and_no_other() {
        for metric in REPORTED {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        for wrong in ["", "hr", "mrr@", "ndcg@-1", "hr@1.5", "recall@10", "NDCG@10", "hr@4294967296"] {
            let error = wrong.parse::<Metric>().unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn a_longer_list_is_never_worse() {
        for rank in 1..300 {
            for k in 1..120 {
                assert!(Metric::HitRate(k).of_rank(rank) <= Metric::HitRate(k + 1).of_rank(rank));
                assert!(Metric::Ndcg(k).of_rank(rank) <= Metric::Ndcg(k + 1).of_rank(rank));
                assert!(Metric::MrrAt(k).of_rank(rank) <= Metric::MrrAt(k + 1).of_rank(rank));
            }
        }
    }

    #[test]
    fn the_json_names_are_those_of_the_command_line() {
        let intervals = vec![[0.0, 1.0]; REPORTED.len()];
        let value = serde_json::to_value(Metrics::of_ranks(&[2]).with_intervals(intervals)).unwrap();
        assert_eq!(value["hr@10"], 1.0);
        assert_eq!(value["mrr"], 0.5);
        assert_eq!(value["mrr@100"], 0.5);
        assert!(value["ndcg@10"].as_f64().unwrap() > 0.63);
        assert_eq!(value["ci95"]["ndcg@10"][1], 1.0);
    }
}
