//! Nights after the first: lists only for users of whom there is something new.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use serde_json::{Value, json};
use upnext_data::Prepared;

use crate::batch::{all_rows, files};
use crate::support::{Place, fail, succeed, upnext};

/// A job on the prepared folder `data` of a place into the folder `out`, in CSV.
fn job(place: &Place, data: &str, out: &str, more: &[&str]) -> Vec<String> {
    let (model, data, out) = (place.text("run/model"), place.text(data), place.text(out));
    let fixed = ["generate", "--model", &model, "--data", &data, "--out", &out, "--json"];
    let parts = ["--part-users", "40", "--part-format", "csv"];
    fixed.iter().chain(&parts).chain(more).map(|&argument| argument.to_owned()).collect()
}

fn summary(arguments: Vec<String>) -> Value {
    serde_json::from_str(&succeed(arguments)).unwrap()
}

/// The folder `name`: the events of a place, and after them one of `item` for each of some users.
fn prepare_news(place: &Place, name: &str, users: &[&str], item: &str) {
    let mut text = fs::read_to_string(place.path("events.csv")).unwrap();
    users.iter().for_each(|user| text.push_str(&format!("{user},{item},4000000000\n")));
    let (log, items, out) = (place.text(&format!("{name}.csv")), place.text("items.csv"), place.text(name));
    fs::write(&log, text).unwrap();
    succeed(["prepare", &log, "--items", &items, "--out", &out]);
}

/// Keys of the first users of a place, and how many users it has.
fn users(place: &Place) -> (Vec<String>, u64) {
    let data = Prepared::open(&place.path("data")).unwrap();
    let keys = data.histories.iter().map(|(user, _)| data.histories.user_key(user).to_owned());
    (keys.collect(), data.histories.users() as u64)
}

#[test]
fn only_users_with_news_get_lists() {
    let place = Place::trained();
    let (keys, all) = users(&place);
    summary(job(&place, "data", "monday", &[]));
    // An item that comes first moves the numbers of all others, which is no news.
    let news = [keys[3].as_str(), keys[47].as_str(), "zz somebody new"];
    prepare_news(&place, "more", &news, "0 a new item");
    summary(job(&place, "more", "whole", &[]));
    let since = |run: &str| ["--only-changed-since".to_owned(), place.text(run)];
    let after = |data: &str, out: &str, run: &str, more: &[&str]| {
        let since = since(run);
        let more: Vec<&str> = since.iter().map(String::as_str).chain(more.iter().copied()).collect();
        job(&place, data, out, &more)
    };
    let tuesday = summary(after("more", "tuesday", "monday", &[]));
    assert_eq!((&tuesday["lists"], &tuesday["unchanged"]), (&json!(3), &json!(all - 2)));
    let mut expected = all_rows(&place.path("whole"));
    expected.retain(|row| news.contains(&row.user.as_str()));
    assert_eq!(all_rows(&place.path("tuesday")), expected);
    // The next one goes by those who were passed over as well, whatever the shards are.
    for shard in ["1/3", "2/3", "3/3"] {
        let wednesday = summary(after("more", "wednesday", "tuesday", &["--shard", shard]));
        assert_eq!(wednesday["lists"], 0, "{wednesday}");
    }
    assert!(all_rows(&place.path("wednesday")).is_empty());
    prepare_news(&place, "most", &[&news[..], &[&keys[5]]].concat(), "0 a new item");
    for (out, more) in
        [("whole job", &[][..]), ("same shard", &["--shard", "1/3"]), ("others", &["--shard", "2/5"])]
    {
        let thursday = summary(after("most", out, "wednesday", more));
        let rows = all_rows(&place.path(out));
        let found: BTreeSet<&str> = rows.iter().map(|row| row.user.as_str()).collect();
        assert!(found.is_subset(&[keys[5].as_str()].into()), "{out}: {found:?}");
        assert_eq!(thursday["lists"], found.len() as u64);
    }
    assert_eq!(all_rows(&place.path("whole job")).len(), 10);
    // A summary names its folder, one file may be made as well, and a dry run counts who is left.
    let run = "monday/_summary.json";
    let mut file = after("more", "news.csv", run, &[]);
    file.retain(|argument| !["--part-users", "40", "--part-format", "csv"].contains(&argument.as_str()));
    assert_eq!(summary(file)["lists"], 3);
    let dry = summary(after("more", "dry", run, &["--dry-run"]));
    assert_eq!(dry["unchanged"].as_u64().unwrap() + dry["lists"].as_u64().unwrap(), all + 1);
}

