//! Requests and models that nobody should send: a defined answer or a typed error, never a panic.

use upnext_data::ItemId;
use upnext_generate::{
    Event, Generator, MAX_WIDTH, Method, Options, Request, RequestError, Session, Slate, Threads,
};
use upnext_model::{Served, Vectors};

use crate::support::{bits, card, catalog, config, counts, generator, history, ids, key, model, one, served};

const ITEMS: usize = 60;
const EVENTS: usize = 1_000_000;

fn methods() -> [Method; 6] {
    [
        Method::TopK,
        Method::MultiToken,
        Method::Beam { width: 3 },
        Method::DiverseBeam { width: 4, groups: 2, diversity: 0.5 },
        Method::Hybrid { autoregressive: 2, width: 3 },
        Method::Sample { temperature: 0.7, top_k: 10, draws: 3 },
    ]
}

#[test]
fn a_million_events_are_read_as_their_end_and_all_of_them_are_seen() {
    let generator = generator(ITEMS);
    // The last two items are in no history.
    let long = history(3, EVENTS, ITEMS - 2);
    // As many hops of 4 are left out as make no difference to the window.
    let short = &long[EVENTS - 1000..];
    for method in methods() {
        let ask = |past: &[ItemId], keep| {
            Request::from_items(past).length(4).method(method).keep_seen(keep).seed(1).build().unwrap()
        };
        let kept = one(&generator, &ask(&long, true));
        assert_eq!(bits(&kept), bits(&one(&generator, &ask(short, true))), "{method:?}");
        let mut unseen = ids(&one(&generator, &ask(&long, false)));
        unseen.sort_unstable();
        assert_eq!(unseen, [ITEMS as u32 - 2, ITEMS as u32 - 1], "{method:?}");
    }
    // By keys, every other of them unknown.
    let keys: Vec<String> = (0..ITEMS as u32).map(key).collect();
    let events: Vec<Event<'_>> = (0..)
        .zip(&long)
        .map(|(at, item)| Event { key: if at % 2 == 0 { "unknown" } else { &keys[item.index()] }, at })
        .collect();
    let slate = one(&generator, &Request::builder(&events).length(4).build().unwrap());
    assert_eq!((slate.skipped, slate.fallback), (EVENTS / 2, false));
    let strange = vec![Event { key: "unknown", at: i64::MIN }; EVENTS];
    let slate = one(&generator, &Request::builder(&strange).length(4).build().unwrap());
    assert_eq!((slate.skipped, slate.fallback, slate.items.len()), (EVENTS, true, 4));
}

#[test]
fn more_than_the_catalogue_has_gives_all_of_it() {
    let generator = generator(ITEMS);
    let past = history(3, 5, 5);
    let unseen = ITEMS - past.iter().collect::<std::collections::BTreeSet<_>>().len();
    for length in [ITEMS + 1, 1 << 20, usize::MAX] {
        let slate = one(&generator, &Request::from_items(&past).length(length).build().unwrap());
        assert_eq!((slate.items.len(), slate.requested), (unseen, length));
        let fallback = one(&generator, &Request::from_items(&[]).length(length).build().unwrap());
        assert_eq!((fallback.items.len(), fallback.fallback), (ITEMS, true));
        for method in &methods()[1..] {
            let request = Request::from_items(&past).length(length).method(*method).build().unwrap();
            match generator.generate(&[request]).remove(0) {
                Ok(slate) => {
                    let grows = !matches!(method, Method::Hybrid { .. } | Method::MultiToken);
                    assert!(!grows && slate.items.len() == unseen, "{method:?}");
                }
                Err(error) => assert!(matches!(error, RequestError::Reserve { .. }), "{method:?}: {error}"),
            }
        }
    }
    // Searches wider than all there is to search.
    for method in [
        Method::Beam { width: MAX_WIDTH },
        Method::DiverseBeam { width: MAX_WIDTH, groups: MAX_WIDTH, diversity: f32::MAX },
        Method::Hybrid { autoregressive: usize::MAX, width: MAX_WIDTH },
        Method::Sample { temperature: f32::MIN_POSITIVE, top_k: MAX_WIDTH, draws: 2 },
        Method::Sample { temperature: f32::MAX, top_k: MAX_WIDTH, draws: 2 },
    ] {
        let few = [&key(7)[..], &key(8), &key(9)];
        let request = Request::from_items(&past).length(5).method(method).allow(&few).build().unwrap();
        let slate = one(&generator, &request);
        assert!(slate.is_short() && slate.items.len() == 3, "{method:?}: {:?}", ids(&slate));
    }
}

