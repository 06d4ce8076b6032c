//! Metrics of lists against sums by hand.

use super::*;
use upnext_data::{Histories, Protocol, Question, Split, Strings};

/// Two users over six items; training events are those before `start`.
fn world() -> (Histories, Split) {
    let items = [0, 1, 2, 3, 4, 0, 0, 5, 5].map(ItemId).to_vec();
    let keys: Strings = ["a", "b"].into_iter().collect();
    let histories = Histories::new(keys, vec![0, 5, 9], items, (0..9).collect()).unwrap();
    let ask = |user, start, targets| Question { user: UserId(user), start, targets };
    let split = Split {
        protocol: Protocol::LeaveOneOut,
        train: vec![2, 2],
        cold: Vec::new(),
        validation: Vec::new(),
        test: vec![ask(0, 2, 3), ask(1, 2, 2)],
    };
    (histories, split)
}

fn made(lists: [&[u32]; 2]) -> Made {
    let lists = lists.map(|list| list.iter().map(|&id| ItemId(id)).collect()).to_vec();
    Made { name: "by hand".to_owned(), lists, failed: 0, seconds: 3.0 }
}

// Items 0 and 1 point right, 2 up, 3 left; 4 and 5 nowhere.
const VECTORS: [f32; 12] = [1.0, 0.0, 2.0, 0.0, 0.0, 3.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0];

fn measure(lists: [&[u32]; 2], length: usize) -> Result<ListMetrics> {
    let (histories, split) = world();
    let asked =
        Asked { histories: &histories, split: &split, part: Part::Test, items: 6, trained: &[], seed: 1 };
    let vectors = Vectors::packed(VECTORS.to_vec(), None, 2).unwrap();
    ListMetrics::of(&made(lists), &asked, length, &vectors)
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
}

#[test]
fn what_came_next_counts_in_any_order_and_once() {
    // User a went on with 2, 3, 4; user b with 5 twice.
    let found = measure([&[4, 0, 2], &[0, 5]], 3).unwrap();
    near(found.recall, (2.0 / 3.0 + 1.0) / 2.0);
    let log = |place: f64| 1.0 / (place + 1.0).log2();
    let ideal = log(1.0) + log(2.0) + log(3.0);
    near(found.ndcg, ((log(1.0) + log(3.0)) / ideal + log(2.0)) / 2.0);
    assert_eq!((found.short, found.seconds), (1, 1.5));
    let [low, high] = found.ci95.recall;
    assert!(low <= found.recall && found.recall <= high && low >= 2.0 / 3.0 - 1e-12);
    assert_eq!(measure([&[2, 3, 4], &[5]], 3).unwrap().ndcg, 1.0);
    assert_eq!(measure([&[0], &[]], 3).unwrap().ndcg, 0.0);
}

#[test]
fn what_lists_are_like() {
    // Pairs of 0, 1, 2: alike, square, square. Pair of 0 and 3: opposite.
    let found = measure([&[0, 1, 2], &[0, 3]], 3).unwrap();
    near(found.diversity, (2.0 / 3.0 + 2.0) / 2.0);
    near(found.coverage, 4.0 / 6.0);
    // Training events: 0 twice (once by each), 1 once, 0 again by b: 0 three times.
    near(found.popularity, (3.0 + 1.0 + 0.0 + 3.0 + 0.0) / 5.0);
    // Shares with one more each, of 4 + 6 events: 0 has 4, 1 has 2, 2 and 3 have 1.
    let bits = |share: f64| -(share / 10.0).log2();
    near(found.novelty, ((bits(4.0) + bits(2.0) + bits(1.0)) / 3.0 + (bits(4.0) + bits(1.0)) / 2.0) / 2.0);
    // Shown 2, 1, 1, 1 times.
    near(found.gini, 2.0 * (1.0 + 2.0 + 3.0 + 4.0 * 2.0) / (4.0 * 5.0) - 5.0 / 4.0);
    assert_eq!(measure([&[], &[0]], 3).unwrap().gini, 0.0);
}

#[test]
fn lists_of_other_questions_are_refused() {
    let (histories, split) = world();
    let asked =
        Asked { histories: &histories, split: &split, part: Part::Test, items: 6, trained: &[], seed: 1 };
    let vectors = Vectors::packed(VECTORS.to_vec(), None, 2).unwrap();
    let one = Made { name: String::new(), lists: vec![Vec::new()], failed: 0, seconds: 0.0 };
    let refused = ListMetrics::of(&one, &asked, 3, &vectors).unwrap_err();
    assert!(matches!(refused, Error::Lists { lists: 1, questions: 2 }));
    let refused = measure([&[6], &[0]], 3).unwrap_err();
    assert!(matches!(refused, Error::UnknownItem { item: 6, items: 6, .. }));
}

/// Scores an item by its id.
struct ById;

impl Scorer for ById {
    fn name(&self) -> &str {
        "by id"
    }

    fn items(&self) -> usize {
        6
    }

    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        assert_eq!(out.len(), 6 * inputs.len());
        out.iter_mut().enumerate().for_each(|(at, score)| *score = (at % 6 / 2) as f32);
        Ok(())
    }
}

#[test]
fn a_scorers_best_items_are_a_list() {
    let (histories, split) = world();
    let asked =
        Asked { histories: &histories, split: &split, part: Part::Test, items: 6, trained: &[], seed: 1 };
    let ids = |keep_seen| -> Vec<Vec<u32>> {
        let lists = top(&ById, &asked, 5, keep_seen, |_| true).unwrap();
        lists.iter().map(|list| list.iter().map(|item| item.0).collect()).collect()
    };
    let odd = top(&ById, &asked, 5, true, |item| item.0 % 2 == 1).unwrap();
    assert_eq!(odd[0], [5, 3, 1].map(ItemId));
    // Equal scores by id; user a has seen 0 and 1, user b 0.
    assert_eq!(ids(true), [[4, 5, 2, 3, 0], [4, 5, 2, 3, 0]]);
    assert_eq!(ids(false), [vec![4, 5, 2, 3], vec![4, 5, 2, 3, 1]]);
}
