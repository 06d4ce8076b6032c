//! Dropout as a pure function of a key: which values of a step are dropped, site by site.
//!
//! Nothing is drawn here and nothing is kept: a mask is a hash of (seed, step, site, layer, element), so threads,
//! lanes, resume and recomputation in the backward all see the same one. Kept values are scaled by `1 / (1 - rate)`
//! (Srivastava et al. 2014, "Dropout", in the inverted form), so that serving applies nothing.
//!
//! Elements: for tokens `global token index · width + column`; for attention probabilities
//! (history, head, query position, key position), the history mixed into the key.

use upnext_data::chance::{Key, Purpose};
use upnext_kernels::dropout::Mask;

/// Where in the model values are dropped; each site has masks of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Item embeddings, after positions were added.
    Embedding,
    /// Attention probabilities.
    Probabilities,
    /// What attention adds to the residual stream.
    AttentionOutput,
    /// What the feed-forward sub-layer adds to the residual stream.
    MlpOutput,
}

/// Dropout of one training step. A model that serves or is evaluated has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drop {
    /// The run's seed.
    pub seed: u64,
    /// The training step, counted over the whole run.
    pub step: u64,
    /// Probability with which a value is dropped, in `[0, 1)`.
    pub rate: f32,
}

impl Drop {
    /// The mask of one site in one layer; `None` at rate 0, where nothing is dropped.
    pub fn mask(&self, site: Site, layer: usize) -> Option<Mask> {
        if self.rate <= 0.0 {
            return None;
        }
        let site = match site {
            Site::Embedding => 0_u64,
            Site::Probabilities => 1,
            Site::AttentionOutput => 2,
            Site::MlpOutput => 3,
        };
        let part = (site << 32) | layer as u64;
        let key = Key { seed: self.seed, purpose: Purpose::Dropout, step: self.step, part };
        Some(Mask { key: key.hash(), rate: self.rate })
    }
}

/// The mask of one history's attention probabilities, out of its layer's mask.
///
/// `history` counts over the whole batch, so how a batch is cut into lanes changes nothing.
pub fn of_history(mask: Mask, history: usize) -> Mask {
    mask.part(history as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROP: Drop = Drop { seed: 7, step: 3, rate: 0.25 };

    #[test]
    fn sites_layers_and_steps_have_masks_of_their_own() {
        let key = |drop: Drop, site, layer| drop.mask(site, layer).unwrap().key;
        let base = key(DROP, Site::Embedding, 0);
        assert_ne!(base, key(DROP, Site::MlpOutput, 0));
        assert_ne!(base, key(DROP, Site::Embedding, 1));
        assert_ne!(base, key(Drop { step: 4, ..DROP }, Site::Embedding, 0));
        assert_eq!(base, key(DROP, Site::Embedding, 0));
    }

    #[test]
    fn rate_zero_has_no_mask() {
        assert!(Drop { rate: 0.0, ..DROP }.mask(Site::Embedding, 0).is_none());
    }

    #[test]
    fn a_quarter_is_dropped_and_the_rest_is_scaled_up() {
        let mask = of_history(DROP.mask(Site::Probabilities, 1).unwrap(), 5);
        let scales: Vec<f32> = (0..100_000).map(|index| mask.scale(index)).collect();
        let dropped = scales.iter().filter(|&&scale| scale == 0.0).count();
        assert!((24_000..26_000).contains(&dropped), "{dropped} of 100000 dropped at rate 0.25");
        assert!(scales.iter().all(|&scale| scale == 0.0 || (scale - 4.0 / 3.0).abs() < 1e-6));
    }

    #[test]
    fn histories_drop_different_elements() {
        let mask = DROP.mask(Site::Probabilities, 0).unwrap();
        let row =
            |history| (0..64).map(|index| of_history(mask, history).scale(index) > 0.0).collect::<Vec<_>>();
        assert_ne!(row(0), row(1));
    }
}
