//! Several horizons from the command line: trained, evaluated, and read place by place.

use serde_json::Value;

use crate::support::{Place, fail, rows, succeed, upnext};

const AHEAD: [&str; 4] = ["--set", "train.max_epochs=2", "--set", "model.horizons=3"];

#[test]
fn a_model_that_looks_ahead_makes_lists_place_by_place() {
    let place = Place::prepared();
    place.train("run", &[&AHEAD[..], &["--set", "train.protocol=\"last:3\""]].concat());
    let (model, data) = (place.text("run/model"), place.text("data"));
    let asked = ["evaluate", "--model", &model, "--data", &data, "--length", "5", "--json", "--no-baselines"];
    let report: Value =
        serde_json::from_str(&succeed(asked.iter().chain(&["--method", "top-k,multi-token"]))).unwrap();
    assert!(report["lists"]["multi-token"]["recall"].as_f64().unwrap() > 0.0, "{report}");
    let generate = |method: &str, more: &[&str]| {
        let out = place.text("lists.csv");
        let fixed = ["generate", "--model", &model, "--data", &data, "--out", &out, "--method", method];
        succeed(fixed.iter().chain(more));
        rows(&place.path("lists.csv"))
    };
    let (ahead, next) = (generate("multi-token", &[]), generate("top-k", &[]));
    let first = |rows: &[crate::support::Row]| -> Vec<crate::support::Row> {
        rows.iter().filter(|row| row.rank == 1).cloned().collect()
    };
    assert_eq!(first(&ahead), first(&next), "the first place is the next item");
    assert_ne!(ahead, next);
    assert_eq!(generate("multi-token", &["--batch", "7"]), ahead);
    let inspected = succeed(["inspect", &model]);
    assert!(inspected.contains("horizons 3") && inspected.contains("head.horizons"), "{inspected}");
}

#[test]
fn models_without_horizons_of_their_own_say_what_to_do() {
    let place = Place::trained();
    let data = place.text("data");
    let generate = |run: &str, method: &'static str| -> Vec<String> {
        let model = place.text(run);
        let fixed = ["generate", "--model", &model, "--data", &data, "--out", &place.text("lists.csv")];
        fixed.iter().map(|&word| word.to_owned()).chain(["--method", method].map(str::to_owned)).collect()
    };
    let said = fail(2, generate("run/model", "multi-token"));
    assert!(said.contains("knows the next item alone: train one with [model] horizons"), "{said}");
    place.train("merged", &[&AHEAD[..], &["--set", "model.merge_horizons=true"]].concat());
    let said = fail(2, generate("merged/model", "multi-token"));
    assert!(said.contains("horizons merged"), "{said}");
    for (method, is_told) in [("beam", true), ("top-k", false)] {
        let output = upnext(generate("merged/model", method)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && said.contains("what comes soon, not what comes next") == is_told,
            "{said}"
        );
    }
}
