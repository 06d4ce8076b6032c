//! Negatives: which items a step scores beside the true ones, and the probability with which each was drawn.
//!
//! A draw is a pure function of (seed, step). It knows no tensors and no targets; accidental hits are the loss's
//! business.

use std::collections::BTreeSet;

use upnext_data::chance::{Key, Purpose, below, unit};

use crate::config::Negatives;

/// One step's negatives, shared by all its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The items drawn, ascending, each once.
    pub ids: Vec<u32>,
    /// How often each was drawn.
    pub times: Vec<u32>,
    /// k: draws in all, the sum of `times`.
    pub draws: usize,
}

/// Draws negatives and knows their probabilities.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// How many items may be drawn.
    items: usize,
    draws: usize,
    proposal: Proposal,
    /// The items that may be drawn, where they are not all.
    trained: Option<Vec<u32>>,
}

#[derive(Clone, Debug)]
enum Proposal {
    /// Each item alike, without replacement.
    Uniform,
    /// By the table, with replacement; `log_q` `(i)`.
    Weighted { table: Alias, log_q: Vec<f32> },
}

impl Sampler {
    /// A sampler of `count` draws over the items counted in `counts` `(i)`.
    ///
    /// Uniform draws do not repeat, so a catalogue with at most `count` items is drawn whole. Items without a training
    /// event are never drawn: they are served without their row of the table, and what is known of them otherwise must
    /// not be learned from as if nobody had wanted them.
    #[must_use]
    pub fn new(negatives: Negatives, count: usize, counts: &[u64]) -> Self {
        let cold = counts.contains(&0);
        let trained = cold.then(|| (0..counts.len() as u32).filter(|&id| counts[id as usize] > 0).collect());
        let items = trained.as_ref().map_or(counts.len(), Vec::len);
        match negatives {
            Negatives::Uniform => {
                Self { items, draws: count.min(items), proposal: Proposal::Uniform, trained }
            }
            Negatives::Popularity { alpha } => {
                let weight = |&count: &u64| if count == 0 { 0.0 } else { (count as f64).powf(alpha) };
                let weights: Vec<f64> = counts.iter().map(weight).collect();
                let total: f64 = weights.iter().sum();
                let log_q = weights.iter().map(|weight| (weight / total).ln() as f32).collect();
                let draws = if items == 0 { 0 } else { count };
                let proposal = Proposal::Weighted { table: Alias::new(&weights), log_q };
                Self { items, draws, proposal, trained: None }
            }
        }
    }

    /// k: draws of a step.
    #[must_use]
    pub fn draws(&self) -> usize {
        self.draws
    }

    /// Natural log of q(item), the probability of one draw.
    ///
    /// # Panics
    /// When there is no such item.
    #[must_use]
    pub fn log_q(&self, item: u32) -> f32 {
        match &self.proposal {
            Proposal::Uniform => match &self.trained {
                Some(trained) if trained.binary_search(&item).is_err() => f32::NEG_INFINITY,
                _ => -(self.items as f64).ln() as f32,
            },
            Proposal::Weighted { log_q, .. } => log_q[item as usize],
        }
    }

    /// The negatives of a step.
    #[must_use]
    pub fn draw(&self, seed: u64, step: u64) -> Draw {
        let mut rng = Key { seed, purpose: Purpose::Negatives, step, part: 0 }.rng();
        match &self.proposal {
            Proposal::Uniform => {
                // Floyd's subset: draw j from the first j + 1 items, and take j itself when that one is in already.
                let mut drawn = BTreeSet::new();
                for j in self.items - self.draws..self.items {
                    let item = below(&mut rng, j as u64 + 1) as u32;
                    if !drawn.insert(item) {
                        drawn.insert(j as u32);
                    }
                }
                let id = |drawn: u32| self.trained.as_ref().map_or(drawn, |trained| trained[drawn as usize]);
                let ids: Vec<u32> = drawn.into_iter().map(id).collect();
                Draw { times: vec![1; ids.len()], ids, draws: self.draws }
            }
            Proposal::Weighted { table, .. } => {
                let mut all: Vec<u32> = (0..self.draws).map(|_| table.draw(&mut rng)).collect();
                all.sort_unstable();
                let mut times: Vec<u32> = Vec::new();
                let mut ids: Vec<u32> = Vec::new();
                for item in all {
                    match (ids.last(), times.last_mut()) {
                        (Some(&last), Some(count)) if last == item => *count += 1,
                        _ => {
                            ids.push(item);
                            times.push(1);
                        }
                    }
                }
                Draw { ids, times, draws: self.draws }
            }
        }
    }
}

/// Draws from a fixed distribution in constant time (Walker 1977, in Vose's form of 1991).
#[derive(Clone, Debug)]
struct Alias {
    /// The probability of staying at a place once it was drawn.
    stay: Vec<f32>,
    /// Where to go otherwise.
    other: Vec<u32>,
}

