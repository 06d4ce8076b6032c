//! Small generated histories and a system with known scores.

use rand::RngCore;
use upnext_data::chance::{Key, Purpose};
use upnext_data::{Catalog, Histories, ItemId, Strings};
use upnext_eval::{Result, Scorer};

/// Histories of 2 to 30 events over `items` items, neighbours alike, repeats allowed.
pub(crate) fn histories(users: usize, items: usize, seed: u64) -> Histories {
    let mut rng = Key { seed, purpose: Purpose::World, step: 0, part: 0 }.rng();
    let (mut offsets, mut events) = (vec![0], Vec::new());
    for _ in 0..users {
        let mut item = rng.next_u32() as usize % items;
        for _ in 0..2 + rng.next_u32() % 29 {
            events.push(ItemId(item as u32));
            item = (item + 1 + (rng.next_u32() % 4).pow(2) as usize) % items;
        }
        offsets.push(events.len() as u64);
    }
    let keys: Vec<String> = (0..users).map(|user| format!("user{user:05}")).collect();
    let times = (0..events.len() as i64).collect();
    Histories::new(strings(&keys), offsets, events, times).unwrap()
}

pub(crate) fn catalog(items: usize) -> Catalog {
    let keys: Vec<String> = (0..items).map(|item| format!("item{item:05}")).collect();
    Catalog::new(strings(&keys), Vec::new()).unwrap()
}

fn strings(keys: &[String]) -> Strings {
    keys.iter().map(String::as_str).collect()
}

/// Scores by a hash of the last item, rounded to `levels` values, so that ties are common.
pub(crate) struct Hashed {
    pub(crate) items: usize,
    pub(crate) levels: u64,
}

impl Scorer for Hashed {
    fn name(&self) -> &str {
        "hashed"
    }

    fn items(&self) -> usize {
        self.items
    }

    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        for (input, row) in inputs.iter().zip(out.chunks_exact_mut(self.items)) {
            let last = u64::from(input[input.len() - 1].0);
            for (item, score) in (0_u64..).zip(row) {
                let mixed = (last * 1_000_003 + item + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
                *score = (mixed % self.levels) as f32 / 7.0 - 1.5;
            }
        }
        Ok(())
    }
}
