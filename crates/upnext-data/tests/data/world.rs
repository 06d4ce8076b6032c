//! Small random worlds in which every event has an item of its own, so that an item tells which event it is.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use upnext_data::chance::{Key, Purpose, below};
use upnext_data::{Catalog, Column, Histories, ItemId, Prepared, Strings};

/// A generator for a test of this number.
pub(crate) fn rng(number: u64) -> ChaCha8Rng {
    Key { seed: 11, purpose: Purpose::World, step: number, part: 0 }.rng()
}

/// So many users with 0 to `longest` events each; item = place among all events; many equal times.
pub(crate) fn histories(number: u64, users: usize, longest: u64) -> Histories {
    let mut rng = rng(number);
    let (mut offsets, mut times) = (vec![0], Vec::new());
    for _ in 0..users {
        let mut at = below(&mut rng, 50) as i64 - 10;
        for _ in 0..below(&mut rng, longest + 1) {
            at += below(&mut rng, 3) as i64;
            times.push(at);
        }
        offsets.push(times.len() as u64);
    }
    let keys = (0..users).map(|user| format!("user {user:05}")).collect();
    let items = (0..times.len() as u32).map(ItemId).collect();
    Histories::new(keys, offsets, items, times).unwrap()
}

/// A catalogue with two columns and so many items.
pub(crate) fn catalog(items: usize) -> Catalog {
    let column = |name: &str, text: fn(usize) -> String| Column {
        name: name.to_owned(),
        values: (0..items).map(text).collect::<Strings>(),
    };
    let title =
        column("title", |item| if item % 5 == 0 { String::new() } else { format!("Le film n° {item}") });
    let genre = column("genre", |item| ["drama", "comedy", "war"][item % 3].to_owned());
    Catalog::new((0..items).map(|item| format!("item {item:06}")).collect(), vec![title, genre]).unwrap()
}

/// Writes a small prepared folder and opens it.
pub(crate) fn prepared(dir: &Path) -> Prepared {
    let histories = histories(1, 40, 12);
    let catalog = catalog(histories.events());
    let origin = serde_json::json!({ "source": "a test", "skipped": 0, "share": 0.1 });
    Prepared::write(dir, &catalog, &histories, origin, false).unwrap();
    Prepared::open(dir).unwrap()
}

/// An error with all its causes on one line, as the command line prints it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
