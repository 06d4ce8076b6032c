//! The targets of several horizons: horizon j's at a token is the j-th event after it (Gloeckle et al. 2024,
//! arXiv 2404.19737, for text).
//!
//! A target lies within the same training sequence, whatever window it was cut to, so nothing that a protocol holds out is
//! one. Near the end of a sequence the far horizons have none. What a token's targets count falls by `loss.horizon_decay`
//! from one to the next, and together they count 1, so that a token near the end counts as much as another. Letters: n
//! tokens · N targets · K horizons.

use upnext_data::{Batch, ItemId};
use upnext_model::{ModelConfig, Reads};

use crate::{Result, RunConfig};

/// Asks a step's tokens for the events to come.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    model: ModelConfig,
    /// `(K)` what a target of each horizon counts beside the others.
    weights: Vec<f64>,
}

/// What is asked of a step's states.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `(N)` true items, a token's one after the other.
    pub(crate) targets: Vec<u32>,
    /// `(N)` how much each counts.
    pub(crate) shares: Vec<f32>,
    /// `(N)` of which state.
    pub(crate) reads: Reads,
}

impl Ahead {
    /// None where only the next item is asked for.
    pub(crate) fn new(config: &RunConfig) -> Option<Self> {
        let horizons = config.model.horizons;
        let weight = |horizon: usize| config.loss.horizon_decay.powi(horizon as i32);
        (horizons > 1)
            .then(|| Self { model: config.model.clone(), weights: (0..horizons).map(weight).collect() })
    }

    /// # Errors
    /// When the batch has more tokens than can be numbered.
    pub(crate) fn ask(&self, batch: &Batch) -> Result<Asked> {
        let (mut targets, mut shares) = (Vec::new(), Vec::new());
        let (mut tokens, mut horizons) = (Vec::new(), Vec::new());
        for (window, bounds) in batch.offsets.windows(2).enumerate() {
            for token in bounds[0]..bounds[1] {
                let before = targets.len();
                let next = batch.ahead(window, token).take(self.weights.len());
                targets.extend(next.map(|ItemId(id)| id));
                let weights = &self.weights[..targets.len() - before];
                let sum: f64 = weights.iter().sum();
                shares.extend(weights.iter().map(|weight| (weight / sum) as f32));
                horizons.extend(0..weights.len() as u32);
                tokens.resize(targets.len(), token as u32);
            }
        }
        let reads = Reads::new(&tokens, &horizons, batch.tokens.len(), &self.model)?;
        Ok(Asked { targets, shares, reads })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch_of;

    fn asked(text: &str) -> Asked {
        let config = RunConfig::from_toml(text, "ahead.toml".as_ref()).unwrap();
        // Two windows of one sequence 1 2 3 4 5 6, and one of 7 8.
        let mut batch = batch_of(&[&[1, 2, 3, 4], &[4, 5, 6], &[7, 8]]);
        (batch.beyond, batch.beyond_offsets) = (vec![ItemId(5), ItemId(6)], vec![0, 2, 2, 2]);
        Ahead::new(&config).unwrap().ask(&batch).unwrap()
    }

    #[test]
    fn a_target_is_in_the_sequence_whatever_the_window() {
        let asked = asked("[model]\nhorizons = 3");
        let expected = [&[2, 3, 4][..], &[3, 4, 5], &[4, 5, 6], &[5, 6], &[6], &[8]].concat();
        assert_eq!(asked.targets, expected);
        assert_eq!(asked.reads.len(), expected.len());
    }

    #[test]
    fn the_targets_of_a_token_count_one_together() {
        let (third, half) = (1.0 / 3.0, 0.5);
        let nine = [third; 9];
        assert_eq!(asked("[model]\nhorizons = 3").shares, [&nine[..], &[half, half, 1.0, 1.0]].concat());
        let decayed = asked("[model]\nhorizons = 3\n[loss]\nhorizon_decay = 0.5").shares;
        let first = [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0];
        assert_eq!(decayed, [&first[..], &first, &first, &[2.0 * third, third, 1.0, 1.0]].concat());
    }

    #[test]
    fn one_horizon_asks_for_nothing_more() {
        assert!(Ahead::new(&RunConfig::default()).is_none());
    }
}
