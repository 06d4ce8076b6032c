//! Numbers to test with, and the three comparisons.

use candle_core::{DType, Device, Result, Tensor, Var};
use std::sync::Arc;
use upnext_model::Drop;
use upnext_model::ops::Layout;

/// Lengths of a batch with the shapes that break things: single events, odd ends, long histories.
pub(crate) const LENGTHS: [usize; 6] = [1, 2, 33, 200, 1, 57];

pub(crate) const DROP: Drop = Drop { seed: 11, step: 5, rate: 0.3 };

pub(crate) fn layout(lengths: &[usize]) -> Arc<Layout> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    Arc::new(Layout::new(&offsets).unwrap())
}

/// `count` numbers in `(-scale, scale)`, the same for the same seed (splitmix64).
pub(crate) fn numbers(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..count).map(|_| (2.0 * next() - 1.0) * scale).collect()
}

/// A variable of random values.
pub(crate) fn variable(seed: u64, rows: usize, columns: usize, scale: f32) -> Var {
    let values = numbers(seed, rows * columns, scale);
    Var::from_tensor(&Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()).unwrap()
}

/// An op over variables.
pub(crate) type Op<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// What an op gives, and the gradients of `sum(weights · op)` by each variable.
pub(crate) fn passes(variables: &[Var], op: Op<'_>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let inputs: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let out = op(&inputs).unwrap();
    let weights = Tensor::from_vec(numbers(99, out.elem_count(), 1.0), out.shape(), &Device::Cpu).unwrap();
    let loss = (&out * weights.to_dtype(out.dtype()).unwrap()).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let flat = |tensor: &Tensor| {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    (flat(&out), variables.iter().map(|variable| flat(gradients.get(variable).unwrap())).collect())
}

/// The largest difference, in units of the largest expected magnitude.
pub(crate) fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-6_f64, |largest, value| largest.max(value.abs()));
    let furthest =
        found.iter().zip(expected).map(|(a, b)| if (a - b).is_nan() { f64::NAN } else { (a - b).abs() });
    furthest.fold(0.0, |furthest: f64, gap| if gap.is_nan() { f64::INFINITY } else { furthest.max(gap) })
        / largest
}

/// Fused and reference give the same values and gradients, up to f32 rounding.
pub(crate) fn assert_same(variables: &[Var], fused: Op<'_>, reference: Op<'_>, case: &str) {
    let (found, expected) = (passes(variables, fused), passes(variables, reference));
    let apart = distance(&found.0, &expected.0);
    assert!(apart < 1e-5, "{case}: values differ by {apart:e}");
    for (index, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
        let apart = distance(found, expected);
        assert!(apart < 3e-5, "{case}: gradient {index} differs by {apart:e}");
        assert!(expected.iter().any(|&value| value != 0.0), "{case}: gradient {index} is zero");
    }
}

/// As [`assert_same`], of operands rounded to bf16: what differs in the last bit before it is rounded may be rounded
/// apart, by 2⁻⁸ of itself. Such values are rare, and a sum of many moves by less.
pub(crate) fn assert_same_rounded(variables: &[Var], fused: Op<'_>, reference: Op<'_>, case: &str) {
    let (found, expected) = (passes(variables, fused), passes(variables, reference));
    let apart = distance(&found.0, &expected.0);
    assert!(apart < 1e-3, "{case}: values differ by {apart:e}");
    for (index, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
        let apart = distance(found, expected);
        assert!(apart < 2e-3, "{case}: gradient {index} differs by {apart:e}");
    }
}

/// The op's gradients are those of central differences, everything in f64.
pub(crate) fn assert_true_gradient(variables: &[Var], op: Op<'_>, case: &str) {
    const STEP: f64 = 1e-5;
    let doubled = |variable: &Var| Var::from_tensor(&variable.to_dtype(DType::F64).unwrap()).unwrap();
    let variables: Vec<Var> = variables.iter().map(doubled).collect();
    let (_, gradients) = passes(&variables, op);
    let loss = |variables: &[Var]| {
        let (out, _) = passes(variables, op);
        out.iter().zip(numbers(99, out.len(), 1.0)).map(|(out, weight)| out * f64::from(weight)).sum::<f64>()
    };
    for (index, variable) in variables.iter().enumerate() {
        let values = variable.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let shifted = |element: usize, by: f64| {
            let mut values = values.clone();
            values[element] += by;
            let mut variables = variables.clone();
            let tensor = Tensor::from_vec(values, variable.shape(), &Device::Cpu).unwrap();
            variables[index] = Var::from_tensor(&tensor).unwrap();
            loss(&variables)
        };
        let slope = |element| (shifted(element, STEP) - shifted(element, -STEP)) / (2.0 * STEP);
        let slopes: Vec<f64> = (0..values.len()).map(slope).collect();
        let apart = distance(&gradients[index], &slopes);
        assert!(apart < 1e-7, "{case}: gradient {index} is {apart:e} away from finite differences");
    }
}
