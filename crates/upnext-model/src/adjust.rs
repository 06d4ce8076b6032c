//! Moving scores in serving: new items up, popular ones down, without training.
//!
//! To a score is added what the item's kind and count say (logit adjustment after training: Menon et al. 2021,
//! arXiv 2007.07314). A calibrated model spreads the little chance of new items over all of them, so that next to none
//! stands in a list; whoever wants them seen says by how much.

use upnext_kernels::score::Offset;

use crate::config::ModelConfig;

/// By how much scores are moved; nothing unless told.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Adjustment {
    /// Added to the scores of cold items, those with fewer training events than `model.tower.cold_below` (1 in a model
    /// without a tower): their log-odds against warm ones.
    pub cold_boost: f32,
    /// Taken off each score for each natural logarithm of 1 + the item's training events.
    pub popularity_penalty: f32,
}

impl Adjustment {
    /// Whether scores stay as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.cold_boost == 0.0 && self.popularity_penalty == 0.0
    }

    /// Whether both numbers are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.cold_boost.is_finite() && self.popularity_penalty.is_finite()
    }
}

/// What adjustments read of the items.
#[derive(Clone, Debug)]
pub struct Adjusting {
    /// `(i)`: 1 for a cold item, 0 for a warm one.
    cold: Vec<f32>,
    /// `(i)`: -ln(1 + training events).
    rarity: Vec<f32>,
}

impl Adjusting {
    /// Reads them off the training events `(i)` of a model's items.
    #[must_use]
    pub fn new(config: &ModelConfig, counts: &[u64]) -> Self {
        let below = config.tower.as_ref().map_or(1, |tower| tower.cold_below);
        let cold = counts.iter().map(|&count| f32::from(u8::from(count < below))).collect();
        let rarity = counts.iter().map(|&count| -(count as f64).ln_1p() as f32).collect();
        Self { cold, rarity }
    }

    /// What an adjustment adds to scores, in the order in which it is added; nothing where it moves nothing.
    #[must_use]
    pub fn offsets(&self, by: Adjustment) -> Vec<Offset<'_>> {
        [(by.cold_boost, &self.cold), (by.popularity_penalty, &self.rarity)]
            .into_iter()
            .filter(|(weight, _)| *weight != 0.0)
            .map(|(weight, of)| Offset { weight, of })
            .collect()
    }
}
