//! The `[train]` table.

use std::fmt;

use serde::{Deserialize, Serialize};
use upnext_data::{BatchSize, Protocol};

use super::Refused;

/// How a model is trained, and on what.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Raw")]
pub struct TrainConfig {
    /// Which events train, validate and test.
    pub protocol: Protocol,
    /// `users` or `tokens`: how much a step reads.
    pub batch: BatchSize,
    /// The learning rate after warm-up; above 0.
    pub lr: f64,
    /// How the learning rate goes on after warm-up.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly.
    pub warmup_steps: u64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Decoupled weight decay of the matrices and of touched rows (Loshchilov & Hutter 2019, arXiv 1711.05101).
    pub weight_decay: f64,
    /// Most that the norm of a step's whole gradient may be; `inf` for no limit.
    pub clip: f64,
    /// Which rows of the item table an update touches.
    pub table_optimizer: TableOptimizer,
    /// Epochs at most.
    pub max_epochs: u64,
    /// Steps at most.
    pub max_steps: Option<u64>,
    /// Steps between validations; an epoch when absent.
    pub eval_every: Option<u64>,
    /// Validations in a row without a better one that end the run.
    pub patience: u64,
    /// What every draw of the run is keyed by.
    pub seed: u64,
    /// How numbers are held.
    pub precision: Precision,
    /// Where training goes on from a model: the share, in (0, 1], of histories without anything new that trains each
    /// epoch beside those that have something, drawn anew for each. New is what trains and is later than every event that
    /// the model was trained on; events that were held out from it and lie before that are not.
    pub replay: f64,
    /// Whether people come back to items: then validation has the items of an input among the candidates, and lists by the
    /// model may hold them unless a request says otherwise.
    pub keep_seen: bool,
}

/// How the learning rate goes on after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// It falls to 0 along half a cosine over the steps that the run may take at most.
    Cosine,
}

/// Which rows of the item table an update touches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableOptimizer {
    /// Those that the step read: its cost does not depend on the catalogue.
    #[default]
    Lazy,
    /// All, moments included, as published tables do it; up to [`crate::adam::DENSE_ITEMS`] items.
    Dense,
}

/// How numbers are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// Products with weights of operands rounded to bfloat16; parameters, activations, sums, norms, losses and moments
    /// stay 32-bit floats. On the CPU where it has matrix tiles for that
    /// ([`upnext_kernels::tiles::Tiles::here`]); elsewhere it trains as with [`Precision::F32`], and says so.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// What a file may say.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    lr: f64,
    schedule: Schedule,
    warmup_steps: u64,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    clip: f64,
    table_optimizer: TableOptimizer,
    max_epochs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_every: Option<u64>,
    patience: u64,
    seed: u64,
    precision: Precision,
    #[serde(skip_serializing_if = "is_whole")]
    replay: f64,
    #[serde(skip_serializing_if = "is_off")]
    keep_seen: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_off(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_whole(share: &f64) -> bool {
    *share >= 1.0
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            protocol: Protocol::LeaveOneOut,
            batch: BatchSize::Users(128),
            lr: 1e-3,
            schedule: Schedule::Constant,
            warmup_steps: 100,
            beta1: 0.9,
            beta2: 0.98,
            weight_decay: 0.0,
            clip: 1.0,
            table_optimizer: TableOptimizer::Lazy,
            max_epochs: 200,
            max_steps: None,
            eval_every: None,
            patience: 10,
            seed: 1,
            precision: Precision::F32,
            replay: 1.0,
            keep_seen: false,
        }
    }
}

impl Default for Raw {
    fn default() -> Self {
        let mut raw = Self::from(TrainConfig::default());
        raw.users = None;
        raw
    }
}

impl From<TrainConfig> for Raw {
    fn from(config: TrainConfig) -> Self {
        let (users, tokens) = match config.batch {
            BatchSize::Users(users) => (Some(users), None),
            BatchSize::Tokens(tokens) => (None, Some(tokens)),
        };
        Self {
            protocol: config.protocol,
            users,
            tokens,
            lr: config.lr,
            schedule: config.schedule,
            warmup_steps: config.warmup_steps,
            beta1: config.beta1,
            beta2: config.beta2,
            weight_decay: config.weight_decay,
            clip: config.clip,
            table_optimizer: config.table_optimizer,
            max_epochs: config.max_epochs,
            max_steps: config.max_steps,
            eval_every: config.eval_every,
            patience: config.patience,
            seed: config.seed,
            precision: config.precision,
            replay: config.replay,
            keep_seen: config.keep_seen,
        }
    }
}

impl Raw {
    pub(super) fn resolve(self) -> Result<TrainConfig, Refused> {
        let batch = match (self.users, self.tokens) {
            (Some(_), Some(tokens)) => {
                let need = "stands beside `train.users`: a batch is cut by one of them";
                return Err(Refused::new("train.tokens", &tokens, need));
            }
            (None, Some(tokens)) => BatchSize::Tokens(tokens),
            (Some(users), None) => BatchSize::Users(users),
            (None, None) => TrainConfig::default().batch,
        };
        Ok(TrainConfig {
            protocol: self.protocol,
            batch,
            lr: self.lr,
            schedule: self.schedule,
            warmup_steps: self.warmup_steps,
            beta1: self.beta1,
            beta2: self.beta2,
            weight_decay: self.weight_decay,
            clip: self.clip,
            table_optimizer: self.table_optimizer,
            max_epochs: self.max_epochs,
            max_steps: self.max_steps,
            eval_every: self.eval_every,
            patience: self.patience,
            seed: self.seed,
            precision: self.precision,
            replay: self.replay,
            keep_seen: self.keep_seen,
        })
    }
}

impl TrainConfig {
    pub(super) fn validate(&self, window: usize) -> Result<(), Refused> {
        let positive = |key, value: u64| match value {
            0 => Err(Refused::new(key, &value, "must be at least 1")),
            _ => Ok(()),
        };
        match self.batch {
            BatchSize::Users(users) => positive("train.users", users as u64)?,
            BatchSize::Tokens(tokens) if tokens < window => {
                let need = format!("must hold at least one window of `model.window`, {window}");
                return Err(Refused::new("train.tokens", &tokens, need));
            }
            BatchSize::Tokens(_) => {}
        }
        positive("train.max_epochs", self.max_epochs)?;
        positive("train.max_steps", self.max_steps.unwrap_or(1))?;
        positive("train.eval_every", self.eval_every.unwrap_or(1))?;
        positive("train.patience", self.patience)?;
        let within = |key, value: f64, fits: bool, need: &str| match fits {
            true => Ok(()),
            false => Err(Refused::new(key, &value, need)),
        };
        within("train.lr", self.lr, self.lr > 0.0 && self.lr <= 10.0, "must be above 0 and at most 10")?;
        within("train.clip", self.clip, self.clip > 0.0, "must be above 0; inf for no limit")?;
        within("train.beta1", self.beta1, (0.0..1.0).contains(&self.beta1), "must lie in [0, 1)")?;
        within("train.beta2", self.beta2, (0.0..1.0).contains(&self.beta2), "must lie in [0, 1)")?;
        let share = self.replay > 0.0 && self.replay <= 1.0;
        within("train.replay", self.replay, share, "must lie in (0, 1]")?;
        let decay = self.weight_decay >= 0.0 && self.weight_decay <= 10.0;
        within("train.weight_decay", self.weight_decay, decay, "must lie in [0, 10]")?;
        // TOML holds whole numbers of 63 bits.
        within("train.seed", self.seed as f64, i64::try_from(self.seed).is_ok(), "must be below 2^63")
    }
}
