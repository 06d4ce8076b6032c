//! Users in byte order of their keys, each with all events in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Read;

use crate::error::{Error, Result};
use crate::spool::{Room, Spool};
use crate::times::MICROS;

/// Events that are read or written at once.
const EVENTS: usize = 4096;

/// The users of one part.
pub(crate) struct Run {
    spool: Spool,
    users: u64,
}

#[derive(Default)]
pub(crate) struct RunWriter {
    spool: Spool,
    users: u64,
    bytes: Vec<u8>,
}

impl RunWriter {
    /// Adds a user with `(microseconds, item)` rows in order.
    pub(crate) fn push(&mut self, user: &[u8], rows: &[(i64, u32)], room: &Room) -> Result<()> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&(user.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(user);
        self.bytes.extend_from_slice(&(rows.len() as u64).to_le_bytes());
        self.spool.push(&self.bytes, room);
        for rows in rows.chunks(EVENTS) {
            self.bytes.clear();
            for (time, item) in rows {
                self.bytes.extend_from_slice(&item.to_le_bytes());
                self.bytes.extend_from_slice(&time.div_euclid(MICROS).to_le_bytes());
            }
            self.spool.push(&self.bytes, room);
        }
        self.users += 1;
        if room.is_over() { self.spool.spill(room) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> Run {
        Run { spool: self.spool, users: self.users }
    }
}

/// A user with all events.
#[derive(Default)]
pub(crate) struct User {
    /// The key.
    pub(crate) key: Vec<u8>,
    /// Items by their numbers, oldest first.
    pub(crate) items: Vec<u32>,
    /// Unix seconds of each.
    pub(crate) times: Vec<i64>,
}

impl User {
    /// Keeps the events whose item is among those that are `kept`.
    pub(crate) fn retain(&mut self, kept: &[bool]) {
        let mut to = 0;
        for from in 0..self.items.len() {
            if kept[self.items[from] as usize] {
                self.items[to] = self.items[from];
                self.times[to] = self.times[from];
                to += 1;
            }
        }
        self.items.truncate(to);
        self.times.truncate(to);
    }
}

/// Reads a run from its beginning.
struct Reader<R> {
    from: R,
    left: u64,
    /// The user whose events are next, or were.
    user: User,
    bytes: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Goes to the next user; its events are read by [`Reader::events`].
    fn advance(&mut self) -> std::io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        let mut length = [0; 2];
        self.from.read_exact(&mut length)?;
        self.user.key.resize(usize::from(u16::from_le_bytes(length)), 0);
        self.from.read_exact(&mut self.user.key)?;
        Ok(true)
    }

    fn events(&mut self) -> std::io::Result<()> {
        let mut count = [0; 8];
        self.from.read_exact(&mut count)?;
        let mut left = u64::from_le_bytes(count) as usize;
        self.user.items.clear();
        self.user.times.clear();
        while left > 0 {
            let events = left.min(EVENTS);
            self.bytes.resize(events * 12, 0);
            self.from.read_exact(&mut self.bytes)?;
            for event in self.bytes.as_chunks::<12>().0 {
                let [a, b, c, d, time @ ..] = *event;
                self.user.items.push(u32::from_le_bytes([a, b, c, d]));
                self.user.times.push(i64::from_le_bytes(time));
            }
            left -= events;
        }
        Ok(())
    }
}

/// Calls `each` with every user of all runs, in byte order of their keys. Runs share no user.
pub(crate) fn merge(runs: &[Run], room: &Room, mut each: impl FnMut(&mut User) -> Result<()>) -> Result<()> {
    let failed = |source| Error::Spill { folder: room.folder().into(), source };
    let mut readers = Vec::with_capacity(runs.len());
    let mut first = BinaryHeap::with_capacity(runs.len());
    for (index, run) in runs.iter().enumerate() {
        let from = run.spool.reader(room)?;
        let mut reader = Reader { from, left: run.users, user: User::default(), bytes: Vec::new() };
        if reader.advance().map_err(failed)? {
            first.push(Reverse((reader.user.key.clone(), index)));
        }
        readers.push(reader);
    }
    while let Some(Reverse((mut key, index))) = first.pop() {
        let reader = &mut readers[index];
        reader.events().map_err(failed)?;
        each(&mut reader.user)?;
        if reader.advance().map_err(failed)? {
            key.clone_from(&reader.user.key);
            first.push(Reverse((key, index)));
        }
    }
    Ok(())
}
