//! The prepared folder: a manifest, a catalogue, and the histories in shards.

use std::path::{Path, PathBuf};

use crate::event_column::{ColumnKind, EventColumn, EventValues};
use crate::manifest::{CATALOG, Manifest, VOCABULARIES, is_part, shard};
use crate::sealed::{self, FileHash, TensorFile, write_folder};
use crate::shards::{Shards, column_tensor};
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
        let reader = Reader::open(dir)?;
        let mut histories = Histories::empty();
        for index in 0..reader.shards() {
            let path = dir.join(shard(index));
            histories.append(reader.read(index)?).map_err(Error::within(&path))?;
        }
        let Reader { manifest, catalog, .. } = reader;
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
        histories.check_items(catalog.len())?;
        Self::write_with(dir, overwrite, |users| {
            users.set_columns(histories.columns().to_vec());
            let offsets = histories.offsets();
            for (user, history) in histories.iter() {
                let events = offsets[user.index()] as usize..offsets[user.index() + 1] as usize;
                let values: Vec<Vec<u32>> =
                    histories.columns().iter().map(|column| column.bits(events.clone())).collect();
                users.push(histories.user_key(user), history.items, history.times, &values)?;
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
        write_folder(dir, overwrite, is_part, |temp| {
            let mut shards = Shards::new(temp, SHARD_EVENTS);
            let (catalog, origin) = fill(&mut shards)?;
            Ok(shards.finish(dir, &catalog, origin)?)
        })
    }
}

/// A prepared folder that is read shard by shard, so that its histories need not fit in memory.
#[derive(Clone, Debug)]
pub struct Reader {
    /// What the folder says about itself.
    pub manifest: Manifest,
    /// Its items.
    pub catalog: Catalog,
    dir: PathBuf,
    columns: Vec<EventColumn>,
    shards: usize,
}

impl Reader {
    /// Opens a folder and checks all but its shards, which are checked when they are read.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.exists() {
            sealed::recover(dir)?;
        }
        let manifest = Manifest::read(dir)?;
        let catalog = Catalog::read(&dir.join(CATALOG), manifest.file(dir, CATALOG)?)?;
        manifest.check_count(dir, "items", manifest.items, catalog.len())?;
        let (columns, shards) = (columns(dir, &manifest)?, manifest.shards(dir)?);
        Ok(Self { manifest, catalog, dir: dir.to_owned(), columns, shards })
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The histories of a shard, numbered from 0 in it; users are in byte order of their keys over all shards.
    ///
    /// # Errors
    /// When the shard is missing, damaged or holds items that the catalogue lacks.
    pub fn read(&self, index: usize) -> Result<Histories> {
        let name = shard(index);
        let path = self.dir.join(&name);
        let part = read_shard(&path, self.manifest.file(&self.dir, &name)?, &self.columns)?;
        part.check_items(self.catalog.len()).map_err(Error::within(&path))?;
        Ok(part)
    }
}

/// The event columns of a folder, without their values.
fn columns(dir: &Path, manifest: &Manifest) -> Result<Vec<EventColumn>> {
    if manifest.event_columns.is_empty() {
        return Ok(Vec::new());
    }
    let mut file = TensorFile::open_sealed(&dir.join(VOCABULARIES), manifest.file(dir, VOCABULARIES)?)?;
    let categories = manifest.event_columns.iter().filter(|(_, kind)| *kind == ColumnKind::Category);
    let names: Vec<String> =
        categories.flat_map(|(name, _)| [format!("{name}.bytes"), format!("{name}.offsets")]).collect();
    file.expect_names(&names)?;
    let mut columns = Vec::with_capacity(manifest.event_columns.len());
    for (name, kind) in &manifest.event_columns {
        let values = match kind {
            ColumnKind::Number => EventValues::Numbers(Vec::new()),
            ColumnKind::Category => {
                let vocabulary = Strings::read(&mut file, name)?;
                EventValues::Categories { codes: Vec::new(), vocabulary }
            }
        };
        columns.push(EventColumn { name: name.clone(), values });
    }
    file.verify()?;
    Ok(columns)
}

fn read_shard(path: &Path, hash: &FileHash, columns: &[EventColumn]) -> Result<Histories> {
    let mut file = TensorFile::open_sealed(path, hash)?;
    let mut names: Vec<String> =
        ["users.bytes", "users.offsets", "offsets", "items", "times"].map(str::to_owned).to_vec();
    names.extend(columns.iter().map(|column| column_tensor(&column.name)));
    file.expect_names(&names)?;
    let (offsets, times) = (file.u64("offsets")?, file.i64("times")?);
    let (users, items) = (Strings::read(&mut file, "users")?, file.ids("items")?);
    let mut filled = columns.to_vec();
    for column in &mut filled {
        let tensor = column_tensor(&column.name);
        match &mut column.values {
            EventValues::Numbers(values) => *values = file.f32(&tensor)?,
            EventValues::Categories { codes, .. } => *codes = file.u32(&tensor)?,
        }
    }
    file.verify()?;
    let histories = Histories::new(users, offsets, items, times);
    histories.and_then(|histories| histories.with_columns(filled)).map_err(Error::within(path))
}
