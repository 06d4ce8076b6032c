//! The sizes and switches of a model, valid by construction.
//!
//! Names are those of the `[model]` table of a run's configuration and of `config.json` in a model folder.
//! Letters: d width · h heads · e head width · l layers · m hidden width · r rank · i items · T window.

mod tower;

use serde::{Deserialize, Serialize};

pub use tower::TowerConfig;

use crate::error::{Error, Result};

/// Largest width of any axis of a layer (d, m, r).
const MAX_WIDTH: usize = 1 << 16;
/// Largest number of layers.
const MAX_LAYERS: usize = 1 << 10;
/// Largest window.
const MAX_WINDOW: usize = 1 << 20;
/// Largest number of horizons.
const MAX_HORIZONS: usize = 1 << 8;
/// Largest number of elements of all parameters together: 2^36 f32 values are 256 GiB.
const MAX_PARAMETERS: usize = 1 << 36;

/// The kind of decoder layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Pre-norm causal attention and `SwiGLU`, with plain residuals.
    #[default]
    Transformer,
}

/// How the decoder learns where in the window a token stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// A learned vector for each place in the window, added to the embedding.
    #[default]
    Learned,
    /// Queries and keys turn with the position (Su et al. 2021, arXiv 2104.09864).
    Rotary,
}

/// Everything that decides a model's shapes and its forward pass.
///
/// A value that came through serde is valid; one that was put together or changed field by field is checked
/// by [`ModelConfig::validate`], which every constructor that takes a configuration calls.
///
/// ```
/// # use upnext_model::ModelConfig;
/// let config: ModelConfig = serde_json::from_str(r#"{ "width": 32, "heads": 4 }"#)?;
/// assert_eq!((config.width, config.head_width(), config.layers), (32, 8, 2));
/// let refused = serde_json::from_str::<ModelConfig>(r#"{ "width": 30, "heads": 4 }"#).unwrap_err();
/// assert!(refused.to_string().contains("`model.width`"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct ModelConfig {
    /// The kind of decoder layer.
    pub block: Block,
    /// l: how many decoder layers.
    pub layers: usize,
    /// d: width of the residual stream.
    pub width: usize,
    /// h: attention heads; they share d evenly.
    pub heads: usize,
    /// m: width between the two products of the feed-forward block.
    pub hidden: usize,
    /// r: width of an item vector.
    pub rank: usize,
    /// Whether matrices stand between item vectors and the decoder (the projected, compressed head).
    /// Without them r must be d.
    pub project: bool,
    /// T: how many of the latest events the decoder reads.
    pub window: usize,
    /// How positions reach the decoder.
    pub positions: Positions,
    /// The rate of dropout on embeddings, attention probabilities and residuals, in [0, 1).
    pub dropout: f32,
    /// Whether one table serves as input and output vectors.
    pub tied: bool,
    /// K: how many of the events to come a position is trained to tell. Beyond one, a learned vector for each further
    /// horizon is added to a position's state before the head, so that one pass tells place j of a list from horizon j.
    #[serde(skip_serializing_if = "is_one")]
    pub horizons: usize,
    /// Whether all horizons share one distribution instead (arXiv 2605.23312): what comes soon, in any order. Its
    /// probabilities are not those of the next item.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub merge_horizons: bool,
    /// What lifts item vectors by what items are like; none for a model of ids alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tower: Option<TowerConfig>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_one(value: &usize) -> bool {
    *value == 1
}

/// What a file may say: any subset of the keys, none unknown.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    block: Block,
    layers: usize,
    width: usize,
    heads: usize,
    hidden: usize,
    rank: usize,
    project: bool,
    window: usize,
    positions: Positions,
    dropout: f32,
    tied: bool,
    horizons: usize,
    merge_horizons: bool,
    tower: Option<TowerConfig>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            block: Block::Transformer,
            layers: 2,
            width: 64,
            heads: 2,
            hidden: 172,
            rank: 64,
            project: true,
            window: 200,
            positions: Positions::Learned,
            dropout: 0.2,
            tied: true,
            horizons: 1,
            merge_horizons: false,
            tower: None,
        }
    }
}

impl Default for Raw {
    fn default() -> Self {
        let ModelConfig {
            block,
            layers,
            width,
            heads,
            hidden,
            rank,
            project,
            window,
            positions,
            dropout,
            tied,
            horizons,
            merge_horizons,
            tower,
        } = ModelConfig::default();
        Self {
            block,
            layers,
            width,
            heads,
            hidden,
            rank,
            project,
            window,
            positions,
            dropout,
            tied,
            horizons,
            merge_horizons,
            tower,
        }
    }
}

