//! How much memory a run needs, before its first step.
//!
//! The estimate counts what scales: tables and moments with the catalogue, matrices with the model, activations with
//! the tokens of the largest batch. It is asked of the system before anything of it is allocated.

use upnext_data::BatchSize;
use upnext_eval::evaluate::batch_size;
use upnext_model::{ModelConfig, TowerConfig};

use crate::config::{LossKind, RunConfig, TableOptimizer};
use crate::full_softmax;
use crate::{Error, Result};

/// Bytes that a run is expected to need, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// What the process holds already, the data among it; 0 where the system does not say.
    pub held: u64,
    /// Item tables and their moments, gradients of whole tables, and what is kept for each item.
    pub tables: u64,
    /// Matrices, their moments and gradients.
    pub parameters: u64,
    /// Activations and gradients of the largest batch, and batches made ahead.
    pub step: u64,
    /// Scores of a validation batch.
    pub validation: u64,
}

impl Estimate {
    /// All of it: the peak to expect.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.held.saturating_add(self.needed())
    }

    /// What would need less, by what needs most.
    fn remedy(&self) -> &'static str {
        let most = self.tables.max(self.parameters).max(self.step).max(self.validation);
        if most == self.tables {
            "the item tables need most: lower model.rank, or use train.table_optimizer = \"lazy\""
        } else if most == self.parameters {
            "the matrices need most: lower model.width, model.hidden or model.layers"
        } else if most == self.step {
            "a step needs most: lower train.users or train.tokens, model.window, model.layers, model.horizons or loss.count"
        } else {
            "validation needs most: use fewer --threads or lower model.window"
        }
    }

    /// What is needed on top of what is held.
    #[must_use]
    pub fn needed(&self) -> u64 {
        self.tables
            .saturating_add(self.parameters)
            .saturating_add(self.step.max(self.validation))
            .saturating_add(CONSTANT)
    }
}

/// Threads, buffers and what is not counted one by one.
const CONSTANT: u64 = 24 << 20;
/// Bytes kept for each item: training counts, alias table, ln q, places of distinct ids, coldness.
const PER_ITEM: u64 = 32;

/// Estimates a run over `items` items whose training sequences have so many events.
///
/// # Errors
/// When the sizes of the model cannot be counted.
pub fn estimate(config: &RunConfig, items: usize, train: &[usize]) -> Result<Estimate> {
    let model = &config.model;
    let table = model.table_len(items)? as u64 * 4;
    let tables = if model.tied { 1 } else { 2 };
    let parameters = (model.parameter_count(items)? as u64 * 4).saturating_sub(table * tables);
    let full = config.loss.kind == LossKind::FullSoftmax;
    let dense = match (full, config.train.table_optimizer) {
        (_, TableOptimizer::Dense) => tables,
        (true, TableOptimizer::Lazy) => 1,
        (false, TableOptimizer::Lazy) => 0,
    };
    // No window holds more than the longest history; one event of it is asked for.
    let window = model.window.min(train.iter().copied().max().unwrap_or(0) + 2);
    let tokens = largest_batch(config.train.batch, window, train) as u64;
    Ok(Estimate {
        held: resident_bytes().unwrap_or(0),
        tables: table.saturating_mul(3 * tables + dense).saturating_add(items as u64 * PER_ITEM),
        parameters: parameters.saturating_mul(5),
        step: step_bytes(config, tokens, items as u64),
        validation: validation_bytes(model, window, items as u64),
    })
}

/// Refuses a run that does not fit into what the system has left.
///
/// # Errors
/// [`Error::Memory`].
pub fn check(estimate: &Estimate) -> Result<()> {
    match available_bytes() {
        Some(available) if estimate.needed() > available => {
            Err(Error::Memory { needed: estimate.needed(), available, remedy: estimate.remedy() })
        }
        _ => Ok(()),
    }
}

