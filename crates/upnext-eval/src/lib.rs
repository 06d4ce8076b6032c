//! Full-ranking metrics, their intervals and the baselines printed beside a model.
//!
//! A question of a protocol is an input (what the system may see) and a target (what came next).
//! A [`Scorer`] gives every item of the catalogue a score; [`evaluate()`] turns scores into the
//! target's rank under both seen policies; [`Report`] turns ranks into metrics, bootstrap intervals
//! and slices. Sampled metrics are not offered: every rank is among the whole catalogue. Where a question asks for several
//! events, a report ranks the first, and validation ([`evaluate_next()`]) all of them, in any order.
//!
//! ```text
//! Split::test -> evaluate(scorer) -> Outcome (ranks) -> Metrics, intervals, slices -> Report
//! lists of a generator -> ListMetrics (recall, order-free NDCG, diversity, coverage) -> ListReport
//! Report -> Record (a file with its ranks) -> compare(reference, others) -> Comparison
//! ```
//!
//! Where some targets are [`Cold`], a report tells cold and warm ones apart.
//!
//! Letters: b questions of a batch, i items of the catalogue, k length of a list.
#![forbid(unsafe_code)]

pub mod baselines;
pub mod bootstrap;
pub mod cold;
pub mod compare;
pub mod content_knn;
mod error;
pub mod evaluate;
pub mod holm;
pub mod lists;
pub mod markov;
pub mod metric;
pub mod mrr;
pub mod ndcg;
pub mod popularity;
pub mod predictions;
pub mod random;
pub mod rank;
pub mod recall;
pub mod record;
pub mod report;
pub mod scorer;
pub mod scoring;
pub mod slices;
pub mod system;
pub mod table;
pub mod transitions;

pub use baselines::Baseline;
pub use cold::Cold;
pub use compare::{Comparison, Difference, How, On, Side, compare};
pub use error::{Error, Result, Unpaired};
pub use evaluate::{Options, Outcome, evaluate, evaluate_next, evaluate_with_cold};
pub use lists::{ListMetrics, ListReport, Made};
pub use metric::{Metric, Metrics};
pub use predictions::{Row, predictions};
pub use rank::Seen;
pub use record::Record;
pub use report::{Asked, ColdStart, Part, Report};
pub use scorer::{ModelScorer, Scorer};
pub use system::{Rival, System, Targets};
