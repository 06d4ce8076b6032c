//! From which histories the lists of a part were made: a line a user, in byte order of their keys.
//!
//! On the disk a user is the length of the key (u32), the key, and the hash of the history (u64), little-endian.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Bytes that are read at a time; as many files are open as the earlier job has shards.
const BUFFER_BYTES: usize = 1 << 14;
/// The most bytes that a key has.
const KEY_LIMIT: u32 = 1 << 24;

/// Names what a list is made from: the ids and times of a history's events in their order, and whatever else there is of
/// the user.
pub fn history_hash<'k>(events: impl Iterator<Item = (&'k str, i64)>, more: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(more.len() as u64).to_le_bytes());
    hasher.update(more);
    for (item, at) in events {
        hasher.update(&(item.len() as u64).to_le_bytes());
        hasher.update(item.as_bytes());
        hasher.update(&at.to_le_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The users of a part whose lists are as their histories want them, be they in this part or in one of an earlier job.
#[derive(Debug, Default)]
pub struct HistoryRecord {
    pub(super) bytes: Vec<u8>,
    pub(super) asked: bool,
}

impl HistoryRecord {
    /// One of users who have asked for a list and have no event: their keys begin anew behind those of the histories.
    #[must_use]
    pub fn of_users_without_events() -> Self {
        Self { asked: true, ..Self::default() }
    }

    /// Adds a user, whose key comes after the last one.
    pub fn push(&mut self, user: &str, history: u64) {
        self.bytes.extend((user.len() as u32).to_le_bytes());
        self.bytes.extend(user.as_bytes());
        self.bytes.extend(history.to_le_bytes());
    }
}

/// The users of a record on the disk.
#[derive(Debug)]
pub(super) struct Users(BufReader<File>);

impl Users {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(BufReader::with_capacity(BUFFER_BYTES, File::open(path)?)))
    }

    /// The next user's key and the hash of the history; `None` behind the last one.
    pub(super) fn next(&mut self) -> io::Result<Option<(Vec<u8>, u64)>> {
        let mut length = [0; 4];
        match self.0.read(&mut length[..1])? {
            0 => return Ok(None),
            read => self.0.read_exact(&mut length[read..])?,
        }
        let length = u32::from_le_bytes(length);
        if length > KEY_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (mut key, mut history) = (vec![0; length as usize], [0; 8]);
        self.0.read_exact(&mut key)?;
        self.0.read_exact(&mut history)?;
        Ok(Some((key, u64::from_le_bytes(history))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tells_events_orders_times_and_wishes_apart() {
        let hash = |events: &[(&str, i64)], more: &str| history_hash(events.iter().copied(), more.as_bytes());
        let all = [
            hash(&[], ""),
            hash(&[], "a"),
            hash(&[("a", 1)], ""),
            hash(&[("a", 2)], ""),
            hash(&[("b", 1)], ""),
            hash(&[("a", 1), ("b", 1)], ""),
            hash(&[("b", 1), ("a", 1)], ""),
            hash(&[("ab", 1)], ""),
            hash(&[("a", 1)], "b"),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        assert_eq!(hash(&[("a", 1)], ""), all[2]);
    }

    #[test]
    fn users_come_back_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let mut record = HistoryRecord::default();
        let users = ["", "a", "ü"];
        users.iter().zip(7..).for_each(|(user, history)| record.push(user, history));
        std::fs::write(&path, &record.bytes).unwrap();
        let mut read = Users::open(&path).unwrap();
        for (user, history) in users.iter().zip(7..) {
            assert_eq!(read.next().unwrap(), Some((user.as_bytes().to_vec(), history)));
        }
        assert_eq!(read.next().unwrap(), None);
        std::fs::write(&path, &record.bytes[..record.bytes.len() - 1]).unwrap();
        let mut cut = Users::open(&path).unwrap();
        assert!((0..3).any(|_| cut.next().is_err()));
        std::fs::write(&path, [255; 64]).unwrap();
        assert!(Users::open(&path).unwrap().next().is_err());
    }
}
