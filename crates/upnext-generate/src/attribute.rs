//! A column read as attributes: which values an item has, and which items have a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use upnext_data::Catalog;

use crate::item_set::parts;

/// The values of a column, several an item where its text holds several (`Drama|Crime`). Made once by
/// [`crate::Generator::attribute`] and shared by any number of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    name: String,
    maker: u64,
    largest: usize,
    /// Value numbers of each item, ascending.
    of_item: Rows,
    /// Items of each value, ascending.
    of_value: Rows,
}

/// Rows of different lengths, one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rows {
    offsets: Vec<usize>,
    ids: Vec<u32>,
}

impl Attribute {
    /// Reads a column; none if the catalogue has no such column.
    pub(crate) fn read(catalog: &Catalog, name: &str, maker: u64) -> Option<Self> {
        let column = catalog.column(name)?;
        let mut items_of: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (item, text) in (0u32..).zip(column.values.iter()) {
            for part in parts(text) {
                let items = items_of.entry(part).or_default();
                if items.last() != Some(&item) {
                    items.push(item);
                }
            }
        }
        let mut values_of: Vec<Vec<u32>> = vec![Vec::new(); catalog.len()];
        for (value, items) in (0u32..).zip(items_of.values()) {
            items.iter().for_each(|&item| values_of[item as usize].push(value));
        }
        let largest = items_of.values().map(Vec::len).max().unwrap_or(0);
        let of_value = Rows::new(items_of.values().map(Vec::as_slice));
        let of_item = Rows::new(values_of.iter().map(Vec::as_slice));
        Some(Self { inner: Arc::new(Inner { name: name.to_owned(), maker, largest, of_item, of_value }) })
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// How many different values there are.
    #[must_use]
    pub fn values(&self) -> usize {
        self.inner.of_value.len()
    }

    /// The generator that made it.
    pub(crate) fn maker(&self) -> u64 {
        self.inner.maker
    }

    /// Items of the value that most items have.
    pub(crate) fn largest(&self) -> usize {
        self.inner.largest
    }

    /// Of how many items.
    pub(crate) fn of_items(&self) -> usize {
        self.inner.of_item.len()
    }

    /// Value numbers of an item, ascending.
    pub(crate) fn of_item(&self, item: u32) -> &[u32] {
        self.inner.of_item.get(item)
    }

    /// Items of a value, ascending.
    pub(crate) fn of_value(&self, value: u32) -> &[u32] {
        self.inner.of_value.get(value)
    }
}

impl Rows {
    fn new<'r>(rows: impl Iterator<Item = &'r [u32]>) -> Self {
        let mut all = Self { offsets: vec![0], ids: Vec::new() };
        for row in rows {
            all.ids.extend_from_slice(row);
            all.offsets.push(all.ids.len());
        }
        all
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn get(&self, row: u32) -> &[u32] {
        &self.ids[self.offsets[row as usize]..self.offsets[row as usize + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Column, Strings};

    #[test]
    fn an_item_has_the_values_of_its_text() {
        let values: Strings = ["Drama|Crime", "", "Crime; Crime,Action", "Drama"].into_iter().collect();
        let column = Column { name: "genres".to_owned(), values };
        let catalog = Catalog::new(["a", "b", "c", "d"].into_iter().collect(), vec![column]).unwrap();
        let genres = Attribute::read(&catalog, "genres", 1).unwrap();
        // Action, Crime, Drama in byte order.
        assert_eq!((genres.name(), genres.values(), genres.of_items()), ("genres", 3, 4));
        let of_item: Vec<&[u32]> = (0..4).map(|item| genres.of_item(item)).collect();
        assert_eq!(of_item, [&[1, 2][..], &[], &[0, 1], &[2]]);
        let of_value: Vec<&[u32]> = (0..3).map(|value| genres.of_value(value)).collect();
        assert_eq!(of_value, [&[2][..], &[0, 2], &[0, 3]]);
        assert_eq!(Attribute::read(&catalog, "year", 1), None);
    }
}