#[test]
fn nothing_to_show_is_an_empty_list_in_every_method() {
    let generator = generator(ITEMS);
    let keys: Vec<String> = (0..ITEMS as u32).map(key).collect();
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    let none = generator.items_where("year < 0").unwrap();
    let everything: Vec<ItemId> = (0..ITEMS as u32).map(ItemId).collect();
    for method in methods() {
        let ask = |past: &[ItemId]| Request::from_items(past).length(3).method(method);
        for builder in [
            ask(&history(1, 9, ITEMS)).deny(&all),
            ask(&history(1, 9, ITEMS)).allow(&[]),
            ask(&history(1, 9, ITEMS)).only(&none),
            ask(&everything),
            ask(&[]).deny(&all),
        ] {
            let slate = one(&generator, &builder.build().unwrap());
            assert!(slate.items.is_empty() && slate.is_short() && slate.score == 0.0, "{method:?}");
        }
        let pinned = ask(&[]).deny(&all).pin(1, &key(4)).build().unwrap();
        let answer = generator.generate(&[pinned]).remove(0);
        assert!(matches!(answer, Err(RequestError::Pin { .. })), "{method:?}");
        for second in [(0, key(5)), (1, key(4))] {
            let twice = ask(&[]).pin(0, &key(4)).pin(second.0, &second.1).build();
            let refused = twice.and_then(|request| generator.generate(&[request]).remove(0));
            assert!(matches!(refused, Err(RequestError::Pin { .. })), "{method:?} {second:?}");
        }
    }
}

/// Nothing that is no number leaves a generator: an answer is finite, or says that it could not be.
fn is_defined(answer: Result<Slate, RequestError>) -> bool {
    match answer {
        Ok(slate) => slate.score.is_finite() && slate.items.iter().all(|place| place.score.is_finite()),
        Err(error) => {
            assert!(matches!(error, RequestError::NotFinite), "{error}");
            false
        }
    }
}

/// Asks a broken model for everything that it can be asked for, and says how many lists it could make.
fn ask_everything(served: Served, what: &str) -> usize {
    let generator =
        Generator::from_parts(served, Options { threads: Threads::Pool(2), ..Options::default() });
    let generator = generator.unwrap();
    let mut lists = 0;
    for (case, method) in methods().into_iter().enumerate() {
        for diversify in [0.0, 0.5] {
            for past in [history(case as u64, 7, ITEMS), vec![ItemId(3)], Vec::new()] {
                let builder = Request::from_items(&past).length(4).method(method).seed(1);
                let Ok(request) = builder.diversify(diversify).explore(0.1).build() else { continue };
                let answer = generator.generate(std::slice::from_ref(&request)).remove(0);
                let is_list = answer.is_ok();
                assert_eq!(is_defined(answer), is_list, "{what}: {method:?}");
                lists += usize::from(is_list);
                if let Err(error) = generator.explain(&request, &[&key(3), &key(9)], 3) {
                    let known = matches!(error, RequestError::NotFinite | RequestError::NothingKnown);
                    assert!(known, "{what}: {error}");
                }
                for state in generator.states(std::slice::from_ref(&request)) {
                    let is_finite = |state: Vec<f32>| state.iter().all(|value| value.is_finite());
                    assert!(state.map_or(true, is_finite), "{what}");
                }
            }
        }
    }
    let events = [Event { key: &key(3), at: 1 }, Event { key: &key(9), at: 2 }];
    let mut session = Session::open(&generator, &events[..1], 3).unwrap();
    for _ in 0..40 {
        let next = session.next(&Request::builder(&[]).length(3).build().unwrap());
        assert!(is_defined(next.clone()) == next.is_ok(), "{what}");
        if session.push(events[1]).is_err() {
            break;
        }
    }
    for item in [0, 3, 9] {
        let similar = generator.similar(&key(item), ITEMS).unwrap();
        assert!(similar.iter().all(|item| item.score.is_finite()), "{what}");
    }
    lists
}

#[test]
fn vectors_that_are_no_numbers_give_typed_errors() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN] {
        for broken in [vec![3], vec![9], (0..ITEMS).collect()] {
            let mut served = served(ITEMS);
            let rank = served.vectors.rank();
            let mut rows = vec![0.0; ITEMS * rank];
            for (id, row) in (0..).zip(rows.chunks_exact_mut(rank)) {
                served.vectors.input_row(ItemId(id), row).unwrap();
            }
            for &item in &broken {
                rows[item * rank + 2] = value;
            }
            served.vectors = Vectors::packed(rows, None, rank).unwrap();
            let lists = ask_everything(served, &format!("{value} in {} vectors", broken.len()));
            // Of empty histories the vectors are not asked.
            assert!(lists >= methods().len(), "{value}: {lists}");
        }
    }
}

#[test]
fn weights_that_are_no_numbers_give_typed_errors() {
    let names: Vec<String> = {
        let model = model(config(), ITEMS, 1.0);
        model.parameters().iter().map(|(name, _)| name.to_owned()).collect()
    };
    assert!(names.len() > 5, "{names:?}");
    for name in &names {
        for value in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut model = model(config(), ITEMS, 40.0);
            let mut values = model.parameters().values(name).unwrap();
            values[1] = value;
            model.parameters_mut().set(name, &values).unwrap();
            let served = Served::from_model(&model, catalog(ITEMS), counts(ITEMS), None, &card()).unwrap();
            ask_everything(served, &format!("{value} in {name}"));
        }
    }
}
