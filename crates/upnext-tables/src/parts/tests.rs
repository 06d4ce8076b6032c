use super::*;
use crate::lists::Layout;
use serde_json::json;

const PART: &str = "part-00000-00000.csv";

fn write(parts: &Parts, name: &str, users: usize) {
    let mut sink = parts.sink(name).unwrap();
    for user in 0..users {
        sink.row(&format!("user {user}"), 1, "item", -0.5).unwrap();
    }
    sink.finish().unwrap();
    parts.seal_part(name, json!({ "lists": users }), &HistoryRecord::default()).unwrap();
}

#[test]
fn only_a_whole_part_counts_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, job) = (dir.path().join("out"), json!({ "model": "a", "length": 10 }));
    let parts = Parts::open(&folder, &job, None, Layout::Rows, false).unwrap();
    assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
    write(&parts, "part-00000-00000.csv", 3);
    drop(parts);
    // The same job goes on where it was.
    let parts = Parts::open(&folder, &job, None, Layout::Rows, false).unwrap();
    assert_eq!(parts.written("part-00000-00000.csv").unwrap(), Some(json!({ "lists": 3 })));
    for damage in [&b"user_id,rank"[..], b""] {
        let whole = fs::read(folder.join("part-00000-00000.csv")).unwrap();
        fs::write(folder.join("part-00000-00000.csv"), damage).unwrap();
        assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
        fs::write(folder.join("part-00000-00000.csv"), whole).unwrap();
    }
    let seal = folder.join("_parts/part-00000-00000.csv.json");
    let bytes = fs::read(&seal).unwrap();
    fs::write(&seal, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
    fs::write(&seal, &bytes).unwrap();
    let record = folder.join("_parts/part-00000-00000.csv.histories");
    fs::write(&record, "other users").unwrap();
    assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
    fs::write(&record, "").unwrap();
    assert!(parts.written("part-00000-00000.csv").unwrap().is_some());
    fs::remove_file(folder.join("part-00000-00000.csv")).unwrap();
    assert_eq!(parts.written("part-00000-00000.csv").unwrap(), None);
}

#[test]
fn another_job_is_refused_by_the_field_that_differs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("out");
    let open = |job: &Value, overwrite| Parts::open(&folder, job, None, Layout::Rows, overwrite);
    let (first, second) = (json!({ "model": "a", "length": 10 }), json!({ "model": "a", "length": 20 }));
    // A job that left no part is in nobody's way.
    drop(open(&second, false).unwrap());
    write(&open(&first, false).unwrap(), PART, 1);
    let refused = open(&second, false).unwrap_err().to_string();
    assert!(refused.contains("length"), "{refused}");
    let parts = open(&second, true).unwrap();
    assert_eq!(parts.written(PART).unwrap(), None);
    assert!(!folder.join(PART).exists());
    parts.finish(&json!({})).unwrap();
    assert!(folder.join("_summary.json").exists());
    // Parts without a word on their job are nobody's to take up.
    write(&parts, PART, 1);
    drop(parts);
    fs::remove_file(folder.join(JOB)).unwrap();
    assert!(open(&second, false).unwrap_err().to_string().contains(JOB));
    assert_eq!(open(&second, true).unwrap().written(PART).unwrap(), None);
    assert!(!folder.join("_summary.json").exists(), "no job looks finished by another's summary");
}

#[test]
fn nobody_is_disturbed_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (json!({ "model": "a" }), json!({ "model": "b" }));
    let open =
        |job: &Value, shard, overwrite| Parts::open(dir.path(), job, Some(shard), Layout::Rows, overwrite);
    let busy = |opened: Result<Parts>| matches!(opened, Err(Error::PartsBusy { .. }));
    let one = open(&first, "1of2", false).unwrap();
    let two = open(&first, "2of2", true).unwrap();
    // Neither the same shard twice, nor another job while one of the shards is made.
    assert!(busy(open(&first, "1of2", false)) && busy(open(&second, "1of9", true)));
    write(&one, &one.name(0, 0, "csv"), 2);
    drop(one);
    assert!(busy(open(&second, "1of9", true)));
    drop(two);
    let other = open(&second, "1of2", true).unwrap();
    let name = other.name(0, 0, "csv");
    assert_eq!(other.written(&name).unwrap(), None);
    // A seal of another job vouches for nothing here.
    write(&other, &name, 2);
    let seal = dir.path().join("_parts").join(format!("{name}.json"));
    let text = fs::read_to_string(&seal).unwrap().replace(&other.job, "0");
    fs::write(seal, text).unwrap();
    assert_eq!(other.written(&name).unwrap(), None);
}

#[test]
fn what_no_job_of_ours_has_written_stays_as_it_is() {
    for name in ["notes.txt", "part-00000-c000.snappy.parquet", "part-00000.parquet", ".part-1.partial"] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), "mine").unwrap();
        for overwrite in [false, true] {
            let refused = Parts::open(dir.path(), &json!({}), None, Layout::Rows, overwrite).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(PART)).unwrap();
    assert!(Parts::open(dir.path(), &json!({}), None, Layout::Rows, true).is_err());
}

#[test]
fn many_may_open_one_folder_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, job) = (dir.path().join("out"), json!({ "model": "a" }));
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (folder, job) = (&folder, &job);
            scope.spawn(move || {
                for round in 0..25 {
                    let shard = format!("{worker}of8");
                    let parts = Parts::open(folder, job, Some(&shard), Layout::Rows, round % 2 == 0).unwrap();
                    let name = parts.name(0, round, "csv");
                    write(&parts, &name, 2);
                    assert_eq!(parts.written(&name).unwrap(), Some(json!({ "lists": 2 })));
                }
            });
        }
    });
    assert_eq!(fs::read_dir(folder.join(SEALS)).unwrap().count(), 400);
}
