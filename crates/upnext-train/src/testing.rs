//! What the tests of several files share.

use candle_core::{Device, Tensor, Var};
use upnext_data::chance::{Key, Purpose, unit};
use upnext_data::{Batch, ItemId, UserId};

/// Values in [-1, 1), drawn by key.
pub(crate) fn values(part: u64, count: usize) -> Vec<f32> {
    let mut rng = Key { seed: 11, purpose: Purpose::World, step: 0, part }.rng();
    (0..count).map(|_| (2.0 * unit(&mut rng) - 1.0) as f32).collect()
}

/// A variable of such values.
pub(crate) fn var(part: u64, rows: usize, cols: usize) -> Var {
    Var::from_tensor(&Tensor::from_vec(values(part, rows * cols), (rows, cols), &Device::Cpu).unwrap())
        .unwrap()
}

/// The value of a loss and its gradients with respect to some variables.
pub(crate) fn differentiated(loss: &Tensor, vars: &[&Var]) -> (f32, Vec<Vec<f32>>) {
    let gradients = loss.backward().unwrap();
    let of = |var: &&Var| gradients.get(var.as_tensor()).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (loss.to_scalar().unwrap(), vars.iter().map(of).collect())
}

/// The largest difference between two lists, and where it is.
pub(crate) fn furthest(found: &[f32], expected: &[f32]) -> (f32, usize) {
    assert_eq!(found.len(), expected.len());
    let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    apart.zip(0..).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
}

/// Asserts that two lists differ by at most `bound`.
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    let (apart, at) = furthest(found, expected);
    assert!(apart <= bound, "{what}: {} against {} at {at}", found[at], expected[at]);
}

/// Compares a gradient with central differences of `loss` over 64-bit sums, at some of its places.
pub(crate) fn assert_differences(what: &str, x: &Var, gradient: &[f32], loss: &dyn Fn() -> f64) {
    let (values, step): (Vec<f32>, f32) = (x.flatten_all().unwrap().to_vec1().unwrap(), 1e-2);
    let at = |index: usize, by: f32| {
        let mut moved = values.clone();
        moved[index] += by;
        x.set(&Tensor::from_vec(moved, x.shape(), &Device::Cpu).unwrap()).unwrap();
        loss()
    };
    let largest = gradient.iter().fold(0.0_f32, |most, g| most.max(g.abs()));
    for index in (0..values.len()).step_by((values.len() / 23).max(1)) {
        let slope = ((at(index, step) - at(index, -step)) / f64::from(2.0 * step)) as f32;
        let apart = (slope - gradient[index]).abs();
        assert!(
            apart <= 1e-2 * largest,
            "{what}, place {index}: {} against a slope of {slope}",
            gradient[index]
        );
    }
    x.set(&Tensor::from_vec(values, x.shape(), &Device::Cpu).unwrap()).unwrap();
}

/// A window for each sequence, of another user each, with nothing beyond.
pub(crate) fn batch_of(sequences: &[&[u32]]) -> Batch {
    let (mut tokens, mut targets, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
    for sequence in sequences {
        tokens.extend(sequence[..sequence.len() - 1].iter().map(|&id| ItemId(id)));
        targets.extend(sequence[1..].iter().map(|&id| ItemId(id)));
        offsets.push(tokens.len());
    }
    Batch {
        times: vec![0; tokens.len()],
        users: (0..sequences.len() as u32).map(UserId).collect(),
        beyond: Vec::new(),
        beyond_offsets: vec![0; sequences.len() + 1],
        tokens,
        targets,
        offsets,
    }
}

/// Histories of 1 to 40 tokens over 200 items, others at every step.
pub(crate) fn jagged(step: u64) -> Batch {
    let sequence = |user: u64| -> Vec<u32> {
        let length = 1 + (step * 17 + user * 13) % 40;
        (0..=length).map(|t| ((user * 31 + t * (user + 3) + step % 5) % 200) as u32).collect()
    };
    let sequences: Vec<Vec<u32>> = (0..6).map(sequence).collect();
    batch_of(&sequences.iter().map(Vec::as_slice).collect::<Vec<_>>())
}
