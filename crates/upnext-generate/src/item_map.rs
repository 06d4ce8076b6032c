//! From the ids of a prepared folder to those of a model, by key, once for a whole batch job.

use upnext_data::{Catalog, ItemId};

use crate::{Request, RequestBuilder};

/// For every item of one catalog its id in another, where it has one.
#[derive(Clone, Debug)]
pub struct ItemMap {
    to: Vec<Option<ItemId>>,
}

impl ItemMap {
    /// Looks each key of `from` up in `to`.
    #[must_use]
    pub fn new(from: &Catalog, to: &Catalog) -> Self {
        Self { to: (0u32..).take(from.len()).map(|id| to.find(from.key(ItemId(id)))).collect() }
    }

    /// The model's id of an item; `None` when the model does not know it.
    #[must_use]
    pub fn get(&self, item: ItemId) -> Option<ItemId> {
        self.to.get(item.index()).copied().flatten()
    }

    /// A request that continues a history of the first catalog's ids, oldest first. Items that the model does not
    /// know are skipped and counted.
    pub fn request(&self, history: &[ItemId]) -> RequestBuilder {
        let items: Vec<ItemId> = history.iter().filter_map(|&item| self.get(item)).collect();
        let skipped = history.len() - items.len();
        Request::from_mapped(items, skipped)
    }
}
