//! Histories to shards, user by user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::event_column::{ColumnKind, EventColumn, EventValues};
use crate::manifest::{CATALOG, MANIFEST, Manifest, VOCABULARIES, shard};
use crate::sealed::{FileHash, Tensor, Values, write_bytes, write_tensors};
use crate::{Catalog, Error, ItemId, Result, Strings};

/// The users of a prepared folder that is being written; no more than one shard of them is in memory.
pub struct Shards {
    folder: PathBuf,
    /// Events after which a shard ends.
    limit: usize,
    keys: Strings,
    offsets: Vec<u64>,
    items: Vec<ItemId>,
    times: Vec<i64>,
    /// Event columns, and of each the bits of its values.
    columns: Vec<(EventColumn, Vec<u32>)>,
    last: Option<String>,
    files: BTreeMap<String, FileHash>,
    users: usize,
    events: usize,
    /// The event with the highest item.
    highest: Option<(ItemId, usize)>,
}

impl Shards {
    pub(crate) fn new(folder: &Path, limit: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            limit,
            keys: Strings::new(),
            offsets: vec![0],
            items: Vec::new(),
            times: Vec::new(),
            columns: Vec::new(),
            last: None,
            files: BTreeMap::new(),
            users: 0,
            events: 0,
            highest: None,
        }
    }

    /// Says which columns the events have: their names, and vocabularies where they have categories; their values are
    /// pushed with the users. To be called before the first user.
    pub fn set_columns(&mut self, columns: Vec<EventColumn>) {
        self.columns = columns.into_iter().map(|column| (column, Vec::new())).collect();
    }

    /// Users so far.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }

    /// Adds a user with all events, oldest first; `items`, `times` and the values of each column are equally long.
    /// A column's value is the bits of a number, or the code of a category.
    ///
    /// # Errors
    /// When the key does not come after the last one, times fall, lengths differ, a code is not in the vocabulary, or
    /// the disk refuses.
    pub fn push(&mut self, user: &str, items: &[ItemId], times: &[i64], values: &[Vec<u32>]) -> Result<()> {
        self.check(user, items, times)?;
        self.add_values(items.len(), values)?;
        for (at, &item) in items.iter().enumerate() {
            if self.highest.is_none_or(|(highest, _)| item > highest) {
                self.highest = Some((item, self.events + at));
            }
        }
        self.keys.push(user);
        self.items.extend_from_slice(items);
        self.times.extend_from_slice(times);
        self.offsets.push(self.items.len() as u64);
        self.users += 1;
        self.events += items.len();
        let last = self.last.get_or_insert_default();
        last.clear();
        last.push_str(user);
        if self.items.len() >= self.limit { self.flush() } else { Ok(()) }
    }

    fn add_values(&mut self, events: usize, values: &[Vec<u32>]) -> Result<()> {
        if values.len() != self.columns.len() {
            let (expected, found) = (self.columns.len(), values.len());
            return Err(Error::Entries { what: "event columns".into(), expected, found });
        }
        for ((column, all), values) in self.columns.iter_mut().zip(values) {
            if values.len() != events {
                let what = column.name.clone();
                return Err(Error::Entries { what, expected: events, found: values.len() });
            }
            if let EventValues::Categories { vocabulary, .. } = &column.values
                && let Some(at) = values.iter().position(|&code| code as usize >= vocabulary.len())
            {
                let (event, code, codes) = (self.events + at, values[at], vocabulary.len());
                return Err(Error::NoSuchCode { column: column.name.clone(), event, code, codes });
            }
            all.extend_from_slice(values);
        }
        Ok(())
    }

    fn check(&self, user: &str, items: &[ItemId], times: &[i64]) -> Result<()> {
        match &self.last {
            Some(last) if user == last => {
                return Err(Error::Duplicate { what: "user", key: user.to_owned() });
            }
            Some(last) if user < last.as_str() => {
                return Err(Error::Unsorted { what: "user", index: self.users, key: user.to_owned() });
            }
            _ => {}
        }
        if self.users == u32::MAX as usize {
            return Err(Error::TooMany { what: "users", found: self.users + 1 });
        }
        if items.len() != times.len() {
            return Err(Error::Entries { what: "times".into(), expected: items.len(), found: times.len() });
        }
        match times.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(at) => Err(Error::Backwards {
                user: user.to_owned(),
                event: self.events + at + 1,
                found: times[at + 1],
                previous: times[at],
            }),
            None => Ok(()),
        }
    }

    /// Writes the shard. Tensors: `users.bytes`, `users.offsets`, `offsets` (users + 1, from 0 in each shard),
    /// `items`, `times`, and `events.NAME` for each event column.
    fn flush(&mut self) -> Result<()> {
        let [key_offsets, key_bytes] = self.keys.tensors("users");
        let numbers = |values: &[u32]| values.iter().map(|&bits| f32::from_bits(bits)).collect::<Vec<_>>();
        let numbers: Vec<Vec<f32>> = self
            .columns
            .iter()
            .map(|(column, values)| match column.kind() {
                ColumnKind::Number => numbers(values),
                ColumnKind::Category => Vec::new(),
            })
            .collect();
        let mut tensors = vec![
            key_offsets,
            key_bytes,
            Tensor::new("offsets", &[self.offsets.len()], Values::U64(&self.offsets)),
            Tensor::new("items", &[self.items.len()], Values::Ids(&self.items)),
            Tensor::new("times", &[self.times.len()], Values::I64(&self.times)),
        ];
        for ((column, values), numbers) in self.columns.iter().zip(&numbers) {
            let all = match column.kind() {
                ColumnKind::Number => Values::F32(numbers),
                ColumnKind::Category => Values::U32(values),
            };
            tensors.push(Tensor::new(column_tensor(&column.name), &[values.len()], all));
        }
        let name = shard(self.files.len());
        let hash = write_tensors(&self.folder.join(&name), &tensors)?;
        self.files.insert(name, hash);
        self.keys = Strings::new();
        self.offsets.truncate(1);
        self.items.clear();
        self.times.clear();
        self.columns.iter_mut().for_each(|(_, values)| values.clear());
        Ok(())
    }

    /// Writes what is left, the catalogue and the manifest; `dir` is the folder's name to come.
    pub(crate) fn finish(
        mut self,
        dir: &Path,
        catalog: &Catalog,
        origin: serde_json::Value,
    ) -> Result<Manifest> {
        if let Some((item, event)) = self.highest.filter(|(item, _)| item.index() >= catalog.len()) {
            return Err(Error::NoSuchItem { event, item: item.0, items: catalog.len() });
        }
        if !self.keys.is_empty() || self.files.is_empty() {
            self.flush()?;
        }
        let mut manifest = Manifest::new(self.users, catalog.len(), self.events, origin);
        manifest.files = self.files;
        manifest.event_columns =
            self.columns.iter().map(|(column, _)| (column.name.clone(), column.kind())).collect();
        if !self.columns.is_empty() {
            let vocabularies = self.columns.iter().filter_map(|(column, _)| match &column.values {
                EventValues::Numbers(_) => None,
                EventValues::Categories { vocabulary, .. } => Some(vocabulary.tensors(&column.name)),
            });
            let tensors: Vec<Tensor<'_>> = vocabularies.flatten().collect();
            let hash = write_tensors(&self.folder.join(VOCABULARIES), &tensors)?;
            manifest.files.insert(VOCABULARIES.to_owned(), hash);
        }
        manifest.files.insert(CATALOG.to_owned(), catalog.write(&self.folder.join(CATALOG))?);
        write_bytes(&self.folder.join(MANIFEST), &manifest.to_json(dir)?)?;
        Ok(manifest)
    }
}

