//! What a run came to: `summary.json`.

use serde::{Deserialize, Serialize};

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All epochs were done.
    MaxEpochs,
    /// `train.max_steps` were done.
    MaxSteps,
    /// `train.patience` validations in a row brought nothing better.
    Patience,
    /// It was asked to stop; resuming goes on.
    Asked,
}

/// The best validation so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps done when it was made.
    pub step: u64,
    /// Epochs begun when it was made.
    pub epoch: u64,
    /// All validation metrics by name, of all that the questions ask for, seen items dropped or kept as the run was told.
    #[serde(flatten)]
    pub metrics: serde_json::Map<String, serde_json::Value>,
}

impl Best {
    /// NDCG at 10 over the whole catalogue, seen items dropped or kept as the run was told: what "best" means.
    #[must_use]
    pub fn ndcg_10(&self) -> f64 {
        self.metrics.get("ndcg@10").and_then(serde_json::Value::as_f64).unwrap_or(f64::NEG_INFINITY)
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Steps, skipped ones included.
    pub steps: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Tokens a second of training, validation and saving left out.
    pub tokens_per_second: f64,
    /// Most memory that the process ever held; `None` where the system does not say.
    pub peak_rss_bytes: Option<u64>,
    /// The best validation; `None` when the protocol asks no validation question.
    pub best: Option<Best>,
    /// Wall-clock seconds of the run, over all its parts.
    pub seconds: f64,
    /// Steps that were skipped because a loss or a gradient was not finite.
    pub skipped: u64,
    /// How often the weights were rolled back.
    pub rollbacks: u32,
    /// Why it ended.
    pub ended: Ended,
}
