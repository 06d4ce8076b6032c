//! The gate of the `SwiGLU` feed-forward block (Shazeer 2020, arXiv:2002.05202).
//!
//! Rows of `gate_up` are `[gate (m) | up (m)]`, m being the hidden width; `silu(a) = a / (1 + e^-a)`.

use crate::lane::exp;
use crate::level::{Chosen, simd};

/// `out (n, m) = silu(gate) * up` of `gate_up (n, 2m)`.
///
/// # Panics
/// When the lengths disagree.
pub fn swiglu(gate_up: &[f32], hidden: usize, out: &mut [f32]) {
    check(gate_up.len(), out.len(), hidden);
    forward(Chosen::now(), gate_up, hidden.max(1), out);
}

/// The gradient of [`swiglu`]: `d_gate_up (n, 2m)` from `d_out (n, m)`.
///
/// # Panics
/// When the lengths disagree.
pub fn swiglu_backward(gate_up: &[f32], d_out: &[f32], hidden: usize, d_gate_up: &mut [f32]) {
    check(gate_up.len(), d_out.len(), hidden);
    check(d_gate_up.len(), d_out.len(), hidden);
    backward(Chosen::now(), gate_up, d_out, hidden.max(1), d_gate_up);
}

fn check(both: usize, one: usize, hidden: usize) {
    assert!(
        both == 2 * one && one.is_multiple_of(hidden),
        "{both} and {one} floats at a hidden width of {hidden}"
    );
}

/// `1 / (1 + e^-a)`.
#[inline(always)]
fn sigmoid(a: f32) -> f32 {
    1.0 / (1.0 + exp(-a))
}

simd! {
    fn forward(gate_up: &[f32], hidden: usize, out: &mut [f32]) {
        for (out, both) in out.chunks_exact_mut(hidden).zip(gate_up.chunks_exact(2 * hidden)) {
            let (gate, up) = both.split_at(hidden);
            for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate * sigmoid(gate) * up;
            }
        }
    }
}

simd! {
    fn backward(gate_up: &[f32], d_out: &[f32], hidden: usize, d_gate_up: &mut [f32]) {
        let rows = gate_up.chunks_exact(2 * hidden).zip(d_out.chunks_exact(hidden));
        for ((both, d_out), d_both) in rows.zip(d_gate_up.chunks_exact_mut(2 * hidden)) {
            let ((gate, up), (d_gate, d_up)) = (both.split_at(hidden), d_both.split_at_mut(hidden));
            for i in 0..hidden {
                let s = sigmoid(gate[i]);
                let silu = gate[i] * s;
                d_up[i] = d_out[i] * silu;
                d_gate[i] = d_out[i] * up[i] * silu.mul_add(1.0 - s, s);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, close, noise};

    fn silu(a: f64) -> f64 {
        a / (1.0 + (-a).exp())
    }

    #[test]
    fn the_gate_agrees_with_its_formula_at_every_level() {
        let (hidden, rows) = (43, 3);
        let x: Vec<f32> = noise(1, rows * 2 * hidden).iter().map(|x| x * 8.0).collect();
        let truth: Vec<f64> = (0..rows * hidden)
            .map(|i| {
                let gate = i / hidden * 2 * hidden + i % hidden;
                silu(f64::from(x[gate])) * f64::from(x[gate + hidden])
            })
            .collect();
        let mut first = vec![0f32; rows * hidden];
        swiglu(&x, hidden, &mut first);
        close(&first, &truth, 1e-6);
        for level in Chosen::all() {
            let mut out = vec![0f32; rows * hidden];
            forward(level, &x, hidden, &mut out);
            assert_eq!(bits(&out), bits(&first), "{level:?}");
        }
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let hidden = 35;
        let (x, d_out) = (noise(2, 2 * hidden), noise(3, hidden));
        let mut got = vec![0f32; 2 * hidden];
        swiglu_backward(&x, &d_out, hidden, &mut got);
        let truth: Vec<f64> = (0..2 * hidden)
            .map(|i| {
                let (j, step) = (i % hidden, 1e-5);
                let (gate, up, d) = (f64::from(x[j]), f64::from(x[j + hidden]), f64::from(d_out[j]));
                let value = |by: f64| if i < hidden { silu(gate + by) * up } else { silu(gate) * (up + by) };
                d * (value(step) - value(-step)) / (2.0 * step)
            })
            .collect();
        close(&got, &truth, 1e-5);
    }

    #[test]
    fn extreme_gates_stay_finite() {
        let mut out = [0f32; 2];
        swiglu(&[-200.0, 200.0, 1.0, 1.0], 2, &mut out);
        assert!(out[0].abs() < 1e-30 && out[1] == 200.0, "{out:?}");
    }
}
