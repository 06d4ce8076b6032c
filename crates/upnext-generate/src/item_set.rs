//! Sets of items: those of a condition on the catalogue's columns, or those of some keys.

mod condition;

use std::sync::Arc;

use upnext_data::{Catalog, ItemId};

pub use condition::ConditionError;
pub(crate) use condition::parts;

/// Some of a model's items. Made once by [`crate::Generator::items_where`] or [`crate::Generator::items_of`] and shared
/// by any number of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSet {
    /// Ascending.
    ids: Arc<[u32]>,
    /// The generator that made it.
    maker: u64,
}

impl ItemSet {
    /// The items that fulfil a condition: see [`crate::Generator::items_where`].
    pub(crate) fn of_condition(catalog: &Catalog, text: &str, maker: u64) -> Result<Self, ConditionError> {
        let ids = condition::fulfilling(catalog, text)?;
        Ok(Self { ids: ids.into(), maker })
    }

    /// The items of these keys, and how many keys the catalogue lacks.
    pub(crate) fn of_keys<'k>(
        catalog: &Catalog,
        keys: impl IntoIterator<Item = &'k str>,
        maker: u64,
    ) -> (Self, usize) {
        let (mut ids, mut unknown) = (Vec::new(), 0);
        for key in keys {
            match catalog.find(key) {
                Some(item) => ids.push(item.0),
                None => unknown += 1,
            }
        }
        ids.sort_unstable();
        ids.dedup();
        (Self { ids: ids.into(), maker }, unknown)
    }

    /// How many items it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether an item is in it.
    #[must_use]
    pub fn contains(&self, item: ItemId) -> bool {
        self.ids.binary_search(&item.0).is_ok()
    }

    /// Ascending.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The generator that made it.
    pub(crate) fn maker(&self) -> u64 {
        self.maker
    }
}
