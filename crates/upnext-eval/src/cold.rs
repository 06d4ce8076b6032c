//! Which items are cold: no training event is of them, so only what they are like can recommend them.

use upnext_data::ItemId;

/// The cold items of a catalogue.
///
/// ```
/// use upnext_data::ItemId;
/// use upnext_eval::Cold;
/// let cold = Cold::of(&[5, 0, 9, 0]);
/// assert_eq!(cold.items(), [1, 3]);
/// assert!(cold.has(ItemId(3)) && !cold.has(ItemId(2)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cold {
    /// `(i)`.
    is: Vec<bool>,
    /// Ascending.
    items: Vec<u32>,
}

impl Cold {
    /// The items without a training event; `counts` `(i)` are those of a split's training events. Under a `cold:`
    /// protocol they are the drawn items, and with them what occurs in held-out events only.
    pub fn of(counts: &[u64]) -> Self {
        let is: Vec<bool> = counts.iter().map(|&count| count == 0).collect();
        let items = (0..).zip(&is).filter_map(|(item, &cold)| cold.then_some(item)).collect();
        Self { is, items }
    }

    /// The same but for items that were trained on all the same; `counts` may be shorter.
    #[must_use]
    pub fn without(self, counts: &[u64]) -> Self {
        let trained = |item: usize| counts.get(item).is_some_and(|&count| count > 0);
        let kept = self.is.iter().enumerate().map(|(item, &cold)| u64::from(!cold || trained(item)));
        Self::of(&kept.collect::<Vec<_>>())
    }

    /// Whether an item is cold.
    pub fn has(&self, item: ItemId) -> bool {
        self.is.get(item.index()).copied().unwrap_or(false)
    }

    /// The cold items, ascending.
    pub fn items(&self) -> &[u32] {
        &self.items
    }
}
