//! Nightly jobs: parts, shares, kills, and what they leave on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use upnext_data::{ItemId, Prepared};
use upnext_generate::{Event, Generator, Options, Request};

use crate::support::{Place, Row, fail, rows, succeed, upnext};

/// How often a job is killed here; a release sets the variable to more.
fn kills() -> u64 {
    std::env::var("UPNEXT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

fn arguments(place: &Place, out: &str, more: &[&str]) -> Vec<String> {
    let (model, data, out) = (place.text("run/model"), place.text("data"), place.text(out));
    let fixed = ["generate", "--model", &model, "--data", &data, "--out", &out];
    fixed.iter().chain(more).map(|&argument| argument.to_owned()).collect()
}

const JOB: [&str; 10] =
    ["--part-users", "5", "--part-format", "csv", "--batch", "4", "--method", "beam", "--width", "64"];

/// Every visible file of a folder but locks, by name.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let files = entries.filter(|path| {
        path.is_file() && ![".", "_lock", "_running"].iter().any(|start| name(path).starts_with(start))
    });
    files.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

/// The rows of all parts.
pub(crate) fn all_rows(folder: &Path) -> Vec<Row> {
    let names = files(folder).into_keys().filter(|name| name.starts_with("part-"));
    names.flat_map(|name| rows(&folder.join(name))).collect()
}

#[test]
fn a_job_killed_at_random_instants_leaves_what_an_undisturbed_one_does() {
    let place = Place::trained();
    let started = Instant::now();
    succeed(arguments(&place, "whole", &JOB));
    let parts = |out: &str| {
        let entries = fs::read_dir(place.path(out)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("part-")).count()
    };
    let all = parts("whole");
    let one_part = started.elapsed() / all as u32;
    let (mut interrupted, mut kept) = (0, 0);
    for kill in 0..kills() {
        // Instants all over what is left of the job, no two alike: by its parts and not by the clock alone, so that a
        // busy machine is no other test.
        let share = (kill as f64 + 1.0) * 0.618_034 % 1.0;
        if parts("killed") == all {
            fs::remove_dir_all(place.path("killed")).unwrap();
        }
        let done = parts("killed");
        let enough = done + ((all - done) as f64 * share) as usize;
        let mut command = upnext(arguments(&place, "killed", &JOB));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while parts("killed") < enough && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(one_part.mul_f64(share * 7.0 % 1.0));
        child.kill().unwrap();
        let was_killed = !child.wait().unwrap().success();
        interrupted += u64::from(was_killed && parts("killed") < all);
    }
    assert!(interrupted * 3 >= kills(), "{interrupted} of {} jobs were killed before their end", kills());
    let summary: Value =
        serde_json::from_str(&succeed(arguments(&place, "killed", &[&JOB[..], &["--json"]].concat())))
            .unwrap();
    assert!(summary["peak_rss_bytes"].as_u64().unwrap() > 0, "{summary}");
    kept += summary["parts_kept"].as_u64().unwrap();
    assert!(kept > 0, "{summary}");
    assert_eq!(files(&place.path("killed")), files(&place.path("whole")));
    let users: Vec<String> = all_rows(&place.path("killed")).into_iter().map(|row| row.user).collect();
    let data = Prepared::open(&place.path("data")).unwrap();
    let distinct: BTreeSet<&String> = users.iter().collect();
    assert_eq!((distinct.len(), users.len()), (data.histories.users(), 10 * data.histories.users()));
    // A part that is damaged is made again.
    let (name, bytes) =
        files(&place.path("killed")).into_iter().find(|(name, _)| name.starts_with("part-")).unwrap();
    fs::write(place.path("killed").join(&name), &bytes[1..]).unwrap();
    succeed(arguments(&place, "killed", &JOB));
    assert_eq!(files(&place.path("killed")), files(&place.path("whole")));
}

