//! Scores moved in serving: new items up, popular ones down.

use std::collections::BTreeMap;

use upnext_data::ItemId;
use upnext_generate::{Adjustment, Generator, Method, Request, RequestError};

use crate::support::{assert_drawn_by_chance, bits, counts, ids, one, partly_trained};

const ITEMS: usize = 21;
// Items 0, 7 and 14 were never trained on.
const COLD: [u32; 3] = [0, 7, 14];

/// Log-probabilities of all unseen items after item 3.
fn log_probs(generator: &Generator, by: Adjustment) -> BTreeMap<u32, f64> {
    let request = Request::from_items(&[ItemId(3)]).length(ITEMS).adjust(by).build().unwrap();
    let slate = one(generator, &request);
    assert_eq!(slate.items.len(), ITEMS - 1);
    assert!((slate.items.iter().map(|place| place.score.exp()).sum::<f64>() - 1.0).abs() < 1e-6);
    slate.items.iter().map(|place| (place.item.0, place.score)).collect()
}

#[test]
fn a_boost_is_log_odds_of_cold_items() {
    let generator = partly_trained(ITEMS);
    let plain = log_probs(&generator, Adjustment::default());
    let boosted = log_probs(&generator, Adjustment { cold_boost: 1.5, ..Adjustment::default() });
    let odds = |scores: &BTreeMap<u32, f64>, cold: u32| scores[&cold] - scores[&8];
    for cold in COLD {
        assert!((odds(&boosted, cold) - odds(&plain, cold) - 1.5).abs() < 1e-5);
    }
    assert!((boosted[&5] - boosted[&8] - plain[&5] + plain[&8]).abs() < 1e-5);
}

#[test]
fn a_penalty_counts_by_the_logarithm_of_training_events() {
    let generator = partly_trained(ITEMS);
    let plain = log_probs(&generator, Adjustment::default());
    let moved = log_probs(&generator, Adjustment { popularity_penalty: 0.5, ..Adjustment::default() });
    // `partly_trained` has one event less of each than `counts`.
    let events = |item: u32| counts(ITEMS)[item as usize] as f64;
    for (item, score) in &moved {
        let expected = plain[item] - plain[&8] - 0.5 * (events(*item).ln() - events(8).ln());
        assert!((score - moved[&8] - expected).abs() < 1e-5, "{item}");
    }
}

#[test]
fn both_methods_are_moved_and_neighbours_are_not() {
    let generator = partly_trained(ITEMS);
    for method in [Method::TopK, Method::Beam { width: 3 }] {
        let ask = |cold_boost| {
            let by = Adjustment { cold_boost, ..Adjustment::default() };
            Request::from_items(&[ItemId(3)]).length(3).method(method).adjust(by).build().unwrap()
        };
        let (plain, up, down) = (ask(0.0), ask(100.0), ask(-100.0));
        let mut first = ids(&one(&generator, &up));
        first.sort_unstable();
        assert_eq!(first, COLD);
        assert!(ids(&one(&generator, &down)).iter().all(|item| !COLD.contains(item)));
        let together = generator.generate(&[up.clone(), plain.clone(), down]);
        assert_eq!(bits(together[1].as_ref().unwrap()), bits(&one(&generator, &plain)));
        assert_eq!(bits(together[0].as_ref().unwrap()), bits(&one(&generator, &up)));
    }
}

#[test]
fn what_is_not_finite_moves_nothing() {
    for popularity_penalty in [f32::NAN, f32::INFINITY] {
        let by = Adjustment { popularity_penalty, ..Adjustment::default() };
        let refused = Request::from_items(&[ItemId(3)]).adjust(by).build().unwrap_err();
        assert!(matches!(refused, RequestError::Adjustment(_)), "{refused}");
    }
}

#[test]
fn exploration_at_one_draws_first_items_in_proportion() {
    let generator = partly_trained(8);
    let ask = |weight, seed, method| {
        Request::from_items(&[ItemId(3)]).length(3).method(method).explore(weight).seed(seed).build().unwrap()
    };
    let truth = one(&generator, &Request::from_items(&[ItemId(3)]).length(8).build().unwrap());
    let requests: Vec<Request> = (0..4000).map(|seed| ask(1.0, seed, Method::TopK)).collect();
    assert_drawn_by_chance(&generator, &requests, &truth);
    for method in [Method::TopK, Method::Beam { width: 2 }] {
        let plain = ask(0.0, 1, method);
        assert_eq!(bits(&one(&generator, &plain)), bits(&one(&generator, &ask(0.0, 2, method))));
        assert_eq!(
            bits(&one(&generator, &ask(0.7, 1, method))),
            bits(&one(&generator, &ask(0.7, 1, method)))
        );
        let differ = (0..20)
            .filter(|&seed| ids(&one(&generator, &ask(2.0, seed, method))) != ids(&one(&generator, &plain)));
        assert!(differ.count() > 5);
    }
    for weight in [-1.0, f32::NAN] {
        assert!(matches!(Request::from_items(&[]).explore(weight).build(), Err(RequestError::Explore(_))));
    }
}
