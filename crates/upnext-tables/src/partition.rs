//! Events by hash of their user: each part has all events of its users, and fits in memory to be sorted.

use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::intern::Keys;
use crate::runs::{Row, Run, RunWriter, merge};
use crate::spool::{Room, Spool};
use crate::times::MICROS;

/// Stands for the time of an event whose position is its time.
const NO_TIME: i64 = i64::MIN;
/// Bytes of a record beside the user's key and the values of kept columns.
const FIXED: usize = 2 + 4 + 8;
/// Parts that a part is cut into where it turns out too large.
const AGAIN: usize = 16;
/// How often it may be cut.
const DEPTH: u32 = 4;

/// Records of events, user, item, time and the values of kept columns, in parts by user; within a part in the order they came.
pub(crate) struct Parts<'a> {
    spools: Vec<Spool>,
    room: &'a Room,
    hasher: RandomState,
    record: Vec<u8>,
    events: u64,
    /// How many columns are kept.
    columns: usize,
}

impl<'a> Parts<'a> {
    /// No events yet, for `count` parts.
    pub(crate) fn new(count: usize, columns: usize, room: &'a Room) -> Self {
        let spools = (0..count).map(|_| Spool::default()).collect();
        Self { spools, room, hasher: RandomState::new(), record: Vec::new(), events: 0, columns }
    }

    /// Events so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Adds an event. `time` is in microseconds; without one, the position within the user is the time.
    pub(crate) fn push(&mut self, user: &[u8], item: u32, time: Option<i64>, kept: &[u32]) -> Result<()> {
        self.record.clear();
        self.record.extend_from_slice(&(user.len() as u16).to_le_bytes());
        self.record.extend_from_slice(user);
        self.record.extend_from_slice(&item.to_le_bytes());
        self.record.extend_from_slice(&time.unwrap_or(NO_TIME).to_le_bytes());
        for bits in kept {
            self.record.extend_from_slice(&bits.to_le_bytes());
        }
        let part = self.hasher.hash_one(user) as usize % self.spools.len();
        self.spools[part].push(&self.record, self.room);
        self.events += 1;
        if self.room.is_over() { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        self.spools.iter_mut().try_for_each(|spool| spool.spill(self.room))
    }

    /// Sorts every part by user, time and order of coming. `most` is the size in bytes up to which a part is sorted
    /// in memory; `done` is told of the events sorted since it was told last.
    pub(crate) fn sort(self, most: u64, done: &(dyn Fn(u64) -> Result<()> + Sync)) -> Result<Vec<Run>> {
        let sorter = Sorter { room: self.room, columns: self.columns, most, done };
        let sorted: Result<Vec<Option<Run>>> =
            self.spools.into_par_iter().map(|spool| sorter.sort(spool, 0)).collect();
        Ok(sorted?.into_iter().flatten().collect())
    }
}

/// What sorting a part needs to know.
struct Sorter<'a> {
    room: &'a Room,
    columns: usize,
    most: u64,
    done: &'a (dyn Fn(u64) -> Result<()> + Sync),
}

