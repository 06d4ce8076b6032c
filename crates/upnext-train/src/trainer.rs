//! A run, from a configuration to its folder: set up or resumed here, looped in `looping`, kept in `keeping`.

mod keeping;
mod looping;
mod stepping;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use candle_core::DType;
use upnext_data::{Batches, History, ItemFeatures, Prepared, Training, popularity};
use upnext_model::{Trained, tower};

use crate::checkpoint::{Checkpoints, Origin};
use crate::clock::Clock;
use crate::config::{Precision, TableOptimizer};
use crate::device::{DeviceLearner, Layer};
use crate::feed::{AHEAD, Feeder, feed};
use crate::log::Log;
use crate::plan::Planner;
use crate::run_folder::RunFolder;
use crate::start::Start;
use crate::state::State;
use crate::step::Learner;
use crate::summary::Summary;
use crate::{Error, Event, Result, RunConfig, TrainOptions, device, memory};
use looping::Trainer;

/// Trains a model and writes its run folder.
///
/// The weights are a function of configuration and data: neither threads nor interruptions move a bit of them. A step
/// whose loss or gradient is not finite changes nothing; three in a row bring back the weights of the latest
/// validation, and the data go on; the fourth such time ends the run.
///
/// # Errors
/// When the run folder exists and is neither resumed nor overwritten, a resumed run differs in configuration or data,
/// the run does not fit into memory, the protocol leaves nothing to train on, training diverges, or the disk refuses.
pub fn train(
    config: &RunConfig,
    data: &Prepared,
    out: &Path,
    options: &TrainOptions<'_>,
    events: &mut dyn FnMut(&Event),
) -> Result<Summary> {
    train_watched(config, data, out, options, events, &mut |_, _| {})
}

/// As [`train`]; `before` sees the learner before each step and may spoil it, as tests do.
pub(crate) fn train_watched(
    config: &RunConfig,
    data: &Prepared,
    out: &Path,
    options: &TrainOptions<'_>,
    events: &mut dyn FnMut(&Event),
    before: &mut dyn FnMut(u64, &mut Learner),
) -> Result<Summary> {
    let config = &with_modalities(config, data.catalog.len(), options)?;
    let split = config.train.protocol.split(&data.histories)?;
    let items = data.catalog.len();
    let training = split.training(&data.histories)?;
    let need = memory::estimate(config, items, &training.train)?;
    memory::check(&need)?;
    let seed = config.train.seed;
    let (histories, train) = (&training.histories, &training.train);
    let mut batches = Batches::new(histories, train, config.model.window, config.train.batch, seed)?
        .looking_ahead(config.model.horizons);
    let from = Start { config, catalog: &data.catalog, earlier: options.from };
    from.check(data, &split)?;
    if let Some((old, share)) = from.replay(&training)? {
        batches = batches.replaying(old, share)?;
    }
    let own = popularity::counts(histories, train, items);
    // Negatives are drawn of what the run trains; what is served is what was ever trained.
    let mut planner = Planner::new(&config.loss, config.model.tied, &own, seed).with_horizons(config);
    let counts = from.known(own);
    if let (Some(tower), Some(features)) = (&config.model.tower, options.features) {
        planner = planner.with_tower(tower, features, &counts);
    }
    let steps_per_epoch = batches.epoch(0).len();
    let by_epochs = config.train.max_epochs.saturating_mul(steps_per_epoch as u64);
    let max_steps = config.train.max_steps.map_or(by_epochs, |most| most.min(by_epochs));

    let data_hash = data.manifest.data_hash();
    let features = config.model.tower.as_ref().and(options.features).map(ItemFeatures::hash);
    let seal = options.from.map(|earlier| earlier.manifest.seal.clone());
    let origin = Origin { config: config.to_toml()?, data_hash, features, from: seal.clone() };
    let run = RunFolder::open(out, config, &origin, options)?;
    let mut checkpoints = Checkpoints::new(out, origin);
    let (learner, mut state) = begin(&from, &run, &mut checkpoints, events)?;
    let precision = config.train.precision;
    let products = options.device.map_or(learner.products(), |_| precision);
    let products_before = state.products.replace(products);
    let (log, damage) = Log::open(out, state.log_bytes)?;
    if let Some(reason) = damage {
        events(&Event::Damaged { path: log.path().to_owned(), reason });
    }
    let on_device = options.device.map(|device| DeviceLearner::new(&learner, device)).transpose()?;
    let mut trainer = Trainer {
        config,
        data,
        questions: &split.validation,
        counts: &counts,
        features: options.features,
        begun: Trained { newest: newest(&training), from: seal, ..Trained::default() },
        log,
        clock: Clock::new(state.seconds, state.stepping),
        run,
        checkpoints,
        max_steps,
        start: from,
        learner,
        device: on_device,
        in_flight: VecDeque::new(),
        state,
        events,
    };
    if let Some(ended) = trainer.state.ended {
        return trainer.summary(ended);
    }
    let started = Event::Started {
        parameters: config.model.parameter_count(items)?,
        items,
        negatives: planner.draws(),
        questions: split.validation.len(),
        steps_per_epoch,
        max_steps,
        max_epochs: config.train.max_epochs,
        resumed: options.resume.then_some(trainer.state.step),
        memory: need,
        device: device::describe(options.device),
        precision,
        products,
    };
    trainer.started(&started, products_before)?;
    let from = (trainer.state.step, trainer.state.epoch, trainer.state.index);
    let until = (config.train.max_steps.unwrap_or(u64::MAX), config.train.max_epochs);
    let dense = config.train.table_optimizer == TableOptimizer::Dense;
    let dtype = if products == Precision::Bf16 { DType::BF16 } else { DType::F32 };
    let layer = |device| Layer::new(&config.model, items, dtype, dense, device);
    let feeder = Feeder { planner, layer: options.device.map(layer).transpose()? };
    std::thread::scope(|scope| {
        let (sender, plans) = sync_channel(AHEAD);
        let batches = &batches;
        scope.spawn(move || feed(batches, feeder, from, until, &sender));
        trainer.run(plans, options, before)
    })
}

