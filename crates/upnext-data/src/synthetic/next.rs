//! The probability of every item being watched next.

use super::config::WorldConfig;
use super::library::{Library, Work};
use super::viewer::TastePath;
use crate::ItemId;
use crate::calendar::DAY;

/// Interest that a title of a favourite's genre, but of another era, gets of a favourite's.
const OTHER_ERA: f64 = 0.1;
/// Interest in a franchise that lies outside its moment: never nothing.
const ANY_TIME: f64 = 0.01;
/// Summed interest at which the next parts take half of [`WorldConfig::loyalty`].
const HALF_DUE: f64 = 0.3;
/// Events within which a franchise that is watched in one go goes on.
const BINGE_EVENTS: f64 = 2.0;

/// A franchise that a viewer is within.
struct Followed {
    work: usize,
    /// Part that comes next.
    next: usize,
    /// Events before the one of its last part.
    at: usize,
}

/// A viewer at some point of their history.
pub(super) struct Next<'a> {
    config: &'a WorldConfig,
    library: &'a Library,
    path: &'a TastePath,
    /// Events watched so far.
    position: usize,
    /// Which entry of the path `interest` was computed for.
    taste: Option<usize>,
    /// Per work: its appeal to the viewer's current taste.
    interest: Vec<f64>,
    /// Per work, whether its first part was watched.
    started: Vec<bool>,
    followed: Vec<Followed>,
}

impl<'a> Next<'a> {
    /// Before the first event.
    pub(super) fn new(config: &'a WorldConfig, library: &'a Library, path: &'a TastePath) -> Self {
        let works = library.works.len();
        let (interest, started) = (vec![0.0; works], vec![false; works]);
        Self { config, library, path, position: 0, taste: None, interest, started, followed: Vec::new() }
    }

    /// Adds an event.
    pub(super) fn watch(&mut self, item: ItemId) {
        let watched = &self.library.items[item.index()];
        let (work, next) = (watched.work, watched.part + 1);
        self.started[work] = true;
        self.followed.retain(|followed| followed.work != work);
        if next < self.library.works[work].parts.len() {
            self.followed.push(Followed { work, next, at: self.position });
        }
        self.position += 1;
    }

    /// Writes the probability of every item at `time`; they sum to 1.
    ///
    /// p = a · parts + (1 − a) · (n · fresh + (1 − n) · taste), each of the three a distribution of its own;
    /// a = loyalty · s / (s + ½) grows with the summed interest s in parts that are due, and n is
    /// [`WorldConfig::novelty`], or 0 when nothing is fresh.
    pub(super) fn probabilities(&mut self, time: i64, out: &mut [f64]) {
        self.update_taste();
        out.fill(0.0);
        let due: Vec<(ItemId, f64)> = self.followed.iter().filter_map(|f| self.due(f, time)).collect();
        let due_sum: f64 = due.iter().map(|(_, interest)| interest).sum();
        let parts = self.config.loyalty * due_sum / (due_sum + HALF_DUE);
        for (item, interest) in due {
            out[item.index()] = parts * interest / due_sum;
        }
        let (mut taste_sum, mut fresh_sum) = (0.0, 0.0);
        for (work, interest) in self.startable(time) {
            taste_sum += interest;
            fresh_sum += interest * self.freshness(work, time);
        }
        let novelty = if fresh_sum > 0.0 { self.config.novelty } else { 0.0 };
        let fresh_scale = if fresh_sum > 0.0 { (1.0 - parts) * novelty / fresh_sum } else { 0.0 };
        let taste_scale = (1.0 - parts) * (1.0 - novelty) / taste_sum;
        for (work, interest) in self.startable(time) {
            let scale = taste_scale + fresh_scale * self.freshness(work, time);
            out[work.parts[0].index()] = interest * scale;
        }
    }

    /// The next part of a followed franchise and the interest in it, if it is out.
    fn due(&self, followed: &Followed, time: i64) -> Option<(ItemId, f64)> {
        let work = &self.library.works[followed.work];
        let item = work.parts[followed.next];
        if self.library.release(item) > time {
            return None;
        }
        let gap = (self.position - followed.at) as f64;
        let interest = if work.binge {
            (-(gap - 1.0) / BINGE_EVENTS).exp()
        } else {
            let rest = self.config.rest;
            1.0 / (1.0 + ((1.0 - gap / rest) * self.config.regularity).exp())
        };
        Some((item, interest.max(ANY_TIME)))
    }

    /// Works that can be begun at `time`, with the interest in them.
    fn startable(&self, time: i64) -> impl Iterator<Item = (&Work, f64)> {
        let works = self.library.works.iter().zip(&self.started).zip(&self.interest);
        works.filter_map(move |((work, started), interest)| {
            let can_be = !started && self.library.release(work.parts[0]) <= time;
            can_be.then_some((work, *interest))
        })
    }

    /// From 1 on the day of the release down to 0 after [`WorldConfig::fresh_days`].
    fn freshness(&self, work: &Work, time: i64) -> f64 {
        let age = (time - self.library.release(work.parts[0])) as f64 / DAY as f64;
        (1.0 - age / self.config.fresh_days).max(0.0)
    }

    /// Brings the interest in every work up to the taste at the current position.
    fn update_taste(&mut self) {
        let current = self.path.iter().rposition(|(from, _)| *from <= self.position).unwrap_or(0);
        if self.taste.replace(current) == Some(current) {
            return;
        }
        let favourites = &self.path[current].1;
        for (interest, work) in self.interest.iter_mut().zip(&self.library.works) {
            let fit = |shelf: &super::library::Shelf| match () {
                () if !work.genres.contains(&shelf.genre) => 0.0,
                () if work.era == shelf.era => 1.0,
                () => OTHER_ERA,
            };
            let fits: f64 = favourites.iter().map(fit).sum();
            *interest = work.appeal * (1.0 + self.config.devotion * fits);
        }
    }
}
