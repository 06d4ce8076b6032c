//! The catalogue: every item that has an id, its key, and what is shown of it.

use std::path::Path;

use crate::sealed::{FileHash, Tensor, TensorFile, Values, write_tensors};
use crate::{Error, ItemId, Result, Strings};

/// Display text of all items under one heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, unique in its catalogue.
    pub name: String,
    /// One text an item, `""` where absent.
    pub values: Strings,
}

/// Keys and display columns of the items; key to [`ItemId`] and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    keys: Strings,
    /// Ids in byte order of their keys.
    order: Vec<u32>,
    columns: Vec<Column>,
}

impl Catalog {
    /// A catalogue of these keys in this order.
    ///
    /// # Errors
    /// When two keys or two column names are equal, a column has another length, or there are more than 2^32 - 1 items.
    pub fn new(keys: Strings, columns: Vec<Column>) -> Result<Self> {
        let mut order: Vec<u32> = (0..count(&keys)?).collect();
        order.sort_by(|&a, &b| keys.get(a as usize).cmp(keys.get(b as usize)));
        Self::with_order(keys, order, columns)
    }

    /// As [`new`](Self::new), with the ids already in byte order of their keys.
    fn with_order(keys: Strings, order: Vec<u32>, columns: Vec<Column>) -> Result<Self> {
        let items = count(&keys)?;
        if order.len() != keys.len() {
            return Err(Error::Entries { what: "order".into(), expected: keys.len(), found: order.len() });
        }
        if let Some(index) = order.iter().position(|&id| id >= items) {
            let found = u64::from(order[index]);
            return Err(Error::Offset {
                what: "order",
                index,
                found,
                rule: "entries are ids of the catalog",
            });
        }
        // Strictly rising keys make the entries distinct, and so a permutation.
        for (index, pair) in order.windows(2).enumerate() {
            let (left, right) = (keys.get(pair[0] as usize), keys.get(pair[1] as usize));
            if pair[0] != pair[1] && left == right {
                return Err(Error::Duplicate { what: "item", key: right.to_owned() });
            }
            if left >= right {
                return Err(Error::Unsorted {
                    what: "order of the item",
                    index: index + 1,
                    key: right.to_owned(),
                });
            }
        }
        for (index, column) in columns.iter().enumerate() {
            if column.values.len() != keys.len() {
                let (expected, found) = (keys.len(), column.values.len());
                return Err(Error::Entries { what: format!("column {:?}", column.name), expected, found });
            }
            if columns[..index].iter().any(|other| other.name == column.name) {
                return Err(Error::Duplicate { what: "column", key: column.name.clone() });
            }
        }
        Ok(Self { keys, order, columns })
    }

