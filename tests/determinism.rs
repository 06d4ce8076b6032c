//! Same seed, same bits: at any number of threads, and after any number of kills.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use upnext_kernels::tiles::Tiles;

use crate::support::{Place, succeed, upnext};

/// Losses of all steps, as they are written.
fn losses(place: &Place, run: &str) -> Vec<String> {
    let log = fs::read_to_string(place.path(run).join("metrics.jsonl")).unwrap();
    let objects = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| !object["loss"].is_null()).map(|object| object["loss"].to_string()).collect()
}

#[test]
fn one_and_two_threads_give_the_same_losses_and_weights() {
    let place = Place::prepared();
    let steps = [
        "--set",
        "train.max_steps=100",
        "--set",
        "train.max_epochs=1000",
        "--set",
        "train.patience=1000",
        "--set",
        "train.users=16",
    ];
    place.train("one", &[&steps[..], &["--threads", "1"]].concat());
    place.train("two", &[&steps[..], &["--threads", "2"]].concat());
    let one = losses(&place, "one");
    assert_eq!(one.len(), 100);
    assert_eq!(one, losses(&place, "two"));
    assert_eq!(place.weights("one"), place.weights("two"));
}

/// A level below AVX-512 stands for a machine without tiles.
#[test]
fn a_run_that_must_go_on_with_other_products_says_so() {
    let place = Place::prepared();
    let train = |more: &[&str]| {
        let run = ["--device", "cpu", "--set", "train.precision=\"bf16\"", "--set", "train.max_steps=9"];
        let often =
            ["--set", "train.eval_every=3", "--set", "train.users=16", "--set", "train.patience=1000"];
        let arguments = [&run[..], &often, more].concat();
        let output = upnext(place.train_arguments("run", &arguments)).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = train(&["--kernels", "portable"]);
    assert!(said.contains("training in f32") && said.contains("products in f32"), "{said}");
    if Tiles::here().is_none() {
        println!("no bf16 tiles here: what follows is skipped");
        return;
    }
    let said = train(&["--overwrite"]);
    assert!(said.contains("products in bf16") && !said.contains("training in f32"), "{said}");
    // As if the run had been killed after step 6.
    fs::remove_dir_all(place.path("run/checkpoints/step-000000009")).unwrap();
    let said = train(&["--resume", "--kernels", "portable"]);
    assert!(said.contains("products were in bf16 up to here and are in f32 from now on"), "{said}");
    let log = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.find(|line| line["event"] == "other-products").unwrap();
    assert_eq!((&line["step"], &line["before"], &line["now"]), (&6.into(), &"bf16".into(), &"f32".into()));
}

#[test]
fn another_seed_gives_other_weights() {
    let place = Place::prepared();
    for (run, seed) in [("one", "1"), ("two", "2")] {
        place.train(run, &["--set", "train.max_steps=2", "--seed", seed]);
    }
    assert_ne!(place.weights("one"), place.weights("two"));
}

/// How often a training is killed here; a release sets the variable to more.
fn kills() -> u64 {
    std::env::var("UPNEXT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn a_training_killed_at_random_instants_ends_with_the_same_weights() {
    let place = Place::prepared();
    let more = ["--set", "train.max_epochs=60", "--set", "train.patience=1000", "--set", "train.users=8"];
    place.train("whole", &more);
    let seconds = {
        let summary = fs::read_to_string(place.path("whole/summary.json")).unwrap();
        serde_json::from_str::<Value>(&summary).unwrap()["seconds"].as_f64().unwrap()
    };
    let arguments = place.train_arguments("killed", &[&more[..], &["--resume"]].concat());
    let mut interrupted = 0;
    for kill in 0..kills() {
        let mut child = upnext(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Instants spread over the run by the golden ratio, so that they meet every kind of work.
        let share = (kill as f64 + 1.0) * 0.618_034 % 1.0;
        sleep(Duration::from_secs_f64(0.02 + share * seconds / 2.0));
        interrupted += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(interrupted > 0, "every run ended before it was killed");
    succeed(&arguments);
    assert_eq!(place.weights("killed"), place.weights("whole"));
    assert_eq!(losses(&place, "killed"), losses(&place, "whole"));
    let vectors = |run: &str| fs::read(place.path(run).join("model/vectors.safetensors")).unwrap();
    assert_eq!(vectors("killed"), vectors("whole"));
}
