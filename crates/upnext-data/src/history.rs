//! Histories: every user's events in time order.

use std::cmp::Ordering;

use crate::event_column::{EventColumn, EventValues};
use crate::{Error, ItemId, Result, Strings, UserId};

/// One user's events, or the first few of them; both slices are equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History<'a> {
    /// The items, oldest first.
    pub items: &'a [ItemId],
    /// When each event happened, in Unix seconds or the log's own unit; never falling.
    pub times: &'a [i64],
}

impl History<'_> {
    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// All users' histories, jagged: user u owns the events `offsets[u]..offsets[u + 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histories {
    users: Strings,
    offsets: Vec<u64>,
    items: Vec<ItemId>,
    times: Vec<i64>,
    columns: Vec<EventColumn>,
}

impl Histories {
    /// Joins keys, offsets (users + 1), items and times (one each an event).
    ///
    /// # Errors
    /// When keys are not strictly ascending in byte order, offsets do not start at 0, fall or do not end at the
    /// number of events, lengths differ, or times fall within a history.
    pub fn new(users: Strings, offsets: Vec<u64>, items: Vec<ItemId>, times: Vec<i64>) -> Result<Self> {
        let histories = Self { users, offsets, items, times, columns: Vec::new() };
        histories.check_offsets()?;
        histories.check_users()?;
        histories.check_times()?;
        Ok(histories)
    }

    /// Adds columns that say more of each event.
    ///
    /// # Errors
    /// When one has another number of values than there are events, or a code outside its vocabulary.
    pub fn with_columns(mut self, columns: Vec<EventColumn>) -> Result<Self> {
        columns.iter().try_for_each(|column| column.check(self.events()))?;
        self.columns = columns;
        Ok(self)
    }

    /// What the log says of each event beside item and time.
    #[must_use]
    pub fn columns(&self) -> &[EventColumn] {
        &self.columns
    }

    /// No users at all, to append to.
    pub(crate) fn empty() -> Self {
        Self {
            users: Strings::new(),
            offsets: vec![0],
            items: Vec::new(),
            times: Vec::new(),
            columns: Vec::new(),
        }
    }

    fn check_offsets(&self) -> Result<()> {
        let (users, events) = (self.users.len(), self.items.len());
        if self.times.len() != events {
            return Err(Error::Entries { what: "times".into(), expected: events, found: self.times.len() });
        }
        if self.offsets.len() != users + 1 {
            let (expected, found) = (users + 1, self.offsets.len());
            return Err(Error::Entries { what: "offsets".into(), expected, found });
        }
        let mut least = 0;
        for (index, &found) in self.offsets.iter().enumerate() {
            let rule = match index {
                0 if found != 0 => "the first must be 0",
                _ if found < least => "they must not fall",
                _ if index == users && found != events as u64 => "the last must be the number of events",
                _ => {
                    least = found;
                    continue;
                }
            };
            return Err(Error::Offset { what: "offsets", index, found, rule });
        }
        Ok(())
    }

    fn check_users(&self) -> Result<()> {
        if u32::try_from(self.users.len()).is_err() {
            return Err(Error::TooMany { what: "users", found: self.users.len() });
        }
        for (index, (left, right)) in self.users.iter().zip(self.users.iter().skip(1)).enumerate() {
            match left.cmp(right) {
                Ordering::Less => {}
                Ordering::Equal => return Err(Error::Duplicate { what: "user", key: right.to_owned() }),
                Ordering::Greater => {
                    return Err(Error::Unsorted { what: "user", index: index + 1, key: right.to_owned() });
                }
            }
        }
        Ok(())
    }

    fn check_times(&self) -> Result<()> {
        for (user, history) in self.iter() {
            if let Some(index) = history.times.windows(2).position(|pair| pair[1] < pair[0]) {
                let event = self.offsets[user.index()] as usize + index + 1;
                let (found, previous) = (history.times[index + 1], history.times[index]);
                return Err(Error::Backwards {
                    user: self.user_key(user).to_owned(),
                    event,
                    found,
                    previous,
                });
            }
        }
        Ok(())
    }

    /// Refuses events with items at or above `items`.
    ///
    /// # Errors
    /// When there is one: the first is named.
    pub fn check_items(&self, items: usize) -> Result<()> {
        match self.items.iter().position(|item| item.index() >= items) {
            Some(event) => Err(Error::NoSuchItem { event, item: self.items[event].0, items }),
            None => Ok(()),
        }
    }

