//! List files: whole or absent, exact scores, the same rows in every format and layout.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, RowAccessor};
use upnext_tables::{Beside, Error, Form, Layout, ListStats, RowSink, Score};

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
    for name in ["lists.xlsx", "lists", "lists.csv.zst"] {
        let path = folder.path().join(name);
        let error = RowSink::create(&path).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("{}: lists are written as .parquet, .csv or .jsonl", path.display())
        );
    }
    let csv = folder.path().join("lists.csv");
    let error = RowSink::with_form(&csv, Layout::Nested).err().unwrap().to_string();
    assert!(error.ends_with("CSV has a row an item and no lists; write nested lists as .parquet or .jsonl"));
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

/// Lists of some users, the last one empty, as (user, rank, item, score).
fn write_many(path: &Path, layout: Layout, users: usize) -> Vec<(String, i32, String, f64)> {
    let mut sink = RowSink::with_form(path, layout).unwrap();
    let mut rows = Vec::new();
    for user in 0..users {
        let key = format!("user {user}");
        for rank in 1..=user % 4 + 1 {
            let (item, score) = (format!("ü{}", user * rank % 97), -((user + rank) as f64).sqrt());
            sink.row(&key, rank, &item, score).unwrap();
            rows.push((key.clone(), rank as i32, item, score));
        }
    }
    sink.begin("nobody").unwrap();
    assert_eq!(sink.finish().unwrap() as usize, rows.len());
    rows
}

fn parquet_rows(path: &Path) -> (usize, Vec<Row>) {
    let file = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let rows = file.get_row_iter(None).unwrap().collect::<Result<_, _>>().unwrap();
    (file.num_row_groups(), rows)
}

fn list(row: &Row, column: usize) -> &[Field] {
    row.get_list(column).unwrap().elements()
}

#[test]
fn parquet_rows_are_the_rows_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lists.parquet");
    let expected = write_many(&path, Layout::Rows, 30_000);
    let (groups, rows) = parquet_rows(&path);
    assert_eq!(groups, 2, "{} rows are more than a row group should hold", expected.len());
    let read: Vec<_> = rows
        .iter()
        .map(|row| {
            let (user, item) = (row.get_string(0).unwrap().clone(), row.get_string(2).unwrap().clone());
            (user, row.get_int(1).unwrap(), item, row.get_double(3).unwrap())
        })
        .collect();
    assert!(read == expected);
    let again = folder.path().join("again.parquet");
    write_many(&again, Layout::Rows, 30_000);
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap());
    assert_eq!(files(folder.path()), ["again.parquet", "lists.parquet"]);
}

#[test]
fn nested_lists_unfold_to_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let [table, text] = ["lists.parquet", "lists.jsonl"].map(|name| folder.path().join(name));
    let expected = write_many(&table, Layout::Nested, 500);
    write_many(&text, Layout::Nested, 500);
    let (_, rows) = parquet_rows(&table);
    let text = std::fs::read_to_string(text).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), lines.len()), (501, 501));
    let (mut from_parquet, mut from_json) = (Vec::new(), Vec::new());
    for row in &rows {
        let user = row.get_string(0).unwrap();
        for (place, (item, score)) in list(row, 1).iter().zip(list(row, 2)).enumerate() {
            let (Field::Str(item), Field::Double(score)) = (item, score) else { panic!("{row}") };
            from_parquet.push((user.clone(), place as i32 + 1, item.clone(), *score));
        }
    }
    for line in &lines {
        let [items, scores] = ["items", "scores"].map(|name| line[name].as_array().unwrap());
        assert_eq!(items.len(), scores.len());
        for (place, (item, score)) in items.iter().zip(scores).enumerate() {
            let [user, item] = [&line["user_id"], item].map(|text| text.as_str().unwrap().to_owned());
            from_json.push((user, place as i32 + 1, item, score.as_f64().unwrap()));
        }
    }
    assert!(from_parquet == expected);
    assert!(from_json == expected);
    assert_eq!((rows[500].get_string(0).unwrap().as_str(), list(&rows[500], 1).len()), ("nobody", 0));
    assert!(text.ends_with("{\"user_id\":\"nobody\",\"items\":[],\"scores\":[]}\n"));
}

