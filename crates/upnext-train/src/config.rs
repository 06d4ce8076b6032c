//! A run's configuration: one TOML file, whole and valid.
//!
//! `[model]` is [`ModelConfig`], `[loss]` is [`LossConfig`], `[train]` is [`TrainConfig`]; keys that a file leaves out
//! have their defaults, keys that nobody knows are errors. A [`RunConfig`] that came through here is valid.

mod locate;
mod loss;
mod suggest;
mod train;

use std::path::Path;

use serde::{Deserialize, Serialize};
use upnext_model::ModelConfig;

pub use locate::Place;
pub use loss::{Correction, LossConfig, LossKind, Negatives, Share};
pub use suggest::nearest;
pub use train::{Precision, Schedule, TableOptimizer, TrainConfig};

use crate::{Error, Result};

/// Everything that decides a run's weights, besides the data.
///
/// ```
/// # use upnext_train::RunConfig;
/// let mut config = RunConfig::from_toml("[train]\nlr = 3e-3\n", "small.toml".as_ref())?;
/// config.set("loss.count", "128")?;
/// assert_eq!((config.train.lr, config.loss.count), (3e-3, 128));
/// let refused = RunConfig::from_toml("[train]\nlearning_rate = 1\nlrr = 1\n", "small.toml".as_ref()).unwrap_err();
/// assert!(refused.to_string().starts_with("small.toml:2: unknown key `train.learning_rate`"));
/// # Ok::<(), upnext_train::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct RunConfig {
    /// Sizes and switches of the model.
    pub model: ModelConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How it is minimised, and on what.
    pub train: TrainConfig,
}

/// What a file may say.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Raw {
    model: ModelConfig,
    loss: LossConfig,
    train: train::Raw,
}

/// A value that its type admits and its meaning does not.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` is {value}, but it {need}")]
pub(crate) struct Refused {
    key: &'static str,
    value: String,
    need: String,
}

impl Refused {
    fn new(key: &'static str, value: &dyn ToString, need: impl Into<String>) -> Self {
        Self { key, value: value.to_string(), need: need.into() }
    }
}

impl TryFrom<Raw> for RunConfig {
    type Error = Refused;

    fn try_from(raw: Raw) -> std::result::Result<Self, Refused> {
        let config = Self { model: raw.model, loss: raw.loss, train: raw.train.resolve()? };
        config.loss.validate(&config.model)?;
        config.train.validate(config.model.window)?;
        Ok(config)
    }
}

impl RunConfig {
    /// Reads a configuration; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::Config`] with file and line: TOML that is none, a key that nobody knows (its nearest neighbour is
    /// named), a value of another type, a value out of range.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let (place, message) = locate::explain(&error, text, path);
            Error::Config { place, message }
        })
    }

    /// Overrides one value, such as `("train.lr", "3e-4")`.
    ///
    /// # Errors
    /// As [`RunConfig::from_toml`]; then nothing has changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.set_all(&[(key, value)])
    }

    /// Overrides several values together: only what comes out at the end must be valid.
    ///
    /// The value is TOML; text that is no TOML value is taken as a string, so `train.schedule=cosine` needs no quotes.
    /// `train.users` and `train.tokens` take each other's place.
    ///
    /// # Errors
    /// As [`RunConfig::from_toml`]; then nothing has changed.
    pub fn set_all(&mut self, overrides: &[(&str, &str)]) -> Result<()> {
        let mut table = toml::Table::try_from(&*self)?;
        for (key, value) in overrides {
            locate::put(&mut table, key, value)?;
        }
        let text = toml::to_string(&table)?;
        let changed = toml::from_str(&text).map_err(|error| {
            let (key, message) = locate::explain_override(&error, &text);
            let shown =
                overrides.iter().rev().find(|(name, _)| key.as_deref() == Some(*name)).or(overrides.last());
            let place = shown.map_or(Place::default(), |(name, value)| Place::of_override(name, value));
            Error::Config { place, message }
        })?;
        *self = changed;
        Ok(())
    }

    /// The configuration as TOML, every key with its value.
    ///
    /// # Errors
    /// None is known; a number that TOML cannot hold would be one.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    /// The keys on which two configurations differ, with both values.
    pub(crate) fn differences(&self, other: &Self) -> Result<Vec<String>> {
        let (ours, theirs) = (toml::Table::try_from(self)?, toml::Table::try_from(other)?);
        let mut found = Vec::new();
        for (section, keys) in &ours {
            let other = theirs.get(section).and_then(toml::Value::as_table);
            let (Some(keys), Some(other)) = (keys.as_table(), other) else { continue };
            let names: std::collections::BTreeSet<&String> = keys.keys().chain(other.keys()).collect();
            for name in names {
                let show =
                    |value: Option<&toml::Value>| value.map_or("absent".to_owned(), ToString::to_string);
                let (a, b) = (show(keys.get(name)), show(other.get(name)));
                if a != b {
                    found.push(format!("{section}.{name} is {a} in the run and {b} now"));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
