//! Comparisons of small records worked by hand, and of many drawn ones whose truth is known.

use rand::RngCore;
use upnext_data::chance::{Key, Purpose};

use super::*;
use crate::record::testing::{record, with_cold};

fn how(metric: Metric, on: On) -> How {
    How { metrics: vec![metric], on, seen: Seen::Dropped, resamples: 1_000, seed: 1 }
}

/// The only difference of the only comparison.
fn only(left: &Record, right: &Record, how: &How) -> Difference {
    let (left, right) = (Side::new(left, None).unwrap(), Side::new(right, None).unwrap());
    compare(&[left], &[vec![right]], how).unwrap().comparisons.remove(0).differences.remove(0)
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} where {expected} is right");
}

#[test]
fn a_system_beside_itself_differs_by_nothing() {
    let users: Vec<String> = (0..50).map(|user| format!("u{user}")).collect();
    let ranks: Vec<u32> = (0..50).map(|user| 1 + user * 7 % 40).collect();
    let same = record("a.json", &users, &[], &ranks);
    for metric in [Metric::HitRate(10), Metric::Ndcg(10), Metric::Mrr] {
        let found = only(&same, &same, &how(metric, On::All));
        assert_eq!((found.difference, found.ci95, found.p, found.p_holm), (0.0, [0.0; 2], 1.0, 1.0));
        assert_eq!((found.relative, found.relative_ci95), (Some(0.0), Some([0.0; 2])));
    }
}

#[test]
fn means_and_differences_are_those_worked_by_hand() {
    let users = ["u", "u", "v", "w"].map(str::to_owned);
    // Questions 1 and 3 ask for cold items.
    let (left, right) =
        (record("a.json", &users, &[1, 3], &[1, 4, 2, 5]), record("b.json", &users, &[1, 3], &[2, 2, 2, 4]));
    let found = only(&left, &right, &how(Metric::Mrr, On::All));
    close(found.reference, (1.0 + 0.25 + 0.5 + 0.2) / 4.0);
    close(found.other, (0.5 + 0.5 + 0.5 + 0.25) / 4.0);
    close(found.difference, found.other - found.reference);
    close(found.relative.unwrap(), 1.75 / 1.95 - 1.0);
    let found = only(&left, &right, &how(Metric::Mrr, On::Cold));
    close(found.reference, (0.25 + 0.2) / 2.0);
    close(found.other, (0.5 + 0.25) / 2.0);
    let found = only(&left, &right, &how(Metric::Mrr, On::Warm));
    close(found.difference, (0.5 + 0.5) / 2.0 - (1.0 + 0.5) / 2.0);
    // Kept ranks of these records are one worse, ranks among the cold half as deep, rounded up.
    let kept = How { seen: Seen::Kept, ..how(Metric::Mrr, On::All) };
    close(only(&left, &right, &kept).reference, (0.5 + 0.2 + 1.0 / 3.0 + 1.0 / 6.0) / 4.0);
    let found = only(&left, &right, &how(Metric::Mrr, On::AmongCold));
    close(found.reference, (1.0 / 2.0 + 1.0 / 3.0) / 2.0);
    close(found.other, (1.0 + 0.5) / 2.0);
}

#[test]
fn a_known_shift_is_found_and_its_sign_is_the_other_s() {
    let users: Vec<String> = (0..400).map(|user| format!("u{user}")).collect();
    let left: Vec<u32> = (0..400).map(|user| if user % 4 == 0 { 1 } else { 50 }).collect();
    // Every tenth user more has a hit: 0.25 becomes about 0.325.
    let right: Vec<u32> = (0..400).map(|user| if user % 4 == 0 || user % 10 == 1 { 1 } else { 50 }).collect();
    let (left, right) = (record("a.json", &users, &[], &left), record("b.json", &users, &[], &right));
    let how = how(Metric::HitRate(10), On::All);
    let found = only(&left, &right, &how);
    close(found.difference, 0.1);
    assert!(found.ci95[0] > 0.06 && found.ci95[1] < 0.14, "{found:?}");
    assert!(found.relative_ci95.unwrap()[0] > 0.2 && found.p < 0.01, "{found:?}");
    let back = only(&right, &left, &how);
    close(back.difference, -0.1);
    close(back.ci95[0], -found.ci95[1]);
    close(back.p, found.p);
}

#[test]
fn where_the_reference_has_nothing_there_is_no_ratio() {
    let users: Vec<String> = (0..30).map(|user| format!("u{user}")).collect();
    let (left, right) = (record("a.json", &users, &[], &[50; 30]), record("b.json", &users, &[], &[1; 30]));
    let found = only(&left, &right, &how(Metric::HitRate(10), On::All));
    assert_eq!((found.difference, found.relative, found.relative_ci95), (1.0, None, None));
    close(found.p, 2.0 / 1_001.0);
}

