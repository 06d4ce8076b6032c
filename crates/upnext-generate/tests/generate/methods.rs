//! Lists that are partly searched, or joined from drawn ones.

use upnext_data::ItemId;
use upnext_generate::{Generator, MAX_WIDTH, Method, Request, RequestError, Slate};

use crate::support::{assert_drawn_by_chance, bits, draw, generator, history, ids, one, rotary};

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
    assert_drawn_by_chance(&generator, &requests, &truth);
}

/// All lists of a slate, best first, with their scores.
fn lists(slate: &Slate) -> Vec<(Vec<u32>, f64)> {
    let others = slate.alternatives.iter();
    let others = others.map(|list| (list.items.iter().map(|place| place.item.0).collect(), list.score));
    [(ids(slate), slate.score)].into_iter().chain(others).collect()
}

#[test]
fn alternatives_are_the_other_beams_without_the_same_items_again() {
    let generator = generator(7);
    let past = [ItemId(0), ItemId(4)];
    // As wide as the space: every list of three out of five items.
    let ask = |most| {
        Request::from_items(&past)
            .length(3)
            .method(Method::Beam { width: 60 })
            .alternatives(most)
            .build()
            .unwrap()
    };
    let all = lists(&one(&generator, &ask(1000)));
    assert_eq!(all.len(), 10);
    assert!(all.is_sorted_by(|a, b| a.1 >= b.1));
    let mut sets: Vec<Vec<u32>> = all.iter().map(|(list, _)| list.clone()).collect();
    sets.iter_mut().for_each(|set| set.sort_unstable());
    sets.sort();
    sets.dedup();
    assert_eq!(sets.len(), 10);
    for most in [0, 1, 4] {
        assert_eq!(lists(&one(&generator, &ask(most))), all[..=most]);
    }
    // The alternatives to one item are the next best items.
    let single = Request::from_items(&past).length(1).method(Method::Beam { width: 3 }).alternatives(9);
    let found: Vec<Vec<u32>> =
        lists(&one(&generator, &single.build().unwrap())).into_iter().map(|(list, _)| list).collect();
    let best = ids(&one(&generator, &ask_plain(&past)));
    assert_eq!(found, best.chunks(1).map(<[u32]>::to_vec).collect::<Vec<_>>());
}

fn ask_plain(past: &[ItemId]) -> Request {
    ask(past, 3, Method::TopK, 0)
}

#[test]
fn one_group_is_a_beam_and_more_groups_keep_off_each_other() {
    let generator = generator(ITEMS);
    let (mut alike, mut apart) = (0, 0);
    for case in 0..20 {
        let past = history(case, 6, ITEMS);
        let ask =
            |method| Request::from_items(&past).length(4).method(method).alternatives(9).build().unwrap();
        let diverse = |groups, diversity| ask(Method::DiverseBeam { width: 6, groups, diversity });
        let beam = one(&generator, &ask(Method::Beam { width: 6 }));
        assert_eq!(lists(&one(&generator, &diverse(1, 5.0))), lists(&beam));
        let first_items = |slate: &Slate| -> usize {
            let mut first: Vec<u32> = lists(slate).iter().map(|(list, _)| list[0]).collect();
            first.sort_unstable();
            first.dedup();
            first.len()
        };
        alike += first_items(&beam);
        // Groups of one beam that may never agree begin with items of their own; some end with the same items.
        let spread = one(&generator, &diverse(6, 1e6));
        assert_eq!(first_items(&spread), 1 + spread.alternatives.len());
        apart += first_items(&spread);
        // Scores stay the model's, whatever the groups took off them.
        assert_eq!(scores(&spread), by_fresh_requests(&generator, &past, &spread));
        assert!(lists(&spread).is_sorted_by(|a, b| a.1 >= b.1));
    }
    assert!(apart > alike, "{apart} {alike}");
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
    let diverse = |width, groups, diversity| build(Method::DiverseBeam { width, groups, diversity });
    assert!(matches!(diverse(6, 4, 0.0), RequestError::Groups { groups: 4, width: 6 }));
    assert!(matches!(diverse(6, 0, 0.0), RequestError::Groups { .. }));
    assert!(matches!(diverse(0, 1, 0.0), RequestError::Method { .. }));
    assert!([-1.0, f32::NAN].iter().all(|&by| matches!(diverse(6, 2, by), RequestError::Diversity(_))));
    assert!(matches!(build(Method::Hybrid { autoregressive: 0, width: 1 }), RequestError::Method { .. }));
    assert!(matches!(build(Method::Hybrid { autoregressive: 1, width: 0 }), RequestError::Method { .. }));
}
