//! What only the inside of a world can show; `tests/world.rs` asks the rest from outside.

use super::titles::{GENRES, Titles};
use super::viewer::draw_item;
use super::*;
use crate::chance::{self, Key, Purpose};

fn rng() -> rand_chacha::ChaCha8Rng {
    Key { seed: 1, purpose: Purpose::World, step: 9, part: 9 }.rng()
}

#[test]
fn drawn_items_have_the_frequencies_of_their_probabilities() {
    let probabilities = [0.0, 0.5, 0.0, 0.05, 0.45, 0.0];
    let (mut rng, draws) = (rng(), 100_000);
    let mut counts = [0_u32; 6];
    for _ in 0..draws {
        counts[draw_item(&probabilities, chance::unit(&mut rng)).index()] += 1;
    }
    for (count, p) in counts.into_iter().zip(probabilities) {
        let expected = p * f64::from(draws);
        let deviation = (expected * (1.0 - p)).sqrt();
        assert!((f64::from(count) - expected).abs() <= 5.0 * deviation, "{counts:?}");
    }
    assert_eq!(draw_item(&probabilities, 1.0 - f64::EPSILON), item_id(4));
    assert_eq!(draw_item(&probabilities, 0.0), item_id(1));
}

#[test]
fn works_hold_every_item_once_in_order() {
    let world = World::new(WorldConfig::tiny(), 3).unwrap();
    let library = &world.library;
    let mut seen = vec![false; library.items.len()];
    for (index, work) in library.works.iter().enumerate() {
        for (part, id) in work.parts.iter().enumerate() {
            let item = &library.items[id.index()];
            assert_eq!((item.work, item.part), (index, part));
            assert_eq!(item.franchise.is_empty(), work.parts.len() == 1);
            assert!(!std::mem::replace(&mut seen[id.index()], true));
        }
        let releases: Vec<_> = work.parts.iter().map(|part| library.release(*part)).collect();
        assert!(releases.is_sorted(), "{releases:?}");
    }
    assert!(seen.iter().all(|seen| *seen));
}

#[test]
fn titles_are_drawn_once_even_when_words_run_out() {
    let (mut titles, mut rng) = (Titles::default(), rng());
    let drawn: std::collections::BTreeSet<_> = (0..3_000).map(|_| titles.draw(4, &mut rng)).collect();
    assert_eq!(drawn.len(), 3_000);
    assert!(GENRES.iter().all(|(_, nouns)| nouns.iter().all(|noun| !noun.is_empty())));
}

#[test]
fn keys_in_byte_order_are_keys_in_number_order() {
    for of in [1, 9, 10, 11, 100, 101] {
        let keys: Vec<_> = (0..of).map(|number| key('t', number, of)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }
    assert_eq!((key('t', 7, 10), key('t', 7, 11)), ("t7".into(), "t07".into()));
}
