//! Systems against a reference on the same questions: differences, their intervals and p-values.
//!
//! A paired bootstrap over users (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 and 15): both
//! systems of a resample are measured on the same drawn users, so what makes a question hard for both cancels out. A user
//! is drawn with all questions, also those of several pooled reports. Several comparisons of a metric are corrected
//! together ([`crate::holm`]). Knows records only, neither data nor models.
//!
//! An interval says what other users would change, not what another training seed would: pool reports of several seeds
//! before calling one method better than another.

mod pairs;
mod table;

use rayon::prelude::*;
use serde::ser::{Serialize, Serializer};

use crate::bootstrap::{draws, middle};
use crate::holm::holm;
use crate::metric::Metric;
use crate::rank::Seen;
use crate::record::{Ranked, Record};
use crate::{Error, Result};
use pairs::Paired;

/// A difference of means below this is rounding: sums of the same values in another order.
const ZERO: f64 = 1e-12;

/// Which questions are compared, and among which items their targets are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// All questions, among all items.
    All,
    /// Those with warm targets, among all items.
    Warm,
    /// Those with cold targets, among all items.
    Cold,
    /// Those with cold targets, among the cold items alone.
    AmongCold,
}

impl On {
    /// For a person: `cold targets among all items`.
    fn name(self) -> &'static str {
        match self {
            Self::All => "all targets among all items",
            Self::Warm => "warm targets among all items",
            Self::Cold => "cold targets among all items",
            Self::AmongCold => "cold targets among the cold items",
        }
    }
}

/// How systems are compared.
#[derive(Clone, Debug)]
pub struct How {
    /// By which metrics.
    pub metrics: Vec<Metric>,
    /// On which questions.
    pub on: On,
    /// Under which seen policy.
    pub seen: Seen,
    /// Resamples behind intervals and p-values; a p-value is no less than 2 / (resamples + 1).
    pub resamples: usize,
    /// What they are drawn by.
    pub seed: u64,
}

/// One system of one report.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    record: &'a Record,
    ranked: &'a Ranked,
}

impl<'a> Side<'a> {
    /// A system of a report by name; the model where none is given.
    ///
    /// # Errors
    /// When the report has no such system.
    pub fn new(record: &'a Record, system: Option<&str>) -> Result<Self> {
        Ok(Self { record, ranked: record.system(system)? })
    }

    /// `a.json`, or `a.json:content-knn` for another system than the model.
    fn label(&self) -> String {
        let path = self.record.path().display();
        match self.record.system(None) {
            Ok(model) if model.name == self.ranked.name => path.to_string(),
            _ => format!("{path}:{}", self.ranked.name),
        }
    }
}

/// One metric of a system beside the reference's.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The metric.
    #[serde(skip)]
    pub metric: Metric,
    /// The reference's mean.
    pub reference: f64,
    /// The system's mean.
    pub other: f64,
    /// `other - reference`.
    pub difference: f64,
    /// The 95 % interval of the difference.
    pub ci95: [f64; 2],
    /// `other / reference - 1`; none where the reference's mean is 0.
    pub relative: Option<f64>,
    /// Its 95 % interval, of the ratios of resampled means; none where an end is not finite.
    pub relative_ci95: Option<[f64; 2]>,
    /// Two-sided: the level at which, resamples being finitely many, an interval just leaves 0 out.
    pub p: f64,
    /// The same, corrected by Holm for all comparisons of this metric.
    pub p_holm: f64,
}

/// A system beside the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Its reports and its name.
    pub name: String,
    /// One difference a metric.
    pub differences: Vec<Difference>,
}

/// Systems beside one reference.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Protocol and split of each pooled report.
    pub protocols: Vec<String>,
    /// i: items that were ranked.
    pub items: u64,
    /// Which questions.
    pub on: On,
    /// Under which seen policy.
    pub seen: Seen,
    /// How many users asked them.
    pub users: usize,
    /// How many they are.
    pub questions: usize,
    /// Resamples behind intervals and p-values.
    pub resamples: usize,
    /// What they were drawn by.
    pub seed: u64,
    /// The reference's reports and its name.
    pub reference: String,
    /// The systems, in the order given.
    pub comparisons: Vec<Compared>,
}

