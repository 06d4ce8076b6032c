//! How often each item occurs in training.

use crate::{Histories, UserId};

/// (i) occurrences of each item among each user's first `train[user]` events.
///
/// Items at or above `items` are not counted; [`Prepared::open`](crate::Prepared::open) refuses them.
#[must_use]
pub fn counts(histories: &Histories, train: &[usize], items: usize) -> Vec<u64> {
    let mut counts = vec![0; items];
    for (user, &events) in train.iter().enumerate().take(histories.users()) {
        let history = histories.of(UserId(user as u32));
        for item in history.items.iter().take(events) {
            if let Some(count) = counts.get_mut(item.index()) {
                *count += 1;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ItemId, Strings};

    #[test]
    fn only_training_events_count() {
        let users = Strings::from_iter(["ann", "bob"]);
        let items = [0, 1, 1, 2, 1].map(ItemId).to_vec();
        let histories = Histories::new(users, vec![0, 3, 5], items, vec![1, 2, 3, 1, 2]).unwrap();
        assert_eq!(counts(&histories, &[2, 1], 4), [1, 1, 1, 0]);
        assert_eq!(counts(&histories, &[3, 2], 4), [1, 3, 1, 0]);
    }
}