#[test]
fn a_job_that_reuse_would_make_wrong_is_refused() {
    let place = Place::trained();
    let run = place.text("monday");
    let since =
        |more: &[&str]| job(&place, "data", "tuesday", &[&["--only-changed-since", &run], more].concat());
    let error = fail(2, since(&[]));
    assert!(error.contains("no such folder"), "{error}");
    summary(job(&place, "data", "monday", &[]));
    for (more, field) in
        [(&["--length", "5"][..], "length"), (&["--keep-seen"], "keep_seen"), (&["--with", "title"], "with")]
    {
        let error = fail(2, since(more));
        assert!(error.contains(field) && error.contains("every list"), "{error}");
    }
    let same = job(&place, "data", "monday", &["--only-changed-since", &run, "--overwrite"]);
    assert!(fail(2, same).contains("--out as well"));
    let data = place.text("data");
    let no_job = fail(2, job(&place, "data", "tuesday", &["--only-changed-since", &data]));
    assert!(no_job.contains("no folder of parts"), "{no_job}");
    let seal = place.path("monday/_parts/part-00000-00000.csv.json");
    let record = place.path("monday/_parts/part-00000-00000.csv.histories");
    let (seal_text, record_bytes) = (fs::read_to_string(&seal).unwrap(), fs::read(&record).unwrap());
    fs::write(&record, &record_bytes[1..]).unwrap();
    assert!(fail(2, since(&[])).contains("make its part again"));
    // Which its own command does.
    summary(job(&place, "data", "monday", &[]));
    assert_eq!(fs::read(&record).unwrap(), record_bytes);
    let mut early: Value = serde_json::from_str(&seal_text).unwrap();
    early.as_object_mut().unwrap().remove("record");
    fs::write(&seal, early.to_string()).unwrap();
    assert!(fail(2, since(&[])).contains("no record"));
    fs::write(&seal, seal_text).unwrap();
    fs::remove_file(place.path("monday/_summary.json")).unwrap();
    assert!(fail(2, since(&[])).contains("not finished"));
    assert!(all_rows(&place.path("tuesday")).is_empty(), "nothing was made");
    // Lists that a job has not made are news to the next one.
    summary(job(&place, "data", "share", &["--shard", "1/2"]));
    let share = place.text("share");
    let other = ["--only-changed-since", &share];
    assert!(fail(2, job(&place, "data", "tuesday", &other)).contains("not finished"));
    let own = summary(job(&place, "data", "tuesday", &[&other[..], &["--shard", "1/2"]].concat()));
    assert_eq!(own["lists"], 0);
    assert!(fail(2, job(&place, "data", "tuesday", &["--shard", "1/2"])).contains("only_changed_since"));
}

#[test]
fn a_night_that_is_killed_ends_as_an_undisturbed_one() {
    let place = Place::trained();
    let (keys, _) = users(&place);
    let beam = ["--method", "beam", "--width", "64", "--batch", "4"];
    summary(job(&place, "data", "monday", &beam));
    let news: Vec<&str> = keys.iter().step_by(2).map(String::as_str).collect();
    prepare_news(&place, "more", &news, "0 a new item");
    let run = place.text("monday");
    let night = |out: &str| job(&place, "more", out, &[&beam[..], &["--only-changed-since", &run]].concat());
    let started = Instant::now();
    assert_eq!(summary(night("whole"))["lists"], news.len() as u64);
    let (whole, mut interrupted) = (started.elapsed(), 0);
    for share in [0.3, 0.8, 0.5, 0.7] {
        let mut child = upnext(night("killed")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(whole.mul_f64(share));
        child.kill().unwrap();
        interrupted += u32::from(!child.wait().unwrap().success());
    }
    assert!(interrupted > 0, "every job ended before it was killed");
    summary(night("killed"));
    for folder in ["", "_parts"] {
        let of = |out: &str| files(&place.path(out).join(folder));
        assert_eq!(of("killed"), of("whole"));
    }
}

#[test]
fn a_new_wish_is_news() {
    let place = Place::trained();
    let (keys, _) = users(&place);
    let asked = place.text("asked.jsonl");
    let wishes = |lines: &[Value]| {
        fs::write(&asked, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    };
    let (one, two) = (json!({ "user_id": keys[0] }), json!({ "user_id": keys[1], "length": 4 }));
    let (new, newer) = (json!({ "user_id": "0 new" }), json!({ "user_id": "zz new" }));
    wishes(&[one.clone(), two, new.clone(), newer.clone()]);
    summary(job(&place, "data", "monday", &["--requests", &asked]));
    let two = json!({ "user_id": keys[1], "length": 3 });
    let three = json!({ "user_id": keys[2] });
    wishes(&[one, two, three, new, newer]);
    let run = place.text("monday");
    let tuesday =
        summary(job(&place, "data", "tuesday", &["--requests", &asked, "--only-changed-since", &run]));
    assert_eq!((&tuesday["lists"], &tuesday["unchanged"]), (&json!(2), &json!(3)));
    let rows = all_rows(&place.path("tuesday"));
    let found: Vec<(&str, usize)> = rows.iter().map(|row| (row.user.as_str(), row.rank)).collect();
    let expected = [(&keys[1], 3), (&keys[2], 10)];
    let expected =
        expected.into_iter().flat_map(|(key, length)| (1..=length).map(move |rank| (key.as_str(), rank)));
    assert_eq!(found, expected.collect::<Vec<_>>());
}