#[test]
fn a_parquet_file_without_lists_has_the_same_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lists.parquet");
    assert_eq!(RowSink::create(&path).unwrap().finish().unwrap(), 0);
    let file = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let schema = file.metadata().file_metadata().schema();
    let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, ["user_id", "rank", "item_id", "score"]);
}

/// A row of a Parquet file as JSON.
fn object(row: &Row) -> serde_json::Value {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> serde_json::Value {
    match field {
        Field::Int(number) => (*number).into(),
        Field::Double(number) => (*number).into(),
        Field::Str(text) => text.as_str().into(),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        other => panic!("{other}"),
    }
}

/// Titles and reasons of two users, of whom the second has no list.
fn write_beside(path: &Path, layout: Layout) -> String {
    let form = Form { layout, columns: vec!["title".into(), "a \"b\"".into()], because: true };
    let mut sink = RowSink::with_form(path, form).unwrap();
    for (rank, because) in [(1, &["y", "z"][..]), (2, &[]), (3, &["ü"])] {
        let texts = [&format!("Title, {rank}")[..], ""];
        let beside = Beside { texts: &texts, because };
        sink.place("u", rank, &format!("i{rank}"), Score::Double(-0.5), beside).unwrap();
    }
    sink.begin("nobody").unwrap();
    sink.finish().unwrap();
    if path.extension().unwrap() == "parquet" {
        String::new()
    } else {
        std::fs::read_to_string(path).unwrap()
    }
}

#[test]
fn titles_and_reasons_stand_beside_the_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let csv = "user_id,rank,item_id,score,title,\"a \"\"b\"\"\",because
u,1,i1,-0.5,\"Title, 1\",,y|z
u,2,i2,-0.5,\"Title, 2\",,
u,3,i3,-0.5,\"Title, 3\",,ü
";
    assert_eq!(write_beside(&path("a.csv"), Layout::Rows), csv);
    let rows = r#"{"user_id":"u","rank":1,"item_id":"i1","score":-0.5,"title":"Title, 1","a \"b\"":"","because":["y","z"]}
{"user_id":"u","rank":2,"item_id":"i2","score":-0.5,"title":"Title, 2","a \"b\"":"","because":[]}
{"user_id":"u","rank":3,"item_id":"i3","score":-0.5,"title":"Title, 3","a \"b\"":"","because":["ü"]}
"#;
    assert_eq!(write_beside(&path("a.jsonl"), Layout::Rows), rows);
    let lists = r#"{"user_id":"u","items":["i1","i2","i3"],"scores":[-0.5,-0.5,-0.5],"title":["Title, 1","Title, 2","Title, 3"],"a \"b\"":["","",""],"because":[["y","z"],[],["ü"]]}
{"user_id":"nobody","items":[],"scores":[],"title":[],"a \"b\"":[],"because":[]}
"#;
    assert_eq!(write_beside(&path("nested.jsonl"), Layout::Nested), lists);
    write_beside(&path("a.parquet"), Layout::Rows);
    write_beside(&path("nested.parquet"), Layout::Nested);
    // As the JSON lines, row by row.
    for (name, text) in [("a.parquet", rows), ("nested.parquet", lists)] {
        let (_, found) = parquet_rows(&path(name));
        let found: Vec<serde_json::Value> = found.iter().map(object).collect();
        let text: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(found, text, "{name}");
    }
    // They still are lists.
    for name in ["a.csv", "a.jsonl", "a.parquet"] {
        assert_eq!(ListStats::read(&path(name)).unwrap().map(|stats| stats.rows), Some(3), "{name}");
    }
}

#[test]
fn what_could_not_be_told_apart_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lists.csv");
    for columns in [&["Score"][..], &["items"], &["title", "TITLE"], &["because"]] {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        let form = Form { columns, ..Form::default() };
        assert!(matches!(RowSink::with_form(&path, form), Err(Error::ListColumn { .. })));
    }
    let form = Form { columns: vec!["title".into()], because: true, ..Form::default() };
    let mut sink = RowSink::with_form(&path, form).unwrap();
    let short = sink.row("u", 1, "i", 0.5_f32);
    assert!(matches!(short, Err(Error::ListTexts { expected: 1, found: 0, .. })));
    let joined = Beside { texts: &["a"], because: &["y", "a|b"] };
    let joined = sink.place("u", 1, "i", Score::Single(0.5), joined);
    assert!(matches!(joined, Err(Error::JoinedKey { key, .. }) if key == "a|b"));
}
