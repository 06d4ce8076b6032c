//! From event files to lists and metrics, through the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use upnext_data::{ItemId, Prepared, Protocol};

use crate::support::{Place, Row, fail, rows, succeed};

/// Keys of each user's history.
fn histories(place: &Place) -> BTreeMap<String, Vec<String>> {
    let data = Prepared::open(&place.path("data")).unwrap();
    let key = |item: &ItemId| data.catalog.key(*item).to_owned();
    let users = data.histories.iter();
    users
        .map(|(user, history)| {
            (data.histories.user_key(user).to_owned(), history.items.iter().map(key).collect())
        })
        .collect()
}

#[test]
fn metrics_recomputed_from_predictions_agree() {
    let place = Place::trained();
    let plain = recompute(&place, &[]);
    assert!(plain.get("adjustment").is_none());
    // Moved scores are those of the predictions, of the metrics and of the report's own word.
    let moved = recompute(&place, &["--popularity-penalty", "2.5"]);
    assert_eq!(moved["adjustment"]["popularity_penalty"], 2.5);
    assert_ne!(moved["ndcg@10"], plain["ndcg@10"]);
}

/// The report of an evaluation, once its metrics have been found again in its predictions.
fn recompute(place: &Place, more: &[&str]) -> Value {
    let file = place.path("predictions.csv");
    let (model, data) = (place.text("run/model"), place.text("data"));
    let fixed = ["evaluate", "--model", &model, "--data", &data, "--json"];
    let predictions = ["--predictions", file.to_str().unwrap()];
    let text = succeed(fixed.iter().chain(&predictions).chain(more));
    let report: Value = serde_json::from_str(&text).unwrap();
    let data = Prepared::open(&place.path("data")).unwrap();
    let split = Protocol::LeaveOneOut.split(&data.histories).unwrap();
    let rows = rows(&file);
    let (mut hits, mut ndcg, mut mrr) = (0.0, 0.0, 0.0);
    for question in &split.test {
        let user = data.histories.user_key(question.user);
        let target = data.catalog.key(question.held_out(&data.histories).items[0]);
        let own: Vec<_> = rows.iter().filter(|row| row.user == user).collect();
        let Some(score) = own.iter().find(|row| row.item == target).map(|row| row.score) else { continue };
        let rank = own.iter().filter(|row| row.score >= score).count() as f64;
        mrr += 1.0 / rank;
        if rank <= 10.0 {
            hits += 1.0;
            ndcg += 1.0 / (rank + 1.0).log2();
        }
    }
    let users = split.test.len() as f64;
    assert_eq!(report["users"], split.test.len());
    for (name, sum) in [("hr@10", hits), ("ndcg@10", ndcg), ("mrr@100", mrr)] {
        let reported = report[name].as_f64().unwrap();
        assert!(
            (reported - sum / users).abs() < 1e-6,
            "{name}: reported {reported}, recomputed {}",
            sum / users
        );
    }
    report
}

