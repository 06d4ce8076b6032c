//! What somebody sees who mistypes: an error that names the place, the right exit code, and nothing lost.

use std::fs;

use crate::support::{Place, fail, succeed, upnext};

#[test]
fn help_lists_the_commands() {
    let help = succeed(["--help"]);
    for command in [
        "demo", "prepare", "encode", "train", "evaluate", "compare", "generate", "extend", "similar",
        "export", "inspect", "doctor",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    assert!(fail(2, ["generate", "--model", "m", "--data", "d"]).contains("--out"));
    assert!(fail(2, ["fly"]).contains("fly"));
    assert!(fail(2, ["evaluate", "--model", "m", "--data", "d", "--split", "train"]).contains("validation"));
}

#[test]
fn a_missing_config_is_named_in_the_error() {
    let place = Place::prepared();
    let error = fail(
        2,
        ["train", "--config", "none.toml", "--data", &place.text("data"), "--out", &place.text("run")],
    );
    assert!(error.contains("none.toml"), "{error}");
    assert!(!place.path("run").exists());
}

#[test]
fn a_mistyped_key_names_its_nearest_neighbour() {
    let place = Place::prepared();
    for (wrong, right) in [("train.lrr=1e-3", "lr"), ("model.widht=32", "width"), ("los.count=5", "loss")] {
        let error = fail(2, place.train_arguments("run", &["--set", wrong]));
        assert!(error.contains(&format!("`{right}`")) || error.contains(right), "{wrong}: {error}");
    }
    let error = fail(2, place.train_arguments("run", &["--set", "train.lr"]));
    assert!(error.contains("KEY=VALUE"), "{error}");
    let error = fail(2, place.train_arguments("run", &["--set", "train.lr=fast"]));
    assert!(error.contains("lr"), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let place = Place::prepared();
    let error = fail(2, place.train_arguments("run", &["--device", "gpu"]));
    assert!(error.contains("auto, cpu, cuda"), "{error}");
    if !candle_core::utils::metal_is_available() {
        let error = fail(2, place.train_arguments("run", &["--device", "metal"]));
        assert!(error.contains("cargo build --release --features metal"), "{error}");
    }
    assert!(!place.path("run").exists());
    let more = ["--device", "cpu", "--set", "train.max_steps=2"];
    assert!(succeed(place.train_arguments("run", &[&more[..], &["--json"]].concat())).contains("\"steps\""));
}

#[test]
fn folders_that_are_something_else_say_what_was_meant() {
    let place = Place::trained();
    let (run, data) = (place.text("run"), place.text("data"));
    let error = fail(2, ["evaluate", "--model", &run, "--data", &data]);
    assert!(error.contains(&format!("is a run folder; its model is {run}/model")), "{error}");
    let error = fail(2, ["generate", "--model", &data[1..], "--data", &data, "--out", &place.text("x.csv")]);
    assert!(error.contains("no such folder; a training writes its model to RUN/model"), "{error}");
    let error =
        fail(2, ["evaluate", "--model", &place.text("run/model"), "--data", &place.text("events.csv")]);
    assert!(error.contains("is a file, not a prepared folder; make one with `upnext prepare"), "{error}");
    let error = fail(2, place.train_arguments("events.csv", &[]));
    assert!(error.contains("events.csv is a file, but a run needs a folder"), "{error}");
    assert!(fs::read_to_string(place.path("events.csv")).unwrap().starts_with("user_id"));
    // What a crash left under another name is not called missing.
    fs::rename(&data, place.path(".data.upnext-old-1-0")).unwrap();
    succeed(["evaluate", "--model", &place.text("run/model"), "--data", &data, "--no-baselines"]);
    let error = fail(2, place.train_arguments("other", &["--set", "model.layers=-1"]));
    assert!(error.contains("expected a whole number that is not negative"), "{error}");
}

#[test]
fn a_seed_that_no_configuration_can_hold_is_refused_with_its_range() {
    let place = Place::prepared();
    let error = fail(2, place.train_arguments("run", &["--seed", "9223372036854775808"]));
    assert!(error.contains("9223372036854775808 is not in 0..=9223372036854775807"), "{error}");
    place.train("run", &["--seed", "9223372036854775807", "--set", "train.max_steps=1"]);
}

#[test]
fn an_evaluation_is_not_offered_where_nothing_can_be_asked() {
    let place = Place::prepared();
    let of = |out: &str, protocol: &str| {
        let more = ["--set", "train.max_steps=1", "--set", &format!("train.protocol={protocol}")];
        let output = upnext(place.train_arguments(out, &more)).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(of("usual", "loo").contains("next: upnext evaluate"));
    let said = of("none", "last:100000");
    assert!(said.contains("leaves no test question") && !said.contains("upnext evaluate"), "{said}");
}

#[test]
fn an_existing_run_is_refused_and_unharmed() {
    let place = Place::trained();
    let before = fs::read(place.path("run/model/vectors.safetensors")).unwrap();
    let error = fail(2, place.train_arguments("run", &[]));
    assert!(error.contains("resume") && error.contains("overwrite"), "{error}");
    assert_eq!(before, fs::read(place.path("run/model/vectors.safetensors")).unwrap());
}

#[test]
fn an_existing_prepared_folder_is_refused_and_unharmed() {
    let place = Place::prepared();
    let before = fs::read(place.path("data/manifest.json")).unwrap();
    let again = ["prepare", &place.text("events.csv"), "--out", &place.text("data")];
    let error = fail(2, again);
    assert!(error.contains("data"), "{error}");
    assert_eq!(before, fs::read(place.path("data/manifest.json")).unwrap());
    succeed([&again[..], &["--overwrite"]].concat());
}

#[test]
fn a_bad_row_is_named_by_file_line_and_column() {
    let place = Place::prepared();
    fs::write(place.path("bad.csv"), "user_id,item_id,timestamp\nu1,t1,5\nu1,t2,soon\n").unwrap();
    let arguments = ["prepare", &place.text("bad.csv"), "--out", &place.text("bad")];
    let error = fail(2, arguments);
    assert!(error.contains("bad.csv:3") && error.contains("timestamp") && error.contains("soon"), "{error}");
    assert!(!place.path("bad").exists());
    succeed([&arguments[..], &["--max-bad-rows", "1"]].concat());
}

#[test]
fn another_protocol_is_refused_when_its_targets_were_trained_on() {
    let place = Place::trained();
    let (model, data) = (place.text("run/model"), place.text("data"));
    let arguments = ["evaluate", "--model", &model, "--data", &data, "--no-baselines", "--protocol"];
    let error = fail(2, [&arguments[..], &["last:3"]].concat());
    assert!(error.contains("trained on"), "{error}");
    assert!(fail(2, [&arguments[..], &["lo"]].concat()).contains("loo"));
    succeed([&arguments[..], &["loo"]].concat());
}

#[test]
fn what_a_model_was_validated_by_does_not_test_it() {
    let place = Place::prepared();
    place.train("run", &["--set", "train.max_epochs=1", "--set", "train.protocol=last:2,4"]);
    let (model, data) = (place.text("run/model"), place.text("data"));
    let arguments = ["evaluate", "--model", &model, "--data", &data, "--no-baselines", "--protocol"];
    for asked in ["last:3", "last:5"] {
        let error = fail(2, [&arguments[..], &[asked]].concat());
        assert!(error.contains("validated by"), "{error}");
    }
    succeed([&arguments[..], &["last:3", "--split", "validation"]].concat());
    // The same test questions, whatever validates: the model's own split answers, baselines and all.
    let report = |protocol: &str, name: &str| {
        let path = place.text(name);
        succeed([&arguments[..], &[protocol, "--report", &path]].concat());
        path
    };
    let (four, one) = (report("last:2,4", "four.json"), report("last:2", "one.json"));
    let same: serde_json::Value = serde_json::from_str(&succeed(["compare", &four, &one, "--json"])).unwrap();
    assert_eq!(same["protocols"], serde_json::json!(["last:2,4 test", "last:2,4 test"]));
    assert!(same.to_string().contains("\"difference\":0.0"), "{same}");
}

#[test]
fn a_model_is_not_evaluated_on_other_data() {
    let place = Place::trained();
    fs::write(place.path("other.csv"), "user_id,item_id,timestamp\nu,a,1\nu,b,2\nu,c,3\n").unwrap();
    succeed(["prepare", &place.text("other.csv"), "--out", &place.text("other")]);
    let error = fail(2, ["evaluate", "--model", &place.text("run/model"), "--data", &place.text("other")]);
    assert!(error.contains("trained on other data"), "{error}");
}

#[test]
fn a_list_too_long_for_a_beam_is_refused_before_anything_is_written() {
    let place = Place::trained();
    let out = place.path("lists.csv");
    let error = fail(
        2,
        [
            "generate",
            "--model",
            &place.text("run/model"),
            "--data",
            &place.text("data"),
            "--method",
            "beam",
            "--length",
            "40",
            "--out",
            out.to_str().unwrap(),
        ],
    );
    assert!(error.contains("top-k"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_damaged_model_folder_is_named() {
    let place = Place::trained();
    let file = place.path("run/model/vectors.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let lists = place.text("lists.csv");
    let error = fail(
        2,
        ["generate", "--model", &place.text("run/model"), "--data", &place.text("data"), "--out", &lists],
    );
    assert!(error.contains("vectors.safetensors"), "{error}");
}

#[test]
fn several_overrides_are_judged_together() {
    let place = Place::prepared();
    let sizes = ["--set", "model.width=8", "--set", "model.rank=8", "--set", "train.max_epochs=1"];
    succeed(place.train_arguments("run", &sizes));
}

#[test]
fn lists_never_replace_what_they_are_made_from() {
    let place = Place::trained();
    let events = place.text("events.csv");
    let before = fs::read(&events).unwrap();
    let error =
        fail(2, ["generate", "--model", &place.text("run/model"), "--histories", &events, "--out", &events]);
    assert!(error.contains("input"), "{error}");
    assert_eq!(before, fs::read(&events).unwrap());
}

#[test]
fn an_allow_file_without_a_known_item_is_refused() {
    let place = Place::trained();
    fs::write(place.path("allow.txt"), "nobody\n").unwrap();
    let (model, data, out) = (place.text("run/model"), place.text("data"), place.text("lists.csv"));
    let error = fail(
        2,
        ["generate", "--model", &model, "--data", &data, "--allow", &place.text("allow.txt"), "--out", &out],
    );
    assert!(error.contains("allow.txt"), "{error}");
}
