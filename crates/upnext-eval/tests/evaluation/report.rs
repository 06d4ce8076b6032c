//! The report as JSON and as text.

use upnext_data::Protocol;
use upnext_eval::{Asked, Options, Part, Report, Seen, baselines};

use crate::toy::{self, Hashed};

fn measured() -> Report {
    let histories = toy::histories(150, 60, 8);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let asked =
        Asked { histories: &histories, split: &split, part: Part::Test, items: 60, trained: &[], seed: 1 };
    let baselines = baselines::fit(&asked, None, Seen::Dropped, Options::default()).unwrap();
    let scorer = Hashed { items: 60, levels: 1 << 20 };
    Report::measure(&scorer, &baselines, &asked, Options::default()).unwrap()
}

#[test]
fn the_json_has_the_keys_of_the_command_line() {
    let value = serde_json::to_value(measured()).unwrap();
    assert_eq!(value["protocol"], "loo");
    assert_eq!(value["split"], "test");
    assert_eq!(value["items"], 60);
    assert_eq!(value["users"], value["questions"]);
    let baselines = value["baselines"].as_object().unwrap();
    assert_eq!(baselines.len(), 3);
    for system in baselines.values().chain([&value]) {
        for policy in [system, &system["kept"]] {
            for metric in ["hr@10", "ndcg@10", "mrr", "mrr@100"] {
                let found = policy[metric].as_f64().unwrap();
                let [low, high] = [0, 1].map(|end| policy["ci95"][metric][end].as_f64().unwrap());
                assert!((0.0..=1.0).contains(&found) && low <= found && found <= high, "{metric}");
            }
            assert!(policy["hr@10"].as_f64() >= policy["ndcg@10"].as_f64());
        }
    }
    assert_eq!(baselines["windowed-markov"]["parameters"]["norm"].as_f64().map(|x| x > 0.0), Some(true));
    assert!(baselines["popularity"].get("parameters").is_none());
    let slices = value["slices"].as_object().unwrap();
    for slice in slices.values() {
        let questions: u64 =
            slice.as_array().unwrap().iter().map(|part| part["questions"].as_u64().unwrap()).sum();
        assert_eq!(questions, value["questions"].as_u64().unwrap());
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let text = || serde_json::to_string(&measured()).unwrap();
    assert_eq!(text(), text());
}

#[test]
fn the_table_carries_protocol_policy_and_catalogue_size() {
    let report = measured();
    let table = report.table();
    assert!(table.contains("loo test") && table.contains("full ranking over 60 items"), "{table}");
    for word in ["seen dropped", "seen kept", "popularity", "windowed-markov", "hashed", "95 % from"] {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
    assert!(table.lines().all(|line| line.len() < 120), "{table}");
}
