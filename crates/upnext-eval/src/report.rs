//! An evaluation as one object: what `evaluate --json` prints.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use upnext_data::Histories;
use upnext_data::ItemId;
use upnext_data::popularity;
use upnext_data::{Question, Split};

use crate::evaluate::{Options, evaluate, target};
use crate::metric::Metrics;
use crate::rank::Seen;
use crate::slices::{Slices, slices};
use crate::{Baseline, Result, Scorer};

/// Which questions of a split are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The ones that choose between models.
    Validation,
    /// The ones that are reported.
    Test,
}

/// `validation` or `test`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// What is asked of every system of a report.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The data.
    pub histories: &'a Histories,
    /// Who trains, who is asked what.
    pub split: &'a Split,
    /// Which of the split's questions.
    pub part: Part,
    /// i: items of the catalogue.
    pub items: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl<'a> Asked<'a> {
    /// The questions.
    pub fn questions(&self) -> &'a [Question] {
        match self.part {
            Part::Validation => &self.split.validation,
            Part::Test => &self.split.test,
        }
    }
}

/// One system's metrics: with seen dropped at the top, with seen kept under `kept`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct System {
    /// With items of the input dropped.
    #[serde(flatten)]
    pub dropped: Metrics,
    /// With items of the input kept.
    pub kept: Metrics,
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

/// Metrics of a model and of the baselines under one protocol, full ranking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Id of the protocol.
    pub protocol: String,
    /// Which questions were asked.
    pub split: Part,
    /// Users who were asked.
    pub users: usize,
    /// Questions; more than users where a user is asked several.
    pub questions: usize,
    /// i: items that were ranked.
    pub items: usize,
    /// Name of the system at the top.
    pub system: String,
    /// The metrics of the system under evaluation.
    #[serde(flatten)]
    pub metrics: System,
    /// The other systems by name.
    #[serde(serialize_with = "by_name")]
    pub baselines: Vec<Rival>,
    /// The system's metrics by kind of question.
    pub slices: Slices,
}

impl Report {
    /// Evaluates a system and the baselines on the same questions.
    ///
    /// # Errors
    /// As [`evaluate()`].
    pub fn measure(
        scorer: &dyn Scorer,
        baselines: &[Baseline<'_>],
        asked: &Asked<'_>,
        options: Options<'_>,
    ) -> Result<Self> {
        let questions = asked.questions();
        let outcome = evaluate(scorer, asked.histories, questions, options)?;
        let mut rivals = Vec::with_capacity(baselines.len());
        for baseline in baselines {
            let found = evaluate(baseline.scorer.as_ref(), asked.histories, questions, options)?;
            rivals.push(Rival {
                name: baseline.scorer.name().to_owned(),
                system: System::of(&found, asked.seed),
                parameters: baseline.parameters.clone(),
            });
        }
        let targets: Vec<ItemId> =
            questions.iter().map(|question| target(question, asked.histories)).collect();
        let lengths: Vec<usize> = questions.iter().map(|question| question.start).collect();
        let training = asked.split.training(asked.histories)?;
        let counts = popularity::counts(&training.histories, &training.train, asked.items);
        let mut users = outcome.users.clone();
        users.dedup();
        Ok(Self {
            protocol: asked.split.protocol.to_string(),
            split: asked.part,
            users: users.len(),
            questions: questions.len(),
            items: scorer.items(),
            system: scorer.name().to_owned(),
            metrics: System::of(&outcome, asked.seed),
            baselines: rivals,
            slices: slices(&outcome, &targets, &lengths, &counts),
        })
    }

    /// The baseline of that name.
    pub fn baseline(&self, name: &str) -> Option<&Rival> {
        self.baselines.iter().find(|rival| rival.name == name)
    }

    /// The readable form, see [`crate::table`].
    pub fn table(&self) -> String {
        crate::table::table(self)
    }
}

impl System {
    fn of(outcome: &crate::Outcome, seed: u64) -> Self {
        Self {
            dropped: outcome.metrics_with_intervals(Seen::Dropped, seed),
            kept: outcome.metrics_with_intervals(Seen::Kept, seed),
        }
    }
}

/// An object by name, in the order in which the baselines stand.
fn by_name<S: serde::Serializer>(rivals: &[Rival], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(rivals.iter().map(|rival| (&rival.name, rival)))
}
