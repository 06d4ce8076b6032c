//! `inspect` and `doctor`: what a person or a program is told of a file, a folder, a machine.

use std::fs;

use serde_json::Value;
use upnext_data::Prepared;

use crate::support::{Place, fail, succeed};

fn object(path: &str) -> Value {
    serde_json::from_str(&succeed(["inspect", path, "--json"])).unwrap()
}

#[test]
fn a_prepared_folder_is_counted_as_it_was_prepared() {
    let place = Place::prepared();
    let data = Prepared::open(&place.path("data")).unwrap();
    let found = object(&place.text("data"));
    assert_eq!(found["kind"], "prepared folder");
    assert_eq!(found["users"], data.histories.users());
    assert_eq!(found["items"], data.catalog.len());
    assert_eq!(found["events"], data.histories.events());
    assert_eq!(found["data_hash"], data.manifest.data_hash());
    assert_eq!(found["times"]["unix"], true);
    for spread in [&found["lengths"], &found["popularity"]["events"]] {
        let bins = spread["histogram"].as_array().unwrap().iter();
        assert_eq!(bins.map(|bin| bin["count"].as_u64().unwrap()).sum::<u64>(), spread["count"]);
    }
    let protocols: Vec<&str> =
        found["splits"].as_array().unwrap().iter().map(|split| split["protocol"].as_str().unwrap()).collect();
    assert_eq!(protocols[..2], ["loo", "last:1"]);
    assert!(protocols[2].starts_with("time:"), "{protocols:?}");
    let text = succeed(["inspect", &place.text("data")]);
    assert!(text.contains("History lengths") && text.contains('█') && text.contains("loo"), "{text}");
    assert!(text.lines().filter(|line| line.contains('█')).all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_run_and_its_model_are_read_back() {
    let place = Place::trained();
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(place.path("run/summary.json")).unwrap()).unwrap();
    let run = object(&place.text("run"));
    assert_eq!(run["kind"], "run folder");
    assert_eq!(run["steps"], summary["steps"]);
    assert_eq!(run["best"]["step"], summary["best"]["step"]);
    assert_eq!(run["best"]["ndcg@10"], summary["best"]["ndcg@10"]);
    let text = succeed(["inspect", &place.text("run")]);
    assert!(text.contains("Training loss") && text.contains("Validation ndcg@10"), "{text}");
    let model = object(&place.text("run/model"));
    assert_eq!(model["kind"], "model folder");
    assert_eq!((&model["parameters"], &model["data_hash"]), (&run["parameters"], &run["data_hash"]));
    let groups = model["groups"].as_array().unwrap().iter();
    assert_eq!(groups.map(|group| group["parameters"].as_u64().unwrap()).sum::<u64>(), model["parameters"]);
    assert!(succeed(["inspect", &place.text("run/model")]).contains("decoder.attention"));
}

#[test]
fn a_run_that_was_killed_can_be_looked_at() {
    let place = Place::trained();
    fs::remove_file(place.path("run/summary.json")).unwrap();
    let log = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    fs::write(place.path("run/metrics.jsonl"), &log[..log.len() - 9]).unwrap();
    let run = object(&place.text("run"));
    assert_eq!((&run["summary"], &run["unreadable_lines"]), (&Value::Null, &1.into()));
    assert!(succeed(["inspect", &place.text("run")]).contains("--resume"));
}

#[test]
fn lists_are_counted_as_they_were_written() {
    let place = Place::trained();
    let (model, data) = (place.text("run/model"), place.text("data"));
    for name in ["lists.csv", "lists.jsonl"] {
        let out = place.text(name);
        let arguments = ["generate", "--model", &model, "--data", &data, "--out", &out, "--json"];
        let written: Value = serde_json::from_str(&succeed(arguments)).unwrap();
        let found = object(&out);
        assert_eq!(found["kind"], "lists");
        assert_eq!((&found["rows"], &found["lists"]), (&written["rows"], &written["lists"]));
        assert_eq!((&found["short"], &found["length"]), (&written["short"], &10.into()));
        assert_eq!(found["out_of_order"], 0);
    }
    assert!(succeed(["inspect", &place.text("lists.csv")]).contains("10 at most"));
    // In parts they are the same lists.
    let (parts, file) = (place.text("nightly"), object(&place.text("lists.csv")));
    let job = ["generate", "--model", &model, "--data", &data, "--out", &parts, "--part-users", "40"];
    succeed(job);
    let found = object(&parts);
    assert_eq!((&found["kind"], &found["done"]), (&"lists in parts".into(), &true.into()));
    assert!(found["parts"].as_u64().unwrap() > 1);
    for field in ["rows", "lists", "users", "items", "length", "short", "gini", "lowest_score"] {
        assert_eq!(found[field], file[field], "{field}");
    }
    assert!(succeed(["inspect", &parts]).contains("done"));
    // A shard is not the job, and a part without a list is an empty file.
    let shards = place.text("shards");
    let shard = |of: &str| {
        let fixed =
            ["generate", "--model", &model, "--data", &data, "--out", &shards, "--part-format", "jsonl"];
        succeed(fixed.iter().chain(&["--shard", of]));
        object(&shards)
    };
    assert_eq!(shard("1/2")["done"], false);
    assert_eq!((&shard("2/2")["done"], &object(&shards)["rows"]), (&true.into(), &file["rows"]));
    let same = place.text("same");
    let unchanged =
        ["generate", "--model", &model, "--data", &data, "--out", &same, "--part-format", "jsonl"];
    succeed(unchanged.iter().chain(&["--only-changed-since", &shards]));
    assert_eq!((&object(&same)["done"], object(&same).get("rows")), (&true.into(), None));
    succeed(job.iter().chain(&["--nested", "--overwrite"]));
    assert!(object(&parts)["parts"].as_u64().unwrap() > 1);
}

#[test]
fn a_raw_file_is_shown_with_the_command_that_prepares_it() {
    let place = Place::prepared();
    let found = object(&place.text("events.csv"));
    let data = Prepared::open(&place.path("data")).unwrap();
    assert_eq!(found["row_count"]["exactly"], data.histories.events());
    assert_eq!((&found["format"], &found["prepare"]), (&"csv".into(), &"events".into()));
    let command = found["command"].as_str().unwrap().replace("DATA", &place.text("again"));
    succeed(command.split(' ').skip(1));
    let again = object(&place.text("again"));
    assert_eq!(again["events"], data.histories.events());
    assert_eq!(object(&place.text("items.csv"))["prepare"], "items");
    fs::write(place.path("odd.csv"), "who,what,user_id\n\u{1b}[2J,b,c\n").unwrap();
    let text = succeed(["inspect", &place.text("odd.csv")]);
    assert!(text.contains("--item COLUMN --time COLUMN") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn what_cannot_be_inspected_is_refused_with_2() {
    let place = Place::trained();
    let refused = |name: &str, expected: &str| {
        let error = fail(2, ["inspect", &place.text(name)]);
        assert!(error.contains(expected), "{name}: {error}");
    };
    refused("nowhere", "nowhere");
    fs::write(place.path("noise"), "neither one thing nor another\n").unwrap();
    refused("noise", "not recognised as a table");
    fs::create_dir(place.path("empty")).unwrap();
    refused("empty", "no file in this folder");
    refused("data/catalog.safetensors", "inspect the folder");
    refused("run/metrics.jsonl", "inspect the folder");
    let checkpoint = fs::read_dir(place.path("run/checkpoints")).unwrap().next().unwrap().unwrap();
    let checkpoint = format!("run/checkpoints/{}", checkpoint.file_name().to_str().unwrap());
    refused(&checkpoint, "is a checkpoint");
    fs::write(place.path("empty/manifest.json"), "{}").unwrap();
    refused("empty", "is not the manifest");
    fs::write(place.path("run/summary.json"), "{").unwrap();
    refused("run", "summary.json");
    let manifest = place.path("data/manifest.json");
    let changed = fs::read_to_string(&manifest).unwrap().replacen("\"users\": ", "\"users\": 1", 1);
    fs::write(&manifest, changed).unwrap();
    refused("data", "manifest.json");
    let vectors = place.path("run/model/vectors.safetensors");
    fs::write(&vectors, &fs::read(&vectors).unwrap()[1..]).unwrap();
    refused("run/model", "vectors.safetensors");
}

#[test]
fn the_doctor_names_what_is_idle() {
    let found: Value = serde_json::from_str(&succeed(["doctor", "--json", "--kernels", "portable"])).unwrap();
    assert_eq!((&found["simd"], &found["devices"][0]), (&"portable".into(), &"cpu".into()));
    assert_eq!(found["bf16_products"], false, "a pinned level multiplies in f32");
    assert!(found["cores"].as_u64().unwrap() >= 1);
    let lacks: Vec<_> = found["missing"].as_array().unwrap().iter().map(|lack| &lack["lack"]).collect();
    assert_eq!(lacks.iter().any(|lack| *lack == "simd-pinned"), found["simd_widest"] != "portable");
    let text = succeed(["doctor"]);
    assert!(text.contains("SIMD") && text.contains("bf16") && text.contains("csv"), "{text}");
}
