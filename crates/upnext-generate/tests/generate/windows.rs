//! Long histories, and how much of the window a list may take.

use upnext_data::ItemId;
use upnext_generate::{Event, MAX_WIDTH, Method, Request, RequestError};

use crate::support::{WINDOW, bits, generator, history, key, one};

#[test]
fn events_before_the_window_move_no_score() {
    let generator = generator(80);
    let recent = history(9, 3 * WINDOW, 80);
    for method in [Method::TopK, Method::Beam { width: 3 }] {
        // Two pasts of one length, equal in their last T events and kept, so that nothing else differs.
        let slates = [1, 2].map(|case| {
            let past = [history(case, 4 * WINDOW, 80), recent[2 * WINDOW..].to_vec()].concat();
            one(
                &generator,
                &Request::from_items(&past).length(5).method(method).keep_seen(true).build().unwrap(),
            )
        });
        assert_eq!(slates[0], slates[1]);
    }
}

#[test]
fn a_history_longer_than_three_windows_is_answered() {
    let generator = generator(80);
    for len in [3 * WINDOW + 1, 5 * WINDOW, 10_000] {
        let past: Vec<ItemId> = history(4, len, 60);
        let request = Request::from_items(&past).length(9).method(Method::Beam { width: 4 }).build().unwrap();
        assert_eq!(one(&generator, &request).items.len(), 9);
    }
}

#[test]
fn a_list_may_reserve_half_the_window_and_no_more() {
    let generator = generator(80);
    let ask = |length, method| {
        let request = Request::from_items(&[ItemId(1)]).length(length).method(method).build().unwrap();
        generator.generate(&[request]).remove(0)
    };
    let beam = Method::Beam { width: 2 };
    assert_eq!(ask(WINDOW / 2 + 1, beam).unwrap().items.len(), WINDOW / 2 + 1);
    let refused = ask(WINDOW / 2 + 2, beam).unwrap_err();
    assert!(matches!(refused, RequestError::Reserve { length: 10, reserve: 9, most: 8, window: 16 }));
    assert!(refused.to_string().contains("at most 9 items"), "{refused}");
    assert_eq!(ask(WINDOW / 2 + 2, Method::TopK).unwrap().items.len(), WINDOW / 2 + 2);
}

#[test]
fn events_are_read_in_order_of_time_and_ties_as_given() {
    let generator = generator(40);
    let keys = [5, 9, 2, 7].map(key);
    let event = |index: usize, at| Event { key: &keys[index], at };
    let ordered = [event(0, 10), event(1, 20), event(2, 20), event(3, 30)];
    let shuffled = [event(3, 30), event(1, 20), event(0, 10), event(2, 20)];
    let swapped = [event(3, 30), event(2, 20), event(0, 10), event(1, 20)];
    let slate = |events: &[Event<'_>]| one(&generator, &Request::builder(events).build().unwrap());
    assert_eq!(slate(&shuffled), slate(&ordered));
    assert_ne!(slate(&swapped), slate(&ordered));
}

#[test]
fn lists_of_nothing_and_beams_of_none_or_too_many_are_refused() {
    let build = |length, width| {
        Request::builder(&[])
            .length(length)
            .method(Method::Beam { width })
            .build()
            .map(|request| request.method())
    };
    assert!(matches!(build(0, 1), Err(RequestError::NoLength)));
    assert!(matches!(build(1, 0), Err(RequestError::Method { found: 0, .. })));
    assert!(matches!(build(1, MAX_WIDTH + 1), Err(RequestError::Method { most: Some(MAX_WIDTH), .. })));
    assert!(build(1, MAX_WIDTH).is_ok());
}

#[test]
fn a_list_of_a_moment_is_made_from_what_had_happened() {
    let generator = generator(60);
    let past = history(7, 9, 60);
    let keys: Vec<String> = past.iter().map(|item| key(item.0)).collect();
    // Two events at once, and given newest first.
    let times = [10, 20, 30, 30, 40, 50, 60, 70, 80];
    let events: Vec<Event<'_>> = keys.iter().zip(times).rev().map(|(key, at)| Event { key, at }).collect();
    for at in [5, 10, 30, 35, 80, 90] {
        let then: Vec<Event<'_>> = events.iter().copied().filter(|event| event.at <= at).collect();
        let ask = |events: &[Event<'_>]| Request::builder(events).length(5);
        let request = ask(&events).at(at).build().unwrap();
        assert_eq!(request.at(), Some(at));
        let plain = one(&generator, &ask(&then).build().unwrap());
        assert_eq!(bits(&one(&generator, &request)), bits(&plain), "{at}");
        assert_eq!(plain.fallback, at < 10);
    }
    let refused = Request::from_items(&past).at(30).build();
    assert!(matches!(refused, Err(RequestError::NoTimes)));
}
