//! Protocols: who trains on what, and what is asked.

use std::borrow::Cow;

use crate::chance::{Key, Purpose, unit};
use crate::{Error, Histories, History, ItemId, Result, UserId};

/// Parts of one that a fraction is counted in.
const PARTS: u32 = 1_000_000;

/// A way to hold events out. Its id is printed with every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(into = "String")]
pub enum Protocol {
    /// `loo`: per user the last event tests, the second last validates, the rest trains.
    LeaveOneOut,
    /// `time:<validation>,<test>[,all]`: nothing at or after a cut reaches what is before it.
    Time {
        /// The first cut: what is before it trains.
        validation: i64,
        /// The second cut: what is at or after it tests.
        test: i64,
        /// Ask for every event after a cut, not only for each user's first.
        all_targets: bool,
    },
    /// `last:<n>[,<m>]`: the last n events test, the m before them validate (one, unless it is said), or as many as leave two
    /// to train on; the rest trains.
    Last {
        /// How many events are held out for the test.
        n: usize,
        /// How many events are held out for the validation.
        m: usize,
    },
    /// `cold:<fraction>,<seed>`: as `loo`, with every event of the drawn items cut out of the training sequences (their
    /// neighbours close up) and kept in what is asked.
    Cold {
        /// The share of items that are drawn, in millionths; each item by itself, so that a growing catalogue keeps its
        /// draws.
        millionths: u32,
        /// What the draw is keyed by.
        seed: u64,
    },
}

/// One question: after a user's first `start` events, which are the next `targets`?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whom it is about.
    pub user: UserId,
    /// The input is the events `[0, start)`; at least one.
    pub start: usize,
    /// The held-out events are `[start, start + targets)`; at least one.
    pub targets: usize,
}

/// What a protocol makes of the histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The protocol that made it.
    pub protocol: Protocol,
    /// Per user: how many leading events train. Those of [`Split::cold`] items among them do not: see
    /// [`Split::training`].
    pub train: Vec<usize>,
    /// By item, up to the largest that occurs: whether it is held out of training; empty when none is.
    pub cold: Vec<bool>,
    /// Asked after each epoch, ascending by user and start.
    pub validation: Vec<Question>,
    /// Asked at the end, ascending by user and start.
    pub test: Vec<Question>,
}

/// Why a protocol was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// No protocol of this name.
    #[error("there is no protocol {0:?}; known are loo, time, last and cold")]
    Unknown(String),
    /// Too many or too few parts after the colon.
    #[error("it does not take {0} parts after the colon")]
    Parts(usize),
    /// A part that should be a number.
    #[error("{part:?} is no whole number that fits")]
    Number {
        /// The part.
        part: String,
        /// Why not.
        source: std::num::ParseIntError,
    },
    /// Cuts out of order.
    #[error("the validation cut {validation} is not before the test cut {test}")]
    Cuts {
        /// The first cut.
        validation: i64,
        /// The second cut.
        test: i64,
    },
    /// Nothing held out.
    #[error("at least one event must be held out")]
    None,
    /// A fraction that is none.
    #[error("{0:?} is no fraction between 0 and 1 (both excluded, up to six digits after the point)")]
    Fraction(String),
}

impl ProtocolError {
    /// Adds what was given and the valid form nearest to it.
    fn at(self, id: &str) -> Error {
        let head = id.split(':').next().unwrap_or_default();
        let nearest =
            FORMS.iter().min_by_key(|form| distance(head, form.split(':').next().unwrap_or_default()));
        Error::Protocol { id: id.to_owned(), nearest: nearest.copied().unwrap_or_default(), source: self }
    }
}

/// How protocols are written.
const FORMS: [&str; 4] =
    ["loo", "time:<validation>,<test>[,all] (Unix times)", "last:<n>[,<m>]", "cold:<fraction>,<seed>"];

/// Edits from one word to another (Levenshtein 1966).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (place, b) in to.chars().enumerate() {
            let edits = (diagonal + usize::from(a != b)).min(row[place] + 1).min(row[place + 1] + 1);
            diagonal = std::mem::replace(&mut row[place + 1], edits);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// A decimal fraction in millionths.
fn fraction(part: &str) -> std::result::Result<u32, ProtocolError> {
    let refused = || ProtocolError::Fraction(part.to_owned());
    let value: f64 = part.parse().map_err(|_| refused())?;
    let millionths = (value * f64::from(PARTS)).round();
    let exact = (millionths / f64::from(PARTS) - value).abs() < 1e-12;
    let inside = millionths >= 1.0 && millionths < f64::from(PARTS);
    if inside && exact { Ok(millionths as u32) } else { Err(refused()) }
}

fn number(part: &str, source: std::num::ParseIntError) -> ProtocolError {
    ProtocolError::Number { part: part.to_owned(), source }
}

