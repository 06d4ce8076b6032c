//! The activation of BERT and its kin (Hendrycks & Gimpel 2016, arXiv:1606.08415), forward only.
//!
//! `gelu(x) = x · Φ(x) = x/2 · (1 + erf(x/√2))`, the error function by formula 7.1.26 of Abramowitz & Stegun (1964), off
//! by at most 1.5e-7; and the older approximation of it by a hyperbolic tangent.

use crate::lane::exp;
use crate::level::{Chosen, simd};

/// In place: `x/2 · (1 + erf(x/√2))`.
pub fn gelu(x: &mut [f32]) {
    exact(Chosen::now(), x);
}

/// In place: `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
pub fn gelu_tanh(x: &mut [f32]) {
    by_tanh(Chosen::now(), x);
}

/// `1 - erf(z)` for `z >= 0`.
#[inline(always)]
fn tail(z: f32) -> f32 {
    let t = 1.0 / z.mul_add(0.327_591_1, 1.0);
    let p = t.mul_add(1.061_405_4, -1.453_152);
    let p = p.mul_add(t, 1.421_413_7);
    let p = p.mul_add(t, -0.284_496_72);
    let p = p.mul_add(t, 0.254_829_6);
    p * t * exp(-z * z)
}

simd! {
    fn exact(x: &mut [f32]) {
        for x in x {
            let tail = tail(x.abs() * std::f32::consts::FRAC_1_SQRT_2);
            let twice = if *x < 0.0 { tail } else { 2.0 - tail };
            *x *= 0.5 * twice;
        }
    }
}

simd! {
    fn by_tanh(x: &mut [f32]) {
        for x in x {
            // (1 + tanh(a)) / 2 = 1 / (1 + e^-2a)
            let cubed = *x * *x * *x;
            let twice = 1.595_769 * cubed.mul_add(0.044_715, *x);
            *x /= 1.0 + exp(-twice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, close};

    /// The error function by its series, which converges everywhere.
    fn erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        2.0 / std::f64::consts::PI.sqrt() * sum
    }

    #[test]
    fn both_agree_with_their_formulas_at_every_level() {
        let x: Vec<f32> = (-500..=500).map(|n| n as f32 / 100.0).collect();
        let truth = |formula: &dyn Fn(f64) -> f64| x.iter().map(|&x| formula(x.into())).collect::<Vec<f64>>();
        let (mut first, mut second) = (x.clone(), x.clone());
        gelu(&mut first);
        close(&first, &truth(&|x| x / 2.0 * (1.0 + erf(x / 2f64.sqrt()))), 2e-7);
        gelu_tanh(&mut second);
        let root = (2.0 / std::f64::consts::PI).sqrt();
        close(&second, &truth(&|x| x / 2.0 * (1.0 + (root * (x + 0.044_715 * x.powi(3))).tanh())), 2e-7);
        for level in Chosen::all() {
            let mut again = x.clone();
            exact(level, &mut again);
            assert_eq!(bits(&again), bits(&first), "{level:?}");
        }
    }

    #[test]
    fn far_out_it_is_nothing_or_the_value_itself() {
        let mut x = [-200.0, -0.0, 200.0];
        gelu(&mut x);
        assert_eq!(x, [0.0, 0.0, 200.0]);
        let mut x = [-200.0, 0.0, 200.0];
        gelu_tanh(&mut x);
        assert!(x[0].abs() < 1e-30 && x[2] == 200.0, "{x:?}");
    }
}
