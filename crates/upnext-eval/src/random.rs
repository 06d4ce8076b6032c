//! The baseline that knows nothing: an order of the catalogue drawn anew for each question.

use rand::RngCore;
use upnext_data::ItemId;
use upnext_data::chance::{Key, Purpose};

use crate::scorer::check_call;
use crate::{Result, Scorer};

/// Scores every item by a draw of the question and the item: the same for the same seed, input and item.
///
/// Among n items its expected HR@k is k / n, which is what a cold item gets from a system that cannot tell cold items
/// apart.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    items: usize,
    seed: u64,
}

impl Random {
    /// Over `items` items.
    pub fn new(items: usize, seed: u64) -> Self {
        Self { items, seed }
    }
}

impl Scorer for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn items(&self) -> usize {
        self.items
    }

    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        check_call(inputs, self.items, self.name(), out)?;
        for (input, row) in inputs.iter().zip(out.chunks_exact_mut(self.items.max(1))) {
            let key = Key {
                seed: self.seed,
                purpose: Purpose::Sampling,
                step: input.len() as u64,
                part: fold(input),
            };
            let mut rng = key.rng();
            // Item j takes draw j; an f32 holds 24 bits of it.
            row.iter_mut().for_each(|score| *score = (rng.next_u32() >> 8) as f32);
        }
        Ok(())
    }
}

/// A number for a sequence of items (FNV-1a over ids; Fowler, Noll and Vo 1991). The key's cipher does the mixing.
fn fold(input: &[ItemId]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, item| {
        (hash ^ u64::from(item.0)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(seed: u64, input: &[u32]) -> Vec<f32> {
        let input: Vec<ItemId> = input.iter().map(|&item| ItemId(item)).collect();
        let mut out = vec![0.0; 1_000];
        Random::new(1_000, seed).score(&[&input], &mut out).unwrap();
        out
    }

    #[test]
    fn a_draw_depends_on_the_seed_the_input_and_the_item_and_on_nothing_else() {
        assert_eq!(scores(1, &[3, 5]), scores(1, &[3, 5]));
        for other in [scores(2, &[3, 5]), scores(1, &[5, 3]), scores(1, &[3]), scores(1, &[3, 5, 5])] {
            assert_ne!(scores(1, &[3, 5]), other);
        }
        let mut sorted = scores(1, &[3, 5]);
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.dedup();
        assert!(sorted.len() > 995, "{} of 1,000 differ", sorted.len());
    }

    #[test]
    fn every_place_is_as_likely_as_another() {
        // 2,000 questions; item 0 is among the best tenth in 200 ± 5 standard deviations of 13.4.
        let within = (0..2_000)
            .filter(|&question| {
                let scores = scores(7, &[question % 1_000, question / 1_000]);
                scores.iter().filter(|&&score| score >= scores[0]).count() <= 100
            })
            .count();
        assert!(within.abs_diff(200) < 67, "{within}");
    }
}
