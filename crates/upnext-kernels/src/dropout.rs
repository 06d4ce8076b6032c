//! Dropout masks without state: an element is kept by a hash of a key and its index.
//!
//! Nothing is stored between forward and backward, and the element's fate does not depend on who asks, in which
//! order or on which thread.

use crate::level::{Chosen, simd};

/// A dropout mask: which elements stay, and by how much they grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    /// What the mask is drawn from; equal keys give equal masks.
    pub key: u64,
    /// The chance that an element is dropped, in `0.0..1.0`. At 0 the mask is the identity.
    pub rate: f32,
}

impl Mask {
    /// The mask of one part (a history, a layer) of what this one covers: the same rate, a key of its own.
    pub fn part(&self, part: u64) -> Mask {
        Mask { key: mix(self.key ^ mix(part.wrapping_add(0x9e37_79b9_7f4a_7c15))), rate: self.rate }
    }

    /// 0 for a dropped element, `1 / (1 - rate)` for one that stays.
    pub fn scale(&self, index: u64) -> f32 {
        let row = self.row(index >> 32);
        row.scale(index as u32)
    }

    /// Multiplies `x` by the scales of the indices from `first_index` on.
    pub fn apply(&self, x: &mut [f32], first_index: u64) {
        let (mut x, mut index) = (x, first_index);
        while !x.is_empty() {
            let left_in_row = (1u64 << 32) - (index & u64::from(u32::MAX));
            let count = x.len().min(usize::try_from(left_in_row).unwrap_or(usize::MAX));
            let (now, later) = x.split_at_mut(count);
            self.run(now, index >> 32, index as u32);
            x = later;
            index = index.wrapping_add(count as u64);
        }
    }

    /// Multiplies `x` by the scales of the indices `row << 32 | column`, columns from 0 on.
    ///
    /// # Panics
    /// When `x` is longer than 2^32.
    pub fn apply_row(&self, x: &mut [f32], row: u64) {
        assert!(u32::try_from(x.len().saturating_sub(1)).is_ok(), "a row of {} elements", x.len());
        self.run(x, row, 0);
    }

    fn run(&self, x: &mut [f32], row: u64, first: u32) {
        if self.rate > 0.0 {
            scale_row(Chosen::now(), x, &self.row(row), first);
        }
    }

    /// The mask as another device's kernel takes it.
    pub fn draw(&self) -> Draw {
        let dropped = (f64::from(self.rate.clamp(0.0, 1.0)) * (1u64 << 32) as f64) as u32;
        Draw { key: self.key, dropped, kept: if self.rate > 0.0 { 1.0 / (1.0 - self.rate) } else { 1.0 } }
    }

    /// What the elements of one row share.
    pub(crate) fn row(&self, row: u64) -> MaskRow {
        let (seed, Draw { dropped, kept, .. }) = (mix(self.key ^ mix(row)), self.draw());
        MaskRow { low: seed as u32, high: (seed >> 32) as u32, dropped, kept }
    }
}

/// The numbers behind a mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// What hashes start from.
    pub key: u64,
    /// Hashes below this are dropped.
    pub dropped: u32,
    /// What the others are multiplied by.
    pub kept: f32,
}

/// The mask of one row of up to 2^32 elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaskRow {
    low: u32,
    high: u32,
    /// Hashes below this are dropped.
    dropped: u32,
    kept: f32,
}

impl MaskRow {
    /// 32-bit multiplications only, so that rows vectorise; the multipliers are those of "lowbias32" (Wellons 2018).
    #[inline(always)]
    pub(crate) fn scale(&self, column: u32) -> f32 {
        let x = column.wrapping_mul(0x9e37_79b1) ^ self.low;
        let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d) ^ self.high;
        let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        let x = x ^ (x >> 16);
        if x < self.dropped { 0.0 } else { self.kept }
    }
}

/// A bijection of 64 bits that scatters them (the finaliser of SplitMix64, Steele et al. 2014).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

simd! {
    fn scale_row(x: &mut [f32], row: &MaskRow, first: u32) {
        let row = *row;
        for (i, x) in x.iter_mut().enumerate() {
            *x *= row.scale(first.wrapping_add(i as u32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mask: &Mask, n: usize, first: u64) -> Vec<f32> {
        let mut x = vec![1f32; n];
        mask.apply(&mut x, first);
        x
    }

    #[test]
    fn the_rate_is_kept_and_what_stays_grows() {
        for rate in [0.1f32, 0.2, 0.5, 0.9] {
            let x = drawn(&Mask { key: 5, rate }, 100_000, 0);
            let dropped = x.iter().filter(|&&x| x == 0.0).count() as f64 / 1e5;
            assert!((dropped - f64::from(rate)).abs() < 5e-3, "{dropped} at {rate}");
            assert!(x.iter().all(|&x| x == 0.0 || x == 1.0 / (1.0 - rate)));
        }
        assert_eq!(drawn(&Mask { key: 5, rate: 0.0 }, 100, 0), vec![1.0; 100]);
    }

    #[test]
    fn neighbours_rows_and_keys_are_independent() {
        let agreement = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).filter(|(a, b)| (**a == 0.0) == (**b == 0.0)).count() as f64 / a.len() as f64
        };
        let mask = Mask { key: 1, rate: 0.5 };
        let x = drawn(&mask, 65_537, 0);
        for distance in [1, 2, 64, 1024] {
            let same = agreement(&x[distance..], &x[..x.len() - distance]);
            assert!((same - 0.5).abs() < 0.01, "distance {distance}: {same}");
        }
        let others = [
            drawn(&mask, 65_537, 1 << 32),
            drawn(&mask, 65_537, 1 << 56),
            drawn(&Mask { key: 2, ..mask }, 65_537, 0),
            drawn(&mask.part(0), 65_537, 0),
            drawn(&mask.part(1), 65_537, 0),
        ];
        for (i, other) in others.iter().enumerate() {
            assert!((agreement(&x, other) - 0.5).abs() < 0.01, "{i}");
        }
        assert!((agreement(&others[3], &others[4]) - 0.5).abs() < 0.01);
    }

    #[test]
    fn an_element_is_the_same_however_it_is_reached() {
        let mask = Mask { key: 77, rate: 0.3 };
        let first = (3u64 << 32) - 20;
        let whole = drawn(&mask, 90, first);
        for (i, &x) in whole.iter().enumerate() {
            assert_eq!(mask.scale(first + i as u64), x);
        }
        assert_eq!(drawn(&mask, 50, first + 40), whole[40..]);
        let mut row = vec![1f32; 70];
        mask.apply_row(&mut row, 3);
        assert_eq!(row, whole[20..]);
        for level in Chosen::all() {
            let mut x = vec![1f32; 70];
            scale_row(level, &mut x, &mask.row(3), 0);
            assert_eq!(x, row, "{level:?}");
        }
    }
}
