//! The `[loss]` table.

use serde::{Deserialize, Serialize};

use upnext_model::ModelConfig;

use super::Refused;

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossConfig {
    /// Sampled or exact.
    pub kind: LossKind,
    /// Where negatives come from; the sampled softmax alone reads this and the next three.
    pub negatives: Negatives,
    /// k: draws a step. A catalogue with fewer items is drawn whole when draws do not repeat.
    pub count: usize,
    /// Who shares a draw.
    pub share: Share,
    /// How logits are corrected for the probability with which negatives were drawn.
    pub correction: Correction,
    /// Weight of the loss that draws what the tower says towards the rows of what is watched beside an item; 0 for none.
    /// See [`crate::align`].
    #[serde(skip_serializing_if = "is_zero")]
    pub align: f64,
    /// By how much, in log-odds, items without a collaborative row are scored above their chance of being watched; 0 for
    /// not at all. In training the logits of hidden items are lowered by it, and the model learns to make up for that
    /// (logit adjustment: Menon et al. 2021, arXiv 2007.07314). A new item's chance spreads over all who might like it, so
    /// without it few reach the top of a list.
    #[serde(skip_serializing_if = "is_zero")]
    pub cold_boost: f64,
    /// With `model.horizons` above 1, what a target counts beside the one an event before it, in (0, 1]: 1 for as much.
    /// Together a position's targets always count 1.
    #[serde(skip_serializing_if = "is_one")]
    pub horizon_decay: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

/// Sampled or exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// The true next item against a draw of negatives.
    #[default]
    SampledSoftmax,
    /// The true next item against the whole catalogue.
    FullSoftmax,
}

/// Where negatives come from. In files: `"uniform"`, `"popularity"` or `"popularity^0.75"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Negatives {
    /// Every item alike, drawn without replacement.
    #[default]
    Uniform,
    /// In proportion to the training count to the power of `alpha`, drawn with replacement; items without training events
    /// are not drawn.
    Popularity {
        /// The power; above 0.
        alpha: f64,
    },
}

/// Who shares a draw of negatives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// All rows of a batch.
    #[default]
    Batch,
}

/// How the sampled softmax is corrected; see [`crate::sampled_softmax`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Not at all: right for uniform negatives.
    None,
    /// Each negative stands for 1 / (k q) items.
    Logq,
    /// The negatives stand for the catalogue without the row's own positive (arXiv 2507.09331).
    Rest,
}

/// What a file may say.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    kind: LossKind,
    negatives: Negatives,
    count: usize,
    share: Share,
    correction: Option<Correction>,
    align: f64,
    cold_boost: f64,
    horizon_decay: f64,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            kind: LossKind::default(),
            negatives: Negatives::default(),
            count: 256,
            share: Share::default(),
            correction: None,
            align: 0.0,
            cold_boost: 0.0,
            horizon_decay: 1.0,
        }
    }
}

impl From<Raw> for LossConfig {
    fn from(raw: Raw) -> Self {
        let usual = match raw.negatives {
            Negatives::Uniform => Correction::None,
            Negatives::Popularity { .. } => Correction::Rest,
        };
        let Raw { kind, negatives, count, share, correction, align, cold_boost, horizon_decay } = raw;
        let correction = correction.unwrap_or(usual);
        Self { kind, negatives, count, share, correction, align, cold_boost, horizon_decay }
    }
}

impl Default for LossConfig {
    fn default() -> Self {
        Raw::default().into()
    }
}

impl<'de> Deserialize<'de> for LossConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Raw::deserialize(deserializer).map(Self::from)
    }
}

/// Most negatives of a step.
const MAX_COUNT: usize = 1 << 20;

impl LossConfig {
    pub(super) fn validate(&self, model: &ModelConfig) -> Result<(), Refused> {
        let tower = model.tower.as_ref();
        if !(self.horizon_decay > 0.0 && self.horizon_decay <= 1.0) {
            return Err(Refused::new("loss.horizon_decay", &self.horizon_decay, "must lie in (0, 1]"));
        }
        if self.horizon_decay < 1.0 && model.horizons == 1 {
            return Err(Refused::new(
                "loss.horizon_decay",
                &self.horizon_decay,
                "weighs horizons, and `model.horizons` is 1",
            ));
        }
        if !(0.0..=100.0).contains(&self.align) {
            return Err(Refused::new("loss.align", &self.align, "must lie in [0, 100]"));
        }
        if self.align > 0.0 && tower.is_none() {
            return Err(Refused::new(
                "loss.align",
                &self.align,
                "aligns a tower, and there is no [model.tower]",
            ));
        }
        if !(0.0..=20.0).contains(&self.cold_boost) {
            return Err(Refused::new("loss.cold_boost", &self.cold_boost, "must lie in [0, 20]"));
        }
        let hides = tower.is_some_and(|tower| tower.mask_output > 0.0);
        if self.cold_boost > 0.0 && !(hides && self.kind == LossKind::SampledSoftmax) {
            return Err(Refused::new(
                "loss.cold_boost",
                &self.cold_boost,
                "lowers items that model.tower.mask_output hides, in the sampled softmax; one of these is missing",
            ));
        }
        if !(1..=MAX_COUNT).contains(&self.count) {
            return Err(Refused::new("loss.count", &self.count, format!("must lie in 1..={MAX_COUNT}")));
        }
        match self.negatives {
            Negatives::Popularity { alpha } if !(alpha > 0.0 && alpha <= 4.0) => Err(Refused::new(
                "loss.negatives",
                &self.negatives,
                "must have a power above 0 and at most 4",
            )),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Negatives {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uniform => write!(f, "uniform"),
            Self::Popularity { alpha } => write!(f, "popularity^{alpha}"),
        }
    }
}

/// A value of `loss.negatives` that is none.
#[derive(Debug, thiserror::Error)]
#[error("unknown negatives `{0}`, expected `uniform`, `popularity` or `popularity^0.75`")]
pub struct UnknownNegatives(String);

impl TryFrom<String> for Negatives {
    type Error = UnknownNegatives;

    fn try_from(id: String) -> Result<Self, UnknownNegatives> {
        match id.strip_prefix("popularity") {
            _ if id == "uniform" => return Ok(Self::Uniform),
            Some("") => return Ok(Self::Popularity { alpha: 1.0 }),
            Some(power) => {
                if let Some(alpha) = power.strip_prefix('^').and_then(|power| power.parse().ok()) {
                    return Ok(Self::Popularity { alpha });
                }
            }
            None => {}
        }
        Err(UnknownNegatives(id))
    }
}

impl From<Negatives> for String {
    fn from(negatives: Negatives) -> Self {
        negatives.to_string()
    }
}
