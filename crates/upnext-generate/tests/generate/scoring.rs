//! Lists from fewer bytes and fewer items: what they have in common with exact ones, and what they say of themselves.

use upnext_data::ItemId;
use upnext_generate::{
    Adjustment, Error, Event, Exactness, Generator, Method, Options, Request, Scoring, Session, Slate,
    Threads,
};
use upnext_kernels::score::{Homes, Plan};
use upnext_model::folder::Index;

use crate::support::{all_bits, bits, generator, history, ids, key, one, request, served};

const ITEMS: usize = 700;
const ALL: [Scoring; 4] =
    [Scoring::Bf16, Scoring::Int8, Scoring::BoundedClusters, Scoring::Clusters { probes: Some(6) }];

fn index(items: usize) -> Index {
    let plan = Plan { clusters: 24, homes: 2, rounds: 4, sample: 100 };
    let homes = Homes::find(&served(items).vectors.table(), plan, |_| ());
    Index { homes, probes: 24, measured: Vec::new() }
}

fn scored_by(scoring: Scoring, threads: Threads) -> Generator {
    let options = Options { scoring, threads, ..Options::default() };
    Generator::with_index(served(ITEMS), Some(index(ITEMS)), options).unwrap()
}

fn by(slate: &Slate) -> f64 {
    match slate.exactness {
        Exactness::Exact => 0.0,
        Exactness::Bounded { by } => by,
        _ => f64::INFINITY,
    }
}

/// The log-probabilities that exact scores give to a list's items in their order.
fn exactly(exact: &Generator, past: &[ItemId], slate: &Slate) -> f64 {
    let (mut context, mut sum) = (past.to_vec(), 0.0);
    for place in &slate.items {
        let all = Request::from_items(&context).length(ITEMS).build().unwrap();
        let all = one(exact, &all);
        sum += all.items.iter().find(|other| other.item == place.item).unwrap().score;
        context.push(place.item);
    }
    sum
}

#[test]
fn one_pass_finds_the_exact_items_and_says_how_far_its_scores_may_be_off() {
    let exact = generator(ITEMS);
    for scoring in [Scoring::Bf16, Scoring::Int8, Scoring::BoundedClusters] {
        let generator = scored_by(scoring, Threads::Caller);
        assert!(generator.scoring_bytes() > ITEMS * 8);
        let mut farthest = 0f64;
        for case in 0..60 {
            let past = history(case, 1 + case as usize % 30, ITEMS);
            let ask = || Request::from_items(&past).length(1 + case as usize % 12);
            let ruled = |generator: &Generator| {
                let genres = generator.attribute("genres").unwrap();
                ask().pin(case as usize % 3, &key(5)).at_most(4, &genres).build()
            };
            if let (Ok(here), Ok(there)) = (ruled(&generator), ruled(&exact)) {
                assert_eq!(ids(&one(&generator, &here)), ids(&one(&exact, &there)), "{scoring}, case {case}");
            }
            let plain = ask().build().unwrap();
            let (slate, truth) = (one(&generator, &plain), one(&exact, &plain));
            assert_eq!(ids(&slate), ids(&truth), "{scoring}, case {case}");
            let off = (slate.score - truth.score).abs();
            assert!(off <= by(&slate) + 1e-5, "{scoring}: off by {off}, {} promised", by(&slate));
            assert!(by(&slate) > 0.0 && by(&slate).is_finite());
            farthest = farthest.max(off);
        }
        assert!(farthest > 1e-7, "{scoring} was exact: nothing narrow was looked at");
    }
}

#[test]
fn every_list_of_every_method_has_the_probability_it_says_within_what_it_says() {
    let exact = generator(ITEMS);
    for scoring in [Scoring::Bf16, Scoring::Int8, Scoring::BoundedClusters] {
        let generator = scored_by(scoring, Threads::Caller);
        for case in 0..12 {
            let past = history(case, 6, ITEMS);
            for method in [Method::Beam { width: 4 }, Method::Sample { temperature: 0.8, top_k: 8, draws: 4 }]
            {
                let ask = Request::from_items(&past).length(4).method(method).build().unwrap();
                let slate = one(&generator, &ask);
                let off = (slate.score - exactly(&exact, &past, &slate)).abs();
                assert!(off <= by(&slate) + 1e-5, "{scoring}: off by {off}, {} promised", by(&slate));
                assert!(by(&slate).is_finite() && by(&slate) > 0.0, "{scoring}, {method:?}: {slate:?}");
            }
        }
    }
}

