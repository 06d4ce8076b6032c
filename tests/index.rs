//! Clusters of a model's items: made, measured, used, refused.

use std::fs;

use serde_json::Value;

use crate::support::{Place, fail, rows, succeed};

fn index(place: &Place, more: &[&str]) -> Value {
    let (model, data) = (place.text("run/model"), place.text("data"));
    let fixed = ["index", "--model", &model, "--data", &data, "--json"];
    serde_json::from_str(&succeed(fixed.iter().chain(more))).unwrap()
}

/// Arguments of a job that writes `out`.
fn lists(place: &Place, out: &str, more: &[&str]) -> Vec<String> {
    let (model, data, out) = (place.text("run/model"), place.text("data"), place.text(out));
    let fixed = ["generate", "--model", &model, "--data", &data, "--out", &out, "--length", "5"];
    fixed.iter().chain(more).map(|&argument| argument.to_owned()).collect()
}

#[test]
fn a_model_folder_gets_an_index_that_lists_are_made_by() {
    let place = Place::trained();
    let error = fail(2, lists(&place, "none.csv", &["--scoring", "clusters"]));
    assert!(error.contains("upnext index"), "{error}");
    let told = index(&place, &["--clusters", "12", "--users", "40"]);
    assert_eq!((&told["clusters"], &told["homes"]), (&12.into(), &2.into()));
    let measured = told["measured"].as_array().unwrap();
    let by = |name: &str| measured.iter().rfind(|one| one["scoring"] == name).unwrap();
    for exact in ["exact", "bf16", "int8", "bounded-clusters"] {
        assert_eq!(by(exact)["recall"], 1.0, "{exact}");
        let (error, promised) =
            (by(exact)["error"].as_f64().unwrap(), by(exact)["promised"].as_f64().unwrap());
        assert!(error <= promised + 1e-5, "{exact}: off by {error}, {promised} promised");
    }
    assert_eq!((&by("clusters")["probes"], &by("clusters")["promised"]), (&told["probes"], &Value::Null));
    assert!(by("clusters")["recall"].as_f64().unwrap() >= 0.99);

    succeed(lists(&place, "exact.csv", &[]));
    let exact = rows(&place.path("exact.csv"));
    let items =
        |rows: &[crate::support::Row]| -> Vec<String> { rows.iter().map(|row| row.item.clone()).collect() };
    for scoring in [&["bf16"][..], &["int8"], &["bounded-clusters"], &["clusters", "--probes", "12"]] {
        succeed(lists(&place, "other.csv", &[&["--scoring"], scoring].concat()));
        let other = rows(&place.path("other.csv"));
        assert_eq!(items(&other), items(&exact), "{scoring:?}");
        let off = other.iter().zip(&exact).map(|(a, b)| (a.score - b.score).abs()).fold(0.0, f64::max);
        assert!(off < 0.1, "{scoring:?}: off by {off}");
    }
    succeed(lists(&place, "few.csv", &["--scoring", "clusters", "--probes", "1"]));
    let few = items(&rows(&place.path("few.csv")));
    let shared = few.iter().zip(&items(&exact)).filter(|(a, b)| a == b).count();
    assert!(shared > 0 && shared < few.len(), "{shared} of {}", few.len());

    let error = fail(2, lists(&place, "none.csv", &["--scoring", "int8", "--probes", "3"]));
    assert!(error.contains("--probes"), "{error}");
    let shown = succeed(["inspect", &place.text("run/model")]);
    assert!(shown.contains("12 clusters"), "{shown}");
}

#[test]
fn an_index_goes_with_its_model_and_a_damaged_one_is_named() {
    let place = Place::trained();
    index(&place, &["--clusters", "12", "--users", "10"]);
    let tensors = place.path("run/model/index/clusters.safetensors");
    let whole = fs::read(&tensors).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&tensors, &damaged).unwrap();
    let error = fail(2, lists(&place, "none.csv", &["--scoring", "clusters"]));
    assert!(error.contains("clusters.safetensors"), "{error}");
    fs::write(&tensors, &whole).unwrap();
    succeed(lists(&place, "lists.csv", &["--scoring", "clusters"]));

    // Another model in its place has no index, and does not take that of the first.
    let kept = place.path("kept");
    fs::rename(place.path("run/model/index"), &kept).unwrap();
    place.train("run", &["--overwrite", "--seed", "2", "--set", "train.max_epochs=1"]);
    fs::rename(&kept, place.path("run/model/index")).unwrap();
    let error = fail(2, lists(&place, "none.csv", &["--scoring", "clusters"]));
    assert!(error.contains("another model"), "{error}");
    place.train("run", &["--overwrite", "--seed", "3", "--set", "train.max_epochs=1"]);
    assert!(!place.path("run/model/index").exists());
}