#[test]
fn shares_and_parts_make_the_rows_of_one_file() {
    let place = Place::trained();
    let sorted = |mut rows: Vec<Row>| {
        rows.sort_by(|a, b| (&a.user, a.rank).cmp(&(&b.user, b.rank)));
        rows
    };
    succeed(arguments(&place, "lists.csv", &[]));
    let expected = rows(&place.path("lists.csv"));
    // Both at once, as a fleet would.
    let shards = ["1/2", "2/2"].map(|shard| {
        let job = ["--part-users", "30", "--part-format", "csv", "--overwrite", "--shard", shard];
        upnext(arguments(&place, "shared", &job)).stderr(Stdio::null()).spawn().unwrap()
    });
    assert!(shards.into_iter().all(|mut shard| shard.wait().unwrap().success()));
    assert_eq!(sorted(all_rows(&place.path("shared"))), expected);
    for share in ["1of2", "2of2"] {
        let summary = fs::read(place.path("shared").join(format!("_summary-{share}.json"))).unwrap();
        let summary: Value = serde_json::from_slice(&summary).unwrap();
        assert!(summary["lists"].as_u64().unwrap() > 0, "{summary}");
    }
    let part = |share: &str, out: &str| {
        succeed(arguments(&place, out, &["--shard", share]));
        rows(&place.path(out))
    };
    assert_eq!(sorted([part("1/2", "a.csv"), part("2/2", "b.csv")].concat()), expected);
    // Parquet, the default, holds as many.
    let summary: Value = serde_json::from_str(&succeed(arguments(&place, "parquet", &["--json"]))).unwrap();
    assert_eq!(summary["rows"].as_u64().unwrap() as usize, expected.len());
    assert!(files(&place.path("parquet")).contains_key("part-00000-00000.parquet"));
}

#[test]
fn a_folder_belongs_to_one_job() {
    let place = Place::trained();
    succeed(arguments(&place, "out", &["--part-format", "csv"]));
    let before = files(&place.path("out"));
    for (more, field) in [
        (&["--length", "5"][..], "length"),
        (&["--method", "beam"], "method"),
        (&["--where", "genres != ''"], "where"),
        (&["--cold-boost", "1"], "cold_boost"),
        (&["--shard", "1/3"], "shards"),
    ] {
        let error = fail(2, arguments(&place, "out", &[more, &["--part-format", "csv"]].concat()));
        assert!(error.contains("another job") && error.contains(field), "{error}");
        assert_eq!(files(&place.path("out")), before);
    }
    // What cannot be answered is refused before anything of the old job is taken away.
    for (more, expected) in [
        (&["--part-format", "csv", "--nested"][..], "nested"),
        (&["--method", "beam", "--diversify", "0.3"], "likeness"),
        (&["--pin", "11:item-1"], "knows no item"),
        (&["--at-least", "11:genres != ''"], "minimum shares"),
        (&["--show", "2"], "--show says nothing"),
    ] {
        let error = fail(2, arguments(&place, "out", &[more, &["--overwrite"]].concat()));
        assert!(error.contains(expected), "{error}");
        assert_eq!(files(&place.path("out")), before);
    }
    for idle in [&["--overwrite"][..], &["--part-users", "5"], &["--part-format", "csv"]] {
        let error = fail(2, arguments(&place, "one.csv", idle));
        assert!(error.contains(idle[0]) && !place.path("one.csv").exists(), "{error}");
    }
    succeed(arguments(&place, "out", &["--part-format", "csv", "--length", "5", "--overwrite"]));
    assert_ne!(files(&place.path("out")), before);
    fs::write(place.path("out/mine.txt"), "mine").unwrap();
    let error = fail(2, arguments(&place, "out", &["--part-format", "csv", "--overwrite"]));
    assert!(error.contains("mine.txt"), "{error}");
}

#[test]
fn a_dry_run_estimates_and_writes_nothing() {
    let place = Place::trained();
    for out in ["dry", "dry.csv"] {
        let text = succeed(arguments(&place, out, &["--dry-run", "--json"]));
        let summary: Value = serde_json::from_str(&text).unwrap();
        let users = Prepared::open(&place.path("data")).unwrap().histories.users();
        assert_eq!(summary["users"].as_f64(), Some(users as f64));
        for key in ["users_per_second", "estimated_seconds", "peak_rss_bytes"] {
            assert!(summary[key].as_f64().unwrap() > 0.0, "{summary}");
        }
        assert!(!place.path(out).exists());
    }
    // Whom no event is of is tried as well, and what a dry run would not do is refused.
    fs::write(place.path("asked.jsonl"), "{\"user_id\": \"somebody new\"}").unwrap();
    let asked = place.text("asked.jsonl");
    succeed(arguments(&place, "dry", &["--dry-run", "--requests", &asked]));
    for idle in [&["--overwrite"][..], &["--show", "1"]] {
        let error = fail(2, arguments(&place, "dry", &[&["--dry-run"], idle].concat()));
        assert!(error.contains(idle[0]), "{error}");
    }
    // What says how event files are read says nothing of a prepared folder.
    let error = fail(2, arguments(&place, "dry", &["--user", "42"]));
    assert!(error.contains("--user says how event files are read"), "{error}");
    for share in ["0/2", "3/2", "1", "x/y"] {
        let error = fail(2, arguments(&place, "dry", &["--shard", share]));
        assert!(error.contains("I from 1 to N"), "{error}");
    }
}

