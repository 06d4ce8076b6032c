//! Chance is a key: a draw is a pure function of (seed, purpose, step, part).
//!
//! No generator is carried through the program, so threads, resume and recomputation cannot move a number.
//! The generator is `ChaCha8` (Bernstein 2008): the key's numbers are its 256-bit key, the purpose its stream, so
//! two keys that differ anywhere give unrelated draws.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a draw is for. Each purpose has its own `ChaCha8` stream; the numbers are part of what a seed means.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// First values of parameters and tables.
    Init = 1,
    /// The order of training windows within an epoch.
    Order = 2,
    /// Where long training sequences are cut.
    Windows = 3,
    /// Dropout masks.
    Dropout = 4,
    /// Sampled negatives.
    Negatives = 5,
    /// Which collaborative rows are hidden.
    Masking = 6,
    /// Bootstrap resamples of users.
    Bootstrap = 7,
    /// Sampled lists.
    Sampling = 8,
    /// The generated streaming world.
    World = 9,
    /// Which items a cold protocol holds out.
    Cold = 10,
    /// Which old histories train again.
    Replay = 11,
}

/// Names one draw.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// What the draw is for.
    pub purpose: Purpose,
    /// When: a step, an epoch, a resample.
    pub step: u64,
    /// Where: a layer, a user, a parameter by [`name_key`].
    pub part: u64,
}

impl Key {
    /// The generator of this key, at its start.
    #[must_use]
    pub fn rng(&self) -> ChaCha8Rng {
        let mut bytes = [0; 32];
        for (slot, number) in bytes.chunks_exact_mut(8).zip([self.seed, self.step, self.part, TAG]) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(bytes);
        rng.set_stream(self.purpose as u64);
        rng
    }

    /// The first 64 bits of the key's stream: a key for stateless masks.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.rng().next_u64()
    }
}

/// Fills the fourth word of a `ChaCha8` key, so that our streams are ours.
const TAG: u64 = u64::from_le_bytes(*b"upnext 1");

/// A stable number for a name (the first 64 bits of its blake3), for [`Key::part`].
#[must_use]
pub fn name_key(name: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// A uniform draw from `0..bound` without bias (Lemire 2019, arXiv 1805.10941); 0 when the bound is 0.
///
/// Written out here rather than taken from a crate, so that a seed keeps its meaning when the crate changes.
pub fn below(rng: &mut impl RngCore, bound: u64) -> u64 {
    let mut wide = u128::from(rng.next_u64()) * u128::from(bound);
    if (wide as u64) < bound {
        let reject = bound.wrapping_neg() % bound.max(1);
        while (wide as u64) < reject {
            wide = u128::from(rng.next_u64()) * u128::from(bound);
        }
    }
    (wide >> 64) as u64
}

/// A uniform draw from [0, 1) with 53 bits.
pub fn unit(rng: &mut impl RngCore) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Puts the values into a uniformly drawn order (Fisher and Yates 1938, in Durstenfeld's form).
pub fn shuffle<T>(rng: &mut impl RngCore, values: &mut [T]) {
    for last in (1..values.len()).rev() {
        values.swap(last, below(rng, last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { seed: 7, purpose: Purpose::Order, step: 3, part: 1 };

    #[test]
    fn a_key_always_draws_the_same_and_every_field_matters() {
        assert_eq!(KEY.hash(), KEY.hash());
        let others = [
            Key { seed: 8, ..KEY },
            Key { purpose: Purpose::Windows, ..KEY },
            Key { step: 4, ..KEY },
            Key { part: 2, ..KEY },
            Key { step: 1, part: 3, ..KEY },
        ];
        for other in others {
            assert_ne!(KEY.hash(), other.hash(), "{other:?}");
        }
    }

    #[test]
    fn a_seed_keeps_its_meaning_between_versions() {
        assert_eq!(name_key("decoder.0.mlp.down"), NAME_GOLDEN);
        assert_eq!(KEY.hash(), HASH_GOLDEN);
        let mut order = [0, 1, 2, 3, 4, 5, 6, 7];
        shuffle(&mut KEY.rng(), &mut order);
        assert_eq!(order, ORDER_GOLDEN);
    }

    const NAME_GOLDEN: u64 = 17_561_420_515_018_793_649;
    // From an independent ChaCha8 in Python.
    const HASH_GOLDEN: u64 = 17_219_667_421_996_736_086;
    const ORDER_GOLDEN: [u8; 8] = [2, 0, 6, 4, 5, 1, 3, 7];

    #[test]
    fn draws_below_a_bound_are_even() {
        let (mut rng, mut seen) = (KEY.rng(), [0_u32; 6]);
        for _ in 0..60_000 {
            seen[below(&mut rng, 6) as usize] += 1;
        }
        // Five standard deviations of a binomial count with mean 10,000.
        assert!(seen.iter().all(|&count| count.abs_diff(10_000) < 460), "{seen:?}");
        assert_eq!(below(&mut rng, 0), 0);
        assert_eq!(below(&mut rng, 1), 0);
    }

    #[test]
    fn a_unit_draw_stays_below_one() {
        let mut rng = KEY.rng();
        let mean =
            (0..10_000).map(|_| unit(&mut rng)).inspect(|x| assert!((0.0..1.0).contains(x))).sum::<f64>();
        assert!((mean / 10_000.0 - 0.5).abs() < 0.02);
    }
}
