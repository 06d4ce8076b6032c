//! How large a world is and how its viewers choose.

use serde::{Deserialize, Serialize};

use super::titles::GENRES;

/// The sizes and habits of a generated world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// Viewers.
    pub users: usize,
    /// Titles, parts of franchises included.
    pub items: usize,
    /// Franchises; titles that belong to none stand alone.
    pub franchises: usize,
    /// Fewest and most parts of a franchise.
    pub parts: (usize, usize),
    /// Genres, at most twelve.
    pub genres: usize,
    /// Fewest and most events of a viewer.
    pub events: (usize, usize),
    /// Days during which events happen.
    pub days: u32,
    /// Share of franchises and single titles that are first released within these days.
    pub new: f64,
    /// Exponent of Zipf's law over franchises and single titles.
    pub zipf: f64,
    /// How many times more popular a franchise is than a single title of the same rank.
    pub pull: f64,
    /// Favourite shelves (genre × era) of a viewer at any time.
    pub favourites: usize,
    /// How many times a title of a favourite shelf is likelier than another of the same popularity.
    pub devotion: f64,
    /// Probability that one favourite changes at an event.
    pub drift: f64,
    /// Most that the next parts of franchises may take of an event's probability.
    pub loyalty: f64,
    /// Events after which half of the interest in a serial's next part is back.
    pub rest: f64,
    /// How suddenly it comes back: interest is logistic in `regularity * (events / rest - 1)`.
    pub regularity: f64,
    /// Share of franchises that are watched in one go rather than with a rest.
    pub binge: f64,
    /// Share of the remaining probability that goes to fresh titles, if there are any.
    pub novelty: f64,
    /// Days after its release during which a title is fresh, less and less so.
    pub fresh_days: f64,
}

impl WorldConfig {
    /// The world of `upnext demo`: about 220,000 events that a small transformer learns in minutes.
    ///
    /// Serials rest for nine events, about as far as windowed Markov looks back, and a viewer follows several at
    /// once: what comes next stands far back in the history, one title in front of it. Few, popular franchises
    /// keep the number of facts to learn small against the number of events that show them.
    #[must_use]
    pub fn demo() -> Self {
        Self {
            users: 4_000,
            items: 1_000,
            franchises: 100,
            parts: (3, 5),
            genres: 8,
            events: (30, 80),
            days: 1_095,
            new: 0.35,
            zipf: 0.7,
            pull: 14.0,
            favourites: 2,
            devotion: 200.0,
            drift: 0.03,
            loyalty: 0.95,
            rest: 9.0,
            regularity: 5.5,
            binge: 0.15,
            novelty: 0.15,
            fresh_days: 45.0,
        }
    }

    /// A world for tests: drawn in milliseconds.
    #[must_use]
    pub fn tiny() -> Self {
        Self { users: 60, items: 160, franchises: 12, events: (8, 20), genres: 4, ..Self::demo() }
    }

    /// Whether every field means something.
    pub(super) fn check(&self) -> Result<(), WorldError> {
        let refuse = |field, must| Err(WorldError::Field { field, must });
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if self.users == 0 || u32::try_from(self.users).is_err() {
            return refuse("users", "be from 1 to 4,294,967,295");
        }
        if self.items == 0 || u32::try_from(self.items).is_err() {
            return refuse("items", "be from 1 to 4,294,967,295");
        }
        if self.parts.0 < 2 || self.parts.0 > self.parts.1 {
            return refuse("parts", "be two numbers, 2 or more, the smaller one first");
        }
        if self.franchises.checked_mul(self.parts.1).is_none_or(|parts| parts > self.items) {
            return refuse("franchises", "have room within the items for all of their parts");
        }
        if self.genres == 0 || self.genres > GENRES.len() {
            return refuse("genres", "be from 1 to 12");
        }
        if self.events.0 == 0 || self.events.0 > self.events.1 {
            return refuse("events", "be two numbers, 1 or more, the smaller one first");
        }
        if self.days == 0 {
            return refuse("days", "be 1 or more");
        }
        if self.favourites == 0 {
            return refuse("favourites", "be 1 or more");
        }
        for (field, value) in [
            ("new", self.new),
            ("drift", self.drift),
            ("loyalty", self.loyalty),
            ("binge", self.binge),
            ("novelty", self.novelty),
        ] {
            if !share(value) {
                return refuse(field, "be from 0 to 1");
            }
        }
        for (field, value) in [("rest", self.rest), ("fresh_days", self.fresh_days), ("pull", self.pull)] {
            if !positive(value) {
                return refuse(field, "be a positive number");
            }
        }
        for (field, value) in
            [("zipf", self.zipf), ("regularity", self.regularity / 10.0), ("devotion", self.devotion / 100.0)]
        {
            if !(0.0..=10.0).contains(&value) {
                return refuse(field, "be from 0 to 10 (regularity: to 100, devotion: to 1,000)");
            }
        }
        Ok(())
    }
}

/// Why a world cannot be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// A field has a value without a meaning.
    #[error("a world's {field} must {must}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is asked of it.
        must: &'static str,
    },
    /// A viewer might run out of titles.
    #[error(
        "a world whose viewers have up to {events} events needs more than {events} franchises and single titles \
         released before its first day; this one has {works}: raise items, or lower new"
    )]
    TooFewTitles {
        /// Most events of a viewer.
        events: usize,
        /// Franchises and single titles that are there from the first day.
        works: usize,
    },
}
