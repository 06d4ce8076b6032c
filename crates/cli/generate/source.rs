//! Whose histories are continued: shard by shard out of a prepared folder, or all of an event file.

use std::borrow::Cow;
use std::ops::ControlFlow;

use anyhow::Result;
use upnext_data::chance::name_key;
use upnext_data::{Catalog, Histories, Reader, Strings};

use crate::args::{GenerateArgs, OneOf};
use crate::open;
use crate::prepare::reading;

/// Histories in pieces, of which one is in memory at a time.
pub(super) enum Source {
    /// A prepared folder's shards.
    Shards(Box<Reader>),
    /// An event file, read.
    Read(Box<(Catalog, Histories)>),
}

impl Source {
    pub(super) fn open(args: &GenerateArgs) -> Result<Self> {
        if let Some(dir) = &args.data {
            return Ok(Self::Shards(Box::new(open::reader(dir)?)));
        }
        let options = reading(args.histories.iter().cloned().collect(), &args.input);
        let read = upnext_tables::read(&options, &mut |_| ControlFlow::Continue(()))?;
        Ok(Self::Read(Box::new(read)))
    }

    /// The catalogue that the histories' ids belong to.
    pub(super) fn catalog(&self) -> &Catalog {
        match self {
            Self::Shards(reader) => &reader.catalog,
            Self::Read(read) => &read.0,
        }
    }

    pub(super) fn users(&self) -> usize {
        match self {
            Self::Shards(reader) => reader.manifest.users,
            Self::Read(read) => read.1.users(),
        }
    }

    pub(super) fn pieces(&self) -> usize {
        match self {
            Self::Shards(reader) => reader.shards(),
            Self::Read(_) => 1,
        }
    }

    pub(super) fn piece(&self, index: usize) -> Result<Cow<'_, Histories>> {
        match self {
            Self::Shards(reader) => Ok(Cow::Owned(reader.read(index)?)),
            Self::Read(read) => Ok(Cow::Borrowed(&read.1)),
        }
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
