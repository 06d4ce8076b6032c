//! One viewer: tastes, times, and what was watched.

use rand_chacha::ChaCha8Rng;

use super::config::WorldConfig;
use super::item_id;
use super::library::{FIRST_DAY, Library, Shelf};
use super::next::Next;
use crate::ItemId;
use crate::calendar::DAY;
use crate::chance::{self, Key, Purpose};

/// The favourites of a viewer over time: `changes[j]` holds from event `changes[j].0` on.
pub(super) type TastePath = Vec<(usize, Vec<Shelf>)>;

/// What a viewer likes, which nobody sees, and what they watched.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub(super) path: TastePath,
    pub(super) items: Vec<ItemId>,
    /// Unix seconds, ascending.
    pub(super) times: Vec<i64>,
}

impl Viewer {
    /// Draws taste and times first, then every event from the probabilities at its place.
    pub(super) fn draw(config: &WorldConfig, library: &Library, seed: u64, user: u64) -> Self {
        let mut rng = Key { seed, purpose: Purpose::World, step: 1, part: user }.rng();
        let more = chance::below(&mut rng, (config.events.1 - config.events.0) as u64 + 1) as usize;
        let events = config.events.0 + more;
        let path = draw_path(config, library, events, &mut rng);
        let times = draw_times(config, events, &mut rng);
        let mut items = Vec::with_capacity(events);
        let mut next = Next::new(config, library, &path);
        let mut probabilities = vec![0.0; library.items.len()];
        for &time in &times {
            next.probabilities(time, &mut probabilities);
            let item = draw_item(&probabilities, chance::unit(&mut rng));
            next.watch(item);
            items.push(item);
        }
        Self { path, items, times }
    }
}

/// Favourites are shelves of drawn works, so that full shelves have more friends.
fn draw_path(config: &WorldConfig, library: &Library, events: usize, rng: &mut ChaCha8Rng) -> TastePath {
    let draw = |rng: &mut ChaCha8Rng| {
        let work = &library.works[chance::below(rng, library.works.len() as u64) as usize];
        Shelf { genre: work.genres[0], era: work.era }
    };
    let mut favourites: Vec<_> = (0..config.favourites).map(|_| draw(rng)).collect();
    let mut path = vec![(0, favourites.clone())];
    for position in 1..events {
        if chance::unit(rng) < config.drift {
            let changed = chance::below(rng, config.favourites as u64) as usize;
            favourites[changed] = draw(rng);
            path.push((position, favourites.clone()));
        }
    }
    path
}

/// A start, then pauses that are exponential with a mean of the viewer's own, squeezed into the world's days.
fn draw_times(config: &WorldConfig, events: usize, rng: &mut ChaCha8Rng) -> Vec<i64> {
    let mean = 1.0 + 6.0 * chance::unit(rng);
    let pauses: Vec<f64> = (0..events).map(|_| -mean * (1.0 - chance::unit(rng)).ln()).collect();
    let whole = f64::from(config.days);
    let length: f64 = pauses.iter().sum();
    let squeeze = (whole / length).min(1.0);
    let mut day = (whole - length * squeeze) * chance::unit(rng);
    let mut times = Vec::with_capacity(events);
    for pause in pauses {
        day += pause * squeeze;
        times.push(FIRST_DAY + (day * DAY as f64) as i64);
    }
    times
}

/// The item in whose part of the unit interval `unit` falls.
pub(super) fn draw_item(probabilities: &[f64], unit: f64) -> ItemId {
    let mut left = unit;
    let mut last = 0;
    for (index, &probability) in probabilities.iter().enumerate() {
        if probability > 0.0 {
            last = index;
            left -= probability;
            if left < 0.0 {
                break;
            }
        }
    }
    // Rounding may leave a remainder behind the last item that can be.
    item_id(last)
}