#[test]
fn a_batch_has_the_bits_of_each_alone_at_any_number_of_threads() {
    for scoring in ALL {
        let (generator, pooled) = (scored_by(scoring, Threads::Caller), scored_by(scoring, Threads::Pool(2)));
        let requests: Vec<Request> = (0..70).map(|case| request(case, ITEMS)).collect();
        let alone: Vec<_> = requests.iter().map(|request| bits(&one(&generator, request))).collect();
        assert_eq!(all_bits(&generator.generate(&requests)), alone, "{scoring}");
        assert_eq!(all_bits(&pooled.generate(&requests)), alone, "{scoring} in a pool");
    }
}

#[test]
fn a_session_is_a_fresh_request_by_any_scoring() {
    for scoring in ALL {
        let generator = scored_by(scoring, Threads::Caller);
        let ask = Request::builder(&[]).length(5).build().unwrap();
        let keys: Vec<String> = history(3, 40, ITEMS).iter().map(|item| key(item.0)).collect();
        let events: Vec<Event<'_>> = keys.iter().zip(0..).map(|(key, at)| Event { key, at }).collect();
        let mut session = Session::open(&generator, &[], 0).unwrap();
        for (len, &event) in events.iter().enumerate() {
            session.push(event).unwrap();
            let fresh = Request::builder(&events[..=len]).length(5).build().unwrap();
            assert_eq!(bits(&session.next(&ask).unwrap()), bits(&one(&generator, &fresh)));
        }
    }
}

#[test]
fn clusters_that_are_probed_promise_nothing_unless_scores_are_moved_and_all_items_are_looked_at() {
    let exact = generator(ITEMS);
    let few = scored_by(Scoring::Clusters { probes: Some(3) }, Threads::Caller);
    let measured = scored_by(Scoring::Clusters { probes: None }, Threads::Caller);
    let (mut differ, mut off) = (0, 0.0);
    for case in 0..40 {
        let ask = Request::from_items(&history(case, 5, ITEMS)).length(10).build().unwrap();
        let (found, truth) = (one(&few, &ask), one(&exact, &ask));
        assert_eq!(found.exactness, Exactness::Approximate);
        let of_all = Request::from_items(&history(case, 5, ITEMS)).length(ITEMS).build().unwrap();
        let of_all = one(&exact, &of_all);
        let same = of_all.items.iter().find(|place| place.item == found.items[0].item).unwrap();
        off += (found.items[0].score - same.score).abs() / 40.0;
        differ += usize::from(ids(&found) != ids(&truth));
        // The index was measured to need all of its clusters.
        assert_eq!(ids(&one(&measured, &ask)), ids(&truth));
        let moved = Adjustment { popularity_penalty: 0.5, ..Adjustment::default() };
        let ask = Request::from_items(&history(case, 5, ITEMS)).length(10).adjust(moved).build().unwrap();
        assert_eq!(bits(&one(&few, &ask)), bits(&one(&exact, &ask)));
        assert_eq!(one(&few, &ask).exactness, Exactness::Exact);
    }
    assert!(differ > 0, "three clusters of 24 held everything");
    assert!(off < 0.5, "an eighth of the clusters tells the sum to {off} only");
    // Clusters of the same homes stay when another number of them is looked into, and others take their place.
    let ask = Request::from_items(&history(1, 5, ITEMS)).length(10).build().unwrap();
    let of = |generator: &Generator| (bits(&one(generator, &ask)), generator.scoring_bytes());
    let mut turned = few;
    for scoring in [Scoring::BoundedClusters, Scoring::Clusters { probes: Some(5) }, Scoring::Int8] {
        turned = turned.scored_by(scoring, Some(index(ITEMS))).unwrap();
        assert_eq!(of(&turned), of(&scored_by(scoring, Threads::Caller)), "{scoring}");
    }
    let plan = Plan { clusters: 9, homes: 3, rounds: 2, sample: 100 };
    let others = Homes::find(&served(ITEMS).vectors.table(), plan, |_| ());
    let others = Index { homes: others, probes: 2, measured: Vec::new() };
    let (scoring, options) = (Scoring::Clusters { probes: None }, Options::default());
    let anew =
        Generator::with_index(served(ITEMS), Some(others.clone()), Options { scoring, ..options }).unwrap();
    turned = turned.scored_by(Scoring::BoundedClusters, Some(index(ITEMS))).unwrap();
    turned = turned.scored_by(scoring, Some(others)).unwrap();
    assert_eq!(of(&turned), of(&anew));
}

#[test]
fn clusters_without_an_index_are_refused_and_so_is_an_index_of_other_items() {
    let options = Options { scoring: Scoring::BoundedClusters, ..Options::default() };
    let error = Generator::from_parts(served(ITEMS), options).unwrap_err();
    assert!(matches!(error, Error::NoIndex { .. }) && error.to_string().contains("upnext index"), "{error}");
    let error = Generator::with_index(served(ITEMS), Some(index(ITEMS - 1)), options).unwrap_err();
    assert!(matches!(error, Error::Parts { found: 699, items: 700, .. }), "{error}");
}
