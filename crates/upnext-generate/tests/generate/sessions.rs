//! A pushed history against fresh requests.

use std::sync::Arc;

use upnext_data::ItemId;
use upnext_generate::{Event, Generator, Method, Options, Request, RequestError, Session, SnapshotError};
use upnext_model::ModelConfig;

use crate::support::{WINDOW, bits, config, generator, history, key, one, partly_trained, rotary, served_of};

const ITEMS: usize = 60;

fn methods() -> Vec<(Method, usize)> {
    vec![
        (Method::TopK, 0),
        (Method::MultiToken, 0),
        (Method::Beam { width: 3 }, 4),
        (Method::Hybrid { autoregressive: 2, width: 2 }, 2),
        (Method::Sample { temperature: 1.0, top_k: 5, draws: 3 }, 4),
    ]
}

/// Keys and times of a history; some keys are nobody's.
fn events(past: &[ItemId]) -> Vec<(String, i64)> {
    let name = |(at, item): (usize, &ItemId)| {
        let key = if at % 11 == 7 { format!("unknown {at}") } else { key(item.0) };
        (key, at as i64 / 3)
    };
    past.iter().enumerate().map(name).collect()
}

fn borrowed(events: &[(String, i64)]) -> Vec<Event<'_>> {
    events.iter().map(|(key, at)| Event { key, at: *at }).collect()
}

fn fresh(generator: &Generator, events: &[(String, i64)], method: Method) -> (crate::support::Bits, usize) {
    let request = Request::builder(&borrowed(events)).length(5).method(method).build().unwrap();
    let slate = one(generator, &request);
    (bits(&slate), slate.skipped)
}

#[test]
fn a_pushed_session_answers_as_a_fresh_request_at_every_length() {
    for generator in [generator(ITEMS), rotary(ITEMS), partly_trained(ITEMS)] {
        let all = events(&history(1, 3 * WINDOW + 1, ITEMS));
        for (method, reserve) in methods() {
            let ask = Request::builder(&[]).length(5).method(method).build().unwrap();
            let mut session = Session::open(&generator, &[], reserve).unwrap();
            for len in 0..=all.len() {
                assert_eq!(session.len(), len);
                let slate = session.next(&ask).unwrap();
                let expected = fresh(&generator, &all[..len], method);
                assert_eq!((bits(&slate), slate.skipped), expected, "{method:?} after {len} events");
                if let Some((key, at)) = all.get(len) {
                    session.push(Event { key, at: *at }).unwrap();
                }
            }
        }
    }
}

#[test]
fn late_events_are_put_where_they_belong() {
    let generator = generator(ITEMS);
    let all = events(&history(2, 40, ITEMS));
    let ask = Request::builder(&[]).length(5).build().unwrap();
    let mut session = Session::open(&generator, &borrowed(&all), 0).unwrap();
    for (key, at) in [(key(5), 3), (key(9), -1), (key(11), 100)] {
        session.push(Event { key: &key, at }).unwrap();
        let mut grown = all.clone();
        grown.push((key.clone(), at));
        let mut other = Session::open(&generator, &borrowed(&grown), 0).unwrap();
        // The same event into a session of its own, and all of them into the one.
        assert_eq!(bits(&other.next(&ask).unwrap()), fresh(&generator, &grown, Method::TopK).0);
        other.push(Event { key: "nobody", at: 200 }).unwrap();
        assert_eq!(
            other.next(&ask).unwrap().items,
            Session::open(&generator, &borrowed(&grown), 0).unwrap().next(&ask).unwrap().items
        );
    }
    let mut grown = all;
    grown.extend([(key(5), 3), (key(9), -1), (key(11), 100)]);
    assert_eq!(bits(&session.next(&ask).unwrap()), fresh(&generator, &grown, Method::TopK).0);
}

#[test]
fn a_session_outlives_its_process() {
    let generator = Arc::new(generator(ITEMS));
    let all = events(&history(3, 30, ITEMS));
    let ask = Request::builder(&[]).length(5).method(Method::Beam { width: 2 }).build().unwrap();
    let mut session = Session::open(Arc::clone(&generator), &borrowed(&all), 4).unwrap();
    let bytes = session.snapshot().unwrap();
    let mut restored = Session::restore(Arc::clone(&generator), &bytes).unwrap();
    for step in 0..20 {
        assert_eq!(bits(&restored.next(&ask).unwrap()), bits(&session.next(&ask).unwrap()));
        let key = key(step * 3 % 60);
        session.push(Event { key: &key, at: 1000 }).unwrap();
        restored.push(Event { key: &key, at: 1000 }).unwrap();
    }
    // A later model knows what this one did not.
    let larger = crate::support::generator(90);
    let mut early = Session::open(Arc::clone(&generator), &[], 0).unwrap();
    early.push(Event { key: &key(80), at: 1 }).unwrap();
    let ask = Request::builder(&[]).length(5).build().unwrap();
    assert!(early.next(&ask).unwrap().fallback);
    assert!(!Session::restore(&larger, &early.snapshot().unwrap()).unwrap().next(&ask).unwrap().fallback);
}

#[test]
fn bytes_that_are_no_snapshot_are_refused() {
    let generator = generator(ITEMS);
    let good = Session::open(&generator, &[Event { key: &key(1), at: 5 }], 3).unwrap().snapshot().unwrap();
    for end in 0..good.len() {
        assert!(matches!(Session::restore(&generator, &good[..end]), Err(SnapshotError::Format(_))));
    }
    let later = String::from_utf8(good.clone()).unwrap().replace("\"version\":2", "\"version\":3,\"new\":0");
    assert!(matches!(Session::restore(&generator, later.as_bytes()), Err(SnapshotError::Version(3))));
    let greedy = String::from_utf8(good.clone()).unwrap().replace("\"reserve\":3", "\"reserve\":2");
    assert!(matches!(Session::restore(&generator, greedy.as_bytes()), Err(SnapshotError::Damaged)));
    // No bit of it may change: neither whose history it is nor when anything was.
    for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut damaged = good.clone();
        damaged[at] ^= 1 << bit;
        assert!(Session::restore(&generator, &damaged).is_err(), "bit {bit} of byte {at}");
    }
    // A model with a smaller window has no room for the reserve.
    let small = Generator::from_parts(
        served_of(ModelConfig { window: 4, ..config() }, ITEMS, 40.0),
        Options::default(),
    );
    let refused = Session::restore(&small.unwrap(), &good).unwrap_err();
    assert!(matches!(refused, SnapshotError::Open(RequestError::Reserve { reserve: 3, most: 2, .. })));
}

#[test]
fn a_list_longer_than_the_reserve_is_refused() {
    let generator = generator(ITEMS);
    let session = Session::open(&generator, &[], 3).unwrap();
    let ask =
        |length| Request::builder(&[]).length(length).method(Method::Beam { width: 2 }).build().unwrap();
    assert!(session.next(&ask(4)).is_ok());
    let refused = session.next(&ask(5)).unwrap_err();
    assert!(matches!(refused, RequestError::Session { steps: 4, reserve: 3 }));
}
