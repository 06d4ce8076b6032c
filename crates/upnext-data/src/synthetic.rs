//! A generated streaming world that knows its own next-item probabilities.
//!
//! Titles have genres, an era and a release date; some belong to a franchise whose parts are watched in
//! order. Viewers have favourite shelves (genre × era) that drift. At every event a viewer chooses from an
//! explicit mixture, and the event is drawn from exactly that mixture:
//!
//! - **the next part** of a franchise they follow: one they are in the middle of right away, a serial after a
//!   rest, when several other titles were watched in between;
//! - **a fresh title**, released a short while ago;
//! - **a title to their taste**: popularity (Zipf 1935) times how well its shelf fits the favourites.
//!
//! Nothing is watched twice, nothing before its release, and no part before the one in front of it. So
//! order, genre, popularity and novelty all carry signal, part of it far back in the history, and
//! [`World::next_log_probs`] is the ceiling that no model of these histories can pass.

mod config;
mod library;
mod next;
#[cfg(test)]
mod tests;
mod titles;
mod viewer;

pub use config::{WorldConfig, WorldError};

use rayon::prelude::*;

use crate::calendar::date;
use crate::{Catalog, Column, Histories, ItemId, Result, Strings, UserId};
use library::Library;
use next::Next;
use viewer::Viewer;

/// A catalogue and viewers with their histories, all drawn from one seed.
///
/// Users and items are numbered in byte order of their keys, as `prepare` numbers them.
#[derive(Clone, Debug)]
pub struct World {
    config: WorldConfig,
    library: Library,
    viewers: Vec<Viewer>,
}

impl World {
    /// Draws a world; the same seed gives the same world at any number of threads.
    ///
    /// # Errors
    /// When the configuration leaves a viewer nothing to watch.
    pub fn new(config: WorldConfig, seed: u64) -> Result<Self> {
        config.check()?;
        let library = Library::draw(&config, seed);
        library.check(&config)?;
        let viewers = (0..config.users as u64).into_par_iter();
        let viewers = viewers.map(|user| Viewer::draw(&config, &library, seed, user)).collect();
        Ok(Self { config, library, viewers })
    }

    /// What the world was drawn from.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// All titles, also those that nobody has watched, with the columns `title`, `genres` (joined by `|`),
    /// `franchise` and `released` (a date).
    ///
    /// # Errors
    /// None for a drawn world; the catalogue's own checks are passed on.
    pub fn catalog(&self) -> Result<Catalog> {
        let column = |name: &str, text: fn(&library::Item) -> String| Column {
            name: name.into(),
            values: self.library.items.iter().map(text).collect(),
        };
        let keys = (0..self.library.items.len()).map(|item| key('t', item, self.library.items.len()));
        Catalog::new(
            keys.collect(),
            vec![
                column("title", |item| item.title.clone()),
                column("genres", |item| item.genre_names.join("|")),
                column("franchise", |item| item.franchise.clone()),
                column("released", |item| date(item.released)),
            ],
        )
    }

    /// What everybody watched and when, in Unix seconds.
    ///
    /// # Errors
    /// None for a drawn world; the histories' own checks are passed on.
    pub fn histories(&self) -> Result<Histories> {
        let users: Strings = (0..self.viewers.len()).map(|user| key('u', user, self.viewers.len())).collect();
        let mut offsets = vec![0];
        let (mut items, mut times) = (Vec::new(), Vec::new());
        for viewer in &self.viewers {
            items.extend_from_slice(&viewer.items);
            times.extend_from_slice(&viewer.times);
            offsets.push(items.len() as u64);
        }
        Histories::new(users, offsets, items, times)
    }

    /// The true natural-log probability of every item being the user's event at `position`, given the events
    /// before it, the viewer's taste and the time of the event. Seen, unreleased and unreachable items have
    /// negative infinity; the probabilities sum to 1.
    ///
    /// # Panics
    /// When there is no such user or `position` is not below the number of the user's events.
    #[must_use]
    pub fn next_log_probs(&self, user: UserId, position: usize) -> Vec<f64> {
        let viewer = &self.viewers[user.index()];
        let mut next = Next::new(&self.config, &self.library, &viewer.path);
        for &item in &viewer.items[..position] {
            next.watch(item);
        }
        let mut probabilities = vec![0.0; self.library.items.len()];
        next.probabilities(viewer.times[position], &mut probabilities);
        probabilities.iter_mut().for_each(|p| *p = p.ln());
        probabilities
    }
}

/// A letter and a number, padded with zeros so that keys in byte order are keys in number order.
fn key(letter: char, number: usize, of: usize) -> String {
    let width = of.saturating_sub(1).max(1).ilog10() as usize + 1;
    format!("{letter}{number:0width$}")
}

/// The item at a place of the library.
fn item_id(index: usize) -> ItemId {
    ItemId(index as u32)
}
