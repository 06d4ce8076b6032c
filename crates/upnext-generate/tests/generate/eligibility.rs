//! What a list may show, whatever is asked.

use upnext_data::ItemId;
use upnext_generate::{Method, Request};

use crate::support::{draw, generator, history, ids, key, one};

const METHODS: [Method; 7] = [
    Method::MultiToken,
    Method::TopK,
    Method::Beam { width: 1 },
    Method::Beam { width: 5 },
    Method::Hybrid { autoregressive: 2, width: 3 },
    Method::Hybrid { autoregressive: 9, width: 2 },
    Method::Sample { temperature: 1.5, top_k: 9, draws: 4 },
];

fn keys(items: &[u32]) -> Vec<String> {
    items.iter().map(|&item| key(item)).collect()
}

fn borrowed(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

#[test]
fn no_list_ever_shows_a_seen_denied_forbidden_or_repeated_item() {
    let items = 40;
    let generator = generator(items);
    for case in 0..300 {
        let past = history(case, draw(case, 1 << 40, 60), items);
        let denied: Vec<u32> =
            history(case + 1000, draw(case, 1 << 41, 12), items).iter().map(|item| item.0).collect();
        let allowed: Vec<u32> =
            history(case + 2000, draw(case, 1 << 42, 30), items).iter().map(|item| item.0).collect();
        let (only, keep) = (case % 5 == 0, case % 7 == 0);
        let mut builder =
            Request::from_items(&past).method(METHODS[case as usize % METHODS.len()]).keep_seen(keep);
        builder = builder.length(1 + draw(case, 1 << 43, 8)).deny(&borrowed(&keys(&denied)));
        if only {
            builder = builder.allow(&borrowed(&keys(&allowed)));
        }
        let eligible = |item: u32| {
            (keep || !past.contains(&ItemId(item)))
                && !denied.contains(&item)
                && (!only || allowed.contains(&item))
        };
        let request = builder.build().unwrap();
        let slate = one(&generator, &request);
        let shown = ids(&slate);
        assert!(shown.iter().all(|&item| eligible(item)), "case {case}: {shown:?}");
        let mut distinct = shown.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), shown.len(), "case {case}: {shown:?}");
        let possible = (0..items as u32).filter(|&item| eligible(item)).count();
        assert_eq!(shown.len(), possible.min(slate.requested), "case {case}");
        assert_eq!(slate.is_short(), possible < slate.requested, "case {case}");
        assert!(slate.items.iter().all(|place| place.key == key(place.item.0) && place.score <= 0.0));
    }
}

#[test]
fn seen_items_are_dropped_though_the_window_has_left_them() {
    let generator = generator(60);
    let past: Vec<ItemId> = (0..50).map(ItemId).collect();
    for method in METHODS {
        let request = Request::from_items(&past).length(8).method(method).build().unwrap();
        assert!(ids(&one(&generator, &request)).iter().all(|&item| item >= 50));
    }
}

#[test]
fn seen_items_are_shown_when_they_are_kept() {
    let generator = generator(6);
    let past: Vec<ItemId> = (0..6).map(ItemId).collect();
    for method in METHODS {
        let builder = Request::from_items(&past).length(4).method(method);
        let (dropped, kept) = (builder.clone().build().unwrap(), builder.keep_seen(true).build().unwrap());
        assert!(one(&generator, &dropped).items.is_empty());
        assert_eq!(one(&generator, &kept).items.len(), 4);
    }
}

#[test]
fn an_allow_list_is_all_that_is_shown_and_its_unknown_keys_are_counted() {
    let generator = generator(60);
    let allow = ["item-00009", "no such item", "item-00030", "item-00009", "item-00002"];
    for method in METHODS {
        let request =
            Request::from_items(&[ItemId(2)]).length(5).method(method).allow(&allow).build().unwrap();
        let slate = one(&generator, &request);
        let mut shown = ids(&slate);
        shown.sort_unstable();
        assert_eq!((shown, slate.unknown_allowed, slate.is_short()), (vec![9, 30], 1, true));
    }
}

#[test]
fn unknown_denied_keys_change_nothing() {
    let generator = generator(60);
    let builder = Request::from_items(&[ItemId(2)]).length(5);
    let denied = builder.clone().deny(&["no such item"]).build().unwrap();
    assert_eq!(one(&generator, &denied), one(&generator, &builder.build().unwrap()));
}

#[test]
fn denying_everything_gives_an_empty_short_list() {
    let generator = generator(30);
    let everything = keys(&(0..30).collect::<Vec<_>>());
    for method in METHODS {
        for past in [vec![], vec![ItemId(3)]] {
            let request = Request::from_items(&past)
                .length(3)
                .method(method)
                .deny(&borrowed(&everything))
                .build()
                .unwrap();
            let slate = one(&generator, &request);
            assert!(slate.items.is_empty() && slate.is_short());
            assert_eq!((slate.requested, slate.score), (3, 0.0));
        }
    }
}

#[test]
fn allowing_nothing_gives_an_empty_short_list() {
    let request = Request::from_items(&[ItemId(3)]).allow(&[]).build().unwrap();
    assert!(one(&generator(30), &request).items.is_empty());
}

#[test]
fn a_list_longer_than_the_catalogue_holds_every_unseen_item() {
    let generator = generator(5);
    for method in METHODS {
        let request = Request::from_items(&[ItemId(1)]).length(8).method(method).build().unwrap();
        let slate = one(&generator, &request);
        let mut shown = ids(&slate);
        shown.sort_unstable();
        assert_eq!((shown, slate.is_short()), (vec![0, 2, 3, 4], true));
    }
    let endless = Request::from_items(&[ItemId(1)]).length(usize::MAX).build().unwrap();
    assert_eq!(one(&generator, &endless).items.len(), 4);
}
