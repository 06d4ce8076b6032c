//! The `[model.tower]` table.

use serde::{Deserialize, Serialize};

use upnext_data::Modality;

use super::{MAX_WIDTH, between, refused};
use crate::error::Result;

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

    pub(super) fn validate(&self) -> Result<()> {
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
            if !Modality::is_name(name) || self.modalities[..place].iter().any(|(other, _)| other >= name) {
                let need = "must have names of letters, digits, - and _, ascending, each once".to_owned();
                return Err(refused("model.tower.modalities", name, need));
            }
            between("model.tower.modalities", *width, MAX_WIDTH)?;
        }
        Ok(())
    }
}
