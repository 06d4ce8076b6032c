//! What anyone recomputes from the predictions is what the evaluation said.

use std::collections::BTreeMap;

use upnext_data::{Histories, ItemId, Protocol, Question, UserId, popularity};
use upnext_eval::popularity::Popularity;
use upnext_eval::{Error, Metric, Options, Scorer, Seen, evaluate, predictions};

use crate::toy::{self, Hashed};

/// HR@10, NDCG@10 and MRR@100 by a stranger's script: rows as text, rank = rows whose score is at
/// least the target's.
fn recomputed(scorer: &dyn Scorer, histories: &Histories, asked: &[Question]) -> [f64; 3] {
    let catalog = toy::catalog(scorer.items());
    let mut rows: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    predictions(scorer, histories, &catalog, asked, 100, &mut |row| {
        let user = rows.entry(row.user_key.to_owned()).or_default();
        user.push((row.item_key.to_owned(), row.score.to_string().parse().unwrap()));
        assert_eq!(user.len(), row.rank);
        Ok(())
    })
    .unwrap();
    let mut sums = [0.0; 3];
    for question in asked {
        let target = catalog.key(question.held_out(histories).items[0]);
        let Some(list) = rows.get(histories.user_key(question.user)) else { continue };
        let Some((_, score)) = list.iter().find(|(item, _)| item == target) else { continue };
        let rank = list.iter().filter(|(_, other)| other >= score).count() as u32;
        let metrics = [Metric::HitRate(10), Metric::Ndcg(10), Metric::MrrAt(100)];
        sums.iter_mut().zip(metrics).for_each(|(sum, metric)| *sum += metric.of_rank(rank));
    }
    sums.map(|sum| sum / asked.len() as f64)
}

pub(crate) fn check(scorer: &dyn Scorer, histories: &Histories) {
    let split = Protocol::LeaveOneOut.split(histories).unwrap();
    let outcome = evaluate(scorer, histories, &split.test, Options::default()).unwrap();
    let expected = [Metric::HitRate(10), Metric::Ndcg(10), Metric::MrrAt(100)]
        .map(|metric| outcome.mean(metric, Seen::Dropped));
    let found = recomputed(scorer, histories, &split.test);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{}: {found} against {expected}", scorer.name());
    }
}

#[test]
fn predictions_give_the_same_metrics() {
    // Users with repeats (targets in their own history), few and many ties, short and long catalogues.
    for (items, levels) in [(40, 1 << 20), (400, 1 << 20), (400, 300), (400, 9), (400, 1)] {
        check(&Hashed { items, levels }, &toy::histories(300, items, 5));
    }
    let histories = toy::histories(300, 400, 6);
    let train = Protocol::LeaveOneOut.split(&histories).unwrap().train;
    check(&Popularity::new(&popularity::counts(&histories, &train, 400)), &histories);
}

#[test]
fn predictions_hold_no_seen_item_but_the_target() {
    let histories = toy::histories(100, 50, 1);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let scorer = Hashed { items: 50, levels: 1 << 20 };
    let catalog = toy::catalog(50);
    predictions(&scorer, &histories, &catalog, &split.test, 100, &mut |row| {
        let user = histories.find_user(row.user_key).unwrap();
        let events = histories.of(user).items;
        let (target, input) = events.split_last().unwrap();
        let item = catalog.find(row.item_key).unwrap();
        assert!(item == *target || !input.contains(&item), "{row:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn ranks_are_those_of_a_plain_count() {
    let items = 60;
    let histories = toy::histories(200, items, 2);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let scorer = Hashed { items, levels: 20 };
    let outcome = evaluate(&scorer, &histories, &split.test, Options::default()).unwrap();
    for (place, question) in split.test.iter().enumerate() {
        let (input, target) = (question.input(&histories).items, question.held_out(&histories).items[0]);
        let mut scores = vec![0.0; items];
        scorer.score(&[input], &mut scores).unwrap();
        let ahead = |drop: bool| {
            (0..items as u32)
                .map(ItemId)
                .filter(|item| *item == target || !(drop && input.contains(item)))
                .filter(|item| scores[item.index()] >= scores[target.index()])
                .count() as u32
        };
        assert_eq!((outcome.rank_dropped[place], outcome.rank_kept[place]), (ahead(true), ahead(false)));
        assert!(outcome.rank_dropped[place] <= outcome.rank_kept[place]);
    }
}

#[test]
fn progress_ends_at_all_questions() {
    let histories = toy::histories(200, 30, 2);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let most = std::sync::atomic::AtomicUsize::new(0);
    let progress = |name: &str, done: usize, all: usize| {
        assert_eq!((name, all), ("hashed", split.test.len()));
        most.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
    };
    let scorer = Hashed { items: 30, levels: 20 };
    evaluate(&scorer, &histories, &split.test, Options { progress: Some(&progress) }).unwrap();
    assert_eq!(most.into_inner(), split.test.len());
}

#[test]
fn questions_that_cannot_be_answered_are_refused() {
    let histories = toy::histories(3, 30, 2);
    let events = histories.of(UserId(1)).items.len();
    let ask = |user, start, targets, items| {
        let question = Question { user: UserId(user), start, targets };
        let scorer = Hashed { items, levels: 9 };
        evaluate(&scorer, &histories, &[question], Options::default()).unwrap_err()
    };
    assert!(matches!(ask(1, 0, 1, 30), Error::EmptyInput { user: 1 }));
    assert!(matches!(ask(1, events, 1, 30), Error::NoTarget { user: 1, .. }));
    assert!(matches!(ask(1, 1, 0, 30), Error::NoTarget { user: 1, .. }));
    assert!(matches!(ask(1, 1, events, 30), Error::NoTarget { user: 1, .. }));
    assert!(matches!(ask(1, 1, usize::MAX, 30), Error::NoTarget { user: 1, end: usize::MAX, .. }));
    let all = histories.of(UserId(1)).items;
    let last = all.iter().map(|item| item.index()).max().unwrap();
    let at = all.iter().position(|item| item.index() == last).unwrap();
    assert!(matches!(ask(1, 1, at, last), Error::UnknownItem { item, .. } if item == last));
    assert!(matches!(ask(3, 1, 1, 30), Error::Split { .. }));
    assert!(matches!(ask(1, 1, 1, 1), Error::UnknownItem { items: 1, .. }));
    let scorer = Hashed { items: 30, levels: 9 };
    let none = evaluate(&scorer, &histories, &[], Options::default()).unwrap_err();
    assert!(matches!(none, Error::NoQuestions));
}

#[test]
fn a_failing_sink_stops_the_predictions() {
    let histories = toy::histories(20, 30, 2);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let scorer = Hashed { items: 30, levels: 1 << 20 };
    let mut rows = 0;
    let full = predictions(&scorer, &histories, &toy::catalog(30), &split.test, 100, &mut |_| {
        rows += 1;
        if rows == 5 { Err(std::io::Error::other("disk full")) } else { Ok(()) }
    });
    assert!(matches!(full, Err(Error::Sink(_))));
    assert_eq!(rows, 5);
}
