//! Users in byte order of their keys, each with all events in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Read;

use crate::error::{Error, Result};
use crate::spool::{Room, Spool};
use crate::times::MICROS;

/// Events that are read or written at once.
const EVENTS: usize = 4096;

/// An event of a user.
#[derive(Clone, Copy, Default)]
pub(crate) struct Row {
    /// In microseconds.
    pub(crate) time: i64,
    /// The item's number.
    pub(crate) item: u32,
    /// Which of the rows of kept values is its.
    pub(crate) index: u32,
}

/// The users of one part.
pub(crate) struct Run {
    spool: Spool,
    users: u64,
    /// Kept columns.
    columns: usize,
}

impl Run {
    /// Frees the run's memory.
    pub(crate) fn discard(self, room: &Room) {
        self.spool.discard(room);
    }
}

#[derive(Default)]
pub(crate) struct RunWriter {
    spool: Spool,
    users: u64,
    bytes: Vec<u8>,
}

impl RunWriter {
    /// Adds a user with rows in order; `kept` has the values of so many columns for each index.
    pub(crate) fn push(
        &mut self,
        user: &[u8],
        rows: &[Row],
        kept: &[u32],
        columns: usize,
        room: &Room,
    ) -> Result<()> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&(user.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(user);
        self.bytes.extend_from_slice(&(rows.len() as u64).to_le_bytes());
        self.spool.push(&self.bytes, room);
        for rows in rows.chunks(EVENTS) {
            self.bytes.clear();
            for row in rows {
                self.bytes.extend_from_slice(&row.item.to_le_bytes());
                self.bytes.extend_from_slice(&row.time.div_euclid(MICROS).to_le_bytes());
            }
            for row in rows.iter().filter(|_| columns > 0) {
                let at = row.index as usize * columns;
                for bits in &kept[at..at + columns] {
                    self.bytes.extend_from_slice(&bits.to_le_bytes());
                }
            }
            self.spool.push(&self.bytes, room);
        }
        self.users += 1;
        if room.is_over() { self.spool.spill(room) } else { Ok(()) }
    }

    pub(crate) fn finish(self, columns: usize) -> Run {
        Run { spool: self.spool, users: self.users, columns }
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
    /// The values of the kept columns, event by event.
    pub(crate) kept: Vec<u32>,
    /// Kept columns.
    columns: usize,
}

impl User {
    /// Keeps the events whose item is among those that are `kept`.
    pub(crate) fn retain(&mut self, kept: &[bool]) {
        let mut to = 0;
        for from in 0..self.items.len() {
            if kept[self.items[from] as usize] {
                self.items[to] = self.items[from];
                self.times[to] = self.times[from];
                let values = from * self.columns..(from + 1) * self.columns;
                self.kept.copy_within(values, to * self.columns);
                to += 1;
            }
        }
        self.items.truncate(to);
        self.times.truncate(to);
        self.kept.truncate(to * self.columns);
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
        self.user.kept.clear();
        while left > 0 {
            let events = left.min(EVENTS);
            self.bytes.resize(events * (12 + 4 * self.user.columns), 0);
            self.from.read_exact(&mut self.bytes)?;
            let (rows, kept) = self.bytes.split_at(events * 12);
            self.user.kept.extend(kept.as_chunks::<4>().0.iter().map(|bits| u32::from_le_bytes(*bits)));
            for event in rows.as_chunks::<12>().0 {
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
        let user = User { columns: run.columns, ..User::default() };
        let mut reader = Reader { from, left: run.users, user, bytes: Vec::new() };
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
