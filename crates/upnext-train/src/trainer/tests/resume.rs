//! Interrupted, killed and damaged runs end as if nothing had happened.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::start::Start;

#[test]
fn a_run_that_is_stopped_anywhere_resumes_to_the_same_bits() {
    let (config, data) = (config(&[]), data(1));
    let whole = run(&config, &data);
    let Event::Started { steps_per_epoch: epoch, .. } = whole.events[0] else { panic!() };
    for at in [1, 7, epoch as u64 - 1, epoch as u64, 2 * epoch as u64 + 1] {
        let keep = tempfile::tempdir().unwrap();
        let (dir, stop) = (keep.path().join("run"), AtomicBool::new(false));
        let options = TrainOptions { stop: Some(&stop), ..options() };
        let mut see = |event: &Event| {
            let reached = matches!(event, Event::Step { step, .. } if *step == at);
            stop.fetch_or(reached, Ordering::Relaxed);
        };
        let first = train(&config, &data, &dir, &options, &mut see).unwrap();
        assert_eq!((first.steps, first.ended), (at, Ended::Asked));
        assert!(folder::open(&dir.join("model")).is_ok(), "a stopped run has a model");
        // While it goes on, nothing says any more that it was stopped.
        assert!(dir.join("summary.json").is_file());
        let is_told = Cell::new(false);
        let mut goes_on = |event: &Event| {
            let has_summary = dir.join("summary.json").is_file();
            is_told.set(is_told.get() || (has_summary && !matches!(event, Event::Finished(_))));
            assert!(!matches!(event, Event::Step { .. }), "killed on purpose");
        };
        let killed = AssertUnwindSafe(|| train(&config, &data, &dir, &resume(), &mut goes_on));
        assert!(catch_unwind(killed).is_err() && !is_told.get());
        let second = go(&config, &data, &dir, &resume());
        assert!(matches!(second.events[0], Event::Started { resumed: Some(step), .. } if step == at));
        assert_eq!(second.losses(), whole.losses()[at as usize..], "stopped after {at}");
        assert_same_weights(&dir, &whole.dir, &format!("stopped after {at}"));
        assert_eq!(second.summary().best, whole.summary().best);
    }
}

#[test]
fn a_run_that_is_killed_anywhere_resumes_to_the_same_bits_and_log() {
    let (config, data) = (config(&[]), data(1));
    let whole = run(&config, &data);
    let steps_of = |dir: &Path| -> Vec<(u64, f64)> {
        let log = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let steps = lines.filter(|line| line["event"] == "step");
        steps.map(|line| (line["step"].as_u64().unwrap(), line["loss"].as_f64().unwrap())).collect()
    };
    // The n-th event of a run is where it dies: between steps, after a checkpoint, before one.
    for deaths in [vec![1], vec![2], vec![6], vec![9, 3], vec![13, 5, 5], vec![whole.events.len() - 1]] {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("run");
        for &death in &deaths {
            let seen = RefCell::new(0);
            let died = catch_unwind(AssertUnwindSafe(|| {
                let mut see = |_: &Event| {
                    *seen.borrow_mut() += 1;
                    assert!(*seen.borrow() < death, "killed on purpose");
                };
                train(&config, &data, &dir, &resume(), &mut see)
            }));
            assert!(died.is_err());
        }
        go(&config, &data, &dir, &resume()).summary.unwrap();
        assert_same_weights(&dir, &whole.dir, &format!("killed at {deaths:?}"));
        assert_eq!(steps_of(&dir), steps_of(&whole.dir));
    }
}

#[test]
fn a_finished_run_resumes_to_its_summary() {
    let (config, data) = (config(&[]), data(1));
    let done = run(&config, &data);
    let before = weights(&done.dir);
    let again = go(&config, &data, &done.dir, &resume());
    assert_eq!((again.summary().steps, &again.summary().best), (done.summary().steps, &done.summary().best));
    assert_eq!(again.events.len(), 1);
    assert!(before == weights(&done.dir));
}

/// Spoils the newest checkpoint of an interrupted run, resumes it, and gives what it reported.
fn after_damage(what: &str, spoil: &dyn Fn(&Path)) {
    let (config, data) = (config(&[]), data(1));
    let whole = run(&config, &data);
    let keep = tempfile::tempdir().unwrap();
    let (dir, stop) = (keep.path().join("run"), AtomicBool::new(false));
    let options = TrainOptions { stop: Some(&stop), ..options() };
    let mut see = |event: &Event| {
        stop.fetch_or(matches!(event, Event::Step { step: 10, .. }), Ordering::Relaxed);
    };
    train(&config, &data, &dir, &options, &mut see).unwrap();
    spoil(&dir.join("checkpoints"));
    let second = go(&config, &data, &dir, &resume());
    assert!(second.count(|event| matches!(event, Event::Damaged { .. })) > 0, "{what} is noticed");
    assert_same_weights(&dir, &whole.dir, what);
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let flip = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    after_damage("a flipped weight", &|folder| {
        flip(&folder.join("step-000000010/state.safetensors"), 20_000);
    });
    after_damage("a flipped header", &|folder| flip(&folder.join("step-000000010/state.safetensors"), 40));
    after_damage("a flipped state", &|folder| flip(&folder.join("step-000000010/manifest.json"), 150));
    after_damage("a cut file", &|folder| {
        let path = folder.join("step-000000010/state.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    after_damage("a missing file", &|folder| {
        fs::remove_file(folder.join("step-000000010/manifest.json")).unwrap();
    });
    after_damage("damage everywhere", &|folder| {
        for entry in fs::read_dir(folder).unwrap() {
            flip(&entry.unwrap().path().join("state.safetensors"), 9_999);
        }
    });
}

#[test]
fn every_flipped_byte_of_a_manifest_is_noticed() {
    let (config, data) = (config(&[("train.max_steps", "2")]), data(1));
    let done = run(&config, &data);
    let (data_hash, toml) = (data.manifest.data_hash(), config.to_toml().unwrap());
    let origin = Origin { config: toml, data_hash, features: None, from: None };
    let checkpoints = Checkpoints::new(&done.dir, origin);
    let start = Start { config: &config, catalog: &data.catalog, earlier: None };
    let mut learner = start.learner().unwrap();
    let mut restore = || checkpoints.restore(2, &mut learner.model, &mut learner.adam).is_ok();
    assert!(restore());
    let path = checkpoints.path(2).join("manifest.json");
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 7);
        fs::write(&path, &bytes).unwrap();
        assert!(!restore(), "byte {at}");
    }
}