impl Alias {
    fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut stay = vec![1.0; weights.len()];
        let mut other: Vec<u32> = (0..weights.len() as u32).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            other.iter().partition(|&&j| scaled[j as usize] < 1.0);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            let (at, from) = (poor as usize, rich as usize);
            (stay[at], other[at]) = (scaled[at] as f32, rich);
            scaled[from] -= 1.0 - scaled[at];
            if scaled[from] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        // Rounding may leave an item without weight alone at its place.
        let rich = (0..weights.len() as u32).find(|&j| weights[j as usize] > 0.0);
        for (at, _) in weights.iter().enumerate().filter(|(_, weight)| **weight == 0.0) {
            if let (true, Some(rich)) = (stay[at] > 0.0, rich) {
                (stay[at], other[at]) = (0.0, rich);
            }
        }
        Self { stay, other }
    }

    fn draw(&self, rng: &mut impl rand::RngCore) -> u32 {
        let at = below(rng, self.stay.len() as u64) as usize;
        if unit(rng) < f64::from(self.stay[at]) { at as u32 } else { self.other[at] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each item was drawn over many steps.
    fn frequencies(sampler: &Sampler, items: usize, steps: u64) -> Vec<f64> {
        let mut seen = vec![0_u64; items];
        for step in 0..steps {
            let draw = sampler.draw(5, step);
            assert_eq!(draw.times.iter().sum::<u32>() as usize, draw.draws);
            assert!(draw.ids.is_sorted_by(|a, b| a < b), "ascending, each once");
            draw.ids.iter().zip(&draw.times).for_each(|(&id, &times)| seen[id as usize] += u64::from(times));
        }
        let total: u64 = seen.iter().sum();
        seen.iter().map(|&count| count as f64 / total as f64).collect()
    }

    #[test]
    fn draw_frequency_matches_q() {
        let counts = [900, 100, 0, 30, 5, 1, 400, 400];
        for negatives in
            [Negatives::Uniform, Negatives::Popularity { alpha: 1.0 }, Negatives::Popularity { alpha: 0.5 }]
        {
            let sampler = Sampler::new(negatives, 4, &counts);
            let found = frequencies(&sampler, counts.len(), 50_000);
            for (item, found) in found.iter().enumerate() {
                let q = f64::from(sampler.log_q(item as u32)).exp();
                // Five standard deviations of the frequency in 200,000 draws.
                let bound = 5.0 * (q * (1.0 - q) / 2e5).sqrt();
                assert!((found - q).abs() <= bound, "{negatives}, item {item}: {found} against {q}");
            }
        }
    }

    #[test]
    fn items_that_never_trained_are_never_drawn() {
        let counts: Vec<u64> = (0..100).map(|item| if item % 3 == 0 { 0 } else { item }).collect();
        for negatives in [Negatives::Uniform, Negatives::Popularity { alpha: 0.5 }] {
            let sampler = Sampler::new(negatives, 500, &counts);
            for step in 0..50 {
                let draw = sampler.draw(1, step);
                assert!(draw.ids.iter().all(|&id| counts[id as usize] > 0), "{negatives}");
            }
            assert_eq!(sampler.log_q(3), f32::NEG_INFINITY);
        }
        let whole = Sampler::new(Negatives::Uniform, 500, &counts).draw(1, 0).ids;
        assert_eq!(whole.len(), 66);
    }

    #[test]
    fn probabilities_sum_to_one() {
        let counts: Vec<u64> = (0..1000).map(|j| 1 + j * j % 97).collect();
        let sampler = Sampler::new(Negatives::Popularity { alpha: 0.75 }, 4, &counts);
        let total: f64 = (0..1000).map(|item| f64::from(sampler.log_q(item)).exp()).sum();
        assert!((total - 1.0).abs() < 1e-5, "{total}");
    }

    #[test]
    fn uniform_draws_are_distinct_and_a_small_catalogue_is_drawn_whole() {
        let sampler = Sampler::new(Negatives::Uniform, 50, &[1; 60]);
        for step in 0..200 {
            assert_eq!(sampler.draw(1, step).ids.len(), 50);
        }
        let whole = Sampler::new(Negatives::Uniform, 500, &[1; 60]);
        assert_eq!(whole.draw(1, 0).ids, (0..60).collect::<Vec<u32>>());
        assert_eq!(whole.draws(), 60);
    }

    #[test]
    fn a_step_always_draws_the_same_and_steps_differ() {
        let sampler = Sampler::new(Negatives::Uniform, 20, &[1; 1000]);
        assert_eq!(sampler.draw(1, 7), sampler.draw(1, 7));
        assert_ne!(sampler.draw(1, 7), sampler.draw(1, 8));
        assert_ne!(sampler.draw(1, 7), sampler.draw(2, 7));
    }

    #[test]
    fn an_alias_table_of_one_item_draws_it() {
        let sampler = Sampler::new(Negatives::Popularity { alpha: 1.0 }, 3, &[7]);
        assert_eq!(sampler.draw(1, 0), Draw { ids: vec![0], times: vec![3], draws: 3 });
        assert_eq!(sampler.log_q(0), 0.0);
    }
}
