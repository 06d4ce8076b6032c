//! What a run finds in its folder that it did not leave there, and what it says and keeps.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A run that was stopped after its tenth step, in a new folder: it has checkpoints at the latest validation, 8 and 10.
fn stopped(config: &RunConfig, data: &Prepared) -> (TempDir, PathBuf) {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("run");
    stop_at(10, config, data, &dir, false);
    (keep, dir)
}

/// Begins or resumes a run and stops it after a step; gives what it reported.
fn stop_at(at: u64, config: &RunConfig, data: &Prepared, dir: &Path, resume: bool) -> Vec<Event> {
    let stop = AtomicBool::new(false);
    let options = TrainOptions { resume, stop: Some(&stop), checkpoint_every: Every::Steps(4), ..options() };
    let mut events = Vec::new();
    let mut see = |event: &Event| {
        let reached = matches!(event, Event::Step { step, .. } if *step == at);
        stop.fetch_or(reached, Ordering::Relaxed);
        events.push(event.clone());
    };
    assert_eq!(train(config, data, dir, &options, &mut see).unwrap().steps, at);
    events
}

fn resumed(events: &[Event]) -> Option<u64> {
    let of = |event: &Event| match event {
        Event::Started { resumed, .. } => Some(*resumed),
        _ => None,
    };
    events.iter().find_map(of).unwrap()
}

fn damaged(events: &[Event]) -> Vec<PathBuf> {
    let of = |event: &Event| match event {
        Event::Damaged { path, .. } => Some(path.clone()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_new_checkpoint_outlives_the_refused_ones_of_later_steps() {
    let (config, data) = (config(&[("train.eval_every", "3")]), data(1));
    let (_keep, dir) = stopped(&config, &data);
    let checkpoints = dir.join("checkpoints");
    assert_eq!(names(&checkpoints), ["step-000000009", "step-000000010"]);
    for late in [9, 10, 40, 50] {
        let folder = checkpoints.join(format!("step-{late:09}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest.json"), "{}").unwrap();
    }
    let events = stop_at(2, &config, &data, &dir, true);
    assert_eq!((resumed(&events), damaged(&events).len()), (Some(0), 4));
    assert_eq!(names(&checkpoints), ["step-000000002"], "what was written is what is left");
    assert_eq!(resumed(&stop_at(5, &config, &data, &dir, true)), Some(2));
    assert_eq!(names(&checkpoints), ["step-000000003", "step-000000004", "step-000000005"]);
    // A refused one in between does not take the place of one that can be used.
    fs::write(checkpoints.join("step-000000005/manifest.json"), "{}").unwrap();
    assert_eq!(resumed(&stop_at(6, &config, &data, &dir, true)), Some(4));
    assert_eq!(names(&checkpoints), ["step-000000004", "step-000000006"]);
    // One without a manifest gives way to a new one of the same step.
    fs::remove_file(checkpoints.join("step-000000006/manifest.json")).unwrap();
    assert_eq!(resumed(&stop_at(6, &config, &data, &dir, true)), Some(4));
    assert_eq!(resumed(&stop_at(7, &config, &data, &dir, true)), Some(6));
}

#[test]
fn strays_among_checkpoints_are_ignored() {
    let (config, data) = (config(&[]), data(1));
    let (_keep, dir) = stopped(&config, &data);
    let checkpoints = dir.join("checkpoints");
    let strays =
        ["step-+00000099", "step-99", "step-0000000099", "step-000000011.bak", "step-", "notes", ".a.b"];
    for stray in strays {
        fs::create_dir(checkpoints.join(stray)).unwrap();
    }
    fs::write(checkpoints.join("step-000000098"), "a file").unwrap();
    let events = stop_at(13, &config, &data, &dir, true);
    assert_eq!((resumed(&events), damaged(&events).len()), (Some(10), 0));
    let left = names(&checkpoints);
    assert!(
        strays.iter().chain(&["step-000000098"]).all(|stray| left.contains(&stray.to_string())),
        "{left:?}"
    );
}

#[test]
fn overwriting_a_run_leaves_what_no_run_made() {
    let (config, data) = (config(&[("train.max_steps", "3")]), data(1));
    let done = run(&config, &data);
    let whole = names(&done.dir);
    fs::write(done.dir.join("notes.md"), "mine").unwrap();
    fs::create_dir(done.dir.join("data")).unwrap();
    fs::write(done.dir.join("data/manifest.json"), "mine").unwrap();
    for left in ["summary.json.new", "config.toml.new"] {
        fs::write(done.dir.join(left), "cut").unwrap();
    }
    fs::create_dir(done.dir.join(".model.upnext-new-1-1")).unwrap();
    fs::create_dir_all(done.dir.join("checkpoints/step-000000900")).unwrap();
    let overwrite = TrainOptions { overwrite: true, ..options() };
    let again = go(&config, &data, &done.dir, &overwrite);
    assert_eq!(again.losses(), done.losses());
    let mut expected = [whole, vec!["data".to_owned(), "notes.md".to_owned()]].concat();
    expected.sort();
    assert_eq!(names(&done.dir), expected);
    assert_eq!(names(&done.dir.join("checkpoints")), ["step-000000003"]);
    assert_eq!(fs::read_to_string(done.dir.join("notes.md")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(done.dir.join("data/manifest.json")).unwrap(), "mine");
}

#[test]
fn a_resumed_run_whose_log_was_cut_says_so_and_keeps_it_readable() {
    let (config, data) = (config(&[]), data(1));
    let whole = run(&config, &data);
    let (_keep, dir) = stopped(&config, &data);
    let path = dir.join("metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let done = go(&config, &data, &dir, &resume());
    assert_eq!((resumed(&done.events), damaged(&done.events)), (Some(10), vec![path.clone()]));
    let log = fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["event"] == "resumed" && line["step"] == 10));
    assert_same_weights(&dir, &whole.dir, "a cut log");
}

#[test]
fn a_run_that_was_to_be_resumed_and_had_nothing_to_go_on_from_says_so() {
    let (config, data) = (config(&[("train.max_steps", "2")]), data(1));
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("run");
    assert_eq!(resumed(&go(&config, &data, &dir, &resume()).events), Some(0), "there was no folder");
    fs::remove_dir_all(dir.join("checkpoints")).unwrap();
    assert_eq!(resumed(&go(&config, &data, &dir, &resume()).events), Some(0), "there was no checkpoint");
    let log = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    assert!(log.contains("\"started\"") && !log.contains("\"resumed\""), "{log}");
    assert_eq!(resumed(&run(&config, &data).events), None, "nobody asked");
}