#[test]
fn users_who_ask_get_what_they_ask_for() {
    let place = Place::trained();
    let data = Prepared::open(&place.path("data")).unwrap();
    let (first, second) = (data.catalog.key(ItemId(1)), data.catalog.key(ItemId(2)));
    let users: Vec<&str> =
        data.histories.iter().take(4).map(|(user, _)| data.histories.user_key(user)).collect();
    // As of the middle of the first one's history: an event of that very second has happened.
    let past = data.histories.iter().next().unwrap().1;
    let at = past.times[past.len() / 2];
    let lines = [
        json!({ "user_id": users[0], "length": 3, "at": at }),
        json!({ "user_id": users[1], "pins": { "2": first }, "deny": [second] }),
        json!({ "user_id": users[3], "allow": [first, second], "keep_seen": true }),
        json!({ "user_id": "somebody new", "where": format!("title = '{}'", data.catalog.title(ItemId(4)).unwrap()) }),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n\n")).collect();
    fs::write(place.path("asked.jsonl"), &text).unwrap();
    let asked = place.text("asked.jsonl");
    succeed(arguments(&place, "lists.csv", &["--requests", &asked]));
    let found = rows(&place.path("lists.csv"));
    let of = |user: &str| -> Vec<String> {
        found.iter().filter(|row| row.user == user).map(|row| row.item.clone()).collect()
    };
    let distinct: BTreeSet<&str> = found.iter().map(|row| row.user.as_str()).collect();
    assert_eq!(distinct, [users[0], users[1], users[3], "somebody new"].into());
    assert_eq!((of(users[0]).len(), of(users[1]).len()), (3, 10));
    let events: Vec<Event<'_>> = past
        .items
        .iter()
        .zip(past.times)
        .filter(|(_, time)| **time <= at)
        .map(|(&item, &at)| Event { key: data.catalog.key(item), at })
        .collect();
    let generator = Generator::open(place.path("run/model"), Options::default()).unwrap();
    let then = generator.generate(&[Request::builder(&events).length(3).build().unwrap()]).remove(0).unwrap();
    assert_eq!(of(users[0]), then.items.iter().map(|place| place.key.clone()).collect::<Vec<_>>());
    assert!(events.len() < past.len());
    assert!(of(users[1])[1] == first && !of(users[1]).contains(&second.to_owned()));
    let both: BTreeSet<String> = of(users[3]).into_iter().collect();
    assert_eq!(both, [first.to_owned(), second.to_owned()].into());
    assert_eq!(of("somebody new"), [data.catalog.key(ItemId(4))]);
    // In parts, too, where they belong to the job; one shard of one is all of it.
    succeed(arguments(&place, "parts", &["--requests", &asked, "--part-format", "csv"]));
    assert_eq!(all_rows(&place.path("parts")), found);
    let names = || files(&place.path("parts")).into_keys().collect::<Vec<_>>();
    let before = names();
    succeed(arguments(&place, "parts", &["--requests", &asked, "--part-format", "csv", "--shard", "1/1"]));
    assert_eq!(names(), before);
    let error = fail(2, arguments(&place, "parts", &["--part-format", "csv"]));
    assert!(error.contains("requests"), "{error}");
    // What no line can mend is told before anything is read.
    let error = fail(2, arguments(&place, "none", &["--requests", &asked, "--method", "multi-token"]));
    assert!(error.contains("horizon") && !place.path("none").exists(), "{error}");
    for (line, expected) in [
        ("{\"user\": \"a\"}", "asked.jsonl:1: unknown field `user`"),
        ("{\"user_id\": \"a\"}\n{\"user_id\": \"a\"}", "asked.jsonl:2: user \"a\" was named before"),
        ("{\"user_id\": \"a\", \"length\": 0}", "at least 1"),
        ("{\"user_id\": \"a\", \"pins\": {\"0\": \"x\"}}", "count from 1"),
        ("{\"user_id\": \"a\", \"where\": \"year >\"}", "asked.jsonl:1"),
        ("", "names no user"),
    ] {
        fs::write(place.path("asked.jsonl"), line).unwrap();
        let error = fail(2, arguments(&place, "lists.csv", &["--requests", &asked]));
        assert!(error.contains(expected), "{error}");
    }
}

/// The objects of a file of JSON lines.
fn objects(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn titles_and_reasons_go_with_the_items() {
    let place = Place::trained();
    let beside = ["--with", "title,genres", "--explain", "2"];
    succeed(arguments(&place, "plain.jsonl", &[]));
    succeed(arguments(&place, "lists.jsonl", &beside));
    let data = Prepared::open(&place.path("data")).unwrap();
    let histories: BTreeMap<&str, BTreeSet<&str>> = data
        .histories
        .iter()
        .map(|(user, history)| {
            let keys = history.items.iter().map(|&item| data.catalog.key(item)).collect();
            (data.histories.user_key(user), keys)
        })
        .collect();
    let (plain, lists) = (objects(&place.path("plain.jsonl")), objects(&place.path("lists.jsonl")));
    assert_eq!(plain.len(), lists.len());
    let mut reasons = 0;
    for (plain, row) in plain.iter().zip(&lists) {
        for field in ["user_id", "rank", "item_id", "score"] {
            assert_eq!(plain[field], row[field]);
        }
        let item = data.catalog.find(row["item_id"].as_str().unwrap()).unwrap();
        for column in ["title", "genres"] {
            assert_eq!(row[column], data.catalog.column(column).unwrap().values.get(item.index()));
        }
        let because = row["because"].as_array().unwrap();
        assert!(because.len() <= 2);
        let history = &histories[row["user_id"].as_str().unwrap()];
        assert!(because.iter().all(|key| history.contains(key.as_str().unwrap())), "{row}");
        reasons += because.len();
    }
    assert!(reasons > lists.len(), "most items have reasons: {reasons}");
    // The same in every format, and in parts.
    succeed(arguments(&place, "lists.csv", &beside));
    let header = "user_id,rank,item_id,score,title,genres,because\n";
    assert!(fs::read_to_string(place.path("lists.csv")).unwrap().starts_with(header));
    succeed(arguments(&place, "nested.jsonl", &[&beside[..], &["--nested"]].concat()));
    let nested = objects(&place.path("nested.jsonl"));
    let flat = |field: &str| -> Vec<Value> {
        nested.iter().flat_map(|row| row[field].as_array().unwrap().clone()).collect()
    };
    for (field, own) in [("title", "title"), ("because", "because"), ("items", "item_id")] {
        assert_eq!(flat(field), lists.iter().map(|row| row[own].clone()).collect::<Vec<_>>());
    }
    let parts = ["--part-format", "jsonl", "--part-users", "50"];
    succeed(arguments(&place, "parts", &[&beside[..], &parts].concat()));
    let names = files(&place.path("parts")).into_keys().filter(|name| name.starts_with("part-"));
    let all: Vec<Value> = names.flat_map(|name| objects(&place.path("parts").join(name))).collect();
    assert_eq!(all, lists);
    for (more, field) in [(&["--with", "title"][..], "explain"), (&beside[2..], "with"), (&[], "explain")] {
        let error = fail(2, arguments(&place, "parts", &[more, &parts].concat()));
        assert!(error.contains("another job") && error.contains(field), "{error}");
    }
    // Reasons cost what they cost in a dry run, too.
    let rate = |more: &[&str]| {
        let text = succeed(arguments(&place, "dry", &[more, &["--dry-run", "--json"]].concat()));
        serde_json::from_str::<Value>(&text).unwrap()["users_per_second"].as_f64().unwrap()
    };
    assert!(rate(&["--explain", "2"]) < rate(&[]) / 2.0);
    // Of whom nothing is known, nothing speaks; nor for what was pinned.
    let pin = format!("1:{}", data.catalog.key(ItemId(1)));
    fs::write(place.path("asked.jsonl"), "{\"user_id\": \"somebody new\"}").unwrap();
    let asked = place.text("asked.jsonl");
    succeed(arguments(&place, "new.jsonl", &["--requests", &asked, "--explain", "1"]));
    assert!(objects(&place.path("new.jsonl")).iter().all(|row| row["because"] == json!([])));
    succeed(arguments(&place, "pins.jsonl", &["--pin", &pin, "--explain", "1"]));
    let first = objects(&place.path("pins.jsonl")).remove(0);
    assert_eq!(
        (first["item_id"].as_str(), &first["because"]),
        (Some(data.catalog.key(ItemId(1))), &json!([]))
    );
    // An item that was watched three times speaks once.
    let (first, second) = (data.catalog.key(ItemId(1)), data.catalog.key(ItemId(2)));
    let watched = [first, first, second, first];
    let events = watched.iter().zip(1..).map(|(key, at)| format!("u,{key},{at}\n"));
    fs::write(place.path("again.csv"), format!("user_id,item_id,timestamp\n{}", events.collect::<String>()))
        .unwrap();
    succeed(of_events(&place, "again.csv", "again.jsonl", &["--explain", "3", "--length", "20"]));
    let mut spoke = 0;
    for row in objects(&place.path("again.jsonl")) {
        let because = row["because"].as_array().unwrap();
        assert_eq!(
            because.iter().map(Value::to_string).collect::<BTreeSet<_>>().len(),
            because.len(),
            "{row}"
        );
        spoke += because.len();
    }
    assert!(spoke > 0);
    for (column, expected) in [("titel", "\"title\" is near"), ("budget", "genres"), ("title,title", "twice")]
    {
        let error = fail(2, arguments(&place, "lists.csv", &["--with", column]));
        assert!(error.contains(expected), "{error}");
    }
}

/// A job on event files.
fn of_events(place: &Place, events: &str, out: &str, more: &[&str]) -> Vec<String> {
    let (model, events, out) = (place.text("run/model"), place.text(events), place.text(out));
    let fixed = ["generate", "--model", &model, "--histories", &events, "--out", &out];
    fixed.iter().chain(more).map(|&argument| argument.to_owned()).collect()
}

/// Names in the folder of a place that nobody has asked for.
fn hidden(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with('.')).collect()
}

#[test]
fn event_files_become_parts_as_prepared_folders_do() {
    let place = Place::trained();
    succeed(arguments(&place, "prepared", &JOB));
    // Cut into files, users all over them, and packed into one folder.
    let text = fs::read_to_string(place.path("events.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    fs::create_dir(place.path("logs")).unwrap();
    for (number, rows) in rows.chunks(rows.len().div_ceil(3)).enumerate() {
        let text = format!("{header}\n{}\n", rows.join("\n"));
        fs::write(place.path(&format!("logs/{number}.csv")), text).unwrap();
    }
    let started = Instant::now();
    for (events, out) in [("events.csv", "of-file"), ("logs", "of-folder"), ("logs/*.csv", "of-pattern")] {
        succeed(of_events(&place, events, out, &JOB));
        assert_eq!(all_rows(&place.path(out)), all_rows(&place.path("prepared")), "{out}");
    }
    let whole = started.elapsed() / 3;
    assert_eq!(files(&place.path("of-file")), files(&place.path("of-folder")));
    for share in ["1/2", "2/2"] {
        succeed(of_events(
            &place,
            "logs",
            "shared",
            &[&JOB[..], &["--shard", share, "--memory-limit", "128MiB"]].concat(),
        ));
    }
    let mut shared = all_rows(&place.path("shared"));
    shared.sort_by(|a, b| (&a.user, a.rank).cmp(&(&b.user, b.rank)));
    assert_eq!(shared, all_rows(&place.path("prepared")));
    assert_eq!(hidden(&place), [""; 0]);
    // Killed anywhere, it leaves what the next one clears.
    for kill in 0..kills() {
        let share = (kill as f64 + 1.0) * 0.618_034 % 1.0;
        let mut command = upnext(of_events(&place, "logs", "killed", &JOB));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(whole.mul_f64(share * 0.9));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    succeed(of_events(&place, "logs", "killed", &JOB));
    assert_eq!(files(&place.path("killed")), files(&place.path("of-folder")));
    assert_eq!(hidden(&place), [""; 0]);
    // Other events are another job, by what they are and not by what they are called.
    fs::write(place.path("logs/3.csv"), format!("{header}\n{}", rows[0])).unwrap();
    let error = fail(2, of_events(&place, "logs", "of-folder", &JOB));
    assert!(error.contains("another job") && error.contains("data"), "{error}");
    fs::remove_file(place.path("logs/3.csv")).unwrap();
    succeed(of_events(&place, "events.csv", "of-folder", &JOB));
    // One file and a dry run leave nothing behind either, whatever comes of them.
    succeed(of_events(&place, "logs", "lists.csv", &JOB[4..]));
    assert_eq!(crate::support::rows(&place.path("lists.csv")), all_rows(&place.path("prepared")));
    let dry = succeed(of_events(&place, "logs", "dry", &["--dry-run", "--json"]));
    assert!(serde_json::from_str::<Value>(&dry).unwrap()["estimated_seconds"].as_f64().unwrap() > 0.0);
    fs::write(place.path("bad.csv"), format!("{header}\nuser,item,yesterday\n")).unwrap();
    let error = fail(2, of_events(&place, "bad.csv", "bad", &[]));
    assert!(error.contains("bad.csv:2"), "{error}");
    assert!(!place.path("bad").exists() && !place.path("dry").exists());
    assert_eq!(hidden(&place), [""; 0]);
    let limit = fail(2, arguments(&place, "limit", &["--memory-limit", "1GiB"]));
    assert!(limit.contains("--memory-limit"), "{limit}");
}
