//! A step on its own: it learns, in every kind, and a bad one changes nothing.

mod horizons;
mod towers;

use super::*;
use crate::plan::Planner;
use crate::testing::{batch_of, jagged};
use upnext_data::Batch;
use upnext_kernels::tiles::Tiles;

const ITEMS: usize = 30;

fn config(text: &str) -> RunConfig {
    let model =
        "model = { layers = 1, width = 8, heads = 2, hidden = 12, rank = 8, window = 12, dropout = 0.0";
    let text = text.replacen("model = {", &format!("{model},"), 1);
    let text = if text.contains(model) { text } else { format!("{model} }}\n{text}") };
    RunConfig::from_toml(&text, "step.toml".as_ref()).unwrap()
}

/// Four histories that each follow a rule of their own.
fn batch() -> Batch {
    let sequence = |user: u32| (0..10).map(|t| (user * 7 + t * (user + 1)) % ITEMS as u32).collect();
    let sequences: Vec<Vec<u32>> = (0..4).map(sequence).collect();
    batch_of(&sequences.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn learner(config: &RunConfig) -> (Learner, Planner<'static>) {
    let model = Model::new(config.model.clone(), ITEMS, 1).unwrap();
    let adam = Adam::new(&model);
    let planner = Planner::new(&config.loss, config.model.tied, &[1; ITEMS], 1).with_horizons(config);
    (Learner::new(model, adam, config).unwrap(), planner)
}

#[test]
fn every_kind_of_step_overfits_a_batch() {
    for text in [
        "loss = { count = 20 }",
        "loss = { count = 20, negatives = \"popularity^0.5\" }",
        "loss = { kind = \"full-softmax\" }",
        "loss = { count = 20 }\ntrain = { table_optimizer = \"dense\" }",
        "model = { tied = false }\nloss = { count = 20 }",
        "model = { tied = false }\nloss = { kind = \"full-softmax\" }",
        "model = { tied = false }\nloss = { count = 20 }\ntrain = { table_optimizer = \"dense\" }",
        "model = { project = false, positions = \"rotary\" }\nloss = { count = 30 }",
    ] {
        let config = config(text);
        let (mut learner, mut planner) = learner(&config);
        let mut step = |step| learner.step(&planner.plan(step, batch()).unwrap(), 0.02).unwrap();
        let first = step(0);
        let last = (1..200).map(&mut step).last().unwrap();
        assert!(first.finite && last.loss < 0.1 * first.loss, "{text}: {} to {}", first.loss, last.loss);
    }
}

/// Everything that a step may change, as bits.
fn bits(learner: &Learner) -> Vec<Vec<u32>> {
    let (model, adam) = (&learner.model, &learner.adam);
    let mut all =
        vec![model.input_table().rows().to_vec(), adam.input.first.clone(), adam.input.second.clone()];
    for (name, _) in model.parameters().iter() {
        all.push(model.parameters().values(name).unwrap());
        all.push(adam.parameters[name].first.clone());
        all.push(adam.parameters[name].second.clone());
    }
    all.push(vec![adam.updates as f32]);
    all.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    for (text, poison) in [
        ("loss = { count = 20 }", f32::NAN),
        ("loss = { count = 20 }", f32::INFINITY),
        ("loss = { kind = \"full-softmax\" }", f32::NAN),
        ("train = { table_optimizer = \"dense\" }", f32::NEG_INFINITY),
    ] {
        let config = config(text);
        let (mut learner, mut planner) = learner(&config);
        assert!(learner.step(&planner.plan(0, batch()).unwrap(), 0.01).unwrap().finite);
        let row = batch().tokens[3].index() * 8;
        learner.model.tables_mut().0.rows_mut()[row + 2] = poison;
        let before = bits(&learner);
        let outcome = learner.step(&planner.plan(1, batch()).unwrap(), 0.01).unwrap();
        assert!(!outcome.finite, "{text} {poison}: {outcome:?}");
        assert_eq!(bits(&learner), before, "{text} {poison}");
    }
}

#[test]
fn every_parameter_and_every_read_row_moves() {
    let config = config("loss = { count = 20 }");
    let (mut learner, mut planner) = learner(&config);
    let before = bits(&learner);
    let plan = planner.plan(0, batch()).unwrap();
    assert!(learner.step(&plan, 0.01).unwrap().finite);
    let after = bits(&learner);
    for item in 0..ITEMS {
        let row = |all: &[Vec<u32>]| all[0][item * 8..][..8].to_vec();
        let read = plan.ids.binary_search(&(item as u32)).is_ok();
        assert_eq!(row(&before) != row(&after), read, "row {item}");
    }
    for (at, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_ne!(before, after, "array {at}");
    }
}

#[test]
fn clipping_bounds_the_step_by_the_whole_gradient() {
    let (config, free) = (config("train = { clip = 1e-3 }"), config("train = { clip = inf }"));
    let moments = |config: &RunConfig| {
        let (mut learner, mut planner) = learner(config);
        let norm = learner.step(&planner.plan(0, batch()).unwrap(), 0.01).unwrap().gradient_norm;
        let adam = &learner.adam;
        let all = adam.parameters.values().map(|moments| &moments.first).chain([&adam.input.first]);
        let squares: f64 = all.flatten().map(|&m| f64::from(m).powi(2)).sum();
        (norm, 10.0 * squares.sqrt())
    };
    let ((norm, used), (norm_free, used_free)) = (moments(&config), moments(&free));
    assert_eq!(norm, norm_free, "the norm is reported before clipping");
    assert!((used - 1e-3).abs() < 1e-6 && (used_free / norm - 1.0).abs() < 1e-4, "{used} {used_free} {norm}");
}

/// The fused operations round otherwise than the composed ones; a hundred updates must not carry that further than
/// one part in ten thousand of a loss.
#[test]
fn fused_and_composed_operations_give_the_same_losses_for_a_hundred_steps() {
    for loss in ["{ count = 50 }", "{ kind = \"full-softmax\" }"] {
        for (dropout, positions) in [(0.0, "learned"), (0.2, "learned"), (0.2, "rotary")] {
            let text = format!(
                "model = {{ layers = 2, width = 16, heads = 2, hidden = 20, rank = 8, window = 40, dropout = \
                 {dropout}, positions = \"{positions}\" }}\nloss = {loss}"
            );
            let config = RunConfig::from_toml(&text, "step.toml".as_ref()).unwrap();
            let start = || {
                let model = Model::new(config.model.clone(), 200, 1).unwrap();
                let adam = Adam::new(&model);
                Learner::new(model, adam, &config).unwrap()
            };
            let (mut fused, mut composed) = (start(), start());
            let mut planner = Planner::new(&config.loss, true, &[1; 200], 1);
            let mut first = None;
            for step in 0..100 {
                let plan = planner.plan(step, jagged(step)).unwrap();
                let one = fused.step(&plan, 3e-3).unwrap().loss;
                let other = composed.step_by(Model::forward_reference, &plan, 3e-3).unwrap().loss;
                assert!((one - other).abs() < 1e-4 * other, "{text}: step {step}: {one} and {other}");
                first.get_or_insert(one);
            }
            let last = fused.step(&planner.plan(100, jagged(100)).unwrap(), 3e-3).unwrap().loss;
            assert!(last < 0.9 * first.unwrap(), "{text}: nothing was learned: {first:?} to {last}");
        }
    }
}

/// Products of rounded operands move a loss by a part in a thousand, whichever form computes them, and what is learned
/// by less than noise.
#[test]
fn bf16_products_learn_what_f32_products_do() {
    let text = "model = { layers = 2, width = 16, heads = 2, hidden = 20, rank = 8, window = 40, dropout = 0.1 }\n\
                loss = { count = 50 }";
    let config = RunConfig::from_toml(text, "step.toml".as_ref()).unwrap();
    if Tiles::here().is_none() {
        println!("no bf16 tiles here: only their plain form is tested");
    }
    let kinds = std::iter::once(Tiles::plain()).chain(Tiles::here());
    for tiles in kinds {
        let start = |products| {
            let model = Model::new(config.model.clone(), 200, 1).unwrap();
            let adam = Adam::new(&model);
            Learner { products, ..Learner::new(model, adam, &config).unwrap() }
        };
        let (mut whole, mut rounded) = (start(Products::F32), start(Products::Bf16(tiles)));
        let mut composed = start(Products::Bf16(tiles));
        assert_eq!((whole.products(), rounded.products()), (Precision::F32, Precision::Bf16));
        let mut planner = Planner::new(&config.loss, true, &[1; 200], 1);
        let mut losses = [0.0; 2];
        for step in 0..60 {
            let plan = planner.plan(step, jagged(step)).unwrap();
            losses = [&mut whole, &mut rounded].map(|learner| learner.step(&plan, 3e-3).unwrap().loss);
            let apart = (losses[0] - losses[1]).abs() / losses[0];
            assert!(apart < 1e-2, "{tiles:?}, step {step}: {losses:?}");
            assert!(step > 0 || apart > 0.0, "nothing was rounded");
            let other = composed.step_by(Model::forward_reference, &plan, 3e-3).unwrap().loss;
            assert!((other - losses[1]).abs() < 2e-3 * other, "{tiles:?}, step {step}: {other}, {losses:?}");
        }
        assert!(losses[1] < 5.0, "nothing was learned: {losses:?}");
    }
}
