//! Exploration: noise on the scores, drawn from the request's seed, so that less probable items are seen to be tried.

use upnext_data::chance::{Key, Purpose, unit};
use upnext_kernels::score::Offset;

/// Noise for every item of a catalogue, and how much of it is added.
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    weight: f32,
    /// `(i)` draws from the standard Gumbel distribution.
    of: Vec<f32>,
}

impl Noise {
    /// None where nothing is added.
    pub(crate) fn new(weight: f32, seed: u64, items: usize) -> Option<Self> {
        if weight == 0.0 {
            return None;
        }
        let mut rng = Key { seed, purpose: Purpose::Sampling, step: u64::MAX, part: 0 }.rng();
        let gumbel = |_| -(-unit(&mut rng).max(f64::MIN_POSITIVE).ln()).ln() as f32;
        Some(Self { weight, of: (0..items).map(gumbel).collect() })
    }

    pub(crate) fn offset(&self) -> Offset<'_> {
        Offset { weight: self.weight, of: &self.of }
    }
}
