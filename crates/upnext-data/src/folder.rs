//! The prepared folder: a manifest, a catalogue, and the histories in shards.

use std::path::Path;

use crate::manifest::{CATALOG, MANIFEST, Manifest, shard};
use crate::sealed::{self, FileHash, Tensor, TensorFile, Values, write_bytes, write_folder, write_tensors};
use crate::{Catalog, Error, Histories, Result, Strings, UserId};

/// Events after which a shard ends: 200 MB of items and times.
const SHARD_EVENTS: u64 = 1 << 24;

/// An opened prepared folder, all of it in memory and checked.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What the folder says about itself.
    pub manifest: Manifest,
    /// Its items.
    pub catalog: Catalog,
    /// Its users' events.
    pub histories: Histories,
}

impl Prepared {
    /// Opens a folder and checks all of it: hashes, counts, order, ranges.
    ///
    /// # Errors
    /// When a file is missing, damaged or of another version; the error names the file and the tensor.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.exists() {
            sealed::recover(dir)?;
        }
        let manifest = Manifest::read(dir)?;
        let catalog = Catalog::read(&dir.join(CATALOG), manifest.file(dir, CATALOG)?)?;
        manifest.check_count(dir, "items", manifest.items, catalog.len())?;
        let mut histories = Histories::empty();
        for index in 0..manifest.shards(dir)? {
            let name = shard(index);
            let path = dir.join(&name);
            let part = read_shard(&path, manifest.file(dir, &name)?)?;
            part.check_items(catalog.len()).map_err(Error::within(&path))?;
            histories.append(part).map_err(Error::within(&path))?;
        }
        manifest.check_count(dir, "users", manifest.users, histories.users())?;
        manifest.check_count(dir, "events", manifest.events, histories.events())?;
        Ok(Self { manifest, catalog, histories })
    }

    /// Writes a folder, all of it or nothing; `origin` is kept as it is. The same contents give the same bytes.
    ///
    /// # Errors
    /// When the folder exists and `overwrite` is false, an event names an item outside the catalogue, or the disk
    /// refuses.
    pub fn write(
        dir: &Path,
        catalog: &Catalog,
        histories: &Histories,
        origin: serde_json::Value,
        overwrite: bool,
    ) -> Result<Manifest> {
        write_sharded(dir, catalog, histories, origin, overwrite, SHARD_EVENTS)
    }
}

fn write_sharded(
    dir: &Path,
    catalog: &Catalog,
    histories: &Histories,
    origin: serde_json::Value,
    overwrite: bool,
    shard_events: u64,
) -> Result<Manifest> {
    histories.check_items(catalog.len())?;
    write_folder(dir, overwrite, |temp| {
        let mut manifest = Manifest::new(histories.users(), catalog.len(), histories.events(), origin);
        manifest.files.insert(CATALOG.to_owned(), catalog.write(&temp.join(CATALOG))?);
        for (index, users) in shards(histories.offsets(), shard_events).into_iter().enumerate() {
            let name = shard(index);
            let hash = write_shard(&temp.join(&name), histories, users)?;
            manifest.files.insert(name, hash);
        }
        write_bytes(&temp.join(MANIFEST), &manifest.to_json(dir)?)?;
        Ok(manifest)
    })
}

/// Runs of users with about so many events each; one empty run if there are no users.
fn shards(offsets: &[u64], events: u64) -> Vec<std::ops::Range<usize>> {
    let users = offsets.len() - 1;
    let (mut runs, mut start) = (Vec::new(), 0);
    for end in 1..=users {
        if end == users || offsets[end] - offsets[start] >= events {
            runs.push(start..end);
            start = end;
        }
    }
    if runs.is_empty() {
        runs.push(0..0);
    }
    runs
}

/// Tensors: `users.bytes`, `users.offsets`, `offsets` (users + 1, from 0 in each shard), `items`, `times`.
fn write_shard(path: &Path, histories: &Histories, users: std::ops::Range<usize>) -> Result<FileHash> {
    let keys = users.clone().map(|user| histories.user_key(UserId(user as u32))).collect::<Strings>();
    let all = &histories.offsets()[users.start..=users.end];
    let events = all[0] as usize..all[all.len() - 1] as usize;
    let offsets: Vec<u64> = all.iter().map(|offset| offset - all[0]).collect();
    let (items, times) = (&histories.items()[events.clone()], &histories.times()[events]);
    let [key_offsets, key_bytes] = keys.tensors("users");
    let tensors = [
        key_offsets,
        key_bytes,
        Tensor::new("offsets", &[offsets.len()], Values::U64(&offsets)),
        Tensor::new("items", &[items.len()], Values::Ids(items)),
        Tensor::new("times", &[times.len()], Values::I64(times)),
    ];
    write_tensors(path, &tensors)
}

fn read_shard(path: &Path, hash: &FileHash) -> Result<Histories> {
    let mut file = TensorFile::open_sealed(path, hash)?;
    file.expect_names(&["users.bytes", "users.offsets", "offsets", "items", "times"])?;
    let (offsets, times) = (file.u64("offsets")?, file.i64("times")?);
    let (users, items) = (Strings::read(&mut file, "users")?, file.ids("items")?);
    file.verify()?;
    Histories::new(users, offsets, items, times).map_err(Error::within(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ItemId;

    #[test]
    fn shards_end_at_users_and_join_again() {
        let home = tempfile::tempdir().unwrap();
        let lengths = [0, 3, 0, 5, 1, 0, 9, 2, 2, 0_u64];
        let mut offsets = vec![0];
        for length in lengths {
            offsets.push(offsets[offsets.len() - 1] + length);
        }
        assert_eq!(shards(&offsets, 5), [0..4, 4..7, 7..10]);
        assert_eq!(shards(&offsets, 100).first(), Some(&(0..10)));
        assert_eq!(shards(&[0], 5).first(), Some(&(0..0)));
        let keys = (0..10).map(|user| user.to_string()).collect();
        let items: Vec<ItemId> = (0..22).map(ItemId).collect();
        let histories = Histories::new(keys, offsets, items, vec![4; 22]).unwrap();
        let catalog = Catalog::new((10..32).map(|item| item.to_string()).collect(), vec![]).unwrap();
        for events in [1, 2, 5, 8, 100] {
            let dir = home.path().join(events.to_string());
            let manifest =
                write_sharded(&dir, &catalog, &histories, serde_json::Value::Null, false, events).unwrap();
            assert_eq!(manifest.files.len(), 1 + shards(histories.offsets(), events).len());
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
        let mut manifest =
            write_sharded(&dir, &catalog, &histories, serde_json::Value::Null, false, 1).unwrap();
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