/// The configuration with the widths that the tower will read.
fn with_modalities(config: &RunConfig, items: usize, options: &TrainOptions<'_>) -> Result<RunConfig> {
    let mut config = config.clone();
    if options.device.is_some() && config.model.horizons > 1 {
        return Err(Error::HorizonsOnDevice);
    }
    if let Some(tower) = &mut config.model.tower {
        if options.device.is_some() {
            return Err(Error::TowerOnDevice);
        }
        if let (true, Some(features)) = (tower.modalities.is_empty(), options.features) {
            tower.modalities = features.modalities().map(|(name, width)| (name.to_owned(), width)).collect();
        }
    }
    config.model.validate()?;
    tower::check(&config.model, items, options.features)?;
    Ok(config)
}

/// A learner and where its run stands: at the newest checkpoint that is whole, or at the start.
fn begin(
    start: &Start<'_>,
    run: &RunFolder,
    checkpoints: &mut Checkpoints,
    events: &mut dyn FnMut(&Event),
) -> Result<(Learner, State)> {
    let mut learner = start.learner()?;
    if !run.found {
        return Ok((learner, State::default()));
    }
    checkpoints.recover()?;
    let has_model = run.recover_model()?;
    for step in checkpoints.steps()? {
        match checkpoints.restore(step, &mut learner.model, &mut learner.adam) {
            Ok(mut state) => {
                // A best model that is gone is found again by the next validation.
                state.best = state.best.filter(|_| has_model);
                return Ok((learner, state));
            }
            Err(error) => {
                events(&Event::Damaged { path: checkpoints.path(step), reason: chain(&error) });
                checkpoints.refuse(step);
                learner = start.learner()?;
            }
        }
    }
    Ok((learner, State::default()))
}

/// When the newest training event was; none where a log's times are only the places of events in their order.
fn newest(training: &Training<'_>) -> Option<i64> {
    // 1973: no log of ours is older, and no history longer.
    const TIMES_FROM: i64 = 100_000_000;
    let last = |(history, &train): (History<'_>, &usize)| history.times[..train].last().copied();
    let histories = training.histories.iter().map(|(_, history)| history);
    histories.zip(training.train.iter()).filter_map(last).max().filter(|&newest| newest >= TIMES_FROM)
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests;
