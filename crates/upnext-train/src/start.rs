//! Where a run's first weights come from: drawn by its seed, or an earlier model's.
//!
//! Training goes on from a model on a catalogue that may have grown, shrunk and been renumbered: rows move by key. An
//! item whose row no training event ever touched starts from what stood in for it (the trained out-of-vocabulary row, so
//! that with a tower nothing jumps when its first events come; without one the mean of the rows) plus a little noise,
//! which parts items that would otherwise begin alike (the warm start of new titles in Netflix's "Foundation Model for
//! Personalized Recommendation", 2025).

use upnext_data::{Catalog, ItemId, Training};
use upnext_model::folder::Earlier;
use upnext_model::{Model, ModelConfig, Table, init, tower};

use crate::adam::Adam;
use crate::step::Learner;
use crate::{Error, Result, RunConfig};

/// Standard deviation of a new row's noise, in that of a fresh table.
const NOISE: f32 = 0.1;

/// What a run starts from.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) catalog: &'a Catalog,
    /// The model that training goes on from.
    pub(crate) earlier: Option<&'a Earlier>,
}

impl Start<'_> {
    /// A learner before the first step; moments are zero.
    pub(crate) fn learner(&self) -> Result<Learner> {
        let mut model = Model::new(self.config.model.clone(), self.catalog.len(), self.config.train.seed)?;
        if let Some(earlier) = self.earlier {
            check(&self.config.model, earlier)?;
            model = self.moved(model, earlier)?;
        }
        let adam = Adam::new(&model);
        Learner::new(model, adam, self.config)
    }

    /// A fresh model with the values of an earlier one.
    fn moved(&self, mut fresh: Model, earlier: &Earlier) -> Result<Model> {
        for (name, _) in earlier.model.parameters().iter() {
            fresh.parameters_mut().set(name, &earlier.model.parameters().values(name)?)?;
        }
        let place = |item: u32| earlier.catalog.find(self.catalog.key(ItemId(item)));
        let places: Vec<Option<usize>> = (0..self.catalog.len() as u32)
            .map(|item| place(item).map(ItemId::index).filter(|&place| earlier.counts[place] > 0))
            .collect();
        let table = |name: &str, old: &Table| -> Result<Table> {
            let stand_in = tower::stand_in(&earlier.model, old.rows(), &earlier.counts)?;
            let std = init::table_std(&self.config.model) * NOISE;
            let mut rows = Table::new(places.len(), old.rank(), std, self.config.train.seed, name);
            for (row, place) in rows.rows_mut().chunks_exact_mut(old.rank()).zip(&places) {
                match place {
                    Some(place) => row.copy_from_slice(&old.rows()[place * old.rank()..][..old.rank()]),
                    None => row.iter_mut().zip(&stand_in).for_each(|(noise, value)| *noise += value),
                }
            }
            Ok(rows)
        };
        let input = table("items.input.joined", earlier.model.input_table())?;
        let output = match self.config.model.tied {
            true => None,
            false => Some(table("items.output.joined", earlier.model.output_table())?),
        };
        Ok(fresh.with_tables(input, output))
    }

    /// Which histories have nothing that the earlier model was not trained on, and what share of them trains each epoch;
    /// none when all do.
    pub(crate) fn replay(&self, training: &Training<'_>) -> Result<Option<(Vec<bool>, f64)>> {
        let share = self.config.train.replay;
        if share >= 1.0 {
            return Ok(None);
        }
        let Some(earlier) = self.earlier else {
            return Err(Error::From(
                "`train.replay` is for training that goes on from a model: name it by --from".into(),
            ));
        };
        let Some(newest) = earlier.manifest.trained.newest else {
            let what = "`train.replay` asks which events are new, but the model does not say when its newest training \
                        event was";
            return Err(Error::From(what.into()));
        };
        let is_old = |(events, &train): (upnext_data::History<'_>, &usize)| {
            events.times[..train].last().is_none_or(|&last| last <= newest)
        };
        let histories = training.histories.iter().map(|(_, history)| history);
        let old: Vec<bool> = histories.zip(training.train.iter()).map(is_old).collect();
        if old.iter().all(|&old| old) {
            return Err(Error::From(format!(
                "no history has a training event after {newest}, the newest that the model was trained on: there is \
                 nothing new to learn"
            )));
        }
        Ok(Some((old, share)))
    }
}

/// Refuses a model of other shapes.
fn check(config: &ModelConfig, earlier: &Earlier) -> Result<()> {
    // Rates are the run's to choose, shapes are the model's; a row that was never trained cannot stand in for others.
    let shape = |config: &ModelConfig| {
        let mut config = ModelConfig { dropout: 0.0, ..config.clone() };
        if let Some(tower) = &mut config.tower {
            let trains = if tower.trains_stand_in() { 0.5 } else { 0.0 };
            (tower.mask_input, tower.mask_output, tower.gate, tower.cold_below) = (trains, trains, 0.0, 1);
        }
        serde_json::to_value(config)
    };
    let (run, model) = (shape(config)?, shape(earlier.model.config())?);
    let (Some(run), Some(model)) = (run.as_object(), model.as_object()) else { return Ok(()) };
    let show = |value: Option<&serde_json::Value>| value.map_or("absent".to_owned(), ToString::to_string);
    let names: std::collections::BTreeSet<&String> = run.keys().chain(model.keys()).collect();
    let differs = |name: &&&String| run.get(**name) != model.get(**name);
    let found: Vec<String> = names
        .iter()
        .filter(differs)
        .map(|name| {
            format!(
                "model.{name} is {} in the run and {} in the model",
                show(run.get(*name)),
                show(model.get(*name))
            )
        })
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::From(format!("training cannot go on from this model: {}", found.join("; "))))
}