/// Tokens of the largest batch to expect: the longest windows together, or, where that is less, the mean of a random
/// batch and five standard deviations.
fn largest_batch(size: BatchSize, window: usize, train: &[usize]) -> usize {
    let users = match size {
        BatchSize::Tokens(tokens) => return tokens,
        BatchSize::Users(users) => users,
    };
    // Every pair is a token; a sequence longer than the window gives several windows.
    let mut windows: Vec<usize> = Vec::new();
    for pairs in train.iter().map(|&events| events.saturating_sub(1)) {
        windows.extend(std::iter::repeat_n(window, pairs / window));
        windows.extend((pairs % window > 0).then_some(pairs % window));
    }
    windows.sort_unstable_by(|a, b| b.cmp(a));
    let longest: usize = windows.iter().take(users).sum();
    let count = windows.len().max(1) as f64;
    let mean = windows.iter().sum::<usize>() as f64 / count;
    let spread = (windows.iter().map(|&len| (len as f64 - mean).powi(2)).sum::<f64>() / count).sqrt();
    let usual = mean * users as f64 + 5.0 * spread * (users as f64).sqrt();
    longest.min(usual.ceil() as usize)
}

/// Activations and gradients of a step.
fn step_bytes(config: &RunConfig, tokens: u64, items: u64) -> u64 {
    let model = &config.model;
    let (d, m, r, l) = (model.width as u64, model.hidden as u64, model.rank as u64, model.layers as u64);
    // Kept for the backward pass: queries, keys, values, attention output, residuals; gate and up.
    let layer = 8 * d + 3 * m + model.heads as u64;
    // Embeddings and states with their gradients, the states' copies in the loss.
    let ends = 8 * d + 8 * r;
    // The states of further horizons have both as well; where one distribution is for all, the copies alone.
    let state = 8 * r + if model.own_horizons() > 1 { 8 * d } else { 0 };
    let further = tokens.saturating_mul(model.horizons as u64 - 1).saturating_mul(state);
    let draws = config.loss.count as u64;
    let (loss, scored) = match config.loss.kind {
        LossKind::SampledSoftmax => (draws * (16 * r + 512), draws.min(items)),
        LossKind::FullSoftmax => (16 * full_softmax::BLOCK_ITEMS as u64 * (r + 128), 0),
    };
    let rows = (2 * tokens).min(items).saturating_add(scored).saturating_mul(3 * r);
    // What the towers read of each row and make of it: features, gate and up, their product, all with gradients.
    let read = |tower: &TowerConfig| {
        let wide: usize = tower.modalities.iter().map(|(_, width)| width + 6 * tower.hidden).sum();
        let full = config.loss.kind == LossKind::FullSoftmax;
        let rows =
            (2 * tokens).min(items).saturating_add(scored).saturating_add(if full { items } else { 0 });
        rows.saturating_mul((wide + 6 * model.rank) as u64)
    };
    let lifted = model.tower.as_ref().map_or(0, read);
    let activations = tokens.saturating_mul(l * layer + ends).saturating_add(further).saturating_add(lifted);
    activations.saturating_add(loss).saturating_add(rows).saturating_mul(4).saturating_add(tokens * 3 * 64)
}

/// Scores and states of the batches that validation has in flight.
fn validation_bytes(model: &ModelConfig, window: usize, items: u64) -> u64 {
    let threads = rayon::current_num_threads() as u64;
    let questions = batch_size(usize::try_from(items).unwrap_or(usize::MAX)) as u64;
    let token = 4 * (6 * model.width + 3 * model.hidden) as u64;
    let question = items.saturating_mul(4).saturating_add((window as u64).saturating_mul(token));
    threads.saturating_mul(questions).saturating_mul(question)
}

/// Most memory that this process ever held; `None` where the system does not say.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:")
}

/// Memory that this process holds; `None` where the system does not say.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// Memory that the system, or the control group we run in, has left; `None` where it does not say.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let number = |path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max")
        .and_then(|most| Some(most.saturating_sub(number("/sys/fs/cgroup/memory.current")?)));
    let system = kilobytes("/proc/meminfo", "MemAvailable:");
    match (system, group) {
        (Some(system), Some(group)) => Some(system.min(group)),
        (system, group) => system.or(group),
    }
}

