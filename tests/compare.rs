//! Cold reports on the tiny world, and reports beside each other, through the command line.

use std::fs;
use std::path::Path;

use serde_json::Value;
use upnext_data::Prepared;
use upnext_encode::{Columns, hashing};

use crate::support::{Place, fail, succeed};

/// Evaluates a run into a report file; gives what `--json` prints.
fn report(place: &Place, run: &str, file: &str, more: &[&str]) -> Value {
    let (model, data, out) = (place.text(&format!("{run}/model")), place.text("data"), place.text(file));
    let fixed = ["evaluate", "--model", &model, "--data", &data, "--report", &out, "--json"];
    serde_json::from_str(&succeed(fixed.iter().chain(more))).unwrap()
}

/// Content vectors of the tiny world's titles and genres.
fn features(place: &Place) -> String {
    let catalog = Prepared::open(&place.path("data")).unwrap().catalog;
    let columns = Columns::choose(&catalog, &[], &[]).unwrap();
    let path = place.path("features.safetensors");
    hashing::encode(&catalog, &columns, 64).unwrap().write(&path).unwrap();
    path.to_str().unwrap().to_owned()
}

fn compare(place: &Place, sides: &[&str], more: &[&str]) -> Value {
    let sides: Vec<String> = sides
        .iter()
        .map(|side| side.split(',').map(|file| place.text(file)).collect::<Vec<_>>().join(","))
        .collect();
    let fixed = ["compare", "--json"].iter().copied().chain(sides.iter().map(String::as_str));
    serde_json::from_str(&succeed(fixed.chain(more.iter().copied()))).unwrap()
}

#[test]
fn cold_targets_are_reported_apart_and_compared() {
    let place = Place::prepared();
    let vectors = features(&place);
    for (run, protocol, seed) in
        [("a1", "cold:0.3,1", "1"), ("b1", "cold:0.3,1", "2"), ("b2", "cold:0.3,2", "2")]
    {
        let protocol = format!("train.protocol={protocol}");
        place.train(run, &["--set", "train.max_epochs=1", "--set", &protocol, "--seed", seed]);
    }
    let a1 = report(&place, "a1", "a1.json", &["--features", &vectors]);
    let counts = &a1["cold_start"];
    assert!(counts["items"].as_u64() >= counts["drawn"].as_u64() && counts["drawn"].as_u64() > Some(20));
    assert_eq!(counts["questions"], a1["cold"]["questions"]);
    for system in ["random", "popularity", "first-order-markov", "windowed-markov", "content-knn"] {
        let system = &a1["baselines"][system];
        for metrics in
            [&system["cold"], &system["cold"]["among_cold"], &system["warm"], &system["warm"]["kept"]]
        {
            assert!(metrics["ndcg@10"].is_number() && metrics["ci95"]["mrr"].is_array(), "{system}");
        }
    }
    assert!(a1["cold"]["among_cold"]["mrr"].as_f64() >= a1["cold"]["mrr"].as_f64());

    let b1 = report(&place, "b1", "b1.json", &["--no-baselines"]);
    let found = compare(&place, &["a1.json", "b1.json", "a1.json:content-knn"], &[]);
    assert_eq!(found["questions"], a1["questions"]);
    assert_eq!(found["comparisons"].as_array().unwrap().len(), 2);
    for metric in ["hr@10", "ndcg@10", "mrr"] {
        let [with_b1, with_knn] = [0, 1].map(|place| &found["comparisons"][place]["metrics"][metric]);
        let close = |found: &Value, expected: &Value| {
            assert!((found.as_f64().unwrap() - expected.as_f64().unwrap()).abs() < 1e-9, "{metric}");
        };
        close(&with_b1["reference"], &a1[metric]);
        close(&with_b1["other"], &b1[metric]);
        close(&with_knn["other"], &a1["baselines"]["content-knn"][metric]);
        assert!(with_b1["p_holm"].as_f64() >= with_b1["p"].as_f64());
    }
    let on_cold = ["--on", "among-cold", "--metric", "mrr@5,ndcg@10", "--seed", "3"];
    let found = compare(&place, &["a1.json", "a1.json"], &on_cold);
    let same = &found["comparisons"][0]["metrics"];
    assert_eq!((&same["mrr@5"]["difference"], &same["mrr@5"]["p"]), (&0.0.into(), &1.0.into()));
    assert_eq!(same["ndcg@10"]["reference"], a1["cold"]["among_cold"]["ndcg@10"]);

    // Two draws pooled: every question of both counts once, and every user.
    let b2 = report(&place, "b2", "b2.json", &[]);
    let cold = |report: &Value| report["cold"]["questions"].as_u64().unwrap();
    let pooled = compare(&place, &["b1.json,b2.json", "b1.json,b2.json:random"], &["--on", "cold"]);
    assert_eq!(pooled["questions"], cold(&b1) + cold(&b2));
    assert!(pooled["users"].as_u64() <= pooled["questions"].as_u64());
    let text = succeed(["compare", &place.text("a1.json"), &place.text("b1.json")]);
    assert!(text.contains("cold:0.3,1 test") && text.contains("B - A") && text.contains("ndcg@10"), "{text}");

    let (a, other) = (place.text("a1.json"), place.text("b2.json"));
    let error = fail(2, ["compare", &a, &other]);
    assert!(error.contains("the protocol is cold:0.3,1 in one and cold:0.3,2 in the other"), "{error}");
    let error = fail(2, ["compare", &format!("{a},{a}"), &format!("{a},{a}")]);
    assert!(error.contains("paired twice"), "{error}");
    let error = fail(2, ["compare", &a, &format!("{a}:oracle")]);
    assert!(error.contains("\"oracle\"") && error.contains("content-knn"), "{error}");
    let error = fail(2, ["compare", &a, &a, "--on", "among-cold", "--seen", "kept"]);
    assert!(error.contains("seen"), "{error}");
    let error = fail(2, ["compare", &a, &a, "--metric", "recall@10"]);
    assert!(error.contains("recall@10") && error.contains("ndcg@K"), "{error}");
}