impl Sorter<'_> {
    fn sort(&self, spool: Spool, depth: u32) -> Result<Option<Run>> {
        if spool.len() == 0 {
            return Ok(None);
        }
        if spool.len() > self.most && depth < DEPTH {
            let parts = self.cut(&spool)?;
            spool.discard(self.room);
            let runs: Result<Vec<Option<Run>>> =
                parts.into_iter().map(|part| self.sort(part, depth + 1)).collect();
            return self.join(runs?.into_iter().flatten().collect()).map(Some);
        }
        let bytes = spool.into_bytes(self.room)?;
        let (run, events) = self.sort_in_memory(&bytes)?;
        (self.done)(events)?;
        Ok(Some(run))
    }

    /// One run of several: a part has one file, and its reader one buffer, however often it was cut.
    fn join(&self, runs: Vec<Run>) -> Result<Run> {
        let (mut joined, mut rows) = (RunWriter::default(), Vec::new());
        merge(&runs, self.room, |user| {
            rows.clear();
            let events = (0..).zip(&user.times).zip(&user.items);
            rows.extend(events.map(|((index, time), &item)| Row { time: time * MICROS, item, index }));
            joined.push(&user.key, &rows, &user.kept, self.columns, self.room)
        })?;
        runs.into_iter().for_each(|run| run.discard(self.room));
        Ok(joined.finish(self.columns))
    }

    /// Cuts a part by another hash.
    fn cut(&self, spool: &Spool) -> Result<Vec<Spool>> {
        let failed = |source| Error::Spill { folder: self.room.folder().into(), source };
        let hasher = RandomState::new();
        let mut parts: Vec<Spool> = (0..AGAIN).map(|_| Spool::default()).collect();
        let mut reader = spool.reader(self.room)?;
        let mut record = Vec::new();
        let mut left = spool.len();
        while left > 0 {
            let mut length = [0; 2];
            reader.read_exact(&mut length).map_err(failed)?;
            let user = usize::from(u16::from_le_bytes(length));
            record.resize(FIXED + user + 4 * self.columns, 0);
            record[..2].copy_from_slice(&length);
            reader.read_exact(&mut record[2..]).map_err(failed)?;
            left -= record.len() as u64;
            parts[hasher.hash_one(&record[2..2 + user]) as usize % AGAIN].push(&record, self.room);
            if self.room.is_over() {
                parts.iter_mut().try_for_each(|part| part.spill(self.room))?;
            }
        }
        Ok(parts)
    }

    /// Sorts one part; says how many events it has.
    fn sort_in_memory(&self, bytes: &[u8]) -> Result<(Run, u64)> {
        let mut users = Keys::default();
        let (mut user, mut events, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = bytes;
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (key, after) = after.split_at(usize::from(u16::from_le_bytes(*length)));
            let Some((item, after)) = after.split_first_chunk::<4>() else { break };
            let Some((time, after)) = after.split_first_chunk::<8>() else { break };
            let (bits, after) = after.split_at(4 * self.columns);
            kept.extend(bits.as_chunks::<4>().0.iter().map(|bits| u32::from_le_bytes(*bits)));
            // A part of fewer bytes than numbers has no more users than numbers.
            user.push(users.number(key).unwrap_or_default());
            events.push((i64::from_le_bytes(*time), u32::from_le_bytes(*item)));
            rest = after;
        }
        let mut starts = vec![0_usize; users.len() + 1];
        for &user in &user {
            starts[user as usize + 1] += 1;
        }
        for user in 0..users.len() {
            starts[user + 1] += starts[user];
        }
        let mut next = starts.clone();
        let mut rows = vec![Row::default(); events.len()];
        for (index, (&user, &(time, item))) in user.iter().zip(&events).enumerate() {
            let slot = &mut next[user as usize];
            // The index finds the kept values; a part without any may have more events than numbers.
            rows[*slot] = Row { time, item, index: index as u32 };
            *slot += 1;
        }
        let count = rows.len() as u64;
        drop((user, events, next));
        let mut run = RunWriter::default();
        for number in users.in_byte_order() {
            let rows = &mut rows[starts[number as usize]..starts[number as usize + 1]];
            let mut position = 0;
            for row in rows.iter_mut().filter(|row| row.time == NO_TIME) {
                position += 1;
                row.time = position * MICROS;
            }
            rows.sort_by_key(|row| row.time);
            run.push(users.get(number), rows, &kept, self.columns, self.room)?;
        }
        Ok((run.finish(self.columns), count))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Users of very different activity, many equal times, and some users whose order is their time.
    fn events() -> Vec<(String, u32, Option<i64>)> {
        let event = |n: u64| {
            let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let user = (hash % 97) * (hash % 13);
            let time = (!user.is_multiple_of(5)).then_some((hash % 7) as i64 * MICROS);
            (format!("user {user}"), n as u32, time)
        };
        (0..20_000).map(event).collect()
    }

    /// The same by the obvious way: group, then sort each group.
    fn expected(events: &[(String, u32, Option<i64>)]) -> BTreeMap<String, Vec<(i64, u32)>> {
        let mut users: BTreeMap<String, Vec<(i64, u32)>> = BTreeMap::new();
        for (user, item, time) in events {
            let rows = users.entry(user.clone()).or_default();
            rows.push((time.map_or(rows.len() as i64 + 1, |time| time / MICROS), *item));
        }
        users.values_mut().for_each(|rows| rows.sort_by_key(|row| row.0));
        users
    }

    #[test]
    fn parts_that_spill_and_are_cut_again_sort_like_one_list() {
        let folder = tempfile::tempdir().unwrap();
        let events = events();
        let expected = expected(&events);
        for (limit, most, parts) in [(u64::MAX, u64::MAX, 1), (1 << 20, 40_000, 3), (1 << 17, 3_000, 16)] {
            let room = Room::new(folder.path(), limit);
            let mut into = Parts::new(parts, 1, &room);
            for (user, item, time) in &events {
                into.push(user.as_bytes(), *item, *time, &[item * 3]).unwrap();
            }
            assert_eq!(into.events(), events.len() as u64);
            let told = AtomicU64::new(0);
            let done = |events| {
                told.fetch_add(events, Ordering::Relaxed);
                Ok(())
            };
            let runs = into.sort(most, &done).unwrap();
            assert!(runs.len() <= parts, "{} runs of {parts} parts", runs.len());
            assert_eq!(told.into_inner(), events.len() as u64);
            assert_eq!(room.spilled() > 0, limit < u64::MAX, "{limit}");
            let mut found = Vec::new();
            merge(&runs, &room, |user| {
                let rows: Vec<_> = user.times.iter().copied().zip(user.items.iter().copied()).collect();
                assert!(user.items.iter().map(|item| item * 3).eq(user.kept.iter().copied()));
                found.push((String::from_utf8(user.key.clone()).unwrap(), rows));
                Ok(())
            })
            .unwrap();
            assert!(
                found.iter().map(|(user, rows)| (user, rows)).eq(expected.iter()),
                "{limit} {most} {parts}"
            );
        }
    }
}