impl Protocol {
    fn time(validation: &str, test: &str, all_targets: bool) -> std::result::Result<Self, ProtocolError> {
        let cut = |part: &str| part.parse().map_err(|source| number(part, source));
        Ok(Self::Time { validation: cut(validation)?, test: cut(test)?, all_targets })
    }

    fn last(n: &str, m: &str) -> std::result::Result<Self, ProtocolError> {
        let count = |part: &str| part.parse().map_err(|source| number(part, source));
        Ok(Self::Last { n: count(n)?, m: count(m)? })
    }

    /// Splits the histories.
    ///
    /// # Errors
    /// When the protocol's numbers make no sense (cuts out of order, `last:0`).
    pub fn split(&self, histories: &Histories) -> Result<Split> {
        self.check().map_err(|source| source.at(&self.to_string()))?;
        let mut split = Split {
            protocol: *self,
            train: Vec::new(),
            cold: self.cold(histories),
            validation: Vec::new(),
            test: Vec::new(),
        };
        for (user, history) in histories.iter() {
            let train = match *self {
                Self::LeaveOneOut | Self::Cold { .. } => split.ask_last(user, history.len(), 1, 1),
                Self::Last { n, m } => split.ask_last(user, history.len(), n, m),
                Self::Time { validation, test, all_targets } => {
                    split.ask_after(user, history.times, [validation, test], all_targets)
                }
            };
            split.train.push(train);
        }
        Ok(split)
    }

    /// Whether the other asks the same test questions, whatever validates: `loo` is `last:1`, and of `time:` only the second
    /// cut tests.
    #[must_use]
    pub fn tests_as(&self, other: &Self) -> bool {
        let last = |protocol: &Self| match *protocol {
            Self::LeaveOneOut => Some(1),
            Self::Last { n, .. } => Some(n),
            _ => None,
        };
        match (self, other) {
            (Self::Time { test, all_targets, .. }, Self::Time { test: cut, all_targets: all, .. }) => {
                (test, all_targets) == (cut, all)
            }
            _ => self == other || last(self).is_some_and(|n| last(other) == Some(n)),
        }
    }

    /// Whether the protocol holds an item out of training.
    #[must_use]
    pub fn is_cold(&self, item: ItemId) -> bool {
        let Self::Cold { millionths, seed } = *self else { return false };
        let key = Key { seed, purpose: Purpose::Cold, step: 0, part: u64::from(item.0) };
        unit(&mut key.rng()) < f64::from(millionths) / f64::from(PARTS)
    }

