//! Seeded order of training windows, cut into jagged batches.
//!
//! A training sequence of L events holds L - 1 pairs (token, next item). If they exceed the window they are cut into
//! consecutive windows that cover each pair once an epoch. Where the cuts fall is drawn per user and epoch, so that over
//! the epochs every pair is seen with long and short contexts and none is lost (arXiv 2409.14517).

use std::ops::Range;

use crate::chance::{Key, Purpose, below, shuffle, unit};
use crate::{Error, Histories, ItemId, Result, UserId};

/// Training windows one after the other, unpadded: window j owns the tokens `offsets[j]..offsets[j + 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// (n) the items read.
    pub tokens: Vec<ItemId>,
    /// (n) the true next item after each token.
    pub targets: Vec<ItemId>,
    /// (b + 1) where each window begins.
    pub offsets: Vec<usize>,
    /// (n) when each token happened.
    pub times: Vec<i64>,
    /// (b) whose window it is; a user with a long history may have several.
    pub users: Vec<UserId>,
    /// Training events that follow each window's last target: as many as are looked ahead to, where there are so many.
    pub beyond: Vec<ItemId>,
    /// (b + 1) where in `beyond` each window's begin.
    pub beyond_offsets: Vec<usize>,
}

impl Batch {
    /// What followed a token of a window, the next item first, as far as the batch knows. Nothing in it is past the end of
    /// the training sequence.
    ///
    /// # Panics
    /// When there is no such window, or the token is not in it.
    pub fn ahead(&self, window: usize, token: usize) -> impl Iterator<Item = ItemId> {
        let within = &self.targets[token..self.offsets[window + 1]];
        let beyond = &self.beyond[self.beyond_offsets[window]..self.beyond_offsets[window + 1]];
        within.iter().chain(beyond).copied()
    }
}

/// How large a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// So many windows; the last batch of an epoch may have fewer.
    Users(usize),
    /// As many windows, in the epoch's order, as fit into so many tokens.
    Tokens(usize),
}

/// Training sequences, ready to be ordered and cut for any epoch.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    histories: &'a Histories,
    train: Vec<usize>,
    window: usize,
    size: BatchSize,
    seed: u64,
    horizons: usize,
    /// Users of whom only a share trains each epoch, and the share.
    replayed: Option<(Vec<bool>, f64)>,
}

impl<'a> Batches<'a> {
    /// Batches over each user's first `train[user]` events.
    ///
    /// # Errors
    /// When the window or the size is 0, a whole window does not fit into the token budget, `train` does not match
    /// the histories, or no training sequence has two events.
    pub fn new(
        histories: &'a Histories,
        train: &[usize],
        window: usize,
        size: BatchSize,
        seed: u64,
    ) -> Result<Self> {
        if window == 0 || u32::try_from(window).is_err() {
            return Err(Error::Reserve { window, reserve: 0 });
        }
        let (given, unit, least) = match size {
            BatchSize::Users(users) => (users, "users", 1),
            BatchSize::Tokens(tokens) => (tokens, "tokens", window),
        };
        if given < least {
            return Err(Error::BatchSize { size: given, unit, least, window });
        }
        if train.len() != histories.users() {
            let (expected, found) = (histories.users(), train.len());
            return Err(Error::Entries { what: "train".into(), expected, found });
        }
        for ((user, history), &train) in histories.iter().zip(train) {
            if train > history.len() {
                return Err(Error::Train { user: user.0, train, events: history.len() });
            }
        }
        if train.iter().all(|&events| events < 2) {
            return Err(Error::NoPairs);
        }
        Ok(Self { histories, train: train.to_vec(), window, size, seed, horizons: 1, replayed: None })
    }

    /// The same, whose batches know the next `horizons` events after every token, so far as they train; one if not told.
    #[must_use]
    pub fn looking_ahead(self, horizons: usize) -> Self {
        Self { horizons, ..self }
    }

    /// The same, but of the users marked `old` only about `share` train in an epoch, drawn anew for each.
    ///
    /// # Errors
    /// When `old` does not match the histories, or nobody else has two training events.
    pub fn replaying(self, old: Vec<bool>, share: f64) -> Result<Self> {
        if old.len() != self.train.len() {
            let (expected, found) = (self.train.len(), old.len());
            return Err(Error::Entries { what: "the list of old users".into(), expected, found });
        }
        if old.iter().zip(&self.train).all(|(&old, &events)| old || events < 2) {
            return Err(Error::NoPairs);
        }
        Ok(Self { replayed: Some((old, share)), ..self })
    }

