//! Adam against its formula, lazy against dense.

use super::*;
use crate::testing::{assert_close, values};

const WIDTH: usize = 5;
const ITEMS: usize = 2500;

fn update(updates: u64, config: &TrainConfig) -> rows::Adam {
    let adam = Adam { updates, input: Moments::zeros(0), output: None, parameters: BTreeMap::new() };
    numbers(config, adam.updates, 0.01)
}

fn table() -> Table {
    Table::from_rows(values(1, ITEMS * WIDTH), WIDTH).unwrap()
}

#[test]
fn three_updates_follow_the_formula() {
    let config = TrainConfig { weight_decay: 0.1, ..TrainConfig::default() };
    let (mut found, mut moments) = (values(1, 70), Moments::zeros(70));
    let mut expected: Vec<f64> = found.iter().map(|&x| f64::from(x)).collect();
    let (mut m, mut v) = (vec![0.0; 70], vec![0.0; 70]);
    for step in 1..=3 {
        let gradient = values(10 + step, 70);
        dense(&mut found, &mut moments, &gradient, 0.5, &update(step - 1, &config));
        for j in 0..70 {
            let g = 0.5 * f64::from(gradient[j]);
            m[j] = 0.9 * m[j] + 0.1 * g;
            v[j] = 0.98 * v[j] + 0.02 * g * g;
            let (mean, square) =
                (m[j] / (1.0 - 0.9_f64.powi(step as i32)), v[j] / (1.0 - 0.98_f64.powi(step as i32)));
            expected[j] -= 0.01 * (mean / (square.sqrt() + 1e-8) + 0.1 * expected[j]);
        }
    }
    let expected: Vec<f32> = expected.iter().map(|&x| x as f32).collect();
    assert_close("values", &found, &expected, 1e-5);
}

#[test]
fn a_rows_first_lazy_update_is_the_dense_one() {
    let config = TrainConfig::default();
    let ids: Vec<u32> = (0..ITEMS as u32).filter(|id| id % 2 == 1 || id % 7 == 0).collect();
    let gradients = values(2, ids.len() * WIDTH);
    let mut all = vec![0.0; ITEMS * WIDTH];
    for (&id, gradient) in ids.iter().zip(gradients.chunks_exact(WIDTH)) {
        all[id as usize * WIDTH..][..WIDTH].copy_from_slice(gradient);
    }
    for updates in [0, 1, 1000] {
        let (mut touched, mut whole) = (table(), table());
        let (mut lazy_moments, mut dense_moments) =
            (Moments::zeros(ITEMS * WIDTH), Moments::zeros(ITEMS * WIDTH));
        lazy(&mut touched, &mut lazy_moments, &ids, &gradients, 1.0, &update(updates, &config)).unwrap();
        dense(whole.rows_mut(), &mut dense_moments, &all, 1.0, &update(updates, &config));
        assert_eq!(touched.rows(), whole.rows(), "after {updates} updates");
        assert_eq!(lazy_moments, dense_moments);
    }
}

#[test]
fn untouched_rows_and_their_moments_stay() {
    let config = TrainConfig { weight_decay: 0.1, ..TrainConfig::default() };
    let (mut moved, mut moments) = (table(), Moments::zeros(ITEMS * WIDTH));
    moments.first.fill(0.25);
    lazy(&mut moved, &mut moments, &[0, 3, 2499], &values(5, 15), 1.0, &update(4, &config)).unwrap();
    for id in 0..ITEMS {
        let (before, after) =
            (table().rows()[id * WIDTH..][..WIDTH] == moved.rows()[id * WIDTH..][..WIDTH], id);
        assert_eq!(before, ![0, 3, 2499].contains(&after), "row {id}");
        assert_eq!(moments.first[id * WIDTH] == 0.25, ![0, 3, 2499].contains(&id));
    }
}

#[test]
fn rows_that_are_not_ascending_or_not_there_are_refused() {
    let update = update(0, &TrainConfig::default());
    for ids in [[3, 3], [4, 2], [1, ITEMS as u32]] {
        let (mut table, mut moments) = (table(), Moments::zeros(ITEMS * WIDTH));
        assert!(lazy(&mut table, &mut moments, &ids, &[1.0; 2 * WIDTH], 1.0, &update).is_err(), "{ids:?}");
    }
}

#[test]
fn a_dense_update_of_a_large_table_is_refused() {
    assert!(check_dense(DENSE_ITEMS).is_ok());
    assert!(check_dense(DENSE_ITEMS + 1).unwrap_err().to_string().contains("200001 items"));
}
