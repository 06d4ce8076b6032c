//! Reports on disk: what comes back, and what is refused.

use super::*;
use serde_json::json;

fn sound() -> Value {
    json!({
        "evaluation_report": 1,
        "report": { "protocol": "cold:0.1,1", "split": "test", "items": 9, "questions": 2 },
        "questions": { "users": ["ann", "bob"], "targets": ["t1", "t9"], "cold": [1] },
        "systems": [
            { "name": "model", "dropped": [1, 3], "kept": [2, 3], "among_cold": [1] },
            { "name": "random", "dropped": [5, 9], "kept": [6, 9], "among_cold": [4] },
        ],
    })
}

fn read(text: &str) -> Result<Record> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    fs::write(&path, text).unwrap();
    Record::read(&path)
}

/// The whole chain of an error in one line.
fn told(error: &Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

#[test]
fn a_report_comes_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    let record = read(&sound().to_string()).unwrap();
    record.write(&path).unwrap();
    let again = Record::read(&path).unwrap();
    assert_eq!(again.file, record.file);
    assert_eq!((again.path(), again.len()), (path.as_path(), 2));
    assert_eq!(again.system(None).unwrap().name, "model");
    assert_eq!(again.system(Some("random")).unwrap().among_cold, [4]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left in the folder");
    // A second write replaces the first.
    record.write(&path).unwrap();
    assert_eq!(Record::read(&path).unwrap().file, record.file);
    let lost = record.write(&dir.path().join("no/folder/a.json")).unwrap_err();
    assert!(matches!(lost, Error::WriteReport { .. }));
}

#[test]
fn what_contradicts_itself_is_refused_by_file_and_field() {
    let check = |change: fn(&mut Value), field: &str, need: &str| {
        let mut value = sound();
        change(&mut value);
        let error = told(&read(&value.to_string()).unwrap_err());
        assert!(error.contains("a.json") && error.contains(field) && error.contains(need), "{error}");
    };
    check(|v| v["evaluation_report"] = json!(2), "version 2", "reads version 1");
    check(|v| v["evaluation_report"] = json!("1"), "evaluation_report", "expected u32");
    check(|v| drop(v.as_object_mut().unwrap().remove("evaluation_report")), "missing", "evaluation_report");
    check(|v| v["more"] = json!(1), "more", "unknown field");
    check(|v| drop(v["questions"].as_object_mut().unwrap().remove("cold")), "cold", "missing field");
    check(|v| v["questions"]["users"][0] = json!(7), "questions.users", "expected a string");
    check(|v| v["systems"][1]["dropped"][0] = json!(-5), "systems.dropped", "expected u32");
    check(|v| v["systems"][1]["dropped"][0] = json!(0), "systems.random.dropped", "rank 0 at place 0");
    check(|v| v["systems"][0]["kept"][1] = json!(10), "systems.model.kept", "ranks are from 1 to 9");
    check(|v| v["systems"][0]["among_cold"] = json!([]), "systems.model.among_cold", "0 ranks, but 1");
    check(|v| v["systems"][1]["name"] = json!("model"), "systems", "\"model\" twice");
    check(|v| v["systems"] = json!([]), "systems", "one system at least");
    check(|v| v["questions"]["targets"] = json!(["t1"]), "questions.targets", "1 keys");
    check(|v| v["questions"]["cold"] = json!([2]), "questions.cold", "below 2");
    check(|v| v["questions"]["cold"] = json!([1, 1]), "questions.cold", "each once");
    check(|v| v["report"]["questions"] = json!(3), "report.questions", "is 3, but 2");
    check(|v| v["report"]["items"] = json!(null), "report.items", "whole number");
    check(|v| v["report"]["protocol"] = json!(1), "report.protocol", "text");
    check(|v| v["report"]["split"] = json!(1), "report.split", "text");
    check(|v| v["report"] = json!("loo"), "report.protocol", "text");
}

#[test]
fn a_damaged_file_is_refused_and_never_panics() {
    let text = sound().to_string();
    for cut in 0..text.len() {
        assert!(read(&text[..cut]).is_err(), "cut at {cut}");
    }
    for other in ["", "[]", "null", "{}", "user_id,rank\n", "\u{0}"] {
        let error = told(&read(other).unwrap_err());
        assert!(error.contains("is no report that `upnext evaluate --report` wrote"), "{error}");
    }
    let gone = Record::read(Path::new("no such file")).unwrap_err();
    assert!(matches!(gone, Error::ReadReport { .. }));
}