    /// Whether a user's history trains in an epoch.
    fn trains(&self, epoch: u64, user: usize) -> bool {
        self.replayed.as_ref().is_none_or(|(old, share)| {
            let key = Key { seed: self.seed, purpose: Purpose::Replay, step: epoch, part: user as u64 };
            !old[user] || unit(&mut key.rng()) < *share
        })
    }

    /// How many (token, target) pairs an epoch has.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.train.iter().map(|&events| events.saturating_sub(1) as u64).sum()
    }

    /// The plan of one epoch: a pure function of the seed and the epoch's number.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Epoch<'a> {
        let mut pieces = Vec::new();
        for (user, &events) in self.train.iter().enumerate().filter(|&(user, _)| self.trains(epoch, user)) {
            let (user, first) = (user as u32, self.histories.offsets()[user] as usize);
            let all = events.saturating_sub(1);
            self.cut(epoch, user, all, |pairs| {
                let (start, len) = (first + pairs.start, pairs.len() as u32);
                let beyond = (all - pairs.end).min(self.horizons.saturating_sub(1));
                pieces.push(Piece { start, len, beyond: beyond as u32, user: UserId(user) });
            });
        }
        shuffle(
            &mut Key { seed: self.seed, purpose: Purpose::Order, step: epoch, part: 0 }.rng(),
            &mut pieces,
        );
        let cuts = self.size.cuts(&pieces);
        Epoch { histories: self.histories, pieces, cuts }
    }

    /// Hands over the windows of one user's pairs, in order.
    fn cut(&self, epoch: u64, user: u32, pairs: usize, mut window: impl FnMut(Range<usize>)) {
        let mut end = self.window;
        if pairs > self.window {
            let key = Key { seed: self.seed, purpose: Purpose::Windows, step: epoch, part: u64::from(user) };
            end -= below(&mut key.rng(), self.window as u64) as usize;
        }
        let mut start = 0;
        while start < pairs {
            window(start..end.min(pairs));
            (start, end) = (end, end + self.window);
        }
    }
}

impl BatchSize {
    /// Where the batches of these windows begin and end.
    fn cuts(self, pieces: &[Piece]) -> Vec<usize> {
        let (mut cuts, mut windows, mut tokens) = (vec![0], 0, 0);
        for (index, piece) in pieces.iter().enumerate() {
            let full = match self {
                Self::Users(users) => windows == users,
                Self::Tokens(budget) => tokens + piece.len as usize > budget,
            };
            if full {
                cuts.push(index);
                (windows, tokens) = (0, 0);
            }
            windows += 1;
            tokens += piece.len as usize;
        }
        cuts.push(pieces.len());
        cuts
    }
}

/// One window: `len` pairs, the first token being event `start` of all events, and `beyond` further events.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    len: u32,
    beyond: u32,
    user: UserId,
}

/// The plan of one epoch: which windows, in which order, in which batches.
#[derive(Clone, Debug)]
pub struct Epoch<'a> {
    histories: &'a Histories,
    pieces: Vec<Piece>,
    cuts: Vec<usize>,
}

impl Epoch<'_> {
    /// How many batches (steps) the epoch has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cuts.len() - 1
    }

    /// Whether it has none; it never does, since [`Batches::new`] asks for a pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Builds batch `index`: three copies a window.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn batch(&self, index: usize) -> Batch {
        let pieces = &self.pieces[self.cuts[index]..self.cuts[index + 1]];
        let n = pieces.iter().map(|piece| piece.len as usize).sum();
        let mut batch = Batch {
            tokens: Vec::with_capacity(n),
            targets: Vec::with_capacity(n),
            offsets: Vec::with_capacity(pieces.len() + 1),
            times: Vec::with_capacity(n),
            users: pieces.iter().map(|piece| piece.user).collect(),
            beyond: Vec::new(),
            beyond_offsets: Vec::with_capacity(pieces.len() + 1),
        };
        batch.offsets.push(0);
        batch.beyond_offsets.push(0);
        let (items, times) = (self.histories.items(), self.histories.times());
        for piece in pieces {
            let (start, end) = (piece.start, piece.start + piece.len as usize);
            batch.tokens.extend_from_slice(&items[start..end]);
            batch.targets.extend_from_slice(&items[start + 1..end + 1]);
            batch.times.extend_from_slice(&times[start..end]);
            batch.offsets.push(batch.tokens.len());
            batch.beyond.extend_from_slice(&items[end + 1..end + 1 + piece.beyond as usize]);
            batch.beyond_offsets.push(batch.beyond.len());
        }
        batch
    }
}
