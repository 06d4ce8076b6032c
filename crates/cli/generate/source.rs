//! Whose histories are continued: those of a prepared folder, or of event files, which are prepared for the job.

use std::time::Instant;

use anyhow::{Context, Result};
use upnext_data::chance::name_key;
use upnext_data::{Catalog, Histories, Reader, Strings};
use upnext_generate::{Generator, ItemMap};
use upnext_tables::{PrepareOptions, Scratch};

use crate::args::{GenerateArgs, OneOf};
use crate::{open, prepare};

/// Histories in pieces, of which one is in memory at a time.
pub(super) struct Source {
    reader: Reader,
    /// From the histories' items to the model's.
    pub(super) map: ItemMap,
    /// Seconds that preparing event files took.
    pub(super) preparing: f64,
    /// Where the prepared event files are, as long as they are needed.
    _scratch: Option<Scratch>,
}

impl Source {
    pub(super) fn open(args: &GenerateArgs, generator: &Generator) -> Result<Self> {
        if let Some(dir) = &args.data {
            let reader = open::reader(dir)?;
            let map = generator.item_map(&reader.catalog);
            return Ok(Self { reader, map, preparing: 0.0, _scratch: None });
        }
        let started = Instant::now();
        if super::is_folder(&args.out)
            && let Some(parent) = args.out.parent()
        {
            std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        let scratch = Scratch::beside(&args.out)?;
        let options = PrepareOptions {
            memory_limit: args.memory_limit.map(|size| size.0),
            spill: Some(scratch.path().to_owned()),
            ..prepare::reading(args.histories.iter().cloned().collect(), &args.input)
        };
        let folder = scratch.path().join("histories");
        let summary = prepare::watched(&options, &folder)?;
        prepare::report_bad_rows(&summary);
        let reader = open::reader(&folder)?;
        let map = generator.item_map(&reader.catalog);
        Ok(Self { reader, map, preparing: started.elapsed().as_secs_f64(), _scratch: Some(scratch) })
    }

    /// The catalogue that the histories' ids belong to.
    pub(super) fn catalog(&self) -> &Catalog {
        &self.reader.catalog
    }

    /// Names the histories, whether they were prepared before or for this job.
    pub(super) fn data_hash(&self) -> String {
        self.reader.manifest.data_hash()
    }

    pub(super) fn users(&self) -> usize {
        self.reader.manifest.users
    }

    pub(super) fn pieces(&self) -> usize {
        self.reader.shards()
    }

    pub(super) fn piece(&self, index: usize) -> Result<Histories> {
        Ok(self.reader.read(index)?)
    }
}

/// Whether a user belongs to a shard of the job: by a hash of the key, so that users stay where they are whoever joins.
pub(super) fn is_in(shard: Option<OneOf>, user: &str) -> bool {
    shard.is_none_or(|shard| name_key(user) % u64::from(shard.of) == u64::from(shard.index - 1))
}

/// Users of whom there is no event.
pub(super) fn without_events<'k>(users: impl Iterator<Item = &'k str>) -> Result<Histories> {
    let keys: Strings = users.collect();
    let offsets = vec![0; keys.len() + 1];
    Ok(Histories::new(keys, offsets, Vec::new(), Vec::new())?)
}
