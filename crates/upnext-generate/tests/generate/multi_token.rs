//! Each place from a horizon of its own, against sums by hand.

use upnext_data::{ItemId, window};
use upnext_generate::{Caveat, Generator, Method, Options, Request, RequestError};
use upnext_model::{ModelConfig, Served};

use crate::support::{
    HORIZONS, WINDOW, bits, config, generator, has_genre, history, ids, key, one, served, served_of,
};

const ITEMS: usize = 60;

/// Scores `(k, i)` of all items after a history, one list a horizon.
fn scores(parts: &Served, past: &[ItemId]) -> Vec<Vec<f64>> {
    let prompt = &past[window::of(past.len(), WINDOW, 0)];
    let states = parts.network.prefill_ahead(&[prompt], &parts.vectors, None, false, HORIZONS).unwrap();
    let mut row = vec![0.0; parts.vectors.rank()];
    let mut score = |item: usize, state: &[f32]| {
        parts.vectors.input_row(ItemId(item as u32), &mut row).unwrap();
        row.iter().zip(state).map(|(v, h)| f64::from(*v) * f64::from(*h)).sum()
    };
    states
        .chunks(parts.vectors.rank())
        .map(|state| (0..ITEMS).map(|item| score(item, state)).collect())
        .collect()
}

/// The best of some items under a horizon, and its log-probability among them.
fn best(scores: &[f64], among: impl Fn(u32) -> bool) -> (u32, f64) {
    let open: Vec<u32> = (0..ITEMS as u32).filter(|&item| among(item)).collect();
    let score = |item: u32| scores[item as usize];
    let sum: f64 = open.iter().map(|&item| score(item).exp()).sum();
    let first = open.into_iter().max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
    (first, score(first) - sum.ln())
}

#[test]
fn place_j_is_the_best_of_horizon_j_that_does_not_stand_before_it() {
    let (parts, generator) = (served(ITEMS), generator(ITEMS));
    let mut other = 0;
    for case in 0..40 {
        let past = history(case, 1 + case as usize, ITEMS);
        let ask = |method| Request::from_items(&past).length(7).method(method).build().unwrap();
        let slate = one(&generator, &ask(Method::MultiToken));
        let scores = scores(&parts, &past);
        let mut before: Vec<u32> = past.iter().map(|item| item.0).collect();
        for (place, found) in slate.items.iter().enumerate() {
            let (item, log_p) = best(&scores[place.min(HORIZONS - 1)], |item| !before.contains(&item));
            assert_eq!(found.item.0, item, "case {case}, place {place}");
            assert!((found.score - log_p).abs() < 1e-4, "{} {log_p}", found.score);
            before.push(item);
        }
        let next = one(&generator, &ask(Method::TopK));
        assert_eq!(bits(&slate).0[0], bits(&next).0[0], "the first horizon is the next item");
        other += usize::from(ids(&slate) != ids(&next));
    }
    assert!(other > 20, "{other}");
}

#[test]
fn rules_decide_who_competes_for_a_place() {
    let (parts, generator) = (served(ITEMS), generator(ITEMS));
    let genres = generator.attribute("genres").unwrap();
    for case in 0..40 {
        let past = history(case, 6, ITEMS);
        let request = Request::from_items(&past)
            .length(6)
            .method(Method::MultiToken)
            .keep_seen(true)
            .at_most(1, &genres)
            .pin(1, &key(8))
            .build()
            .unwrap();
        let slate = one(&generator, &request);
        let scores = scores(&parts, &past);
        let mut before: Vec<u32> = Vec::new();
        for (place, found) in slate.items.iter().enumerate() {
            if place == 1 {
                assert!(found.pinned && found.item.0 == 8 && found.score == 0.0);
            } else {
                let fits = |item: u32| {
                    (0..3).all(|genre| {
                        !has_genre(item, genre) || !before.iter().any(|&other| has_genre(other, genre))
                    })
                };
                let may = |item: u32| item != 8 && !before.contains(&item) && fits(item);
                let (item, log_p) = best(&scores[place.min(HORIZONS - 1)], may);
                assert_eq!(found.item.0, item, "case {case}, place {place}");
                assert!((found.score - log_p).abs() < 1e-4, "{} {log_p}", found.score);
            }
            before.push(found.item.0);
        }
        assert_eq!(slate.items.len(), 6);
    }
}

#[test]
fn a_model_without_horizons_of_its_own_is_refused_and_a_merged_one_has_a_caveat() {
    let open = |config: ModelConfig| {
        Generator::from_parts(served_of(config, ITEMS, 40.0), Options::default()).unwrap()
    };
    let plain = open(ModelConfig { horizons: 1, ..config() });
    let merged = open(ModelConfig { merge_horizons: true, ..config() });
    let request = Request::from_items(&[ItemId(1)]).method(Method::MultiToken).build().unwrap();
    for (generator, said) in [(&plain, "the next item alone"), (&merged, "merged")] {
        let refused = generator.generate(std::slice::from_ref(&request)).remove(0).unwrap_err();
        let is_merged = generator.config().merge_horizons;
        assert!(matches!(refused, RequestError::NoHorizons { merged } if merged == is_merged));
        assert!(refused.is_of_any_history() && refused.to_string().contains(said), "{refused}");
        let beam = Method::Beam { width: 2 };
        assert_eq!(generator.caveat(beam), is_merged.then_some(Caveat::Merged));
        assert_eq!(generator.caveat(Method::TopK), None);
    }
    assert_eq!(generator(ITEMS).caveat(Method::Beam { width: 2 }), None);
    // What merged horizons leave alone: a list of the next item is one of a plain model.
    let next = Request::from_items(&[ItemId(1)]).build().unwrap();
    assert_eq!(bits(&one(&merged, &next)), bits(&one(&plain, &next)));
}