    /// Writes the catalogue as a tensor file and says what to remember of it.
    ///
    /// Tensors: `keys.bytes`, `keys.offsets` (i + 1), `order` (i), `columns.bytes` and `columns.offsets` (the column
    /// names), and for column c `column.<c>.bytes`, `column.<c>.offsets` (i + 1).
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path) -> Result<FileHash> {
        let names = self.columns.iter().map(|column| &column.name).collect::<Strings>();
        let order = Tensor::new("order", &[self.len()], Values::U32(&self.order));
        let mut tensors = vec![order];
        tensors.extend(self.keys.tensors("keys"));
        tensors.extend(names.tensors("columns"));
        for (index, column) in self.columns.iter().enumerate() {
            tensors.extend(column.values.tensors(&format!("column.{index}")));
        }
        write_tensors(path, &tensors)
    }

    /// Reads what [`write`](Self::write) wrote, and checks it against what was remembered.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or does not hold a catalogue.
    pub fn read(path: &Path, sealed: &FileHash) -> Result<Self> {
        let mut file = TensorFile::open_sealed(path, sealed)?;
        let named = Strings::read(&mut file, "columns")?;
        // A hostile file could name millions of columns in a few bytes each; the header holds far fewer tensors.
        let (expected, found) = (file.names().count().saturating_sub(5) / 2, named.len());
        if found > expected {
            let source = Error::Entries { what: "columns".into(), expected, found };
            return Err(file.refuse("columns", source));
        }
        let parts: Vec<String> = (0..named.len()).map(|index| format!("column.{index}")).collect();
        let mut expected: Vec<String> = vec!["order".into()];
        for part in ["keys", "columns"].into_iter().chain(parts.iter().map(String::as_str)) {
            expected.extend([format!("{part}.bytes"), format!("{part}.offsets")]);
        }
        file.expect_names(&expected)?;
        let keys = Strings::read(&mut file, "keys")?;
        let mut columns = Vec::with_capacity(named.len());
        for (name, part) in named.iter().zip(&parts) {
            columns.push(Column { name: name.to_owned(), values: Strings::read(&mut file, part)? });
        }
        let order = file.u32("order")?;
        file.verify()?;
        Self::with_order(keys, order, columns).map_err(Error::within(path))
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of an item.
    ///
    /// # Panics
    /// When the item is not in the catalogue.
    #[must_use]
    pub fn key(&self, item: ItemId) -> &str {
        self.keys.get(item.index())
    }

    /// All keys, by id.
    #[must_use]
    pub fn keys(&self) -> &Strings {
        &self.keys
    }

    /// The item of a key: a binary search over the sorted permutation.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<ItemId> {
        let found = self.order.binary_search_by(|&id| self.keys.get(id as usize).cmp(key)).ok()?;
        Some(ItemId(self.order[found]))
    }

    /// The display columns, in the order in which they were given.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// What to show a person: the column `title`, else `name`; nothing where the item's text is empty.
    #[must_use]
    pub fn title(&self, item: ItemId) -> Option<&str> {
        let column = self.column("title").or_else(|| self.column("name"))?;
        Some(column.values.get(item.index())).filter(|text| !text.is_empty())
    }
}

/// How many items these keys name, as an id.
fn count(keys: &Strings) -> Result<u32> {
    u32::try_from(keys.len()).map_err(|_| Error::TooMany { what: "items", found: keys.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, values: &[&str]) -> Column {
        Column { name: name.into(), values: values.iter().collect() }
    }

    #[test]
    fn a_key_finds_its_item_and_back_even_when_appended_out_of_order() {
        let catalog = Catalog::new(["b", "d", "a"].iter().collect(), vec![]).unwrap();
        for (id, key) in ["b", "d", "a"].into_iter().enumerate() {
            let item = ItemId(id as u32);
            assert_eq!((catalog.key(item), catalog.find(key)), (key, Some(item)));
        }
        assert_eq!(catalog.find("c"), None);
        assert_eq!(Catalog::new(Strings::new(), vec![]).unwrap().find(""), None);
    }

    #[test]
    fn the_title_is_shown_else_the_name() {
        let keys = Strings::from_iter(["1", "2"]);
        let both = vec![column("name", &["n1", "n2"]), column("title", &["t1", ""])];
        let catalog = Catalog::new(keys.clone(), both).unwrap();
        assert_eq!((catalog.title(ItemId(0)), catalog.title(ItemId(1))), (Some("t1"), None));
        let catalog = Catalog::new(keys.clone(), vec![column("name", &["n1", "n2"])]).unwrap();
        assert_eq!(catalog.title(ItemId(1)), Some("n2"));
        assert_eq!(Catalog::new(keys, vec![]).unwrap().title(ItemId(0)), None);
    }

    #[test]
    fn what_occurs_twice_or_is_too_short_is_named() {
        let check = |keys: &[&str], columns: Vec<Column>, expected: &str| {
            assert_eq!(Catalog::new(keys.iter().collect(), columns).unwrap_err().to_string(), expected);
        };
        check(&["b", "a", "b"], vec![], "the item \"b\" occurs twice");
        check(&["a"], vec![column("x", &[])], "column \"x\" has 0 entries where 1 are needed");
        check(&["a"], vec![column("x", &[""]), column("x", &[""])], "the column \"x\" occurs twice");
    }
}
