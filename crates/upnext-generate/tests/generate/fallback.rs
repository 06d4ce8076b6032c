//! Histories of which nothing is known.

use upnext_data::{Catalog, ItemId};
use upnext_generate::{Event, Method, Request};

use crate::support::{generator, ids, key, one, partly_trained};

// Items 6 and 13 of 20 lead: with 7 events each, or 6 in the model that never met items 0, 7 and 14.

#[test]
fn an_empty_history_gets_the_most_popular_items() {
    let generator = generator(20);
    for method in [Method::TopK, Method::Beam { width: 3 }] {
        let request = Request::builder(&[]).length(4).method(method).build().unwrap();
        let slate = one(&generator, &request);
        assert!(slate.fallback);
        assert_eq!(ids(&slate), [6, 13, 5, 12]);
    }
}

#[test]
fn a_fallback_score_is_the_log_of_the_share_of_eligible_events() {
    let generator = partly_trained(7);
    // Six events of 1 + 2 + 3 + 4 + 6, once item 5 is denied and item 0 counts as one.
    let request = Request::builder(&[]).length(2).deny(&["item-00005"]).build().unwrap();
    let slate = one(&generator, &request);
    let expected = [(6.0f64 / 17.0).ln(), (4.0f64 / 17.0).ln()];
    for (place, expected) in slate.items.iter().zip(expected) {
        assert!((place.score - expected).abs() < 1e-12);
    }
    let whole =
        Request::builder(&[]).length(7).allow(&["item-00000", "item-00003", "item-00006"]).build().unwrap();
    let slate = one(&generator, &whole);
    assert_eq!(ids(&slate), [6, 3, 0]);
    assert!((slate.items.iter().map(|place| place.score.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn a_history_of_unknown_items_gets_the_fallback_and_counts_them() {
    let generator = generator(20);
    let history = [Event { key: "nobody", at: 1 }, Event { key: "knows", at: 2 }];
    let by_key = Request::builder(&history).length(3).build().unwrap();
    let by_id = Request::from_items(&[ItemId(20), ItemId(u32::MAX)]).length(3).build().unwrap();
    for request in [by_key, by_id] {
        let slate = one(&generator, &request);
        assert_eq!((slate.fallback, slate.skipped, ids(&slate)), (true, 2, vec![6, 13, 5]));
    }
}

#[test]
fn unknown_events_are_skipped_and_counted() {
    let generator = generator(20);
    let (known, other) = (key(3), key(8));
    let mixed = [(known.as_str(), 1), ("nobody", 2), (other.as_str(), 3)].map(Event::from);
    let slate = one(&generator, &Request::builder(&mixed).build().unwrap());
    let clean = one(&generator, &Request::from_items(&[ItemId(3), ItemId(8)]).build().unwrap());
    assert_eq!((slate.skipped, slate.fallback), (1, false));
    assert_eq!(slate.items, clean.items);
}

#[test]
fn events_that_no_training_has_met_are_skipped_and_counted() {
    let generator = partly_trained(20);
    let ids_of = |ids: &[u32]| ids.iter().map(|&id| ItemId(id)).collect::<Vec<_>>();
    let ask = |past: &[u32], method| {
        one(&generator, &Request::from_items(&ids_of(past)).length(4).method(method).build().unwrap())
    };
    for method in [Method::TopK, Method::Beam { width: 3 }] {
        let (mixed, clean) = (ask(&[14, 3, 7, 8], method), ask(&[3, 8], method));
        assert_eq!((mixed.skipped, clean.skipped, mixed.fallback), (2, 0, false));
        // Seen they are all the same: no list repeats them.
        let shown = |slate: &[u32]| slate.iter().any(|id| [14, 7].contains(id));
        assert!(!shown(&ids(&mixed)) && mixed.items.len() == 4);
        if !shown(&ids(&clean)) {
            assert_eq!(ids(&mixed), ids(&clean));
        }
        let nothing = ask(&[7, 14], method);
        assert_eq!((nothing.skipped, nothing.fallback, ids(&nothing)), (2, true, vec![6, 13, 5, 12]));
    }
}

#[test]
fn ids_of_another_catalog_are_mapped_by_key() {
    let generator = generator(20);
    let other = Catalog::new(["item-00008", "new", "item-00003"].into_iter().collect(), Vec::new()).unwrap();
    let map = generator.item_map(&other);
    assert_eq!([0, 1, 2, 3].map(|id| map.get(ItemId(id))), [Some(ItemId(8)), None, Some(ItemId(3)), None]);
    let slate = one(&generator, &map.request(&[ItemId(2), ItemId(1), ItemId(0)]).build().unwrap());
    let clean = one(&generator, &Request::from_items(&[ItemId(3), ItemId(8)]).build().unwrap());
    assert_eq!((slate.skipped, slate.items), (1, clean.items));
}