impl TryFrom<Raw> for ModelConfig {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self> {
        let Raw {
            block,
            layers,
            width,
            heads,
            hidden,
            rank,
            project,
            window,
            positions,
            dropout,
            tied,
            horizons,
            merge_horizons,
            tower,
        } = raw;
        let config = Self {
            block,
            layers,
            width,
            heads,
            hidden,
            rank,
            project,
            window,
            positions,
            dropout,
            tied,
            horizons,
            merge_horizons,
            tower,
        };
        config.validate()?;
        Ok(config)
    }
}

impl ModelConfig {
    /// e: width of one attention head.
    #[must_use]
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// What an item's vector is multiplied by as it enters a decoder without projections: √d, as in SASRec (Kang and
    /// McAuley 2018, arXiv 1808.09781). `None` with projections, whose matrix decides the scale.
    ///
    /// Rows small enough for calm first logits would be drowned by what the first steps of Adam let the sub-layers
    /// add to the stream.
    #[must_use]
    pub fn entering_scale(&self) -> Option<f32> {
        (!self.project).then(|| (self.width as f32).sqrt())
    }

    /// How many horizons have a state of their own; 1 where all share one.
    #[must_use]
    pub fn own_horizons(&self) -> usize {
        if self.merge_horizons { 1 } else { self.horizons }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`Error::Config`] names the key, its value and what is asked of it.
    pub fn validate(&self) -> Result<()> {
        between("model.layers", self.layers, MAX_LAYERS)?;
        between("model.width", self.width, MAX_WIDTH)?;
        between("model.heads", self.heads, self.width)?;
        between("model.hidden", self.hidden, MAX_WIDTH)?;
        between("model.rank", self.rank, MAX_WIDTH)?;
        between("model.window", self.window, MAX_WINDOW)?;
        if !self.width.is_multiple_of(self.heads) {
            let need = format!("must be a multiple of `model.heads`, which is {}", self.heads);
            return Err(refused("model.width", &self.width, need));
        }
        if self.positions == Positions::Rotary && !self.head_width().is_multiple_of(2) {
            let need = "must be even times `model.heads` with rotary positions, which turn pairs".to_owned();
            return Err(refused("model.width", &self.width, need));
        }
        if !self.project && self.rank != self.width {
            let need = format!("must be `model.width`, {}, when `model.project` is false", self.width);
            return Err(refused("model.rank", &self.rank, need));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(refused("model.dropout", &self.dropout, "must lie in [0, 1)".to_owned()));
        }
        between("model.horizons", self.horizons, MAX_HORIZONS)?;
        if self.merge_horizons && self.horizons == 1 {
            let need = "merges `model.horizons`, which is 1: set it to 2 or more".to_owned();
            return Err(refused("model.merge_horizons", &true, need));
        }
        self.tower.as_ref().map_or(Ok(()), TowerConfig::validate)?;
        self.parameter_count(0).map(|_| ())
    }

    /// How many trainable numbers a model over `items` items has: item tables, projections, positions, layers.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when they are more than 2^36, or more than can be counted.
    pub fn parameter_count(&self, items: usize) -> Result<usize> {
        let mut total = product(&[self.table_len(items)?, if self.tied { 1 } else { 2 }]);
        for spec in crate::init::specs(self) {
            total = total.zip(product(&[spec.rows, spec.cols])).and_then(|(a, b)| a.checked_add(b));
        }
        total
            .filter(|&count| count <= MAX_PARAMETERS)
            .ok_or(Error::TooLarge { what: "model parameters", items })
    }

    /// How many numbers one item table holds: i · r.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when they are more than 2^36, or the items more than 32 bits can number.
    pub fn table_len(&self, items: usize) -> Result<usize> {
        let fits = u32::try_from(items).is_ok();
        product(&[items, self.rank])
            .filter(|&count| fits && count <= MAX_PARAMETERS)
            .ok_or(Error::TooLarge { what: "item table", items })
    }
}

fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1usize, |total, &factor| total.checked_mul(factor))
}

fn between(key: &'static str, value: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&value) {
        Ok(())
    } else {
        Err(refused(key, &value, format!("must lie in 1..={most}")))
    }
}

fn refused(key: &'static str, value: &impl ToString, need: String) -> Error {
    Error::Config { key, value: value.to_string(), need }
}

#[cfg(test)]
mod tests;
