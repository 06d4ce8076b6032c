//! Layer norm (Ba et al. 2016, arXiv:1607.06450) with gain and bias, forward only.

use crate::lane::{WIDTH, fold};
use crate::level::{Chosen, simd};

/// In place, each row of the gain's width: `(x - mean) / sqrt(variance + eps) · gain + bias`.
///
/// # Panics
/// When gain and bias differ in length, or `x` is not whole rows of it.
pub fn layer_norm(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
    let width = gain.len();
    assert!(
        bias.len() == width && x.len().is_multiple_of(width),
        "{} floats in rows of {width} with {} of bias",
        x.len(),
        bias.len()
    );
    forward(Chosen::now(), x, gain, bias, eps);
}

/// The sum of what `of` makes of each element.
#[inline(always)]
fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; WIDTH];
    let (chunks, tail) = x.as_chunks::<WIDTH>();
    for chunk in chunks {
        for i in 0..WIDTH {
            lanes[i] += of(chunk[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane += of(x);
    }
    fold(lanes, |a, b| a + b)
}

simd! {
    fn forward(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
        let width = gain.len();
        for x in x.chunks_exact_mut(width.max(1)) {
            let mean = sum(x, |x| x) / width as f32;
            let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
            let r = 1.0 / (variance + eps).sqrt();
            for ((x, gain), bias) in x.iter_mut().zip(gain).zip(bias) {
                *x = ((*x - mean) * r).mul_add(*gain, *bias);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, close, noise};

    #[test]
    fn rows_agree_with_the_formula_at_every_level() {
        let (width, rows) = (43, 3);
        let (x, gain, bias) = (noise(1, rows * width), noise(2, width), noise(3, width));
        let mut truth = Vec::new();
        for row in x.chunks(width) {
            let row: Vec<f64> = row.iter().map(|&x| x.into()).collect();
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            let scaled = row.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt());
            truth.extend(scaled.zip(&gain).zip(&bias).map(|((x, &g), &b)| x * f64::from(g) + f64::from(b)));
        }
        let mut first = x.clone();
        layer_norm(&mut first, &gain, &bias, 1e-5);
        close(&first, &truth, 1e-6);
        for level in Chosen::all() {
            let mut again = x.clone();
            forward(level, &mut again, &gain, &bias, 1e-5);
            assert_eq!(bits(&again), bits(&first), "{level:?}");
        }
    }

    #[test]
    fn two_numbers_are_normed_by_hand() {
        // Mean 2, variance 1.
        let mut x = [1.0, 3.0];
        layer_norm(&mut x, &[2.0, 2.0], &[0.5, 0.5], 0.0);
        assert_eq!(x, [-1.5, 2.5]);
    }
}
