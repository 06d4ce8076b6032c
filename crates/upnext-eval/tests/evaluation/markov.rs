//! The sparse chain against its formula, written out densely.

use std::sync::Arc;

use upnext_data::{Histories, ItemId, Protocol, popularity};
use upnext_eval::markov::Markov;
use upnext_eval::transitions::Transitions;
use upnext_eval::{Asked, Error, Metric, Part, Scorer, Seen, baselines, evaluate, evaluate_next};

use crate::toy;

/// score(j) by four loops in f64.
fn dense(
    histories: &Histories,
    train: &[usize],
    counts: &[u64],
    (window, decay, norm): (usize, f64, f64),
    input: &[ItemId],
) -> Vec<f64> {
    let items = counts.len();
    let mut m = vec![vec![0.0; items]; items];
    for (user, history) in histories.iter() {
        let events = &history.items[..train[user.index()]];
        for p in 0..events.len() {
            for g in 1..=window {
                if let Some(next) = events.get(p + g) {
                    m[events[p].index()][next.index()] += decay.powi(g as i32 - 1);
                }
            }
        }
    }
    let most = counts.iter().copied().max().unwrap() as f64;
    let mut scores: Vec<f64> = counts.iter().map(|&count| 1e-6 * count as f64 / most).collect();
    for (age, event) in input.iter().rev().take(window).enumerate() {
        let row = &m[event.index()];
        let sum: f64 = row.iter().sum();
        for (j, &value) in row.iter().enumerate().filter(|&(_, &value)| value > 0.0) {
            let scale = sum.powf(norm) * (counts[j] as f64).powf(1.0 - norm);
            scores[j] += decay.powi(age as i32) * value / scale;
        }
    }
    scores
}

#[test]
fn the_sparse_chain_is_the_dense_formula() {
    let items = 70;
    let histories = toy::histories(60, items, 3);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let counts = popularity::counts(&histories, &split.train, items);
    for (window, decay, norm) in [(1, 1.0, 1.0), (1, 0.3, 0.5), (5, 0.6, 0.75), (10, 0.8, 1.0)] {
        let counted = Transitions::count(&histories, &split.train, items, window, decay).unwrap();
        let chain = Markov::new("chain", Arc::new(counted), &counts, norm);
        for question in &split.test {
            let input = question.input(&histories).items;
            let expected = dense(&histories, &split.train, &counts, (window, decay, norm), input);
            let mut found = vec![0.0; items];
            chain.score(&[input], &mut found).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-5 * expected.abs() + 1e-12);
            }
        }
    }
}

#[test]
fn pairs_never_cross_users_nor_reach_held_out_events() {
    // u0 trains on 0 1 (2 is held out), u1 on 3 0.
    let items = [0, 1, 2, 3, 0].map(ItemId).to_vec();
    let users = ["u0", "u1"].into_iter().collect();
    let histories = Histories::new(users, vec![0, 3, 5], items, vec![0, 1, 2, 0, 1]).unwrap();
    let counted = Transitions::count(&histories, &[2, 2], 4, 10, 0.5).unwrap();
    assert_eq!(counted.row(0), (&[1][..], &[1.0][..]));
    assert_eq!(counted.row(1), (&[][..], &[][..]));
    assert_eq!(counted.row(3), (&[0][..], &[1.0][..]));
    assert_eq!(counted.entries(), 2);
}

#[test]
fn counts_do_not_depend_on_the_number_of_threads() {
    let histories = toy::histories(500, 200, 4);
    let train = Protocol::LeaveOneOut.split(&histories).unwrap().train;
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Transitions::count(&histories, &train, 200, 10, 0.8).unwrap())
    };
    let (one, three) = (with(1), with(3));
    (0..200).for_each(|item| assert_eq!(one.row(item), three.row(item)));
    assert_eq!(one.row_sums(), three.row_sums());
}

#[test]
fn impossible_windows_and_foreign_data_are_refused() {
    let histories = toy::histories(5, 20, 4);
    let train = Protocol::LeaveOneOut.split(&histories).unwrap().train;
    let count = |train: &[usize], items, window| Transitions::count(&histories, train, items, window, 0.8);
    assert!(matches!(count(&train, 20, 0), Err(Error::MarkovWindow { window: 0 })));
    assert!(matches!(count(&train, 20, 256), Err(Error::MarkovWindow { window: 256 })));
    assert!(matches!(count(&train[1..], 20, 5), Err(Error::Split { split: 4, histories: 5 })));
    assert!(matches!(count(&train, 2, 5), Err(Error::UnknownItem { items: 2, .. })));
}

#[test]
fn the_chosen_parameters_are_reported() {
    let histories = toy::histories(300, 60, 8);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let asked =
        Asked { histories: &histories, split: &split, part: Part::Test, items: 60, trained: &[], seed: 1 };
    let fitted = baselines::fit(&asked, None, Seen::Dropped, Default::default()).unwrap();
    let names: Vec<&str> = fitted.iter().map(|baseline| baseline.scorer.name()).collect();
    assert_eq!(names, ["popularity", baselines::FIRST_ORDER, baselines::WINDOWED]);
    assert!(fitted[0].parameters.is_null());
    assert_eq!(fitted[1].parameters["window"], 1);
    assert!([5, 10].map(Into::into).contains(&fitted[2].parameters["window"]));
    assert!(fitted[2].parameters["validation_ndcg@10"].as_f64().unwrap() > 0.1);
    let kept = baselines::fit(&asked, None, Seen::Kept, Default::default()).unwrap();
    let best = &kept[2].parameters["validation_ndcg@10"];
    let validation =
        evaluate(kept[2].scorer.as_ref(), &histories, &split.validation, Default::default()).unwrap();
    assert_eq!(best.as_f64().unwrap(), validation.mean(Metric::Ndcg(10), Seen::Kept));
    assert_ne!(*best, fitted[2].parameters["validation_ndcg@10"]);
    // Where validation asks for several events, all of them choose.
    let split = "last:2,3".parse::<Protocol>().unwrap().split(&histories).unwrap();
    let asked = Asked { split: &split, ..asked };
    let fitted = baselines::fit(&asked, None, Seen::Kept, Default::default()).unwrap();
    let (chain, questions) = (fitted[2].scorer.as_ref(), &split.validation);
    let next = evaluate_next(chain, &histories, questions, Seen::Kept, Default::default()).unwrap();
    let best = fitted[2].parameters["validation_ndcg@10"].as_f64();
    assert_eq!(best, next.get(Metric::Ndcg(10)));
    let first = evaluate(chain, &histories, questions, Default::default()).unwrap();
    assert_ne!(best, Some(first.mean(Metric::Ndcg(10), Seen::Kept)));
}
