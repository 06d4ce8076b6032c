//! List files: whole or absent, exact scores, the same rows in both formats.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use upnext_tables::{Error, RowSink};

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(path: &Path) -> String {
    let mut sink = RowSink::create(path).unwrap();
    sink.row("u1", 1, "a,\"b\"", -0.1_f64).unwrap();
    sink.row("u1", 2, "ü", 0.1_f32).unwrap();
    sink.row("u\n2", 1, "c", -1e-30_f64).unwrap();
    assert_eq!(sink.finish().unwrap(), 3);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn rows_are_written_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    let text = write(&folder.path().join("lists.csv"));
    let expected = "user_id,rank,item_id,score\nu1,1,\"a,\"\"b\"\"\",-0.1\nu1,2,ü,0.1\n\"u\n2\",1,c,-1e-30\n";
    assert_eq!(text, expected);
    assert_eq!(files(folder.path()), ["lists.csv"]);
}

#[test]
fn rows_are_written_as_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let text = write(&folder.path().join("lists.jsonl"));
    let expected = r#"{"user_id":"u1","rank":1,"item_id":"a,\"b\"","score":-0.1}
{"user_id":"u1","rank":2,"item_id":"ü","score":0.1}
{"user_id":"u\n2","rank":1,"item_id":"c","score":-1e-30}
"#;
    assert_eq!(text, expected);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn scores_read_back_to_the_same_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lists.csv");
    let doubles = [0.1 + 0.2, f64::MIN_POSITIVE, -1.0, 1e300, 5e-324, -0.0, 123_456_789.123_456_79];
    let singles = [0.1_f32, 16_777_217.0, f32::MAX, -3.402e-38, 1.0 / 3.0];
    let mut sink = RowSink::create(&path).unwrap();
    for (rank, score) in doubles.iter().enumerate() {
        sink.row("d", rank + 1, "i", *score).unwrap();
    }
    for (rank, score) in singles.iter().enumerate() {
        sink.row("s", rank + 1, "i", *score).unwrap();
    }
    sink.finish().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let scores: Vec<&str> = text.lines().skip(1).map(|line| line.rsplit(',').next().unwrap()).collect();
    for (text, score) in scores.iter().zip(doubles) {
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), score.to_bits(), "{text}");
    }
    for (text, score) in scores[doubles.len()..].iter().zip(singles) {
        assert_eq!(text.parse::<f32>().unwrap().to_bits(), score.to_bits(), "{text}");
    }
}

#[test]
fn a_sink_that_is_dropped_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lists.csv");
    std::fs::write(&path, "before").unwrap();
    let mut sink = RowSink::create(&path).unwrap();
    sink.row("u", 1, "i", 0.5_f32).unwrap();
    assert_eq!(files(folder.path()), [".lists.csv.partial", "lists.csv"]);
    drop(sink);
    assert_eq!(files(folder.path()), ["lists.csv"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    RowSink::create(&path).unwrap().finish().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "user_id,rank,item_id,score\n");
}

#[test]
fn other_extensions_and_places_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["lists.parquet", "lists", "lists.csv.zst"] {
        let path = folder.path().join(name);
        let error = RowSink::create(&path).err().unwrap();
        assert_eq!(error.to_string(), format!("{}: lists are written as .csv or .jsonl", path.display()));
    }
    let nowhere = folder.path().join("no/lists.csv");
    assert!(matches!(RowSink::create(&nowhere), Err(Error::Write { .. })));
    std::fs::create_dir(folder.path().join("folder.csv")).unwrap();
    assert!(matches!(RowSink::create(&folder.path().join("folder.csv")), Err(Error::Write { .. })));
    assert_eq!(files(folder.path()), ["folder.csv"]);
}

#[test]
fn a_score_that_is_no_number_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lists.jsonl");
    let mut sink = RowSink::create(&path).unwrap();
    let error = sink.row("u", 1, "i", f32::NAN).unwrap_err().to_string();
    let expected = "the score of item \"i\" for user \"u\" is NaN, not a finite number";
    assert_eq!(error, format!("{}: {expected}", path.display()));
}
