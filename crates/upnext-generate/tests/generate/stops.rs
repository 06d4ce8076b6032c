//! Requests that are late or called off, and what raised an item.

use std::time::{Duration, Instant};

use upnext_data::ItemId;
use upnext_generate::{Cancel, Method, Request, RequestError, Session};

use crate::support::{bits, generator, history, key, one};

const METHODS: [Method; 5] = [
    Method::MultiToken,
    Method::TopK,
    Method::Beam { width: 3 },
    Method::Hybrid { autoregressive: 2, width: 2 },
    Method::Sample { temperature: 1.0, top_k: 5, draws: 3 },
];

#[test]
fn a_late_or_cancelled_request_is_refused_and_its_neighbours_are_not() {
    let generator = generator(60);
    let (soon, past) = (Instant::now() + Duration::from_secs(3600), Instant::now());
    for method in METHODS {
        let cancel = Cancel::new();
        let ask = |case| Request::from_items(&history(case, 6, 60)).length(5).method(method);
        let plain_requests: Vec<Request> = (0..3).map(|case| ask(case).build().unwrap()).collect();
        let mixed = [
            plain_requests[0].clone(),
            ask(0).deadline(past).build().unwrap(),
            ask(1).deadline(soon).cancelled_by(&cancel).build().unwrap(),
            ask(2).cancelled_by(&cancel).deadline(past).build().unwrap(),
            plain_requests[2].clone(),
        ];
        let answers = generator.generate(&mixed);
        for (answer, plain) in [(0, 0), (2, 1), (4, 2)] {
            assert_eq!(
                bits(answers[answer].as_ref().unwrap()),
                bits(&one(&generator, &plain_requests[plain]))
            );
        }
        assert!(
            matches!(answers[1], Err(RequestError::Late)) && matches!(answers[3], Err(RequestError::Late))
        );
        cancel.cancel();
        assert!(cancel.is_cancelled());
        let answers = generator.generate(&mixed);
        assert!(answers[0].is_ok() && answers[4].is_ok());
        assert!([2, 3].iter().all(|&at| matches!(answers[at], Err(RequestError::Cancelled))));
        let session = Session::open(&generator, &[], 4).unwrap();
        assert!(matches!(session.next(&mixed[1]), Err(RequestError::Late)));
    }
}

#[test]
fn a_request_is_called_off_in_the_middle_of_its_search() {
    let generator = generator(3000);
    let past = history(1, 6, 3000);
    let long = || Request::from_items(&past).length(9).method(Method::Beam { width: 512 });
    let started = Instant::now();
    one(&generator, &long().build().unwrap());
    let whole = started.elapsed();
    // Alone, so that only the search itself can find that it was called off. A machine that stalls may miss a try.
    let is_cancelled = |_| {
        let cancel = Cancel::new();
        let request = long().cancelled_by(&cancel).build().unwrap();
        let answer = std::thread::scope(|scope| {
            let answer = scope.spawn(|| generator.generate(&[request]).remove(0));
            std::thread::sleep(whole / 3);
            cancel.cancel();
            answer.join().unwrap()
        });
        matches!(answer, Err(RequestError::Cancelled))
    };
    assert!((0..5).any(is_cancelled));
}

#[test]
fn an_event_weighs_what_the_item_loses_without_it() {
    let generator = generator(60);
    let past = history(5, 7, 60);
    let request = Request::from_items(&past).length(3).keep_seen(true).build().unwrap();
    let slate = one(&generator, &request);
    let keys: Vec<&str> = slate.items.iter().map(|place| place.key.as_str()).collect();
    let explained = generator.explain(&request, &keys, 2).unwrap();
    // By fresh requests for everything, without each of the events.
    let score = |past: &[ItemId], item: ItemId| {
        let all = Request::from_items(past).length(60).keep_seen(true).build().unwrap();
        one(&generator, &all).items.iter().find(|place| place.item == item).unwrap().score
    };
    for (place, explanation) in slate.items.iter().zip(&explained) {
        assert_eq!((explanation.item, &explanation.key), (place.item, &place.key));
        assert!((explanation.score - place.score).abs() < 1e-12);
        let mut weights: Vec<(f64, usize)> = (0..past.len())
            .map(|event| {
                let without = [&past[..event], &past[event + 1..]].concat();
                (score(&past, place.item) - score(&without, place.item), past.len() - 1 - event)
            })
            .filter(|(weight, _)| *weight > 0.0)
            .collect();
        weights.sort_by(|a, b| b.0.total_cmp(&a.0));
        weights.truncate(2);
        assert_eq!(explanation.because.len(), weights.len());
        for (reason, (weight, ago)) in explanation.because.iter().zip(weights) {
            assert_eq!((reason.ago, reason.item), (ago, past[past.len() - 1 - ago]));
            assert!((reason.weight - weight).abs() < 1e-9, "{} {weight}", reason.weight);
        }
    }
    let alone = Request::from_items(&[ItemId(3)]).build().unwrap();
    assert!(generator.explain(&alone, &[&key(5)], 9).unwrap()[0].because.len() <= 1);
    assert!(matches!(generator.explain(&request, &["nobody"], 1), Err(RequestError::Unknown(_))));
    let shut = Request::from_items(&past).allow(&[]).build().unwrap();
    assert!(matches!(generator.explain(&shut, &[&key(5)], 1), Err(RequestError::NothingEligible)));
    let nothing = Request::from_items(&[]).build().unwrap();
    assert!(matches!(generator.explain(&nothing, &[&key(5)], 1), Err(RequestError::NothingKnown)));
}