/// Ranks of drawn users: `left` hits with probability 0.3; `right` hits where `left` does or not, each with its own.
fn drawn(trial: u64, many: usize, right: [f64; 2]) -> [Record; 2] {
    let mut rng = Key { seed: trial, purpose: Purpose::Sampling, step: 1, part: 0 }.rng();
    let mut coin = |p: f64| f64::from(rng.next_u32()) < p * f64::from(u32::MAX);
    let hits: Vec<[bool; 2]> = (0..many)
        .map(|_| {
            let left = coin(0.3);
            [left, coin(right[usize::from(left)])]
        })
        .collect();
    let users: Vec<String> = (0..many).map(|user| format!("u{user}")).collect();
    [0, 1].map(|side| {
        let ranks: Vec<u32> = hits.iter().map(|hits| if hits[side] { 1 } else { 50 }).collect();
        record("x.json", &users, &[], &ranks)
    })
}

#[test]
fn about_95_of_100_intervals_hold_the_true_difference() {
    // 0.7 · 0.2 more hits, 0.3 · 0.2 fewer: the truth is 0.08, relative to 0.3.
    let how = how(Metric::HitRate(10), On::All);
    let (mut held, mut held_relative) = (0, 0);
    for trial in 0..200 {
        let [left, right] = drawn(trial, 100, [0.2, 0.8]);
        let found = only(&left, &right, &how);
        let holds = |[low, high]: [f64; 2], truth: f64| low <= truth && truth <= high;
        held += u32::from(holds(found.ci95, 0.08));
        held_relative += u32::from(holds(found.relative_ci95.unwrap(), 0.08 / 0.3));
        // The end of an interval lies between two resamples, so level and interval agree but for a hair.
        let leaves_0_out = found.ci95[0] > 0.0 || found.ci95[1] < 0.0;
        assert!(if leaves_0_out { found.p < 0.06 } else { found.p > 0.04 }, "{found:?}");
    }
    assert!((178..=199).contains(&held), "{held} of 200");
    assert!((178..=199).contains(&held_relative), "{held_relative} of 200");
}

#[test]
fn without_a_difference_about_one_in_twenty_is_called_one() {
    // 0.7 · 0.15 more hits and 0.3 · 0.35 fewer: none on average.
    let how = how(Metric::HitRate(10), On::All);
    let called = (0..200)
        .filter(|&trial| {
            let [left, right] = drawn(1_000 + trial, 100, [0.15, 0.65]);
            only(&left, &right, &how).p < 0.05
        })
        .count();
    assert!((2..=22).contains(&called), "{called} of 200");
}

#[test]
fn a_pooled_user_is_drawn_with_the_questions_of_all_draws() {
    // Every user gains in one draw what is lost in the other: whoever is drawn, nothing changes.
    let users: Vec<String> = (0..40).map(|user| format!("u{user}")).collect();
    let of = |path: &str, rank: u32| record(path, &users, &[], &[rank; 40]);
    let (a1, a2, b1, b2) = (of("a1", 1), of("a2", 3), of("b1", 3), of("b2", 1));
    let side = |record| Side::new(record, None).unwrap();
    let how = how(Metric::Ndcg(10), On::All);
    let pooled = compare(&[side(&a1), side(&a2)], &[vec![side(&b1), side(&b2)]], &how).unwrap();
    assert_eq!((pooled.users, pooled.questions), (40, 80));
    assert_eq!((pooled.reference.as_str(), pooled.comparisons[0].name.as_str()), ("a1,a2", "b1,b2"));
    let found = &pooled.comparisons[0].differences[0];
    close(found.reference, 0.75);
    assert!(found.difference.abs() < ZERO && found.ci95.iter().all(|end| end.abs() < ZERO), "{found:?}");
    assert_eq!(found.p, 1.0);
    let uneven = compare(&[side(&a1)], &[vec![side(&b1), side(&b2)]], &how).unwrap_err();
    assert!(matches!(uneven, Error::Pooled { reference: 1, other: 2 }));
}

