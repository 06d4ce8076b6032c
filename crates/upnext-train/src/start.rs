//! Where a run's first weights come from: drawn by its seed, or an earlier model's.
//!
//! Training goes on from a model on a catalogue that may have grown, shrunk and been renumbered: rows move by key. An
//! item whose row no training event ever touched starts from what stood in for it (the trained out-of-vocabulary row, so
//! that with a tower nothing jumps when its first events come; without one the mean of the rows) plus a little noise,
//! which parts items that would otherwise begin alike (the warm start of new titles in Netflix's "Foundation Model for
//! Personalized Recommendation", 2025).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use upnext_data::{Catalog, ItemId, Prepared, Protocol, Split, Training};
use upnext_model::folder::Earlier;
use upnext_model::{Model, ModelConfig, Table, TowerConfig, init, tower};

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
    /// Refuses a model of other shapes, and one that was trained on what the run holds out: cold items, or events of the
    /// very same data. What a model has met of other data, only their owner knows.
    pub(crate) fn check(&self, data: &Prepared, split: &Split) -> Result<()> {
        let Some(earlier) = self.earlier else { return Ok(()) };
        check(&self.config.model, earlier)?;
        if earlier.manifest.data_hash == data.manifest.data_hash() {
            let before: Protocol = earlier.manifest.protocol.parse()?;
            let own = before.split(&data.histories)?;
            if let Some(question) = split.trained_on_by(&own).or_else(|| split.validated_by(&own)) {
                return Err(Error::From(format!(
                    "protocol {} holds out events that the model that training would go on from was trained or chosen \
                     by (protocol {before}), user {:?} the first: what is measured by them would be a leak",
                    split.protocol,
                    data.histories.user_key(question.user)
                )));
            }
        }
        let known = |item: ItemId| earlier.catalog.find(self.catalog.key(item));
        let trained = |item: &ItemId| known(*item).is_some_and(|place| earlier.counts[place.index()] > 0);
        let mut cold = (0..split.cold.len() as u32).map(ItemId).filter(|&item| split.is_cold(item));
        match cold.find(trained) {
            Some(item) => Err(Error::From(format!(
                "protocol {} holds {:?} out as cold, but the model that training would go on from was trained on it: \
                 what it says of cold items would be a leak",
                split.protocol,
                self.catalog.key(item)
            ))),
            None => Ok(()),
        }
    }

    /// `(i)` training events of every item as they are served and passed on: the run's `own`, or what it takes to serve an
    /// item by its row if these are fewer and the earlier model served it so. What that one learned of an item is kept,
    /// however few of its events the run has; how popular it is, the run's events say. A gate weighs rows by how many there
    /// were, so that with one the earlier model's events stand where they are more.
    pub(crate) fn known(&self, own: Vec<u64>) -> Vec<u64> {
        let Some(earlier) = self.earlier else { return own };
        let cold_below = |tower: &Option<TowerConfig>| tower.as_ref().map_or(1, |tower| tower.cold_below);
        let (enough, was_enough) =
            (cold_below(&self.config.model.tower), cold_below(&earlier.model.config().tower));
        let is_gated = self.config.model.tower.as_ref().is_some_and(|tower| tower.gate > 0.0);
        let known = |(own, key): (u64, &str)| {
            let before = earlier.catalog.find(key).map_or(0, |place| earlier.counts[place.index()]);
            let kept = if before >= was_enough { enough } else { before.min(enough) };
            own.max(if is_gated { kept.max(before) } else { kept })
        };
        own.into_iter().zip(self.catalog.keys().iter()).map(known).collect()
    }

    /// A learner before the first step; moments are zero.
    pub(crate) fn learner(&self) -> Result<Learner> {
        let mut model = Model::new(self.config.model.clone(), self.catalog.len(), self.config.train.seed)?;
        if let Some(earlier) = self.earlier {
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

/// Refuses a model of other shapes. Rates are the run's to choose, shapes are the model's.
fn check(config: &ModelConfig, earlier: &Earlier) -> Result<()> {
    let model = earlier.model.config();
    let trains = |config: &ModelConfig| config.tower.as_ref().is_some_and(TowerConfig::trains_stand_in);
    if trains(config) != trains(model) {
        let (of, other) = if trains(model) { ("the model", "the run") } else { ("the run", "the model") };
        return Err(Error::From(format!(
            "{of} hides rows in training (model.tower.mask_input, mask_output or gate) and {other} does not: the row that \
             stands in for hidden ones belongs to both or to neither"
        )));
    }
    let (run, model) = (shape(config)?, shape(model)?);
    let show = |value: Option<&Value>| value.map_or("absent".to_owned(), ToString::to_string);
    let names: BTreeSet<&String> = run.keys().chain(model.keys()).collect();
    let differs = names.iter().filter(|name| run.get(**name) != model.get(**name)).map(|name| {
        format!("{name} is {} in the run and {} in the model", show(run.get(*name)), show(model.get(*name)))
    });
    let found: Vec<String> = differs.collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::From(format!("training cannot go on from this model: {}", found.join("; "))))
}

/// What decides a model's shapes, by dotted key.
fn shape(config: &ModelConfig) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    if let Value::Object(keys) = serde_json::to_value(config)? {
        for (key, value) in keys {
            match value {
                Value::Object(inner) => {
                    found.extend(
                        inner.into_iter().map(|(name, value)| (format!("model.{key}.{name}"), value)),
                    );
                }
                value => drop(found.insert(format!("model.{key}"), value)),
            }
        }
    }
    // How targets are merged is the run's to choose, too: which vectors there are decides.
    found.remove("model.merge_horizons");
    found.insert("model.horizons".to_owned(), Value::from(config.own_horizons()));
    let of_tower = ["mask_input", "mask_output", "gate", "cold_below", "weight_decay", "row_weight_decay"];
    for rate in of_tower.map(|rate| format!("tower.{rate}")).iter().map(String::as_str).chain(["dropout"]) {
        found.remove(&format!("model.{rate}"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_no_shapes() {
        let of = |tower: TowerConfig| {
            shape(&ModelConfig { tower: Some(tower), ..ModelConfig::default() }).unwrap()
        };
        let plain = of(TowerConfig::default());
        let rates = TowerConfig {
            mask_input: 0.3,
            mask_output: 0.4,
            gate: 2.0,
            cold_below: 5,
            weight_decay: 1.5,
            row_weight_decay: 0.5,
            ..TowerConfig::default()
        };
        assert_eq!(of(rates), plain);
        assert_ne!(
            of(TowerConfig { hidden: TowerConfig::default().hidden + 1, ..TowerConfig::default() }),
            plain
        );
    }
}
