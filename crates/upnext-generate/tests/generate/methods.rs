//! Lists that are partly searched, or joined from drawn ones.

use upnext_data::ItemId;
use upnext_generate::{Generator, MAX_WIDTH, Method, Request, RequestError, Slate};

use crate::support::{bits, draw, generator, history, ids, one, rotary};

const ITEMS: usize = 60;

fn ask(past: &[ItemId], length: usize, method: Method, seed: u64) -> Request {
    Request::from_items(past).length(length).method(method).seed(seed).build().unwrap()
}

/// The bits of each place's log-probability, by a fresh request after the items before it.
fn by_fresh_requests(generator: &Generator, past: &[ItemId], slate: &Slate) -> Vec<u64> {
    let mut context = past.to_vec();
    let mut found = Vec::new();
    for place in &slate.items {
        let all = one(generator, &ask(&context, ITEMS, Method::TopK, 0));
        let same = all.items.iter().find(|other| other.item == place.item).unwrap();
        found.push(same.score.to_bits());
        context.push(place.item);
    }
    found
}

fn scores(slate: &Slate) -> Vec<u64> {
    slate.items.iter().map(|place| place.score.to_bits()).collect()
}

#[test]
fn a_hybrid_is_a_beam_and_then_one_pass() {
    for generator in [generator(ITEMS), rotary(ITEMS)] {
        for case in 0..20 {
            let (past, width) = (history(case, 5, ITEMS), 1 + draw(case, 1 << 50, 4));
            for autoregressive in 1..5 {
                let hybrid = one(&generator, &ask(&past, 6, Method::Hybrid { autoregressive, width }, 0));
                let first = one(&generator, &ask(&past, autoregressive, Method::Beam { width }, 0));
                let context: Vec<ItemId> =
                    past.iter().copied().chain(first.items.iter().map(|place| place.item)).collect();
                let rest = one(&generator, &ask(&context, 6 - autoregressive, Method::TopK, 0));
                assert_eq!(ids(&hybrid), [ids(&first), ids(&rest)].concat());
                assert_eq!(scores(&hybrid), [scores(&first), scores(&rest)].concat());
            }
        }
    }
}

#[test]
fn a_hybrid_as_deep_as_its_list_is_a_beam() {
    let generator = generator(ITEMS);
    let past = history(4, 5, ITEMS);
    let beam = one(&generator, &ask(&past, 4, Method::Beam { width: 3 }, 0));
    for autoregressive in [4, 9] {
        let hybrid = ask(&past, 4, Method::Hybrid { autoregressive, width: 3 }, 0);
        assert_eq!(bits(&one(&generator, &hybrid)), bits(&beam));
    }
}

#[test]
fn drawn_lists_come_from_their_seed_and_have_the_models_own_scores() {
    let method = Method::Sample { temperature: 1.0, top_k: 20, draws: 6 };
    for generator in [generator(ITEMS), rotary(ITEMS)] {
        let mut distinct = Vec::new();
        for seed in 0..8 {
            let past = history(1, 4, ITEMS);
            let slate = one(&generator, &ask(&past, 5, method, seed));
            assert_eq!(bits(&slate), bits(&one(&generator, &ask(&past, 5, method, seed))));
            assert_eq!(scores(&slate), by_fresh_requests(&generator, &past, &slate));
            distinct.push(ids(&slate));
        }
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 2, "{distinct:?}");
    }
    let own = |user| Request::from_items(&history(1, 4, ITEMS)).length(5).method(method).seed_for(3, user);
    let (a, b) = (own("a").build().unwrap(), own("b").build().unwrap());
    let generator = generator(ITEMS);
    assert_ne!(ids(&one(&generator, &a)), ids(&one(&generator, &b)));
}

#[test]
fn drawing_from_one_item_is_greedy_search() {
    let generator = generator(ITEMS);
    for case in 0..10 {
        let past = history(case, 30, ITEMS);
        let greedy = ask(&past, 5, Method::Beam { width: 1 }, 0);
        for draws in [1, 3] {
            let drawn = ask(&past, 5, Method::Sample { temperature: 1.0, top_k: 1, draws }, case);
            assert_eq!(bits(&one(&generator, &drawn)), bits(&one(&generator, &greedy)));
        }
    }
}

#[test]
fn drawn_first_items_have_the_models_chances() {
    let generator = generator(8);
    let past = [ItemId(3), ItemId(5)];
    let truth = one(&generator, &ask(&past, 8, Method::TopK, 0));
    let method = Method::Sample { temperature: 1.0, top_k: 8, draws: 1 };
    let requests: Vec<Request> = (0..4000).map(|seed| ask(&past, 1, method, seed)).collect();
    let drawn: Vec<ItemId> =
        generator.generate(&requests).into_iter().map(|slate| slate.unwrap().items[0].item).collect();
    for place in &truth.items {
        let share = drawn.iter().filter(|&&item| item == place.item).count() as f64 / 4000.0;
        // Four standard deviations of a share.
        let chance = place.score.exp();
        let most = 4.0 * (chance * (1.0 - chance) / 4000.0).sqrt() + 1e-9;
        assert!((share - chance).abs() <= most, "{:?}: {share} for {chance}", place.item);
    }
}

#[test]
fn methods_out_of_bounds_are_refused() {
    let build = |method| Request::from_items(&[ItemId(1)]).method(method).build().unwrap_err();
    let sample = |temperature, top_k, draws| build(Method::Sample { temperature, top_k, draws });
    for (top_k, draws) in [(0, 1), (1, 0), (MAX_WIDTH + 1, 1), (1, MAX_WIDTH + 1)] {
        assert!(matches!(sample(1.0, top_k, draws), RequestError::Method { most: Some(MAX_WIDTH), .. }));
    }
    for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(sample(temperature, 1, 1), RequestError::Temperature(_)));
    }
    assert!(matches!(build(Method::Hybrid { autoregressive: 0, width: 1 }), RequestError::Method { .. }));
    assert!(matches!(build(Method::Hybrid { autoregressive: 1, width: 0 }), RequestError::Method { .. }));
}
