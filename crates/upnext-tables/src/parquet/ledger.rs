//! What decoded pages hold in memory.

use std::sync::{Mutex, PoisonError};

/// Bytes of pages in memory, all columns together. A page of a sane file has about one MiB.
const LIMIT: u64 = 256 << 20;

/// Pages of the columns of a row group.
pub(super) struct Ledger(Mutex<Vec<Held>>);

#[derive(Clone, Default)]
struct Held {
    /// The dictionary, which stays.
    dictionary: u64,
    /// The page that is being read.
    page: u64,
    /// Pages before it that values of this batch come from.
    before: u64,
}

impl Ledger {
    /// Nothing held in any of some columns.
    pub(super) fn new(columns: usize) -> Self {
        Self(Mutex::new(vec![Held::default(); columns]))
    }

    /// The values of the last batch are gone, and the pages with them.
    pub(super) fn begin_batch(&self) {
        for held in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            held.before = 0;
        }
    }

    /// Takes a page in; `false` where that would be too much.
    pub(super) fn take(&self, column: usize, is_dictionary: bool, bytes: u64) -> bool {
        let mut columns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut columns[column];
        if is_dictionary {
            // Values of this batch may still point into the one before.
            held.before = held.before.saturating_add(held.dictionary);
            held.dictionary = bytes;
        } else {
            held.before = held.before.saturating_add(held.page);
            held.page = bytes;
        }
        let all = columns.iter().flat_map(|held| [held.dictionary, held.page, held.before]);
        all.fold(0_u64, u64::saturating_add) <= LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_batch_and_dictionaries_add_up() {
        let ledger = Ledger::new(2);
        assert!(ledger.take(0, true, LIMIT / 4) && ledger.take(1, true, LIMIT / 4));
        assert!(ledger.take(0, false, LIMIT / 4) && ledger.take(0, false, LIMIT / 4));
        assert!(!ledger.take(1, false, 1), "dictionaries and both pages are still held");
        ledger.begin_batch();
        assert!(ledger.take(1, false, 1));
        assert!(!ledger.take(0, true, u64::MAX));
    }
}