#[test]
fn several_comparisons_are_corrected_together() {
    let users: Vec<String> = (0..100).map(|user| format!("u{user}")).collect();
    let with = |path: &str, gain: u32| {
        let ranks: Vec<u32> = (0..100).map(|user| if user % 10 < 3 + gain { 1 } else { 50 }).collect();
        record(path, &users, &[], &ranks)
    };
    let (a, b, c) = (with("a", 0), with("b", 1), with("c", 0));
    let side = |record| Side::new(record, None).unwrap();
    let found =
        compare(&[side(&a)], &[vec![side(&b)], vec![side(&c)]], &how(Metric::HitRate(1), On::All)).unwrap();
    let [b, c] = [0, 1].map(|place| found.comparisons[place].differences[0].clone());
    close(b.p_holm, 2.0 * b.p);
    assert_eq!((c.p, c.p_holm), (1.0, 1.0));
    let table = found.table();
    for word in ["  A  a\n", "  B  b\n", "  C  c\n", "B - A", "+33.3 %", "Holm", "1000 resamples"] {
        assert!(table.contains(word), "{word:?} is not in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() < 120), "{table}");
    let value = serde_json::to_value(&found).unwrap();
    assert_eq!(value["comparisons"][1]["metrics"]["hr@1"]["p_holm"], 1.0);
    assert_eq!(value["on"], "all");
}

/// A report of the same questions, of which it calls another cold.
fn colder(users: &[String]) -> Record {
    record("b.json", users, &[0], &[1, 2])
}

#[test]
fn reports_that_asked_something_else_say_what_differs() {
    let users = ["u", "v"].map(str::to_owned);
    let base = record("a.json", &users, &[1], &[1, 2]);
    let refused = |other: &Record, on: On| {
        let (left, right) = (Side::new(&base, None).unwrap(), Side::new(other, None).unwrap());
        compare(&[left], &[vec![right]], &how(Metric::Mrr, on)).unwrap_err().to_string()
    };
    let check = |other: &Record, what: &str| {
        let error = refused(other, On::All);
        assert!(error.contains("a.json and b.json") && error.contains(what), "{error}");
    };
    let with = |change: fn(&mut Record)| {
        let mut other = record("b.json", &users, &[1], &[1, 2]);
        change(&mut other);
        other
    };
    check(
        &with(|other| other.protocol = "loo".into()),
        "the protocol is cold:0.1,1 in one and loo in the other",
    );
    check(&with(|other| other.split = "validation".into()), "the split");
    check(&with(|other| other.items = 101), "the number of ranked items is 100 in one and 101");
    check(&record("b.json", &users[..1], &[], &[1]), "the number of questions is 2 in one and 1");
    let others = ["u", "w"].map(str::to_owned);
    check(&record("b.json", &others, &[1], &[1, 2]), "the user of question 1 is \"v\" in one and \"w\"");
    // Whatever validates, the test's questions are the same, and both protocols are named.
    let [mut one, mut four] = [&base, &colder(&users)].map(Clone::clone);
    (one.protocol, four.protocol) = ("last:1".into(), "loo".into());
    let sides = [Side::new(&one, None).unwrap(), Side::new(&four, None).unwrap()];
    let found = compare(&sides[..1], &[sides[1..].to_vec()], &how(Metric::Mrr, On::All)).unwrap();
    assert_eq!(found.protocols, ["last:1 test", "loo test"]);
    // What counts as cold hangs on what trains, and matters only where it is told apart.
    let colder = colder(&users);
    let error = refused(&colder, On::Warm);
    assert!(error.contains("the target of question 0 is warm in one and cold"), "{error}");
    let all = [Side::new(&base, None).unwrap(), Side::new(&colder, None).unwrap()];
    assert!(compare(&all[..1], &[all[1..].to_vec()], &how(Metric::Mrr, On::All)).is_ok());
    // Ranks among more cold items are others, whatever the targets are.
    let [fewer, more] = [30, 31].map(|items| with_cold(base.clone(), items));
    let sides = [Side::new(&fewer, None).unwrap(), Side::new(&more, None).unwrap()];
    let among = |on| compare(&sides[..1], &[sides[1..].to_vec()], &how(Metric::Mrr, on));
    let error = among(On::AmongCold).unwrap_err().to_string();
    assert!(error.contains("the number of cold items is 30 in one and 31"), "{error}");
    assert!(among(On::Cold).is_ok());
    let bare = record("b.json", &users, &[], &[1, 2]);
    let (left, right) = (Side::new(&bare, None).unwrap(), Side::new(&bare, None).unwrap());
    let none = compare(&[left], &[vec![right]], &how(Metric::Mrr, On::Cold)).unwrap_err();
    assert!(matches!(none, Error::NothingToCompare(_)));
    let kept = How { seen: Seen::Kept, ..how(Metric::Mrr, On::AmongCold) };
    assert!(matches!(compare(&[left], &[vec![right]], &kept), Err(Error::AmongColdKept)));
    let unknown = Side::new(&base, Some("oracle")).unwrap_err().to_string();
    assert!(unknown.contains("\"oracle\"; it has model"), "{unknown}");
}

#[test]
fn a_few_users_cannot_show_more_than_their_signs() {
    // All better in every resample: three users show 2 / 2^3, a thousand what the resamples allow.
    let better = vec![0.1; 9_999];
    assert_eq!(two_sided(&better, 1), 1.0);
    assert_eq!(two_sided(&better, 3), 0.25);
    close(two_sided(&better, 1_000), 2.0 / 10_000.0);
}
