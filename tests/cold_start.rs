//! From titles that nobody has watched to lists that show them, through the command line.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use upnext_data::{Catalog, Column, ItemId, Prepared, Strings};
use upnext_kernels::{Rows, score};
use upnext_model::folder::open;

use crate::support::{Place, fail, rows, succeed};

/// New items of these titles, their genres those of an item of the world each.
fn new_items(place: &Place, file: &str, count: usize) -> String {
    let known = Prepared::open(&place.path("data")).unwrap().catalog;
    let genres = known.column("genres").unwrap();
    let keys = (0..count).map(|item| format!("new-{item:05}")).collect::<Strings>();
    let column = |name: &str, text: &dyn Fn(usize) -> String| Column {
        name: name.to_owned(),
        values: (0..count).map(text).collect(),
    };
    let title = |item: usize| known.title(ItemId((item % known.len()) as u32)).unwrap().to_owned();
    let genre = |item: usize| genres.values.get(item % known.len()).to_owned();
    let catalog = Catalog::new(keys, vec![column("title", &title), column("genres", &genre)]).unwrap();
    let path = place.path(file);
    upnext_tables::write_items(&path, &catalog).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A model with a tower over hashed titles and genres, in `run/model`.
fn towered() -> Place {
    let place = Place::prepared();
    let (data, features) = (place.text("data"), place.text("features.safetensors"));
    let fixed = ["encode", "--data", &data, "--hashing", "--width", "64", "--out", &features];
    succeed(fixed.iter().chain(&["--text", "title", "--category", "genres"]));
    let tower = ["--features", &features, "--set", "model.tower.hidden=16", "--set", "train.max_epochs=2"];
    place.train("run", &tower);
    place
}

fn scores(model: &Path, history: &[ItemId]) -> Vec<u32> {
    let served = open(model).unwrap();
    let state = served.network.prefill(&[history], &served.vectors, None, false).unwrap();
    let mut scores = vec![0.0; served.vectors.items()];
    score::scores(Rows::new(&state, 1, served.config.rank), &served.vectors.table(), &mut scores, false);
    scores.iter().map(|score| score.to_bits()).collect()
}

#[test]
fn ten_thousand_new_items_join_a_model_and_its_lists() {
    let place = towered();
    let (model, out) = (place.text("run/model"), place.text("extended"));
    let items = new_items(&place, "tonight.csv", 10_000);
    let summary: Value = serde_json::from_str(&succeed([
        "extend", "--model", &model, "--items", &items, "--out", &out, "--json",
    ]))
    .unwrap();
    assert_eq!((&summary["added"], &summary["known"]), (&10_000.into(), &0.into()));
    let known = Prepared::open(&place.path("data")).unwrap().catalog.len();
    // No bit of a known item's score moves.
    for history in [&[ItemId(1), ItemId(5)][..], &[ItemId(3)]] {
        let (old, new) =
            (scores(&place.path("run/model"), history), scores(&place.path("extended"), history));
        assert_eq!((old.len(), new.len()), (known, known + 10_000));
        assert_eq!(old, new[..known]);
    }
    // Lists of the new items alone are full, and some list of all items shows one.
    let (allow, lists) = (place.path("allow.txt"), place.path("lists.csv"));
    fs::write(&allow, (0..10_000).map(|item| format!("new-{item:05}\n")).collect::<String>()).unwrap();
    let (data, file) = (place.text("data"), lists.to_str().unwrap());
    let generate = ["generate", "--model", &out, "--data", &data, "--out", file];
    succeed(generate.iter().chain(&["--allow", allow.to_str().unwrap()]));
    let shown: BTreeSet<String> = rows(&lists).into_iter().map(|row| row.item).collect();
    assert!(shown.iter().all(|item| item.starts_with("new-")) && shown.len() > 10, "{}", shown.len());
    succeed(generate);
    assert!(rows(&lists).iter().any(|row| row.item.starts_with("new-")));
    // How many stand in lists is the caller's to say.
    let served = open(&place.path("extended")).unwrap();
    let is_cold = |key: &str| served.counts[served.catalog.find(key).unwrap().index()] == 0;
    for (boost, cold) in [("60", true), ("-60", false)] {
        succeed(generate.iter().chain(&["--cold-boost", boost]));
        assert!(rows(&lists).iter().all(|row| is_cold(&row.item) == cold), "{boost}");
    }
    // Lists are measured over all that the model knows, though the data lack it.
    let fixed =
        ["evaluate", "--model", &out, "--data", &data, "--method", "top-k", "--no-baselines", "--json"];
    let report: Value = serde_json::from_str(&succeed(fixed.iter().chain(&["--cold-boost", "60"]))).unwrap();
    assert_eq!(
        (&report["items"], report["lists"]["top-k"]["recall"].as_f64()),
        (&(known + 10_000).into(), Some(0.0))
    );
    assert!(report["conditions"][0].as_str().unwrap().contains("--cold-boost 60"), "{report}");
    // So are ranks, and whoever writes them down names what joined, too.
    let predicted = place.path("predicted.csv");
    let predictions = ["--predictions", predicted.to_str().unwrap(), "--cold-boost", "60", "--no-baselines"];
    let evaluate = ["evaluate", "--model", &out, "--data", &data];
    succeed(evaluate.iter().chain(&predictions));
    assert!(rows(&predicted).iter().all(|row| is_cold(&row.item)));
    // A new item with the title and genres of a known one is like it.
    let like = succeed(["similar", "--model", &out, "--item", "new-00000", "--json"]);
    let like: Value = serde_json::from_str(&like).unwrap();
    assert!(like["similar"][0]["cosine"].as_f64().unwrap() > 0.9, "{like}");
    let text = succeed(["inspect", &out]);
    assert!(text.contains("joined later") && text.contains("10,000 items"), "{text}");
}

#[test]
fn training_goes_on_from_a_model_that_was_extended() {
    let place = towered();
    let (model, out) = (place.text("run/model"), place.text("extended"));
    let items = new_items(&place, "tonight.csv", 30);
    succeed(["extend", "--model", &model, "--items", &items, "--out", &out]);
    let features = place.text("features.safetensors");
    let onward = ["--from", &out, "--features", &features, "--set", "model.tower.hidden=16"];
    place.train("onward", &[&onward[..], &["--set", "train.max_epochs=1"]].concat());
    let loss = |run: &str| -> f64 {
        let log = fs::read_to_string(place.path(run).join("metrics.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["event"] == "step")
            .map(|line| line["loss"].as_f64().unwrap())
            .next()
            .unwrap()
    };
    assert!(loss("onward") < loss("run"), "{} {}", loss("onward"), loss("run"));
    // The model to go on from is not cleared from under its own training.
    let own = place.text("run/model");
    let onto_itself =
        ["--from", &own, "--features", &features, "--set", "model.tower.hidden=16", "--overwrite"];
    let error = fail(2, place.train_arguments("run", &onto_itself));
    assert!(error.contains("--overwrite would clear"), "{error}");
    assert!(open(&place.path("run/model")).is_ok());
}

#[test]
fn what_cannot_join_is_told_why() {
    let place = towered();
    let (model, out) = (place.text("run/model"), place.text("extended"));
    let items = new_items(&place, "tonight.csv", 3);
    let extend = ["extend", "--model", &model, "--items", &items, "--out", &out];
    let bare = place.text("bare.csv");
    fs::write(&bare, "item_id,title,genres\nx1,,\nx2,,\n").unwrap();
    let error = fail(2, ["extend", "--model", &model, "--items", &bare, "--out", &out]);
    assert!(error.contains("none of the 2 new items has features (\"x1\" the first)"), "{error}");
    // A text encoder has nothing to do with hashed features.
    let error = fail(2, extend.iter().chain(&["--encoder", &place.text("nowhere")]));
    assert!(error.contains("no features of the model were made by a text encoder"), "{error}");
    let plain = Place::trained();
    let error = fail(2, ["extend", "--model", &plain.text("run/model"), "--items", &items, "--out", &out]);
    assert!(error.contains("tower"), "{error}");
    // Features of another width, and of another encoder, do not go with the model's.
    let other = place.text("other.safetensors");
    let encode = ["encode", "--items", &items, "--hashing", "--out", &other, "--overwrite"];
    for (width, expected) in [("32", "vectors of two encoders"), ("64", "vectors of two encoders")] {
        succeed(encode.iter().chain(&["--width", width, "--text", "genres"]));
        let error = fail(2, extend.iter().chain(&["--features", &other]));
        assert!(error.contains(expected), "{error}");
    }
    // A training without the features that its tower needs says so, and so does one without a tower.
    let error = fail(2, place.train_arguments("none", &["--set", "model.tower.hidden=16"]));
    assert!(error.contains("--features"), "{error}");
    let error = fail(2, place.train_arguments("none", &["--features", &other]));
    assert!(error.contains("[model.tower]"), "{error}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn what_nothing_is_known_of_is_told_later_and_exported_no_sooner() {
    let place = towered();
    let (model, [early, late]) = (place.text("run/model"), ["early", "late"].map(|name| place.text(name)));
    let items = place.text("tonight.csv");
    fs::write(&items, "item_id,title,genres,available\nx1,,,true\nx2,Heat,Crime,true\n").unwrap();
    let extend = |model: &str, items: &str, out: &str| {
        let text = succeed(["extend", "--model", model, "--items", items, "--out", out, "--json"]);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let told = extend(&model, &items, &early);
    assert_eq!((&told["without_features"], &told["columns_left_out"][0]), (&1.into(), &"available".into()));
    let exported = |model: &str| {
        let npy = place.text("items.npy");
        let text = succeed(["export", "--model", model, "--items", "--out", &npy, "--json"]);
        let left_out = serde_json::from_str::<Value>(&text).unwrap()["left_out"].as_u64().unwrap();
        let keys = fs::read_to_string(place.path("items.keys.txt")).unwrap();
        (keys.lines().any(|key| key == "x1"), keys.lines().any(|key| key == "x2"), left_out)
    };
    assert_eq!(exported(&early), (false, true, 1));
    let text = succeed(["inspect", &early]);
    assert!(text.contains("2 items, 1 of them without features then; 0 that"), "{text}");
    fs::write(&items, "item_id,title,genres\nx1,Alien,Horror\n").unwrap();
    assert_eq!(extend(&early, &items, &late)["revived"], 1);
    assert_eq!(exported(&late), (true, true, 0));
    let text = succeed(["inspect", &late]);
    assert!(text.contains("2 items, 1 of them without features then; 1 that"), "{text}");
    let served = open(&place.path("late")).unwrap();
    assert_eq!(served.catalog.title(served.catalog.find("x1").unwrap()), Some("Alien"));
    let card = fs::read_to_string(place.path("late/README.md")).unwrap();
    assert!(card.contains("by its features") && card.contains("2 items joined"), "{card}");
    let idle = ["export", "--model", &model, "--items", "--data", &place.text("data")];
    fail(2, idle.iter().chain(&["--out", &place.text("items.npy")]));
}

#[test]
fn vectors_leave_for_other_applications() {
    let place = Place::trained();
    let (model, data) = (place.text("run/model"), place.text("data"));
    let (npy, parquet) = (place.text("items.npy"), place.text("users.parquet"));
    succeed(["export", "--model", &model, "--items", "--out", &npy]);
    let served = open(&place.path("run/model")).unwrap();
    let bytes = fs::read(&npy).unwrap();
    let (items, rank) = (served.vectors.items(), served.vectors.rank());
    assert_eq!(bytes.len(), 128 + items * rank * 4);
    assert!(String::from_utf8_lossy(&bytes[..128]).contains(&format!("'shape': ({items}, {rank})")));
    let keys = fs::read_to_string(place.path("items.keys.txt")).unwrap();
    assert_eq!(keys.lines().collect::<Vec<_>>(), served.catalog.keys().iter().collect::<Vec<_>>());
    let mut row = vec![0.0; rank];
    served.vectors.output_row(ItemId(7), &mut row).unwrap();
    let found = bytes[128 + 7 * rank * 4..][..rank * 4].chunks_exact(4);
    assert!(found.zip(&row).all(|(bytes, value)| bytes == value.to_le_bytes()));
    // What was exported can be imported again: the vectors are features like any others.
    let again = place.text("again.safetensors");
    let keys = place.text("items.keys.txt");
    let import = ["encode", "--data", &data, "--import", &npy, "--keys", &keys, "--modality", "rows"];
    succeed(import.iter().chain(&["--out", &again]));
    let summary =
        succeed(["export", "--model", &model, "--users", "--data", &data, "--out", &parquet, "--json"]);
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let users = Prepared::open(&place.path("data")).unwrap().histories.users();
    assert_eq!((&summary["rows"], &summary["width"]), (&users.into(), &rank.into()));
    let read = upnext_tables::read_vectors(Path::new(&parquet), Some("user_id"), None).unwrap();
    assert_eq!((read.keys.len(), read.width), (users, rank));
    let error = fail(2, ["export", "--model", &model, "--items", "--out", &place.text("items.csv")]);
    assert!(error.contains(".parquet or .npy"), "{error}");
    assert!(fail(2, ["similar", "--model", &model, "--item", "nobody"]).contains("nobody"));
}