/// Compares each of `others` with the reference. A side is one report, or several that are pooled: the k-th of one side
/// is paired with the k-th of the other.
///
/// # Errors
/// When sides have different numbers of reports, two paired reports did not ask the same, or nothing is left to compare.
pub fn compare(reference: &[Side<'_>], others: &[Vec<Side<'_>>], how: &How) -> Result<Comparison> {
    if how.on == On::AmongCold && how.seen == Seen::Kept {
        return Err(Error::AmongColdKept);
    }
    let label = |side: &[Side<'_>]| side.iter().map(Side::label).collect::<Vec<_>>().join(",");
    let mut comparisons = Vec::with_capacity(others.len());
    let (mut users, mut questions) = (0, 0);
    for other in others {
        let paired = Paired::of(reference, other, how)?;
        (users, questions) = (paired.users(), paired.questions());
        comparisons.push(Compared { name: label(other), differences: differences(&paired, how) });
    }
    for metric in 0..how.metrics.len() {
        let p: Vec<f64> = comparisons.iter().map(|compared| compared.differences[metric].p).collect();
        for (compared, p_holm) in comparisons.iter_mut().zip(holm(&p)) {
            compared.differences[metric].p_holm = p_holm;
        }
    }
    Ok(Comparison {
        protocols: reference
            .iter()
            .chain(others.iter().flatten())
            .map(|side| format!("{} {}", side.record.protocol, side.record.split))
            .collect(),
        items: reference.first().map_or(0, |side| side.record.items),
        on: how.on,
        seen: how.seen,
        users,
        questions,
        resamples: how.resamples,
        seed: how.seed,
        reference: label(reference),
        comparisons,
    })
}

/// One difference a metric.
fn differences(paired: &Paired, how: &How) -> Vec<Difference> {
    // (resamples, metrics): the two means of each.
    let resampled: Vec<Vec<[f64; 2]>> = (0..how.resamples)
        .into_par_iter()
        .map(|resample| paired.means(draws(paired.users(), resample, how.seed)))
        .collect();
    let means = paired.means(0..paired.users());
    let of = |(place, (&metric, &[reference, other])): (usize, (&Metric, &[f64; 2]))| {
        let mut differences: Vec<f64> =
            resampled.iter().map(|means| means[place][1] - means[place][0]).collect();
        let mut ratios: Vec<f64> =
            resampled.iter().map(|means| relative(means[place][0], means[place][1])).collect();
        let p = two_sided(&differences, paired.users());
        Difference {
            metric,
            reference,
            other,
            difference: other - reference,
            ci95: middle(&mut differences),
            relative: (reference > 0.0).then(|| relative(reference, other)),
            relative_ci95: Some(middle(&mut ratios))
                .filter(|ends| reference > 0.0 && ends.iter().all(|end| end.is_finite())),
            p,
            p_holm: p,
        }
    };
    how.metrics.iter().zip(&means).enumerate().map(of).collect()
}

/// `other / reference - 1`. In a resample only the reference may be 0, then it is infinite, or both, then it is 0.
fn relative(reference: f64, other: f64) -> f64 {
    if other == reference { 0.0 } else { other / reference - 1.0 }
}

/// Twice the share of resampled differences that do not lie on the larger side of 0, at most 1.
///
/// One is added to numerator and denominator, as if the observed difference under no effect were a resample: a p-value of
/// 0 cannot be known from finitely many (Davison & Hinkley 1997, "Bootstrap Methods and their Application", chapter 4). And
/// it is never below what the signs of so many users could show: with three of them, all better, 1/4.
fn two_sided(differences: &[f64], users: usize) -> f64 {
    let signs = 2.0 * 0.5_f64.powi(users.min(1_000) as i32);
    let below = differences.iter().filter(|&&difference| difference <= ZERO).count();
    let above = differences.iter().filter(|&&difference| difference >= -ZERO).count();
    (2.0 * (below.min(above) + 1) as f64 / (differences.len() + 1) as f64).max(signs).min(1.0)
}

impl Comparison {
    /// The readable form.
    pub fn table(&self) -> String {
        table::table(self)
    }
}

/// `{"name": …, "metrics": {"ndcg@10": {…}, …}}`.
impl Serialize for Compared {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut compared = serializer.serialize_struct("Compared", 2)?;
        compared.serialize_field("name", &self.name)?;
        compared.serialize_field("metrics", &ByMetric(&self.differences))?;
        compared.end()
    }
}

/// An object by metric.
struct ByMetric<'a>(&'a [Difference]);

impl Serialize for ByMetric<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|difference| (difference.metric.to_string(), difference)))
    }
}

#[cfg(test)]
mod tests;