    /// Adds the users of another part, whose keys all come after ours.
    pub(crate) fn append(&mut self, next: Self) -> Result<()> {
        if self.users.is_empty() {
            *self = next;
            return Ok(());
        }
        let base = self.items.len() as u64;
        self.offsets.extend(next.offsets.iter().skip(1).map(|offset| base + offset));
        self.items.extend_from_slice(&next.items);
        self.times.extend_from_slice(&next.times);
        for (ours, next) in self.columns.iter_mut().zip(next.columns) {
            match (&mut ours.values, next.values) {
                (EventValues::Numbers(ours), EventValues::Numbers(next)) => ours.extend(next),
                (EventValues::Categories { codes, .. }, EventValues::Categories { codes: next, .. }) => {
                    codes.extend(next);
                }
                // The columns of all shards are those of the manifest.
                (EventValues::Numbers(_), _) | (EventValues::Categories { .. }, _) => {}
            }
        }
        let seam = self.users.len();
        for key in next.users.iter() {
            self.users.push(key);
        }
        if next.users.is_empty() || self.users.get(seam - 1) < self.users.get(seam) {
            return Ok(());
        }
        Err(Error::Unsorted { what: "user", index: seam, key: self.users.get(seam).to_owned() })
    }

    /// How many users there are.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> usize {
        self.items.len()
    }

    /// The key of a user.
    ///
    /// # Panics
    /// When there is no such user.
    #[must_use]
    pub fn user_key(&self, user: UserId) -> &str {
        self.users.get(user.index())
    }

    /// The user of a key: a binary search.
    #[must_use]
    pub fn find_user(&self, key: &str) -> Option<UserId> {
        let (mut low, mut high) = (0, self.users.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.users.get(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some(UserId(middle as u32)),
            }
        }
        None
    }

    /// The history of a user.
    ///
    /// # Panics
    /// When there is no such user.
    #[must_use]
    pub fn of(&self, user: UserId) -> History<'_> {
        let events = self.offsets[user.index()] as usize..self.offsets[user.index() + 1] as usize;
        History { items: &self.items[events.clone()], times: &self.times[events] }
    }

    /// Every user and history, by user id.
    pub fn iter(&self) -> impl Iterator<Item = (UserId, History<'_>)> {
        (0..self.users() as u32).map(|user| (UserId(user), self.of(UserId(user))))
    }

    /// The users' keys, by id.
    #[must_use]
    pub fn user_keys(&self) -> &Strings {
        &self.users
    }

    /// The users + 1 offsets into [`items`](Self::items) and [`times`](Self::times).
    #[must_use]
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// The items of all events, user by user.
    #[must_use]
    pub fn items(&self) -> &[ItemId] {
        &self.items
    }

    /// The times of all events, user by user.
    #[must_use]
    pub fn times(&self) -> &[i64] {
        &self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(users: &[&str], offsets: &[u64], items: &[u32], times: &[i64]) -> Result<Histories> {
        let items = items.iter().copied().map(ItemId).collect();
        Histories::new(users.iter().collect(), offsets.to_vec(), items, times.to_vec())
    }

    #[test]
    fn a_user_is_found_with_the_events_in_order() {
        let histories = new(&["a", "b", "d"], &[0, 2, 2, 3], &[5, 4, 3], &[1, 1, 0]).unwrap();
        assert_eq!(histories.find_user("c"), None);
        assert_eq!(histories.find_user("d"), Some(UserId(2)));
        assert_eq!(histories.of(UserId(0)), History { items: &[ItemId(5), ItemId(4)], times: &[1, 1] });
        assert_eq!(histories.iter().map(|(_, history)| history.len()).collect::<Vec<_>>(), [2, 0, 1]);
        assert!(histories.of(UserId(1)).is_empty());
        assert_eq!((histories.users(), histories.events()), (3, 3));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let check = |users: &[&str], offsets: &[u64], items: &[u32], times: &[i64], expected: &str| {
            assert_eq!(new(users, offsets, items, times).unwrap_err().to_string(), expected);
        };
        check(&["a"], &[0], &[], &[], "offsets has 1 entries where 2 are needed");
        check(&["a"], &[0, 1], &[1], &[], "times has 0 entries where 1 are needed");
        check(&["a"], &[1, 1], &[1], &[1], "offsets[0] is 1, where the first must be 0");
        check(&["a", "b"], &[0, 2, 1], &[1], &[1], "offsets[2] is 1, where they must not fall");
        check(&["a"], &[0, 2], &[1], &[1], "offsets[1] is 2, where the last must be the number of events");
        check(&["a", "b"], &[0, u64::MAX, 1], &[1], &[1], "offsets[2] is 1, where they must not fall");
        check(
            &["b", "a"],
            &[0, 0, 0],
            &[],
            &[],
            "the user \"a\" (at 1) is not after the one before it in byte order",
        );
        check(&["a", "a"], &[0, 0, 0], &[], &[], "the user \"a\" occurs twice");
        let backwards = "times[2] of user \"b\" is 3, before the 4 of the event before it";
        check(&["a", "b"], &[0, 1, 3], &[1, 1, 1], &[9, 4, 3], backwards);
    }

    #[test]
    fn an_item_outside_the_catalog_is_named() {
        let histories = new(&["a"], &[0, 2], &[1, 7], &[0, 0]).unwrap();
        assert!(histories.check_items(8).is_ok());
        let error = histories.check_items(7).unwrap_err();
        assert_eq!(error.to_string(), "items[1] is item 7, but the catalog has 7 items");
    }
}
