//! A step that asks every state for several events to come.

use super::*;
use crate::testing::batch_of;

const KINDS: [&str; 8] = [
    "model = { horizons = 3 }\nloss = { count = 20 }",
    "model = { horizons = 3 }\nloss = { count = 20, negatives = \"popularity^0.5\", horizon_decay = 0.6 }",
    "model = { horizons = 3, tied = false }\nloss = { count = 20 }",
    "model = { horizons = 3 }\nloss = { kind = \"full-softmax\", horizon_decay = 0.6 }",
    "model = { horizons = 3, tied = false }\nloss = { kind = \"full-softmax\" }",
    "model = { horizons = 3, project = false, positions = \"rotary\" }\nloss = { count = 20 }",
    "model = { horizons = 3, merge_horizons = true }\nloss = { count = 20, horizon_decay = 0.6 }",
    "model = { horizons = 3, merge_horizons = true, tied = false }\nloss = { kind = \"full-softmax\" }",
];

#[test]
fn every_kind_of_horizons_learns_with_every_parameter() {
    for text in KINDS {
        let config = config(text);
        let (mut learner, mut planner) = learner(&config);
        let before = bits(&learner);
        let mut step = |step| learner.step(&planner.plan(step, batch()).unwrap(), 0.02).unwrap();
        let first = step(0);
        let last = (1..200).map(&mut step).last().unwrap();
        assert!(first.finite && last.loss < 0.8 * first.loss, "{text}: {} to {}", first.loss, last.loss);
        for (at, (before, after)) in before.iter().zip(bits(&learner)).enumerate() {
            assert_ne!(*before, after, "{text}: array {at}");
        }
    }
}

#[test]
fn fused_and_composed_operations_look_ahead_alike() {
    for text in KINDS {
        let config = config(text);
        let start = || learner(&config);
        let ((mut fused, mut planner), (mut composed, _)) = (start(), start());
        for step in 0..40 {
            let plan = planner.plan(step, batch()).unwrap();
            let one = fused.step(&plan, 3e-3).unwrap().loss;
            let other = composed.step_by(Model::forward_reference, &plan, 3e-3).unwrap().loss;
            assert!((one - other).abs() < 1e-4 * other, "{text}: step {step}: {one} and {other}");
        }
    }
}

/// With every item drawn once nothing is left to chance: horizon by horizon the loss is the full softmax's.
#[test]
fn the_loss_is_the_horizons_losses_by_their_shares() {
    for merge in ["", ", merge_horizons = true"] {
        let loss = |model: &str, loss: &str| {
            let config = config(&format!("model = {{ horizons = 3{merge}{model} }}\nloss = {{ {loss} }}"));
            let (mut learner, mut planner) = learner(&config);
            learner.step(&planner.plan(0, batch_of(&[&[1, 2, 3], &[4, 5]])).unwrap(), 0.0).unwrap()
        };
        let by_hand = {
            let config = config(&format!("model = {{ horizons = 3{merge} }}"));
            let learner = learner(&config).0;
            let states = learner.model.network().unwrap();
            let vectors = learner.model.vectors().unwrap();
            let ids = |ids: &[u32]| ids.iter().map(|&id| upnext_data::ItemId(id)).collect::<Vec<_>>();
            // Vectors of the horizons begin at zero, so that one state is for all.
            let log_p = |past: &[u32], next: u32| {
                let state = states.prefill(&[&ids(past)], &vectors, None, false).unwrap();
                let score = |row: &[f32]| row.iter().zip(&state).map(|(v, h)| f64::from(v * h)).sum::<f64>();
                let scores: Vec<f64> = learner.model.output_table().rows().chunks(8).map(score).collect();
                scores[next as usize] - scores.iter().map(|score| score.exp()).sum::<f64>().ln()
            };
            let first = 2.0 / 3.0 * log_p(&[1], 2) + 1.0 / 3.0 * log_p(&[1], 3);
            -(first + log_p(&[1, 2], 3) + log_p(&[4], 5)) / 3.0
        };
        let sampled = loss("", "count = 30, horizon_decay = 0.5");
        let full = loss("", "kind = \"full-softmax\", horizon_decay = 0.5");
        let untied = loss(", tied = false", "count = 30, horizon_decay = 0.5");
        let untied_full = loss(", tied = false", "kind = \"full-softmax\", horizon_decay = 0.5");
        assert!((sampled.loss - by_hand).abs() < 1e-5, "{} and {by_hand}", sampled.loss);
        for (one, other) in [(sampled, full), (untied, untied_full)] {
            assert!((one.loss - other.loss).abs() < 1e-5, "{one:?} {other:?}");
            assert!((one.gradient_norm - other.gradient_norm).abs() < 1e-4 * one.gradient_norm);
        }
    }
}

/// Central differences of the loss by the vectors of the horizons.
#[test]
fn the_gradient_of_the_horizons_is_the_slope() {
    for text in KINDS.iter().filter(|text| !text.contains("merge")) {
        let config = config(text);
        let loss_at = |moved: Option<(usize, f32)>| {
            let (mut learner, mut planner) = learner(&config);
            let mut values: Vec<f32> = (0..16).map(|at| 0.2 * (at as f32).sin()).collect();
            if let Some((at, by)) = moved {
                values[at] += by;
            }
            learner.model.parameters_mut().set("head.horizons", &values).unwrap();
            let loss = learner.step(&planner.plan(0, batch()).unwrap(), 0.0).unwrap().loss;
            // The first moment of a first step is a tenth of the gradient, clipped.
            (loss, learner.adam.parameters["head.horizons"].first.clone())
        };
        let (_, first) = loss_at(None);
        let slopes: Vec<f64> =
            (0..16).map(|at| (loss_at(Some((at, 1e-2))).0 - loss_at(Some((at, -1e-2))).0) / 2e-2).collect();
        let largest = slopes.iter().fold(0.0_f64, |most, slope| most.max(slope.abs()));
        let scale = slopes.iter().map(|slope| slope * slope).sum::<f64>().sqrt()
            / first.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        for (at, (slope, first)) in slopes.iter().zip(&first).enumerate() {
            let found = f64::from(*first) * scale;
            assert!((found - slope).abs() < 2e-2 * largest, "{text}, place {at}: {found} and {slope}");
        }
    }
}
