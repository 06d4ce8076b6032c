//! Where a run stands: everything but weights and moments that the next step depends on.

use serde::{Deserialize, Serialize};

use crate::config::Precision;
use crate::summary::{Best, Ended};

/// Where a run stands, between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Steps done, skipped ones included.
    pub(crate) step: u64,
    /// The epoch of the next step, from 0.
    pub(crate) epoch: u64,
    /// The batch of the next step within its epoch, from 0.
    pub(crate) index: usize,
    /// Tokens trained on.
    pub(crate) tokens: u64,
    /// The best validation.
    pub(crate) best: Option<Best>,
    /// Validations in a row without a better one.
    pub(crate) stale: u64,
    /// The step of the latest validation.
    pub(crate) validated: Option<u64>,
    /// Steps skipped.
    pub(crate) skipped: u64,
    /// Steps skipped in a row, up to now.
    pub(crate) in_a_row: u32,
    /// Rollbacks.
    pub(crate) rollbacks: u32,
    /// The step of the checkpoint to roll back to: the one of the latest validation.
    pub(crate) milestone: Option<u64>,
    /// Why the run ended, when it did for good.
    pub(crate) ended: Option<Ended>,
    /// What the latest steps' products were computed in; none before the first step, and in runs from before this was
    /// written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) products: Option<Precision>,
    /// Seconds of the run. Nothing depends on them.
    pub(crate) seconds: f64,
    /// Seconds of steps alone. Nothing depends on them.
    pub(crate) stepping: f64,
    /// Length of `metrics.jsonl` in bytes.
    pub(crate) log_bytes: u64,
}

impl State {
    /// Epochs begun.
    pub(crate) fn epochs_begun(&self) -> u64 {
        self.epoch + u64::from(self.index > 0)
    }

    /// The epoch of the latest step, from 1.
    pub(crate) fn epoch_shown(&self) -> u64 {
        self.epochs_begun().max(1)
    }
}
