//! The sizes and switches of a model, valid by construction.
//!
//! Names are those of the `[model]` table of a run's configuration and of `config.json` in a model folder.
//! Letters: d width · h heads · e head width · l layers · m hidden width · r rank · i items · T window.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Largest width of any axis of a layer (d, m, r).
const MAX_WIDTH: usize = 1 << 16;
/// Largest number of layers.
const MAX_LAYERS: usize = 1 << 10;
/// Largest window.
const MAX_WINDOW: usize = 1 << 20;
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
    /// What lifts item vectors by what items are like; none for a model of ids alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tower: Option<TowerConfig>,
}

/// The semantic tower: item vectors out of features, and how the collaborative rows are hidden in training, so that the
/// decoder learns to read items that have none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TowerConfig {
    /// Width between the two products of each modality's network, which stands beside a linear map.
    pub hidden: usize,
    /// Chance that an item is read without its collaborative row, in [0, 1).
    pub mask_input: f32,
    /// Chance that an item is scored without its collaborative row, in [0, 1).
    pub mask_output: f32,
    /// Decoupled weight decay of the tower's matrices in training, beside that of all others. The more, the less a tower
    /// learns its items by heart instead of what they share, and the less it dares to say of an item alone: orders among
    /// cold items get better, and fewer of these reach the top of all (see `loss.cold_boost` of a run's configuration).
    pub weight_decay: f32,
    /// The same of the item rows that a step touches: above 0, rows are kept small deltas beside what features say, the idea
    /// of arXiv 2507.19473, to compare with masking. 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub row_weight_decay: f32,
    /// Items with fewer training events are served without their collaborative row.
    pub cold_below: u64,
    /// Above 0, a row of an item with c training events counts c / (c + gate), in training and in serving, and what
    /// stands in for it the rest: a gate by count, to compare with masking. 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub gate: f32,
    /// Names and widths of the modalities, in byte order of the names; filled in from the features when training starts.
    pub modalities: Vec<(String, usize)>,
}

impl Default for TowerConfig {
    fn default() -> Self {
        Self {
            hidden: 16,
            mask_input: 0.1,
            mask_output: 0.1,
            weight_decay: 0.3,
            row_weight_decay: 0.0,
            cold_below: 1,
            gate: 0.0,
            modalities: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

impl TowerConfig {
    /// Whether rows are ever hidden in training, wholly or in part, so that what stands in for them is trained.
    #[must_use]
    pub fn trains_stand_in(&self) -> bool {
        self.mask_input > 0.0 || self.mask_output > 0.0 || self.gate > 0.0
    }

    /// How much of its row counts for an item with so many training events; none where all of it does.
    #[must_use]
    pub fn share(&self, count: u64) -> Option<f32> {
        (self.gate > 0.0).then(|| count as f32 / (count as f32 + self.gate))
    }

    fn validate(&self) -> Result<()> {
        between("model.tower.hidden", self.hidden, MAX_WIDTH)?;
        for (key, rate) in
            [("model.tower.mask_input", self.mask_input), ("model.tower.mask_output", self.mask_output)]
        {
            if !(0.0..1.0).contains(&rate) {
                return Err(refused(key, &rate, "must lie in [0, 1)".to_owned()));
            }
        }
        for (key, decay) in [
            ("model.tower.weight_decay", self.weight_decay),
            ("model.tower.row_weight_decay", self.row_weight_decay),
        ] {
            if !(0.0..=10.0).contains(&decay) {
                return Err(refused(key, &decay, "must lie in [0, 10]".to_owned()));
            }
        }
        if !(0.0..f32::INFINITY).contains(&self.gate) {
            return Err(refused("model.tower.gate", &self.gate, "must be a number from 0 up".to_owned()));
        }
        if self.cold_below == 0 {
            return Err(refused("model.tower.cold_below", &0, "must be at least 1".to_owned()));
        }
        for (place, (name, width)) in self.modalities.iter().enumerate() {
            let plain = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !plain || self.modalities[..place].iter().any(|(other, _)| other >= name) {
                let need = "must have names of letters, digits, - and _, ascending, each once".to_owned();
                return Err(refused("model.tower.modalities", name, need));
            }
            between("model.tower.modalities", *width, MAX_WIDTH)?;
        }
        Ok(())
    }
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
            tower,
        } = ModelConfig::default();
        Self { block, layers, width, heads, hidden, rank, project, window, positions, dropout, tied, tower }
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
mod tests {
    use super::*;

    fn parse(json: &str) -> std::result::Result<ModelConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(parse("{}").unwrap(), ModelConfig::default());
    }

    #[test]
    fn a_configuration_survives_json() {
        let config =
            ModelConfig { positions: Positions::Rotary, dropout: 0.1, tied: false, ..Default::default() };
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn each_bad_value_is_refused_by_name() {
        for (json, named) in [
            (r#"{"layers": 0}"#, "model.layers"),
            (r#"{"width": 1099511627776}"#, "model.width"),
            (r#"{"width": 65536, "rank": 65536, "hidden": 65536, "layers": 1024}"#, "model parameters"),
            (r#"{"heads": 3}"#, "model.width"),
            (r#"{"heads": 0}"#, "model.heads"),
            (r#"{"width": 6, "heads": 2, "positions": "rotary"}"#, "model.width"),
            (r#"{"project": false, "rank": 32}"#, "model.rank"),
            (r#"{"dropout": 1.0}"#, "model.dropout"),
            (r#"{"dropout": -0.1}"#, "model.dropout"),
            (r#"{"window": 0}"#, "model.window"),
            (r#"{"layer": 2}"#, "layer"),
            (r#"{"block": "recurrent"}"#, "recurrent"),
            (r#"{"rank": -1}"#, "-1"),
            (r#"{"tower": {"hidden": 0}}"#, "model.tower.hidden"),
            (r#"{"tower": {"mask_input": 1.0}}"#, "model.tower.mask_input"),
            (r#"{"tower": {"weight_decay": -1}}"#, "model.tower.weight_decay"),
            (r#"{"tower": {"row_weight_decay": 11}}"#, "model.tower.row_weight_decay"),
            (r#"{"tower": {"cold_below": 0}}"#, "model.tower.cold_below"),
            (r#"{"tower": {"modalities": [["b", 2], ["a", 2]]}}"#, "ascending"),
            (r#"{"tower": {"modalities": [["a/b", 2]]}}"#, "letters"),
            (r#"{"tower": {"gate": -1.0}}"#, "model.tower.gate"),
            (r#"{"tower": {"depth": 2}}"#, "depth"),
        ] {
            let message = parse(json).unwrap_err();
            assert!(message.contains(named), "{json}: {message}");
        }
    }

    #[test]
    fn parameters_of_a_small_model_are_counted_by_hand() {
        let config = ModelConfig {
            layers: 1,
            width: 4,
            heads: 2,
            hidden: 3,
            rank: 2,
            window: 5,
            ..ModelConfig::default()
        };
        // table 10·2, project_in 4·2, head 2·4, positions 5·4, qkv 12·4, out 4·4, gate_up 6·4, down 4·3
        assert_eq!(config.parameter_count(10).unwrap(), 20 + 8 + 8 + 20 + 48 + 16 + 24 + 12);
        assert!(matches!(config.parameter_count(1 << 40), Err(Error::TooLarge { .. })));
    }
}