/// Memory that the system, or the control group we run in, has in all; `None` where it does not say.
#[must_use]
pub fn total_bytes() -> Option<u64> {
    let system = kilobytes("/proc/meminfo", "MemTotal:");
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    match (system, group) {
        (Some(system), Some(group)) => Some(system.min(group)),
        (system, group) => system.or(group),
    }
}

/// The bytes of a `name: value kB` line.
fn kilobytes(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_batch_takes_the_longest_windows() {
        assert_eq!(largest_batch(BatchSize::Users(2), 10, &[4, 26, 1, 0]), 20);
        assert_eq!(largest_batch(BatchSize::Users(4), 10, &[4, 26, 1, 0]), 10 + 10 + 5 + 3);
        assert_eq!(largest_batch(BatchSize::Tokens(512), 10, &[4, 26]), 512);
        // One long history among many short ones is not met 64 times in a batch.
        let mut train = vec![5; 10_000];
        train.push(6_001);
        assert!(largest_batch(BatchSize::Users(64), 100, &train) < 64 * 20);
    }

    #[test]
    fn tables_and_moments_grow_with_the_catalogue_and_steps_hardly() {
        let config = RunConfig::default();
        let train = vec![100; 1000];
        let (small, large) =
            (estimate(&config, 10_000, &train).unwrap(), estimate(&config, 1_000_000, &train).unwrap());
        assert_eq!(large.tables, 1_000_000 * (3 * 64 * 4 + 32));
        assert_eq!(small.parameters, large.parameters);
        assert!(large.step < 2 * small.step);
    }

    #[test]
    fn a_step_grows_with_the_states_that_its_loss_reads() {
        let train = vec![100; 1000];
        let at = |horizons, merge_horizons| {
            let mut config = RunConfig::default();
            (config.model.horizons, config.model.merge_horizons) = (horizons, merge_horizons);
            estimate(&config, 10_000, &train).unwrap()
        };
        let (one, five, merged) = (at(1, false), at(5, false), at(5, true));
        assert!(one.step < merged.step && merged.step < five.step);
        assert_eq!((merged.parameters, five.parameters), (one.parameters, one.parameters + 5 * 4 * 64 * 4));
    }

    #[test]
    fn windows_beyond_the_longest_history_cost_nothing() {
        let mut config = RunConfig::default();
        config.model.positions = upnext_model::Positions::Rotary;
        let train = vec![100; 1000];
        let estimate_at = |config: &RunConfig| estimate(config, 1000, &train).unwrap();
        config.model.window = 200;
        let usual = estimate_at(&config);
        config.model.window = 300_000;
        let huge = estimate_at(&config);
        assert_eq!((usual.step, usual.validation), (huge.step, huge.validation));
    }

    #[test]
    fn a_large_catalogue_is_validated_with_fewer_windows_at_once() {
        let mut config = RunConfig::default();
        (config.model.window, config.model.width, config.model.rank) = (4000, 512, 8);
        let train = vec![10_000; 10];
        let validation = |items| estimate(&config, items, &train).unwrap().validation;
        assert!(validation(1_000_000) < validation(10_000) / 4);
    }

    #[test]
    fn a_run_over_too_many_items_is_refused() {
        let config = RunConfig::default();
        let estimate = estimate(&config, 900_000_000, &[10]).unwrap();
        if available_bytes().is_some_and(|available| available < 600 << 30) {
            assert!(matches!(check(&estimate), Err(Error::Memory { .. })));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_what_we_hold() {
        assert!(peak_rss_bytes().unwrap() >= resident_bytes().unwrap() / 2);
        assert!(available_bytes().unwrap() > 0);
        assert!(total_bytes().unwrap() >= available_bytes().unwrap());
    }
}
