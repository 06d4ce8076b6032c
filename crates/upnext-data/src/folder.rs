//! The prepared folder: a manifest, a catalogue, and the histories in shards.

use std::path::Path;

use crate::manifest::{CATALOG, Manifest, shard};
use crate::sealed::{self, FileHash, TensorFile, write_folder};
use crate::shards::Shards;
use crate::{Catalog, Error, Histories, Result, Strings};

/// Events after which a shard ends: 50 MB of items and times.
const SHARD_EVENTS: usize = 1 << 22;

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
        Self::write_with(dir, overwrite, |users| {
            for (user, history) in histories.iter() {
                users.push(histories.user_key(user), history.items, history.times)?;
            }
            Ok((catalog.clone(), origin))
        })
    }

    /// As [`Prepared::write`], for histories that need not fit in memory: `fill` pushes user by user, in byte order of
    /// their keys, and returns the catalogue and the origin.
    ///
    /// # Errors
    /// Those of `fill`, and as [`Prepared::write`].
    pub fn write_with<E: From<Error>>(
        dir: &Path,
        overwrite: bool,
        fill: impl FnOnce(&mut Shards) -> std::result::Result<(Catalog, serde_json::Value), E>,
    ) -> std::result::Result<Manifest, E> {
        write_folder(dir, overwrite, |temp| {
            let mut shards = Shards::new(temp, SHARD_EVENTS);
            let (catalog, origin) = fill(&mut shards)?;
            Ok(shards.finish(dir, &catalog, origin)?)
        })
    }
}

fn read_shard(path: &Path, hash: &FileHash) -> Result<Histories> {
    let mut file = TensorFile::open_sealed(path, hash)?;
    file.expect_names(&["users.bytes", "users.offsets", "offsets", "items", "times"])?;
    let (offsets, times) = (file.u64("offsets")?, file.i64("times")?);
    let (users, items) = (Strings::read(&mut file, "users")?, file.ids("items")?);
    file.verify()?;
    Histories::new(users, offsets, items, times).map_err(Error::within(path))
}