/// The name of an event column's tensor in a shard.
pub(crate) fn column_tensor(name: &str) -> String {
    format!("events.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::write_folder;
    use crate::{Histories, Prepared};

    fn write(dir: &Path, catalog: &Catalog, histories: &Histories, events: usize) -> Manifest {
        write_folder(
            dir,
            false,
            |_| true,
            |temp| {
                let mut shards = Shards::new(temp, events);
                for (user, history) in histories.iter() {
                    shards.push(histories.user_key(user), history.items, history.times, &[])?;
                }
                shards.finish(dir, catalog, serde_json::Value::Null)
            },
        )
        .unwrap()
    }

    #[test]
    fn events_outside_the_catalogue_and_users_out_of_order_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(["x"].iter().collect(), vec![]).unwrap();
        let write = |users: &[(&str, u32)]| {
            Prepared::write_with(&home.path().join("data"), true, |shards| {
                for (user, item) in users {
                    shards.push(user, &[ItemId(*item)], &[1], &[])?;
                }
                Ok::<_, Error>((catalog.clone(), serde_json::Value::Null))
            })
        };
        assert!(matches!(
            write(&[("a", 0), ("b", 1)]),
            Err(Error::NoSuchItem { event: 1, item: 1, items: 1 })
        ));
        assert!(matches!(write(&[("b", 0), ("a", 0)]), Err(Error::Unsorted { index: 1, .. })));
        assert!(matches!(write(&[("a", 0), ("a", 0)]), Err(Error::Duplicate { .. })));
        assert_eq!(write(&[]).unwrap().users, 0);
    }

    #[test]
    fn shards_end_at_users_and_join_again() {
        let home = tempfile::tempdir().unwrap();
        let lengths = [0, 3, 0, 5, 1, 0, 9, 2, 2, 0_u64];
        let mut offsets = vec![0];
        for length in lengths {
            offsets.push(offsets[offsets.len() - 1] + length);
        }
        let keys = (0..10).map(|user| user.to_string()).collect();
        let items: Vec<ItemId> = (0..22).map(ItemId).collect();
        let histories = Histories::new(keys, offsets, items, vec![4; 22]).unwrap();
        let catalog = Catalog::new((10..32).map(|item| item.to_string()).collect(), vec![]).unwrap();
        // The users of each shard: 0 to 3, 4 to 6 and 7 to 9 at five events.
        for (events, shards) in [(1, 7), (2, 6), (5, 3), (8, 3), (100, 1)] {
            let dir = home.path().join(events.to_string());
            let manifest = write(&dir, &catalog, &histories, events);
            assert_eq!(manifest.files.len(), 1 + shards, "{events}");
            assert_eq!(Prepared::open(&dir).unwrap().histories, histories);
        }
    }

    #[test]
    fn shards_out_of_order_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        let keys = ["a", "b"].iter().collect();
        let histories = Histories::new(keys, vec![0, 1, 2], vec![ItemId(0); 2], vec![1; 2]).unwrap();
        let catalog = Catalog::new(["x"].iter().collect(), vec![]).unwrap();
        let mut manifest = write(&dir, &catalog, &histories, 1);
        let (first, second) = (shard(0), shard(1));
        let names = [dir.join(&first), dir.join(&second), dir.join("aside")];
        for (from, to) in [(0, 2), (1, 0), (2, 1)] {
            std::fs::rename(&names[from], &names[to]).unwrap();
        }
        let hashes = [manifest.files[&first].clone(), manifest.files[&second].clone()];
        manifest.files.extend([second, first].into_iter().zip(hashes));
        std::fs::write(dir.join(MANIFEST), manifest.to_json(&dir).unwrap()).unwrap();
        let error = Prepared::open(&dir).unwrap_err();
        assert!(error.to_string().ends_with("histories-00001.safetensors"), "{error}");
        assert!(
            matches!(error, Error::In { source, .. } if matches!(*source, Error::Unsorted { index: 1, .. }))
        );
    }
}
