//! Whole runs through the device path, on the CPU: late numbers change nothing that a run promises.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;

use super::*;

fn on_device() -> TrainOptions<'static> {
    TrainOptions { device: Some(&Device::Cpu), ..options() }
}

fn go_on_device(config: &RunConfig, data: &Prepared, dir: &Path) -> Done {
    go(config, data, dir, &on_device())
}

#[test]
fn a_run_reports_the_same_steps_and_validations_as_the_cpus_own_path() {
    let keep = tempfile::tempdir().unwrap();
    for (name, overrides) in
        [("epochs", vec![]), ("steps", vec![("train.eval_every", "4"), ("train.max_steps", "11")])]
    {
        let (config, data) = (config(&overrides), data(1));
        let own = run(&config, &data);
        let found = go_on_device(&config, &data, &keep.path().join(name));
        let kinds = |done: &Done| -> Vec<(&str, u64)> {
            let kind = |event: &Event| match event {
                Event::Step { step, .. } => Some(("step", *step)),
                Event::Validated { step, .. } => Some(("validated", *step)),
                Event::Checkpointed { step, .. } => Some(("checkpointed", *step)),
                _ => None,
            };
            done.events.iter().filter_map(kind).collect()
        };
        assert_eq!(kinds(&found), kinds(&own), "{name}");
        assert!(matches!(&found.events[0], Event::Started { device, .. } if device == "cpu, as a device"));
        for ((step, own), (_, found)) in own.losses().iter().zip(found.losses()) {
            let (own, found) = (f64::from_bits(*own), f64::from_bits(found));
            assert!((own - found).abs() < 1e-4 * own, "{name}, step {step}: {own} and {found}");
        }
        let (own, found) = (own.summary(), found.summary());
        assert_eq!((found.steps, found.tokens, found.ended), (own.steps, own.tokens, own.ended));
        let apart = own.best.as_ref().unwrap().ndcg_10() - found.best.as_ref().unwrap().ndcg_10();
        assert!(apart.abs() < 0.02, "{name}: {apart}");
        assert!(folder::open(&keep.path().join(name).join("model")).is_ok());
    }
}

#[test]
fn a_run_that_is_stopped_resumes_to_the_same_bits() {
    let (config, data, keep) = (config(&[]), data(1), tempfile::tempdir().unwrap());
    let whole = go_on_device(&config, &data, &keep.path().join("whole"));
    let (dir, stop) = (keep.path().join("run"), AtomicBool::new(false));
    let options = TrainOptions { stop: Some(&stop), ..on_device() };
    let mut see = |event: &Event| {
        stop.fetch_or(matches!(event, Event::Step { step: 7, .. }), Ordering::Relaxed);
    };
    // When step 7 is known, step 8 is under way.
    assert_eq!(train(&config, &data, &dir, &options, &mut see).unwrap().steps, 8);
    let second = go(&config, &data, &dir, &TrainOptions { resume: true, ..on_device() });
    assert_eq!(second.losses(), whole.losses()[8..]);
    assert_same_weights(&dir, &whole.dir, "stopped after 8");
}

#[test]
fn a_run_that_diverges_rolls_back_and_ends_with_an_error() {
    let overrides = [("train.warmup_steps", "0"), ("train.max_epochs", "9"), ("train.eval_every", "1000")];
    let mut config = config(&overrides);
    config.train.lr = 1e38; // more than a file may say
    let (data, keep) = (data(1), tempfile::tempdir().unwrap());
    // No checkpoint of the clock falls between the bad steps: reading them there would leave none under way.
    let options = TrainOptions { checkpoint_every: Every::Steps(1000), ..on_device() };
    let done = go(&config, &data, &keep.path().join("run"), &options);
    let error = done.summary.as_ref().unwrap_err();
    assert!(matches!(error, Error::Diverged { rollbacks: 3, .. }), "{error}");
    assert_eq!(done.count(|event| matches!(event, Event::RolledBack { .. })), 3);
    let skipped = done.count(|event| matches!(event, Event::Skipped { .. }));
    assert_eq!(skipped, 16, "three that roll back and the one under way, four times");
    assert!(folder::open(&done.dir.join("model")).is_ok());
}

#[test]
fn a_device_has_bf16_products_of_its_own() {
    let (config, data) = (config(&[("train.precision", "\"bf16\""), ("train.max_steps", "3")]), data(1));
    let keep = tempfile::tempdir().unwrap();
    let done = go_on_device(&config, &data, &keep.path().join("run"));
    assert_eq!(done.summary().steps, 3);
    assert!(matches!(done.events[0], Event::Started { products: Precision::Bf16, .. }));
}
