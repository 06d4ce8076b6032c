//! Everything there is to watch: works, which are franchises or single titles, and their parts.

use rand_chacha::ChaCha8Rng;

use super::config::{WorldConfig, WorldError};
use super::item_id;
use super::titles::{GENRES, Titles};
use crate::ItemId;
use crate::calendar::DAY;
use crate::chance::{self, Key, Purpose};

/// The world's first day, 1 January 2022, in Unix seconds.
pub(super) const FIRST_DAY: i64 = 1_640_995_200;
/// Days before the first day within which the older works were released.
const BACK_DAYS: u64 = 30 * 365;
/// Days before the first day that end an era: older works are of the first, newer ones of the last.
const ERA_ENDS: [i64; 2] = [18 * 365, 6 * 365];

/// A genre and an era: what a taste is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Shelf {
    pub(super) genre: usize,
    pub(super) era: usize,
}

/// A franchise, or a single title, which is a work of one part.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// One or two genres; two that are equal count as one.
    pub(super) genres: [usize; 2],
    /// By the release of its first part.
    pub(super) era: usize,
    /// Zipf weight of its popularity.
    pub(super) appeal: f64,
    /// Its items in order.
    pub(super) parts: Vec<ItemId>,
    /// Whether its parts follow each other without a rest.
    pub(super) binge: bool,
}

/// A title.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) title: String,
    pub(super) genre_names: Vec<&'static str>,
    /// Empty for a single title.
    pub(super) franchise: String,
    /// Unix seconds.
    pub(super) released: i64,
    /// The work it belongs to, and which part of it, from 0.
    pub(super) work: usize,
    pub(super) part: usize,
}

/// All works and all items.
#[derive(Clone, Debug)]
pub(super) struct Library {
    pub(super) works: Vec<Work>,
    pub(super) items: Vec<Item>,
}

impl Library {
    /// Draws the works and numbers their parts in an order that says nothing.
    pub(super) fn draw(config: &WorldConfig, seed: u64) -> Self {
        let mut rng = Key { seed, purpose: Purpose::World, step: 0, part: 0 }.rng();
        let mut parts = Vec::new();
        for _ in 0..config.franchises {
            let more = chance::below(&mut rng, (config.parts.1 - config.parts.0) as u64 + 1) as usize;
            parts.push(config.parts.0 + more);
        }
        let single = config.items - parts.iter().sum::<usize>();
        parts.resize(config.franchises + single, 1);
        let mut ids: Vec<_> = (0..config.items).map(item_id).collect();
        chance::shuffle(&mut rng, &mut ids);
        let mut ranks: Vec<_> = (1..=parts.len()).collect();
        chance::shuffle(&mut rng, &mut ranks);
        let mut titles = Titles::default();
        let mut works = Vec::with_capacity(parts.len());
        let mut items = Vec::with_capacity(config.items);
        for (&count, &rank) in parts.iter().zip(&ranks) {
            let ids = &ids[items.len()..items.len() + count];
            let (work, of_work) = draw_work(config, works.len(), ids, rank, &mut titles, &mut rng);
            works.push(work);
            items.extend(ids.iter().copied().zip(of_work));
        }
        items.sort_by_key(|(id, _)| *id);
        Self { works, items: items.into_iter().map(|(_, item)| item).collect() }
    }

    /// Whether even the longest history of the first day finds something unseen.
    pub(super) fn check(&self, config: &WorldConfig) -> Result<(), WorldError> {
        let works = self.works.iter().filter(|work| self.release(work.parts[0]) <= FIRST_DAY).count();
        let events = config.events.1;
        if works > events { Ok(()) } else { Err(WorldError::TooFewTitles { events, works }) }
    }

    /// When an item comes out.
    pub(super) fn release(&self, item: ItemId) -> i64 {
        self.items[item.index()].released
    }
}

fn draw_work(
    config: &WorldConfig,
    index: usize,
    ids: &[ItemId],
    rank: usize,
    titles: &mut Titles,
    rng: &mut ChaCha8Rng,
) -> (Work, Vec<Item>) {
    let genre = chance::below(rng, config.genres as u64) as usize;
    let second =
        if chance::unit(rng) < 0.3 { chance::below(rng, config.genres as u64) as usize } else { genre };
    let is_new = chance::unit(rng) < config.new;
    let back = chance::below(rng, BACK_DAYS) as i64;
    let ahead = chance::below(rng, u64::from(config.days)) as i64;
    // Older franchises brought a part out every half year or slower, running ones every few weeks.
    let (first, every) = if is_new {
        (ahead, 15 + chance::below(rng, 30) as i64)
    } else {
        (-back, 180 + chance::below(rng, 540) as i64)
    };
    let era = ERA_ENDS.iter().filter(|end| first >= -**end).count();
    let binge = chance::unit(rng) < config.binge;
    let title = titles.draw(genre, rng);
    let mut genre_names = vec![GENRES[genre].0];
    if second != genre {
        genre_names.push(GENRES[second].0);
    }
    let items = (0..ids.len()).map(|part| Item {
        title: if part == 0 { title.clone() } else { format!("{title} {}", part + 1) },
        genre_names: genre_names.clone(),
        franchise: if ids.len() > 1 { title.clone() } else { String::new() },
        released: FIRST_DAY + (first + part as i64 * every) * DAY,
        work: index,
        part,
    });
    let items = items.collect();
    let pull = if ids.len() > 1 { config.pull } else { 1.0 };
    let appeal = pull * (rank as f64).powf(-config.zipf);
    (Work { genres: [genre, second], era, appeal, parts: ids.to_vec(), binge }, items)
}
