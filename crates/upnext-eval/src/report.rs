//! An evaluation as one object: what `evaluate --json` prints.

use std::fmt;

use serde::Serialize;
use upnext_data::Histories;
use upnext_data::ItemId;
use upnext_data::popularity;
use upnext_data::{Question, Split};
use upnext_model::Adjustment;

use crate::evaluate::{Options, evaluate_with_cold, target};
use crate::slices::{Slices, slices};
use crate::system::{Rival, System};
use crate::{Baseline, Cold, Error, Result, Scorer};

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
    /// `(i)` training events that the system under evaluation says are behind it. A model that went on from another may
    /// have been trained on items of which the split has no training event. Empty where the split says it all.
    pub trained: &'a [u64],
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

    /// The items that nothing was trained on, of these training events of the split `(i)`.
    pub fn cold(&self, counts: &[u64]) -> Cold {
        Cold::of(counts).without(self.trained)
    }

    /// `(i)` training events of each item.
    ///
    /// # Errors
    /// When the split is of other histories.
    pub fn counts(&self) -> Result<Vec<u64>> {
        let training = self.split.training(self.histories)?;
        Ok(popularity::counts(&training.histories, &training.train, self.items))
    }
}

/// What a report counts where some targets are cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ColdStart {
    /// Items of the catalogue that no training event is of.
    pub items: usize,
    /// Those of them that the protocol drew; the others occur in held-out events only, or nowhere.
    pub drawn: usize,
    /// Questions whose target is cold.
    pub questions: usize,
    /// Items that the system never recommends.
    pub ineligible: usize,
    /// Questions whose target the system never recommends: misses for it.
    pub ineligible_questions: usize,
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
    /// Where some targets are cold: how many items and questions that concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold_start: Option<ColdStart>,
    /// By how much the system's scores were moved, where they were.
    #[serde(skip_serializing_if = "Adjustment::is_none")]
    pub adjustment: Adjustment,
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
    /// As [`evaluate_with_cold`].
    pub fn measure(
        scorer: &dyn Scorer,
        baselines: &[Baseline<'_>],
        asked: &Asked<'_>,
        options: Options<'_>,
    ) -> Result<Self> {
        let questions = asked.questions();
        let counts = asked.counts()?;
        let cold = asked.cold(&counts);
        let measure = |scorer: &dyn Scorer| {
            let outcome = evaluate_with_cold(scorer, asked.histories, questions, &cold, options)?;
            Ok::<_, Error>(System::of(outcome, asked.seed))
        };
        let metrics = measure(scorer)?;
        let mut rivals = Vec::with_capacity(baselines.len());
        for baseline in baselines {
            rivals.push(Rival {
                name: baseline.scorer.name().to_owned(),
                system: measure(baseline.scorer.as_ref())?,
                parameters: baseline.parameters.clone(),
            });
        }
        let targets: Vec<ItemId> =
            questions.iter().map(|question| target(question, asked.histories)).collect();
        let lengths: Vec<usize> = questions.iter().map(|question| question.start).collect();
        let mut users = metrics.outcome.users.clone();
        users.dedup();
        Ok(Self {
            protocol: asked.split.protocol.to_string(),
            split: asked.part,
            users: users.len(),
            questions: questions.len(),
            items: scorer.items(),
            cold_start: ColdStart::count(&targets, &cold, asked.split, scorer.ineligible()),
            adjustment: scorer.adjustment(),
            system: scorer.name().to_owned(),
            baselines: rivals,
            slices: slices(&metrics.outcome, &targets, &lengths, &counts, &cold),
            metrics,
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

impl ColdStart {
    /// Counts; none where no target is cold.
    fn count(targets: &[ItemId], cold: &Cold, split: &Split, ineligible: &[u32]) -> Option<Self> {
        let questions = targets.iter().filter(|&&item| cold.has(item)).count();
        let never = |item: &&ItemId| ineligible.binary_search(&item.0).is_ok();
        (questions > 0).then(|| Self {
            items: cold.items().len(),
            drawn: cold.items().iter().filter(|&&item| split.protocol.is_cold(ItemId(item))).count(),
            questions,
            ineligible: ineligible.len(),
            ineligible_questions: targets.iter().filter(never).count(),
        })
    }
}

/// An object by name, in the order in which the baselines stand.
fn by_name<S: serde::Serializer>(rivals: &[Rival], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(rivals.iter().map(|rival| (&rival.name, rival)))
}
