//! Root-mean-square norm (Zhang & Sennrich 2019, arXiv:1910.07467), without a gain.
//!
//! The gain folds into the matrix that follows, so the norm has no parameters here.

use crate::lane::dot;
use crate::level::{Chosen, simd};
use crate::product::Write;

/// Added to the mean square before its root.
pub const EPS: f32 = 1e-6;

/// `out = x / sqrt(mean(x²) + EPS)` for each row of `width`.
///
/// # Panics
/// When the slices differ in length or are not whole rows.
pub fn rms_norm(x: &[f32], width: usize, out: &mut [f32]) {
    check(x.len(), out.len(), width);
    forward(Chosen::now(), x, width.max(1), out);
}

/// The gradient of [`rms_norm`]: `dx = r·dy - x·(dy·x) r³ / width` with `r = 1 / sqrt(mean(x²) + EPS)`.
///
/// # Panics
/// When the slices differ in length or are not whole rows.
pub fn rms_norm_backward(x: &[f32], dy: &[f32], width: usize, dx: &mut [f32], write: Write) {
    check(x.len(), dy.len(), width);
    check(x.len(), dx.len(), width);
    backward(Chosen::now(), x, dy, width.max(1), dx, write == Write::Add);
}

fn check(one: usize, other: usize, width: usize) {
    assert!(one == other && one.is_multiple_of(width), "{one} and {other} floats in rows of {width}");
}

/// `1 / sqrt(mean(x²) + EPS)`.
#[inline(always)]
fn inverse_root(x: &[f32]) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + EPS).sqrt()
}

simd! {
    fn forward(x: &[f32], width: usize, out: &mut [f32]) {
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let r = inverse_root(x);
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * r;
            }
        }
    }
}

simd! {
    fn backward(x: &[f32], dy: &[f32], width: usize, dx: &mut [f32], add: bool) {
        for ((dx, x), dy) in dx.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(dy.chunks_exact(width)) {
            let r = inverse_root(x);
            let along = -(dot(x, dy) * r * r * r / width as f32);
            if add {
                for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
                    *dx += dy.mul_add(r, x * along);
                }
            } else {
                for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
                    *dx = dy.mul_add(r, x * along);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, close, noise};

    fn reference(x: &[f64]) -> Vec<f64> {
        let r = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + f64::from(EPS)).sqrt();
        x.iter().map(|x| x * r).collect()
    }

    fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().map(|&x| f64::from(x)).collect()
    }

    #[test]
    fn rows_have_unit_mean_square_at_every_level() {
        for width in [1, 31, 64, 100] {
            let x = noise(1, 3 * width);
            let truth: Vec<f64> = x.chunks(width).flat_map(|x| reference(&wide(x))).collect();
            let mut first = vec![0f32; x.len()];
            rms_norm(&x, width, &mut first);
            close(&first, &truth, 1e-6);
            for level in Chosen::all() {
                let mut out = vec![0f32; x.len()];
                forward(level, &x, width, &mut out);
                assert_eq!(bits(&out), bits(&first), "{level:?}");
            }
        }
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let width = 37;
        let (x, dy) = (noise(2, width), noise(3, width));
        let loss = |x: &[f64]| -> f64 { reference(x).iter().zip(&dy).map(|(y, &g)| y * f64::from(g)).sum() };
        let truth: Vec<f64> = (0..width)
            .map(|i| {
                let (mut above, mut below) = (wide(&x), wide(&x));
                above[i] += 1e-5;
                below[i] -= 1e-5;
                (loss(&above) - loss(&below)) / 2e-5
            })
            .collect();
        let mut dx = vec![0f32; width];
        rms_norm_backward(&x, &dy, width, &mut dx, Write::Set);
        close(&dx, &truth, 1e-5);
        rms_norm_backward(&x, &dy, width, &mut dx, Write::Add);
        close(&dx, &truth.iter().map(|x| 2.0 * x).collect::<Vec<_>>(), 1e-5);
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let mut out = [1f32; 8];
        rms_norm(&[0.0; 8], 8, &mut out);
        assert_eq!(out, [0.0; 8]);
    }
}