#[test]
fn a_report_has_every_documented_key() {
    let place = Place::trained();
    let model = place.text("run/model");
    let text = succeed(["evaluate", "--model", &model, "--data", &place.text("data"), "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    for key in ["protocol", "split", "users", "items", "hr@10", "ndcg@10", "mrr", "mrr@100", "kept", "slices"]
    {
        assert!(!report[key].is_null(), "no {key}");
    }
    assert_eq!(report["protocol"], "loo");
    assert_eq!(report["ci95"]["ndcg@10"].as_array().unwrap().len(), 2);
    assert!(report["kept"]["ndcg@10"].is_number());
    for name in ["popularity", "first-order-markov", "windowed-markov"] {
        assert!(report["baselines"][name]["ndcg@10"].is_number(), "no {name}");
    }
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(place.path("run/summary.json")).unwrap()).unwrap();
    for key in ["steps", "tokens", "tokens_per_second", "peak_rss_bytes", "best", "seconds"] {
        assert!(!summary[key].is_null(), "no {key}");
    }
}

#[test]
fn a_validation_of_several_events_measures_the_lists_that_the_model_makes() {
    let place = Place::prepared();
    let more = ["train.protocol=\"last:3,4\"", "train.max_epochs=2", "train.keep_seen=true"];
    place.train("run", &more.map(|set| ["--set", set]).concat());
    let summary: Value = serde_json::from_slice(&fs::read(place.path("run/summary.json")).unwrap()).unwrap();
    let (model, data) = (place.text("run/model"), place.text("data"));
    let fixed =
        ["evaluate", "--model", &model, "--data", &data, "--split", "validation", "--method", "top-k"];
    let lists: Value = serde_json::from_str(&succeed(fixed.iter().chain(&["--json"]))).unwrap();
    let (validated, listed) = (&summary["best"], &lists["lists"]["top-k"]);
    for (of_ranks, of_lists) in [("ndcg@10", "ndcg"), ("hr@10", "recall")] {
        let [ranks, lists] = [&validated[of_ranks], &listed[of_lists]].map(|value| value.as_f64().unwrap());
        assert!((ranks - lists).abs() < 1e-9 && ranks > 0.0, "{of_ranks}: {ranks} and {lists}");
    }
}

#[test]
fn ways_to_make_lists_stand_beside_each_other() {
    let place = Place::prepared();
    place.train("run", &["--set", "train.max_epochs=2", "--set", "train.protocol=\"last:3\""]);
    let (model, data) = (place.text("run/model"), place.text("data"));
    let fixed = ["evaluate", "--model", &model, "--data", &data, "--length", "3", "--method"];
    let ask = |more: &[&str]| -> Value {
        serde_json::from_str(&succeed(fixed.iter().chain(more).chain(&["--json"]))).unwrap()
    };
    let report = ask(&["top-k,beam,hybrid,sample", "--width", "4", "--draws", "5"]);
    assert_eq!((&report["protocol"], &report["length"]), (&"last:3".into(), &3.into()));
    let ways = ["popularity", "windowed-markov", "top-k", "beam", "hybrid", "sample"];
    for way in ways {
        let lists = &report["lists"][way];
        for key in ["recall", "ndcg", "diversity", "coverage", "gini"] {
            let value = lists[key].as_f64().unwrap_or(-1.0);
            assert!((0.0..=2.0).contains(&value), "{way} {key}: {lists}");
        }
        let [low, high] = [0, 1].map(|end| lists["ci95"]["recall"][end].as_f64().unwrap());
        let recall = lists["recall"].as_f64().unwrap();
        assert!(low <= recall && recall <= high && recall > 0.0, "{way}: {lists}");
    }
    // A group that no other disturbs is a beam as wide as it is; one that does not come out even is refused.
    let of_beam =
        |more: &[&str]| ask(&[&["beam", "--no-baselines"], more].concat())["lists"]["beam"]["recall"].clone();
    assert_eq!(of_beam(&["--width", "4", "--groups", "4", "--diversity", "0"]), of_beam(&["--width", "1"]));
    let uneven = fail(2, fixed.iter().chain(&["beam", "--width", "4", "--groups", "3"]));
    assert!(uneven.contains("dealt out evenly"), "{uneven}");
    // Drawing from one item is a beam of one, and the same lists whoever else is measured.
    let few = ask(&["beam,sample", "--width", "1", "--top-k", "1", "--no-baselines"]);
    let without_time = |way: &str| {
        let mut lists = few["lists"][way].clone();
        lists.as_object_mut().unwrap().remove("seconds");
        lists
    };
    assert_eq!(few["lists"].as_object().unwrap().len(), 2);
    assert_eq!(without_time("beam"), without_time("sample"));
    assert_eq!(ask(&["beam", "--width", "4"])["lists"]["beam"]["recall"], report["lists"]["beam"]["recall"]);
    let kept = ask(&["top-k", "--keep-seen", "--no-baselines"]);
    assert_eq!(kept["keep_seen"], true);
    assert_ne!(kept["lists"]["top-k"]["recall"], report["lists"]["top-k"]["recall"]);
    let table = succeed(fixed.iter().chain(&["top-k"]));
    assert!(table.contains("recall@3") && table.contains("windowed-markov"), "{table}");
}

#[test]
fn a_model_that_was_trained_to_keep_seen_items_does_so_unless_told_otherwise() {
    let place = Place::prepared();
    place.train("run", &["--set", "train.max_epochs=1", "--set", "train.keep_seen=true"]);
    let (model, data) = (place.text("run/model"), place.text("data"));
    let summary: Value =
        serde_json::from_slice(&fs::read(place.path("run").join("summary.json")).unwrap()).unwrap();
    let fixed = ["evaluate", "--model", &model, "--data", &data, "--split", "validation", "--json"];
    let report: Value = serde_json::from_str(&succeed(fixed)).unwrap();
    assert_eq!(summary["best"]["ndcg@10"], report["kept"]["ndcg@10"]);
    assert_ne!(report["ndcg@10"], report["kept"]["ndcg@10"]);
    let lists = |more: &[&str]| {
        let out = place.text("lists.csv");
        let fixed = ["generate", "--model", &model, "--data", &data, "--out", &out];
        succeed(fixed.iter().chain(more));
        rows(&place.path("lists.csv"))
    };
    let (usual, dropped) = (lists(&[]), lists(&["--drop-seen"]));
    assert_eq!(usual, lists(&["--keep-seen"]));
    let histories = histories(&place);
    let seen = |rows: &[Row]| rows.iter().filter(|row| histories[&row.user].contains(&row.item)).count();
    assert!(seen(&usual) > 0, "no list holds a seen item");
    assert_eq!(seen(&dropped), 0);
    // So may a user's own line.
    let one = histories.keys().next().unwrap();
    let line = serde_json::json!({ "user_id": one, "keep_seen": false }).to_string();
    fs::write(place.path("requests.jsonl"), line).unwrap();
    let asked = lists(&["--requests", &place.text("requests.jsonl")]);
    assert_eq!(asked, dropped.iter().filter(|row| row.user == *one).cloned().collect::<Vec<_>>());
    let error = fail(2, fixed.iter().chain(&["--drop-seen"]));
    assert!(error.contains("name a --method"), "{error}");
    let measured = |more: &[&str]| {
        let fixed = ["evaluate", "--model", &model, "--data", &data, "--method", "top-k", "--json"];
        let text = succeed(fixed.iter().chain(more));
        let report: Value = serde_json::from_str(&text).unwrap();
        let recall = |way: &str| report["lists"][way]["recall"].as_f64().unwrap();
        (report["keep_seen"].as_bool().unwrap(), recall("top-k"), recall("windowed-markov"))
    };
    let (usual, dropped) = (measured(&[]), measured(&["--drop-seen"]));
    assert_eq!((usual, usual.0, dropped.0), (measured(&["--keep-seen"]), true, false));
    assert_ne!(usual.1, dropped.1);
    fail(2, ["generate", "--model", &model, "--data", &data, "--out", "x.csv", "--keep-seen", "--drop-seen"]);
    assert!(succeed(["inspect", &model]).contains("seen ones kept"));
}

#[test]
fn lists_hold_no_seen_item_no_duplicate_and_are_full() {
    let place = Place::trained();
    let histories = histories(&place);
    for method in ["top-k", "beam"] {
        let out = place.path("lists.csv");
        let model = place.text("run/model");
        let summary: Value = serde_json::from_str(&succeed([
            "generate",
            "--model",
            &model,
            "--data",
            &place.text("data"),
            "--method",
            method,
            "--out",
            out.to_str().unwrap(),
            "--json",
        ]))
        .unwrap();
        assert_eq!(summary["lists"], histories.len());
        assert_eq!(summary["short"], 0);
        let rows = rows(&out);
        for (user, history) in &histories {
            let own: Vec<_> = rows.iter().filter(|row| row.user == *user).collect();
            let distinct: BTreeSet<&str> = own.iter().map(|row| row.item.as_str()).collect();
            assert_eq!((own.len(), distinct.len()), (10, 10), "{method}, user {user}");
            assert!(history.iter().all(|item| !distinct.contains(item.as_str())), "{method}, user {user}");
            assert!(own.iter().enumerate().all(|(place, row)| row.rank == place + 1 && row.score <= 0.0));
        }
    }
}

#[test]
fn lists_have_the_same_bytes_in_every_batch_and_run() {
    let place = Place::trained();
    for (method, extension) in [("top-k", "csv"), ("beam", "jsonl"), ("beam", "parquet")] {
        let lists = |name: &str, more: &[&str]| {
            let out = place.path(&format!("{name}.{extension}"));
            let (model, data) = (place.text("run/model"), place.text("data"));
            let fixed = [
                "generate",
                "--model",
                &model,
                "--data",
                &data,
                "--method",
                method,
                "--out",
                out.to_str().unwrap(),
            ];
            succeed(fixed.iter().chain(more));
            fs::read(out).unwrap()
        };
        let whole = lists("whole", &[]);
        assert_eq!(whole, lists("again", &[]));
        for batch in ["1", "2", "3", "64"] {
            assert_eq!(whole, lists("batch", &["--batch", batch]), "{method} in batches of {batch}");
        }
        assert_eq!(whole, lists("one-thread", &["--threads", "1"]));
    }
}

#[test]
fn an_event_file_is_continued_like_its_prepared_folder() {
    let place = Place::trained();
    let model = place.text("run/model");
    let (from_data, from_file) = (place.text("a.csv"), place.text("b.csv"));
    succeed(["generate", "--model", &model, "--data", &place.text("data"), "--out", &from_data]);
    succeed(["generate", "--model", &model, "--histories", &place.text("events.csv"), "--out", &from_file]);
    assert_eq!(fs::read(from_data).unwrap(), fs::read(from_file).unwrap());
}

#[test]
fn deny_and_allow_lists_are_obeyed() {
    let place = Place::trained();
    let model = place.text("run/model");
    let data = place.text("data");
    let out = place.path("lists.csv");
    let generate = |more: &[&str]| {
        let fixed =
            ["generate", "--model", &model, "--data", &data, "--keep-seen", "--out", out.to_str().unwrap()];
        succeed(fixed.iter().chain(more));
        rows(&out)
    };
    let favourite = generate(&[])[0].item.clone();
    fs::write(place.path("deny.txt"), format!("{favourite}\n\nno such item\n")).unwrap();
    assert!(generate(&["--deny", &place.text("deny.txt")]).iter().all(|row| row.item != favourite));
    fs::write(place.path("allow.txt"), format!("\u{feff}{favourite}")).unwrap();
    let allowed = generate(&["--allow", &place.text("allow.txt")]);
    assert!(!allowed.is_empty() && allowed.iter().all(|row| row.item == favourite && row.rank == 1));
    assert_eq!(generate(&["--available", &place.text("allow.txt")]), allowed);
}

#[test]
fn lists_keep_the_rules_of_the_job() {
    let place = Place::trained();
    let (model, data, lists) = (place.text("run/model"), place.text("data"), place.path("lists.csv"));
    let generate = ["generate", "--model", &model, "--data", &data, "--out", lists.to_str().unwrap()];
    let data = Prepared::open(&place.path("data")).unwrap();
    let genres = data.catalog.column("genres").unwrap();
    let genres_of = |key: &str| -> Vec<&str> {
        genres.values.get(data.catalog.find(key).unwrap().index()).split('|').collect()
    };
    let first = genres_of(data.catalog.key(ItemId(0)))[0].to_owned();
    let pinned = data.catalog.key(ItemId(3)).to_owned();
    let per_user = |more: &[&str]| -> Vec<Vec<String>> {
        succeed(generate.iter().chain(more));
        let mut lists_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows(&lists) {
            lists_of.entry(row.user).or_default().push(row.item);
        }
        lists_of.into_values().collect()
    };
    let of_first =
        |list: &[String]| list.iter().filter(|key| genres_of(key).contains(&first.as_str())).count();
    let condition = format!("genres has '{first}'");
    let methods: [&[&str]; 4] = [
        &["top-k"],
        &["beam", "--width", "2"],
        &["hybrid", "--width", "2", "--autoregressive", "2"],
        &["sample", "--draws", "3", "--temperature", "1"],
    ];
    for method in methods {
        let method = [&["--length", "5", "--method"], method].concat();
        let only = per_user(&[&method[..], &["--where", &condition]].concat());
        assert!(!only.is_empty() && only.iter().all(|list| of_first(list) == list.len()));
        let share = format!("3:{condition}");
        let pin = format!("2:{pinned}");
        let ruled = per_user(&[&method[..], &["--at-least", &share, "--pin", &pin]].concat());
        assert!(ruled.iter().all(|list| of_first(list) >= 3 && list[1] == pinned));
        let capped = per_user(&[&method[..], &["--at-most", "1:genres"]].concat());
        for list in &capped {
            let all: Vec<&str> = list.iter().flat_map(|key| genres_of(key)).collect();
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{list:?}");
        }
    }
    assert_ne!(per_user(&["--diversify", "0.9"]), per_user(&[]));
    assert_ne!(per_user(&["--explore", "1"]), per_user(&[]));
    assert_eq!(
        per_user(&["--explore", "1", "--seed", "5"]),
        per_user(&["--explore", "1", "--seed", "5", "--batch", "3"])
    );
    for (more, expected) in [
        (["--where", "genre has X"], "no column \"genre\"; their columns are"),
        (["--where", "genres has"], "a value was expected at character 11"),
        (["--at-most", "1:genre"], "no such column; they have"),
        (["--pin", "1:nobody"], "the model knows no item \"nobody\""),
        (["--pin", "0:x"], "places count from 1"),
        (["--at-least", "x"], "a number, a colon"),
        (["--diversify", "1"], "from 0 to below 1"),
        (["--width", "2"], "--width says nothing to --method top-k"),
        (["--draws", "2"], "--draws says nothing to --method top-k"),
        (["--seed", "2"], "--seed says nothing to --method top-k"),
    ] {
        let error = fail(2, generate.iter().chain(&more));
        assert!(error.contains(expected), "{error}");
    }
    let (model, data) = (place.text("run/model"), place.text("data"));
    let error = fail(2, ["evaluate", "--model", &model, "--data", &data, "--diversify", "0.5"]);
    assert!(error.contains("name a --method"), "{error}");
    for idle in [["--width", "2"], ["--seed", "2"], ["--explore", "1"]] {
        let error = fail(2, ["evaluate", "--model", &model, "--data", &data].iter().chain(&idle));
        assert!(error.contains(idle[0]) && error.contains("name a --method"), "{error}");
    }
}

#[test]
fn shown_lists_have_titles_and_the_latest_history() {
    let place = Place::trained();
    let lists = place.text("lists.csv");
    let arguments =
        ["generate", "--model", &place.text("run/model"), "--data", &place.text("data"), "--out", &lists];
    let shown = succeed(arguments.iter().copied().chain(["--show", "2"]));
    assert_eq!(shown.matches("\nuser ").count(), 2, "{shown}");
    let first = rows(&place.path("lists.csv"));
    let items = fs::read_to_string(place.path("items.csv")).unwrap();
    let line = items.lines().find(|line| line.starts_with(&format!("{},", first[0].item))).unwrap();
    let title: String = line.split(',').nth(1).unwrap().trim_matches('"').chars().take(20).collect();
    assert!(shown.contains(&title), "{title} is not in {shown}");
    let events = fs::read_to_string(place.path("events.csv")).unwrap();
    let latest = events.lines().rfind(|line| line.starts_with(&format!("{},", first[0].user))).unwrap();
    let latest = latest.split(',').nth(1).unwrap();
    let line = items.lines().find(|line| line.starts_with(&format!("{latest},"))).unwrap();
    let title: String = line.split(',').nth(1).unwrap().trim_matches('"').chars().take(20).collect();
    let row = shown.lines().nth(3).unwrap();
    assert!(row.trim_start().starts_with(&title), "{title} does not begin {row:?}");
}
