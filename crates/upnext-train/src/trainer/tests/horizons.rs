//! Whole runs that look ahead: what they write, where they go on from, what they refuse.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use upnext_model::folder::open_trained;

use super::*;

const AHEAD: [(&str, &str); 2] = [("model.horizons", "4"), ("loss.horizon_decay", "0.7")];

#[test]
fn a_run_that_looks_ahead_is_stopped_and_resumed_to_the_same_bits_at_any_number_of_threads() {
    let (config, data) = (config(&AHEAD), data(1));
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&config, &data))
    };
    let whole = on(1);
    assert_same_weights(&on(2).dir, &whole.dir, "two threads");
    let keep = tempfile::tempdir().unwrap();
    let (dir, stop) = (keep.path().join("run"), AtomicBool::new(false));
    let options = TrainOptions { stop: Some(&stop), ..options() };
    let mut see = |event: &Event| {
        stop.fetch_or(matches!(event, Event::Step { step: 7, .. }), Ordering::Relaxed);
    };
    assert_eq!(train(&config, &data, &dir, &options, &mut see).unwrap().steps, 7);
    go(&config, &data, &dir, &resume()).summary.unwrap();
    assert_same_weights(&dir, &whole.dir, "stopped after 7");
    let model = open_trained(&dir.join("model")).unwrap().model;
    assert!(model.parameters().values("head.horizons").unwrap().iter().any(|value| value.abs() > 1e-3));
}

#[test]
fn training_goes_on_where_the_vectors_are_the_same() {
    let data = data(1);
    let plain = run(&config(&[]), &data);
    let plain = open_trained(&plain.dir.join("model")).unwrap();
    let keep = tempfile::tempdir().unwrap();
    let onward = TrainOptions { from: Some(&plain), ..options() };
    let try_on = |overrides: &[(&str, &str)], name: &str| {
        go(&config(overrides), &data, &keep.path().join(name), &onward).summary
    };
    assert!(try_on(&[("model.horizons", "4"), ("model.merge_horizons", "true")], "merged").is_ok());
    let message = try_on(&AHEAD, "ahead").unwrap_err().to_string();
    assert!(message.contains("model.horizons is 4 in the run and 1 in the model"), "{message}");
    let ahead = run(&config(&AHEAD), &data);
    let ahead = open_trained(&ahead.dir.join("model")).unwrap();
    let onward = TrainOptions { from: Some(&ahead), ..options() };
    assert!(go(&config(&AHEAD), &data, &keep.path().join("onward"), &onward).summary.is_ok());
}

#[test]
fn a_device_does_not_look_ahead() {
    let on_device = TrainOptions { device: Some(&Device::Cpu), ..options() };
    let merged = [("model.horizons", "3"), ("model.merge_horizons", "true")];
    for overrides in [&AHEAD[..], &merged] {
        let keep = tempfile::tempdir().unwrap();
        let refused = go(&config(overrides), &data(1), &keep.path().join("run"), &on_device).summary;
        assert!(matches!(refused, Err(Error::HorizonsOnDevice)));
        assert!(!keep.path().join("run").exists());
    }
}
