//! Updates against the slice kernels, the composed form, and what they must leave alone.

use super::*;
use candle_core::{Device, Var};

const CPU: &Device = &Device::Cpu;
const ITEMS: usize = 40;
const WIDTH: usize = 3;

const ADAM: Adam = Adam {
    lr: 0.1,
    beta1: 0.9,
    beta2: 0.98,
    eps: 1e-8,
    weight_decay: 0.1,
    correction1: 1.9,
    correction2: 3.1,
};

fn noise(seed: usize, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    let values = (0..len).map(|j| ((j * 71 + seed * 13) as f32).sin()).collect();
    Tensor::from_vec(values, shape, CPU).unwrap()
}

fn control(scale: f32, flag: f32) -> Tensor {
    Tensor::new(&[scale, flag, 7.0, 0.5], CPU).unwrap()
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// A table and its moments, the second ones positive.
fn start() -> [Tensor; 2] {
    let squares = noise(2, &[2, ITEMS, WIDTH]).sqr().unwrap();
    [Var::from_tensor(&noise(1, &[ITEMS, WIDTH])).unwrap().into_inner(), squares]
}

fn close(found: &Tensor, expected: &Tensor) {
    for (found, expected) in flat(found).iter().zip(flat(expected)) {
        assert!((found - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{found} and {expected}");
    }
}

#[test]
fn a_dense_update_is_the_slice_kernels_bit_for_bit() {
    let ([values, moments], gradient) = (start(), noise(3, &[ITEMS, WIDTH]));
    let (mut x, mut mv) = (flat(&values), flat(&moments));
    let (m, v) = mv.split_at_mut(ITEMS * WIDTH);
    rows::adamw(&mut x, m, v, &flat(&gradient), 0.25, &ADAM);
    update_all(&values, &moments, &gradient, &control(0.25, 1.0), &ADAM).unwrap();
    assert_eq!((flat(&values), flat(&moments)), (x, mv));
}

#[test]
fn named_rows_move_as_a_dense_update_moves_them_and_others_keep_every_bit() {
    let ids = [0_u32, 3, 17, 39, PADDING, PADDING];
    let ([table, moments], [all, all_moments], gradient) = (start(), start(), noise(4, &[ids.len(), WIDTH]));
    let mut dense = vec![0.0; ITEMS * WIDTH];
    for (&id, row) in ids[..4].iter().zip(flat(&gradient).chunks_exact(WIDTH)) {
        dense[id as usize * WIDTH..][..WIDTH].copy_from_slice(row);
    }
    let dense = Tensor::from_vec(dense, (ITEMS, WIDTH), CPU).unwrap();
    update_all(&all, &all_moments, &dense, &control(0.5, 1.0), &ADAM).unwrap();
    let ids_u = Tensor::new(&ids, CPU).unwrap();
    update_rows(&table, &moments, &ids_u, &gradient, &control(0.5, 1.0), &ADAM).unwrap();

    let ([before, before_moments], rows) = (start(), |x: &Tensor| x.to_vec2::<f32>().unwrap());
    let pairs = [
        (table, all, before),
        (moments.get(0).unwrap(), all_moments.get(0).unwrap(), before_moments.get(0).unwrap()),
    ];
    for (found, dense, before) in pairs.map(|(a, b, c)| (rows(&a), rows(&b), rows(&c))) {
        for id in 0..ITEMS {
            let expected = if ids.contains(&(id as u32)) { &dense[id] } else { &before[id] };
            assert_eq!(&found[id], expected, "row {id}");
            assert_ne!(dense[id], before[id]);
        }
    }
}

#[test]
fn under_a_lowered_flag_nothing_changes_even_by_what_is_not_finite() {
    let ids = Tensor::new(&[2_u32, 5], CPU).unwrap();
    let [table, moments] = start();
    let before = (flat(&table), flat(&moments));
    let (rows, all) = (noise(5, &[2, WIDTH]), noise(6, &[ITEMS, WIDTH]));
    let [rows, all] = [rows, all].map(|x| x.affine(f64::NAN, 0.0).unwrap());
    let control = control(f32::NAN, 0.0);
    update_rows(&table, &moments, &ids, &rows, &control, &ADAM).unwrap();
    update_all(&table, &moments, &all, &control, &ADAM).unwrap();
    composed::rows(&table, &moments, &ids, &rows, &control, &ADAM).unwrap();
    composed::all(&table, &moments, &all, &control, &ADAM).unwrap();
    assert_eq!((flat(&table), flat(&moments)), before);
}

#[test]
fn the_composed_updates_are_the_same_within_rounding() {
    let ids = Tensor::new(&[1_u32, 8, 9], CPU).unwrap();
    let (rows, all) = (noise(7, &[3, WIDTH]), noise(8, &[ITEMS, WIDTH]));
    let ([ours, our_moments], [theirs, their_moments], control) = (start(), start(), control(0.5, 1.0));
    update_rows(&ours, &our_moments, &ids, &rows, &control, &ADAM).unwrap();
    composed::rows(&theirs, &their_moments, &ids, &rows, &control, &ADAM).unwrap();
    close(&theirs, &ours);
    close(&their_moments, &our_moments);
    update_all(&ours, &our_moments, &all, &control, &ADAM).unwrap();
    composed::all(&theirs, &their_moments, &all, &control, &ADAM).unwrap();
    close(&theirs, &ours);
    close(&their_moments, &our_moments);
}

#[test]
fn a_parameter_moves_through_its_variable() {
    let var = Var::from_tensor(&noise(1, &[4])).unwrap();
    let moments = moments(var.as_tensor()).unwrap();
    update_all(var.as_tensor(), &moments, &noise(2, &[4]), &control(1.0, 1.0), &ADAM).unwrap();
    assert_ne!(flat(var.as_tensor()), flat(&noise(1, &[4])));
}

#[test]
fn ids_that_are_not_ascending_or_not_there_are_refused() {
    let [table, moments] = start();
    for ids in [[3, 3], [4, 2], [1, ITEMS as u32], [PADDING, 1]] {
        let ids = Tensor::new(&ids, CPU).unwrap();
        let error = update_rows(&table, &moments, &ids, &noise(1, &[2, WIDTH]), &control(1.0, 1.0), &ADAM);
        assert!(error.unwrap_err().to_string().contains("ascending and in the table of 40"));
    }
    let error =
        update_all(&table, &moments.get(0).unwrap(), &table.copy().unwrap(), &control(1.0, 1.0), &ADAM);
    assert!(error.unwrap_err().to_string().contains("got moments and a control of"));
}
