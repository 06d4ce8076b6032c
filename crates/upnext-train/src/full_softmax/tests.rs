//! The exact softmax against candle's.

use super::*;
use crate::link::link;
use crate::testing::{assert_close, assert_differences, differentiated, values, var};
use candle_core::{Device, Tensor};

const N: usize = 150;
const I: usize = 67;
const R: usize = 9;

fn targets() -> Vec<u32> {
    (0..N).map(|j| (j * 11 % I) as u32).collect()
}

#[test]
fn every_block_size_gives_the_cross_entropy() {
    let (h, table) = (var(1, N, R), var(2, I, R));
    let logits = h.matmul(&table.t().unwrap()).unwrap();
    let target = Tensor::new(&targets()[..], &Device::Cpu).unwrap();
    let (loss, gradients) =
        differentiated(&candle_nn::loss::cross_entropy(&logits, &target).unwrap(), &[&h, &table]);
    for block in [1, 5, 32, 66, 67, 68, 1024] {
        let mut dtable = vec![0.0; I * R];
        let (found, dh) =
            full_softmax(&values(1, N * R), &values(2, I * R), R, &targets(), &[], block, &mut dtable);
        assert!((found - f64::from(loss)).abs() < 1e-6, "block {block}: {found} against {loss}");
        assert_close(&format!("block {block}: dh"), &dh, &gradients[0], 1e-6);
        assert_close(&format!("block {block}: dtable"), &dtable, &gradients[1], 1e-6);
    }
}

#[test]
fn gradients_are_the_slopes() {
    let (h, table) = (var(1, N, R), var(2, I, R));
    let flat = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let all = || full_softmax(&flat(&h), &flat(&table), R, &targets(), &[], 16, &mut vec![0.0; I * R]).0;
    let mut dtable = vec![0.0; I * R];
    let (_, dh) = full_softmax(&flat(&h), &flat(&table), R, &targets(), &[], 16, &mut dtable);
    assert_differences("h", &h, &dh, &all);
    assert_differences("table", &table, &dtable, &all);
}

/// A row that counts twice is a row that is there twice.
#[test]
fn shares_weigh_rows() {
    let (h, table) = (values(1, N * R), values(2, I * R));
    let times = |row: usize| 1 + row % 3;
    let shares: Vec<f32> = (0..N).map(|row| times(row) as f32).collect();
    let mut dtable = vec![0.0; I * R];
    let (loss, dh) = full_softmax(&h, &table, R, &targets(), &shares, 16, &mut dtable);
    let rows: Vec<usize> = (0..N).flat_map(|row| vec![row; times(row)]).collect();
    let repeated: Vec<f32> = rows.iter().flat_map(|&row| h[row * R..][..R].to_vec()).collect();
    let truths: Vec<u32> = rows.iter().map(|&row| targets()[row]).collect();
    let mut expected = vec![0.0; I * R];
    let (all, each) = full_softmax(&repeated, &table, R, &truths, &[], 16, &mut expected);
    assert!((loss - all).abs() < 1e-6, "{loss} {all}");
    assert_close("dtable", &dtable, &expected, 1e-6);
    let mut summed = vec![0.0; N * R];
    for (&row, part) in rows.iter().zip(each.chunks(R)) {
        summed[row * R..][..R].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    assert_close("dh", &dh, &summed, 1e-6);
}

#[test]
fn the_tables_gradient_is_added_to_what_is_there() {
    let run = |start: f32| {
        let mut dtable = vec![start; I * R];
        let _ = full_softmax(&values(1, N * R), &values(2, I * R), R, &targets(), &[], 16, &mut dtable);
        dtable
    };
    let raised: Vec<f32> = run(0.0).iter().map(|g| g + 0.5).collect();
    assert_close("dtable", &run(0.5), &raised, 1e-6);
}

#[test]
fn a_linked_loss_hands_its_gradient_on() {
    let x = var(3, 4, 2);
    let gradient = values(4, 8);
    let doubled = (x.as_tensor() * 2.0).unwrap();
    let loss = (link(&doubled, 1.25, gradient.clone()).unwrap() * 3.0).unwrap();
    let (value, found) = differentiated(&loss, &[&x]);
    assert_eq!(value, 3.75);
    let expected: Vec<f32> = gradient.iter().map(|g| 6.0 * g).collect();
    assert_close("dx", &found[0], &expected, 1e-6);
}
