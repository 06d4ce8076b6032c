//! The device path, on the CPU, against the CPU's own.

use super::*;
use crate::RunConfig;
use crate::adam::Adam;
use crate::plan::Planner;
use crate::step::{Learner, Outcome};
use crate::testing::jagged;
use candle_core::DType;
use upnext_model::Model;

const ITEMS: usize = 200;

fn config(model: &str, loss: &str, train: &str) -> RunConfig {
    let text = format!(
        "model = {{ layers = 2, width = 16, heads = 2, hidden = 20, rank = 8, window = 40, {model} }}\n\
         loss = {{ {loss} }}\ntrain = {{ {train} }}"
    );
    RunConfig::from_toml(&text, "device.toml".as_ref()).unwrap()
}

fn learner(config: &RunConfig) -> Learner {
    let model = Model::new(config.model.clone(), ITEMS, 1).unwrap();
    let adam = Adam::new(&model);
    Learner::new(model, adam, config).unwrap()
}

/// The losses of some steps on the CPU's own path and on the device path, and both learners after them.
fn both(config: &RunConfig, products: DType, steps: u64) -> ([Vec<Outcome>; 2], [Learner; 2]) {
    let (mut host, mut copy) = (learner(config), learner(config));
    let mut device = DeviceLearner::new(&copy, &Device::Cpu).unwrap();
    let dense = config.train.table_optimizer == crate::config::TableOptimizer::Dense;
    let mut layer = Layer::new(&config.model, ITEMS, products, dense, &Device::Cpu).unwrap();
    let mut planner = Planner::new(&config.loss, config.model.tied, &[1; ITEMS], 1);
    let (mut own, mut found) = (Vec::new(), Vec::new());
    for step in 0..steps {
        let plan = planner.plan(step, jagged(step)).unwrap();
        own.push(host.step(&plan, 3e-3).unwrap());
        let laid = layer.lay(&plan).unwrap();
        let outcome = device.step(&laid, 3e-3).unwrap();
        assert_eq!(outcome.is_some(), step > 0, "a step is read while the next one runs");
        found.extend(outcome);
    }
    found.extend(device.settle().unwrap());
    assert_eq!(device.settle().unwrap(), None);
    device.write_back(&mut copy).unwrap();
    ([own, found], [host, copy])
}

#[test]
fn a_hundred_steps_give_the_losses_of_the_cpus_own_path() {
    for (model, loss, train) in [
        ("dropout = 0.0", "count = 50", ""),
        ("dropout = 0.2", "count = 50", ""),
        ("dropout = 0.2, positions = \"rotary\"", "count = 50, negatives = \"popularity^0.5\"", ""),
        ("dropout = 0.0", "kind = \"full-softmax\"", ""),
        ("dropout = 0.2", "kind = \"full-softmax\"", ""),
        ("dropout = 0.2, tied = false", "kind = \"full-softmax\"", ""),
        ("dropout = 0.2, tied = false", "count = 50", "table_optimizer = \"dense\""),
        ("dropout = 0.2", "count = 50", "table_optimizer = \"dense\", weight_decay = 0.1, clip = 0.1"),
    ] {
        let ([own, found], [host, copy]) = both(&config(model, loss, train), DType::F32, 100);
        let what = format!("{model}; {loss}; {train}");
        assert_eq!(found.len(), 100);
        for (step, (own, found)) in own.iter().zip(&found).enumerate() {
            let apart = (own.loss - found.loss).abs() / own.loss;
            assert!(apart < 1e-4, "{what}: step {step}: {} and {}", own.loss, found.loss);
            let apart = (own.gradient_norm - found.gradient_norm).abs() / own.gradient_norm;
            assert!(
                apart < 1e-3,
                "{what}: step {step}: norms {} and {}",
                own.gradient_norm,
                found.gradient_norm
            );
        }
        assert!(found[99].loss < 0.9 * found[0].loss, "{what}: nothing was learned");
        assert_eq!(host.adam.updates, copy.adam.updates);
        let tables = [&host, &copy].map(|learner| learner.model.input_table().rows());
        let furthest = tables[0].iter().zip(tables[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 2e-3, "{what}: tables are {furthest} apart");
    }
}

#[test]
fn products_in_bf16_learn_as_well() {
    let ([own, found], _) = both(&config("dropout = 0.2", "count = 50", ""), DType::BF16, 100);
    let mean = |outcomes: &[Outcome]| outcomes[80..].iter().map(|outcome| outcome.loss).sum::<f64>() / 20.0;
    assert!((mean(&own) / mean(&found) - 1.0).abs() < 0.02, "{} and {}", mean(&own), mean(&found));
    assert_ne!(own, found);
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_says_so_late() {
    let config = config("dropout = 0.0", "count = 50", "");
    let mut start = learner(&config);
    let mut planner = Planner::new(&config.loss, true, &[1; ITEMS], 1);
    let plan = planner.plan(0, jagged(0)).unwrap();
    let rank = start.model.config().rank;
    start.model.tables_mut().0.rows_mut()[plan.ids[3] as usize * rank] = f32::NAN;
    let mut device = DeviceLearner::new(&start, &Device::Cpu).unwrap();
    let mut layer = Layer::new(&config.model, ITEMS, DType::F32, false, &Device::Cpu).unwrap();
    assert_eq!(device.step(&layer.lay(&plan).unwrap(), 0.1).unwrap(), None);
    assert!(!device.settle().unwrap().unwrap().finite);
    let mut after = learner(&config);
    device.write_back(&mut after).unwrap();
    assert_eq!(after.adam, start.adam);
    let bits = |learner: &Learner| -> Vec<u32> {
        let parameters = learner.model.parameters();
        let values = parameters.iter().flat_map(|(name, _)| parameters.values(name).unwrap());
        values.chain(learner.model.input_table().rows().to_vec()).map(f32::to_bits).collect()
    };
    assert_eq!(bits(&after), bits(&start));
}

#[test]
fn a_device_is_named_as_it_is_asked_for() {
    let parsed = |text: &str| text.parse::<Choice>();
    assert_eq!(parsed("cuda:2"), Ok(Choice::Cuda(2)));
    assert_eq!(parsed("metal"), Ok(Choice::Metal(0)));
    assert_eq!(parsed("auto"), Ok(Choice::Auto));
    for wrong in ["gpu", "cuda:", "cuda:x", "cpu:1", "auto:0", ""] {
        assert!(parsed(wrong).unwrap_err().contains("cuda:N"), "{wrong}");
    }
    assert!(Choice::Cpu.open().unwrap().is_none());
    if !built_with("metal") {
        let error = Choice::Metal(0).open().unwrap_err().to_string();
        assert!(error.contains("--features metal"), "{error}");
    }
}
