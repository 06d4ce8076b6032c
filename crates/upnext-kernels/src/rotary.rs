//! Rotary positions (Su et al. 2021, arXiv:2104.09864), the two halves of a head making the pairs.
//!
//! Pair `j` of a head of width e is elements `j` and `j + e/2`; at position `p` it turns by `p · 10000^(-2j/e)`.

use crate::RowsMut;
use crate::level::{Chosen, simd};

/// The frequencies' base.
const BASE: f64 = 10_000.0;

/// Cosines and sines for positions `0..positions`.
#[derive(Clone, Debug)]
pub struct Rotary {
    head_width: usize,
    positions: usize,
    /// `(positions, e/2)`.
    cos: Vec<f32>,
    /// `(positions, e/2)`.
    sin: Vec<f32>,
}

impl Rotary {
    /// Tables for heads `head_width` wide.
    ///
    /// # Panics
    /// When the width is odd or 0.
    pub fn new(head_width: usize, positions: usize) -> Rotary {
        assert!(
            head_width > 0 && head_width.is_multiple_of(2),
            "rotary heads are even, not {head_width} wide"
        );
        let half = head_width / 2;
        let angles = (0..positions * half).map(|i| {
            let (position, pair) = (i / half, i % half);
            position as f64 * BASE.powf(-2.0 * pair as f64 / head_width as f64)
        });
        let (sin, cos) = angles.map(|angle| (angle.sin() as f32, angle.cos() as f32)).unzip();
        Rotary { head_width, positions, cos, sin }
    }

    /// How many positions the tables hold.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Turns every head of the rows `x (t, h·e)`, which stand at positions `first_position..`.
    ///
    /// # Panics
    /// When a row is not whole heads or a position lies past the tables.
    pub fn rotate(&self, x: RowsMut<'_>, first_position: usize) {
        self.turn(Chosen::now(), x, first_position, 1.0);
    }

    /// Turns back, which is the inverse and the transpose: it carries the gradient of [`Rotary::rotate`].
    ///
    /// # Panics
    /// As for [`Rotary::rotate`].
    pub fn rotate_back(&self, x: RowsMut<'_>, first_position: usize) {
        self.turn(Chosen::now(), x, first_position, -1.0);
    }

    fn turn(&self, level: Chosen, mut x: RowsMut<'_>, first: usize, sign: f32) {
        assert!(
            x.cols().is_multiple_of(self.head_width) && first + x.rows() <= self.positions,
            "{x:?} from position {first} at a head width of {} and {} positions",
            self.head_width,
            self.positions
        );
        let half = self.head_width / 2;
        for j in 0..x.rows() {
            let angles = (first + j) * half..(first + j + 1) * half;
            turn_row(level, x.row_mut(j), &self.cos[angles.clone()], &self.sin[angles], sign);
        }
    }
}

simd! {
    fn turn_row(row: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
        let half = cos.len();
        let sin = &sin[..half];
        for head in row.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            let b = &mut b[..half];
            for i in 0..half {
                let (u, v, sin) = (a[i], b[i], sin[i] * sign);
                a[i] = u.mul_add(cos[i], -(v * sin));
                b[i] = v.mul_add(cos[i], u * sin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, close, noise};

    #[test]
    fn a_pair_turns_by_its_angle() {
        let rotary = Rotary::new(4, 3);
        let mut x = [1.0, 0.0, 0.0, 1.0, 7.0];
        rotary.rotate(RowsMut::strided(&mut x, 1, 4, 5), 2);
        let slow = 2.0 * 10_000f64.powf(-0.5);
        close(&x, &[2f64.cos(), -slow.sin(), 2f64.sin(), slow.cos(), 7.0], 1e-7);
    }

    #[test]
    fn scores_depend_on_the_distance_only() {
        let (rotary, q, k) = (Rotary::new(16, 50), noise(1, 16), noise(2, 16));
        let score = |p: usize, r: usize| -> f32 {
            let (mut q, mut k) = (q.clone(), k.clone());
            rotary.rotate(RowsMut::new(&mut q, 1, 16), p);
            rotary.rotate(RowsMut::new(&mut k, 1, 16), r);
            q.iter().zip(&k).map(|(a, b)| a * b).sum()
        };
        assert!((score(7, 2) - score(49, 44)).abs() < 1e-5);
        assert!((score(7, 2) - score(7, 3)).abs() > 1e-3);
    }

    #[test]
    fn turning_back_undoes_turning_and_levels_agree() {
        let (rotary, x) = (Rotary::new(12, 9), noise(3, 5 * 24));
        let mut first = x.clone();
        rotary.rotate(RowsMut::new(&mut first, 5, 24), 4);
        for level in Chosen::all() {
            let mut y = x.clone();
            rotary.turn(level, RowsMut::new(&mut y, 5, 24), 4, 1.0);
            assert_eq!(bits(&y), bits(&first), "{level:?}");
        }
        rotary.rotate_back(RowsMut::new(&mut first, 5, 24), 4);
        close(&first, &x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), 1e-6);
    }
}
