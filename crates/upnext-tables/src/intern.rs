//! Keys to numbers in order of first sight, without a `String` each.

use std::hash::{BuildHasher, RandomState};

/// Distinct keys, joined in one buffer, and a table of their numbers.
///
/// The hash is seeded by the process, so that nobody can prepare keys that collide; numbers depend on
/// the order of the keys alone.
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    slots: Vec<u32>,
    last: u32,
    hasher: RandomState,
}

const FREE: u32 = u32::MAX;

impl Default for Keys {
    fn default() -> Self {
        let hasher = RandomState::new();
        Self { bytes: Vec::new(), ends: Vec::new(), slots: vec![FREE; 1024], last: 0, hasher }
    }
}

impl Keys {
    /// Number of distinct keys.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Key `number`, which must be below [`Keys::len`].
    pub(crate) fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }

    /// The key's number, a new one where it was never seen; `None` where `u32` has no more.
    pub(crate) fn number(&mut self, key: &[u8]) -> Option<u32> {
        // Logs are often grouped by user.
        if (self.last as usize) < self.len() && self.get(self.last) == key {
            return Some(self.last);
        }
        let slot = self.slot(key);
        if self.slots[slot] == FREE {
            let number = u32::try_from(self.len()).ok().filter(|number| *number < FREE)?;
            self.slots[slot] = number;
            self.bytes.extend_from_slice(key);
            self.ends.push(self.bytes.len());
            self.last = number;
            if self.len() * 2 > self.slots.len() {
                self.grow();
            }
            return Some(number);
        }
        self.last = self.slots[slot];
        Some(self.last)
    }

    /// The key's number, if it has one.
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        Some(self.slots[self.slot(key)]).filter(|number| *number != FREE)
    }

    /// All numbers, in byte order of their keys.
    pub(crate) fn in_byte_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.get(a).cmp(self.get(b)));
        order
    }

    /// The slot that holds the key, or the free one where it belongs.
    fn slot(&self, key: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(key) as usize & mask;
        while self.slots[slot] != FREE && self.get(self.slots[slot]) != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![FREE; self.slots.len() * 2];
        for number in 0..self.len() as u32 {
            let slot = self.slot(self.get(number));
            self.slots[slot] = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_first_sight_and_order_follows_bytes() {
        let mut keys = Keys::default();
        let numbers: Vec<_> =
            ["b", "a", "b", "", "B", "a"].iter().map(|k| keys.number(k.as_bytes())).collect();
        assert_eq!(numbers, [Some(0), Some(1), Some(0), Some(2), Some(3), Some(1)]);
        assert_eq!(keys.in_byte_order(), [2, 3, 1, 0]);
        assert_eq!((keys.find(b"B"), keys.find(b"c")), (Some(3), None));
    }

    #[test]
    fn many_keys_keep_their_numbers() {
        let mut keys = Keys::default();
        for n in 0..50_000_u32 {
            assert_eq!(keys.number(format!("key {n}").as_bytes()), Some(n));
        }
        for n in (0..50_000_u32).rev() {
            assert_eq!(keys.find(format!("key {n}").as_bytes()), Some(n));
            assert_eq!(keys.get(n), format!("key {n}").as_bytes());
        }
    }
}