    /// [`Protocol::is_cold`] for every item up to the largest that occurs; empty for other protocols.
    fn cold(&self, histories: &Histories) -> Vec<bool> {
        match self {
            Self::Cold { .. } => {
                let items = histories.items().iter().map(|item| item.0 + 1).max().unwrap_or(0);
                (0..items).map(|item| self.is_cold(ItemId(item))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn check(&self) -> std::result::Result<(), ProtocolError> {
        match *self {
            Self::Time { validation, test, .. } if validation >= test => {
                Err(ProtocolError::Cuts { validation, test })
            }
            Self::Last { n: 0, .. } | Self::Last { m: 0, .. } => Err(ProtocolError::None),
            Self::Cold { millionths, .. } if millionths == 0 || millionths >= PARTS => {
                Err(ProtocolError::Fraction((f64::from(millionths) / f64::from(PARTS)).to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// What trains: whole histories, of which so many leading events count.
#[derive(Clone, Debug)]
pub struct Training<'a> {
    /// The histories; without the events of cold items where a protocol holds some out.
    pub histories: Cow<'a, Histories>,
    /// Per user: how many leading events train.
    pub train: Cow<'a, [usize]>,
}

impl Split {
    /// The events that train.
    ///
    /// # Errors
    /// When the histories are other ones than were split.
    pub fn training<'a>(&'a self, histories: &'a Histories) -> Result<Training<'a>> {
        if self.train.len() != histories.users() {
            let (expected, found) = (histories.users(), self.train.len());
            return Err(Error::Entries { what: "the split".into(), expected, found });
        }
        if self.cold.is_empty() {
            return Ok(Training { histories: Cow::Borrowed(histories), train: Cow::Borrowed(&self.train) });
        }
        let (mut offsets, mut items, mut times) = (vec![0], Vec::new(), Vec::new());
        for ((_, history), &train) in histories.iter().zip(&self.train) {
            let events = history.items.iter().zip(history.times).take(train);
            for (&item, &time) in events.filter(|(item, _)| !self.is_cold(**item)) {
                items.push(item);
                times.push(time);
            }
            offsets.push(items.len() as u64);
        }
        let train = offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).collect();
        let histories = Histories::new(histories.user_keys().clone(), offsets, items, times)?;
        Ok(Training { histories: Cow::Owned(histories), train: Cow::Owned(train) })
    }

    /// The first question of validation or test that asks for events which another split of the same histories trains on.
    #[must_use]
    pub fn trained_on_by(&self, other: &Self) -> Option<Question> {
        let trains = |question: &&Question| question.start < other.train[question.user.index()];
        self.test.iter().chain(&self.validation).find(trains).copied()
    }

    /// The first test question that asks for events which another split of the same histories validates by.
    #[must_use]
    pub fn validated_by(&self, other: &Self) -> Option<Question> {
        // Of each user the first event that validates, and one more than the last.
        let mut events = vec![(usize::MAX, 0); other.train.len()];
        for &Question { user, start, targets } in &other.validation {
            let (first, end) = events[user.index()];
            events[user.index()] = (first.min(start), end.max(start + targets));
        }
        let validates = |question: &&Question| {
            let (first, end) = events[question.user.index()];
            question.start < end && first < question.start + question.targets
        };
        self.test.iter().find(validates).copied()
    }

    /// Whether an item is held out of training.
    #[must_use]
    pub fn is_cold(&self, item: ItemId) -> bool {
        self.cold.get(item.index()).copied().unwrap_or(false)
    }

    /// The last `n` events test, the `m` before them validate, or as many as leave two to train on, but one at least; says
    /// how many train. A user with fewer than 2n events, or with nothing left to train on, only trains; so the test's
    /// questions are the same for every m.
    fn ask_last(&mut self, user: UserId, events: usize, n: usize, m: usize) -> usize {
        match events.checked_sub(n) {
            Some(before) if before >= n.max(2) => {
                let train = before - m.min(before - 2).max(1);
                self.validation.push(Question { user, start: train, targets: before - train });
                self.test.push(Question { user, start: before, targets: n });
                train
            }
            _ => events,
        }
    }

    /// What is at or after a cut is asked for, given everything before that cut; says how many events train. With
    /// `all` each event in turn is a question of its own, given everything before it.
    fn ask_after(&mut self, user: UserId, times: &[i64], cuts: [i64; 2], all: bool) -> usize {
        let [first, second] = cuts.map(|cut| times.partition_point(|&at| at < cut));
        for (questions, start, end) in
            [(&mut self.validation, first, second), (&mut self.test, second, times.len())]
        {
            if start > 0 && start < end {
                let asked = if all { start..end } else { start..start + 1 };
                questions.extend(asked.map(|start| Question { user, start, targets: 1 }));
            }
        }
        first
    }
}

impl Question {
    /// The events that are known.
    #[must_use]
    pub fn input<'a>(&self, histories: &'a Histories) -> History<'a> {
        let history = histories.of(self.user);
        History { items: &history.items[..self.start], times: &history.times[..self.start] }
    }

    /// The events that are asked for.
    #[must_use]
    pub fn held_out<'a>(&self, histories: &'a Histories) -> History<'a> {
        let history = histories.of(self.user);
        let asked = self.start..self.start + self.targets;
        History { items: &history.items[asked.clone()], times: &history.times[asked] }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LeaveOneOut => write!(f, "loo"),
            Self::Time { validation, test, all_targets: false } => write!(f, "time:{validation},{test}"),
            Self::Time { validation, test, all_targets: true } => write!(f, "time:{validation},{test},all"),
            Self::Last { n, m: 1 } => write!(f, "last:{n}"),
            Self::Last { n, m } => write!(f, "last:{n},{m}"),
            Self::Cold { millionths, seed } => {
                write!(f, "cold:{},{seed}", f64::from(*millionths) / f64::from(PARTS))
            }
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self> {
        let (head, rest) = id.split_once(':').map_or((id, None), |(head, rest)| (head, Some(rest)));
        let parts: Vec<&str> = rest.map(|rest| rest.split(',').collect()).unwrap_or_default();
        let protocol = match (head, parts.as_slice()) {
            ("loo", []) => Ok(Self::LeaveOneOut),
            ("time", [validation, test]) => Self::time(validation, test, false),
            ("time", [validation, test, "all"]) => Self::time(validation, test, true),
            ("last", [n]) => Self::last(n, "1"),
            ("last", [n, m]) => Self::last(n, m),
            ("cold", [share, seed]) => fraction(share).and_then(|millionths| {
                let seed = seed.parse().map_err(|source| number(seed, source))?;
                Ok(Self::Cold { millionths, seed })
            }),
            ("loo" | "time" | "last" | "cold", _) => Err(ProtocolError::Parts(parts.len())),
            _ => Err(ProtocolError::Unknown(head.to_owned())),
        };
        let checked = protocol.and_then(|protocol| protocol.check().map(|()| protocol));
        checked.map_err(|source| source.at(id))
    }
}

/// A file's reader keeps an error's message and drops its cause, so the message says both.
impl<'de> serde::Deserialize<'de> for Protocol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        id.parse().map_err(|error| match &error {
            Error::Protocol { source, .. } => serde::de::Error::custom(format!("{error}: {source}")),
            error => serde::de::Error::custom(error),
        })
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}