#[test]
fn what_is_no_report_is_named_and_features_are_judged() {
    let place = Place::trained();
    let usual = report(&place, "run", "a.json", &["--no-baselines"]);
    assert_eq!(usual["protocol"], "loo");
    let a = place.text("a.json");
    let error = fail(2, ["compare", &a]);
    assert!(error.contains("2 more values required") || error.contains("REPORT"), "{error}");
    let error = fail(2, ["compare", &a, &place.text("none.json")]);
    assert!(error.contains("none.json"), "{error}");
    fs::write(place.path("printed.json"), usual.to_string()).unwrap();
    let error = fail(2, ["compare", &a, &place.text("printed.json")]);
    assert!(error.contains("printed.json is no report that `upnext evaluate --report` wrote"), "{error}");
    let text = fs::read_to_string(&a).unwrap().replace("\"dropped\":[", "\"dropped\":[0,");
    fs::write(place.path("damaged.json"), text).unwrap();
    let error = fail(2, ["compare", &a, &place.text("damaged.json")]);
    assert!(error.contains("damaged.json: systems.model.dropped"), "{error}");

    let (model, data) = (place.text("run/model"), place.text("data"));
    let evaluate = ["evaluate", "--model", &model, "--data", &data];
    let error = fail(2, evaluate.iter().chain(&["--features", &a]));
    assert!(error.contains("a.json"), "{error}");
    let error = fail(2, evaluate.iter().chain(&["--features", &a, "--no-baselines"]));
    assert!(error.contains("--no-baselines"), "{error}");
    let lost = place.text("no/folder/a.json");
    let error = fail(1, evaluate.iter().chain(&["--report", &lost, "--no-baselines"]));
    assert!(error.contains("writing the report") && !Path::new(&lost).exists(), "{error}");
}
