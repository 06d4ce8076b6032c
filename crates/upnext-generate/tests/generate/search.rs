//! Lists against searches that share no code with the beam: fresh requests, and sums by hand.

use upnext_data::{ItemId, window};
use upnext_generate::{Generator, Method, Options, Request, Slate};

use crate::support::{
    WINDOW, bits, config, generator, history, ids, key, one, partly_trained, rotary, served, served_of,
};

fn beam(history: &[ItemId], width: usize, length: usize) -> Request {
    Request::from_items(history).length(length).method(Method::Beam { width }).build().unwrap()
}

/// A list: the sum of its log-probabilities, its items, the bits of each log-probability.
type List = (f64, Vec<u32>, Vec<u64>);

/// Each list with one more item, scored by a fresh request for all eligible items; higher sums first, then by ids.
fn continued(generator: &Generator, past: &[ItemId], lists: &[List]) -> Vec<List> {
    let mut longer = Vec::new();
    for (sum, items, bits) in lists {
        let context: Vec<ItemId> =
            past.iter().copied().chain(items.iter().map(|&item| ItemId(item))).collect();
        let all = Request::from_items(&context).length(generator.catalog().len()).build().unwrap();
        for place in one(generator, &all).items {
            let items = [items.as_slice(), &[place.item.0]].concat();
            longer.push((sum + place.score, items, [bits.as_slice(), &[place.score.to_bits()]].concat()));
        }
    }
    longer.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    longer
}

fn assert_is(slate: &Slate, (sum, items, bits): &List) {
    assert_eq!(&ids(slate), items);
    assert_eq!(&slate.items.iter().map(|place| place.score.to_bits()).collect::<Vec<_>>(), bits);
    assert_eq!(slate.score.to_bits(), sum.to_bits());
}

const NO_ITEMS: List = (0.0, Vec::new(), Vec::new());

#[test]
fn a_beam_as_wide_as_the_space_is_exhaustive_search() {
    for (case, generator) in [generator(7), rotary(7), partly_trained(7)].iter().enumerate() {
        for len in 1..=3 {
            let past: Vec<ItemId> = (0..len).map(|item| ItemId((item * 2 + case as u32) % 7)).collect();
            let mut lists = vec![NO_ITEMS];
            for _ in 0..3 {
                lists = continued(generator, &past, &lists);
            }
            assert_is(&one(generator, &beam(&past, lists.len(), 3)), &lists[0]);
        }
    }
}

#[test]
fn a_narrower_beam_keeps_the_best_lists_of_each_step() {
    for generator in [generator(12), rotary(12), partly_trained(12)] {
        for width in 1..=9 {
            let past = history(width as u64, 4, 12);
            let mut lists = vec![NO_ITEMS];
            for _ in 0..5 {
                lists = continued(&generator, &past, &lists);
                lists.truncate(width);
            }
            assert_is(&one(&generator, &beam(&past, width, 5)), &lists[0]);
        }
    }
}

#[test]
fn a_list_scores_what_a_sum_by_hand_gives() {
    let (generator, parts) = (generator(12), served(12));
    let past = history(3, 6, 12);
    let slate = one(&generator, &beam(&past, 5, 4));
    let (mut context, mut total) = (past.clone(), 0.0);
    for place in &slate.items {
        let states = parts.network.states(&context, &parts.vectors).unwrap();
        let state = &states[states.len() - parts.vectors.rank()..];
        let logit = |item: u32| -> f64 {
            let mut row = vec![0.0; state.len()];
            parts.vectors.input_row(ItemId(item), &mut row).unwrap();
            row.iter().zip(state).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let eligible = (0..12u32).filter(|&item| !context.contains(&ItemId(item)));
        let partition: f64 = eligible.map(|item| logit(item).exp()).sum();
        let expected = logit(place.item.0) - partition.ln();
        assert!((place.score - expected).abs() < 1e-5, "{} against {expected}", place.score);
        total += expected;
        context.push(place.item);
    }
    assert!((slate.score - total).abs() < 1e-4);
}

#[test]
fn one_beam_is_greedy_search_by_fresh_requests_at_every_length() {
    let (items, length) = (60, 5);
    for generator in [generator(items), rotary(items), partly_trained(items)] {
        for len in 1..=3 * WINDOW {
            let mut past = history(len as u64, len, items);
            // Of the partly trained model every seventh item is read in no history.
            past.iter_mut().for_each(|item| item.0 += u32::from(item.0 % 7 == 0));
            let slate = one(&generator, &beam(&past, 1, length));
            let seen: Vec<String> = past.iter().map(|item| key(item.0)).collect();
            let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
            // A fresh request would start its window elsewhere, so it is given the window itself.
            let mut context = past[window::of(len, WINDOW, length - 1)].to_vec();
            for (step, place) in slate.items.iter().enumerate() {
                let next = Request::from_items(&context).length(1).deny(&seen).build().unwrap();
                let fresh = one(&generator, &next).items.remove(0);
                assert_eq!(fresh.item, place.item, "place {step} after {len} events");
                assert_eq!(fresh.score.to_bits(), place.score.to_bits(), "place {step} after {len} events");
                context.push(place.item);
            }
            assert_eq!(slate.items.len(), length);
        }
    }
}

#[test]
fn a_beam_of_one_item_is_the_best_of_one_pass() {
    let generator = generator(60);
    let past = history(1, 9, 60);
    let pass = Request::from_items(&past).length(1).build().unwrap();
    assert_eq!(bits(&one(&generator, &beam(&past, 4, 1))), bits(&one(&generator, &pass)));
}

#[test]
fn equal_scores_are_ordered_by_id() {
    let flat = Generator::from_parts(served_of(config(), 9, 0.0), Options::default()).unwrap();
    let past = [ItemId(0), ItemId(4)];
    let pass = Request::from_items(&past).length(4).build().unwrap();
    for request in [pass, beam(&past, 1, 4), beam(&past, 6, 4)] {
        assert_eq!(ids(&one(&flat, &request)), [1, 2, 3, 5]);
    }
}

#[test]
fn probabilities_of_all_eligible_items_sum_to_one() {
    let generator = generator(200);
    for case in 0..5 {
        let request = Request::from_items(&history(case, 20, 200)).length(200).build().unwrap();
        let slate = one(&generator, &request);
        let sum: f64 = slate.items.iter().map(|place| place.score.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        assert!(slate.items.is_sorted_by(|a, b| a.score >= b.score));
        assert!(slate.is_short());
    }
}

#[test]
fn the_only_eligible_item_is_certain() {
    let generator = generator(50);
    let request =
        Request::from_items(&history(2, 8, 50)).allow(&["item-00044"]).keep_seen(true).build().unwrap();
    let slate = one(&generator, &request);
    assert_eq!((ids(&slate), slate.score), (vec![44], 0.0));
}
