//! Catalogues and histories to CSV files that [`prepare`](crate::prepare()) reads.

use std::fs::File;
use std::io;
use std::path::Path;

use upnext_data::{Catalog, Histories, ItemId};

use crate::error::{Error, Result};
use crate::partial::Partial;

/// Writes every event as a row `user_id,item_id,timestamp`, user by user, oldest first. An existing file is
/// replaced, and only once the new one is whole.
///
/// # Errors
/// When the disk refuses. The items of `histories` must be those of `catalog`.
pub fn write_events(path: &Path, catalog: &Catalog, histories: &Histories) -> Result<()> {
    write(path, |out| {
        out.write_record(["user_id", "item_id", "timestamp"])?;
        for (user, history) in histories.iter() {
            for (&item, time) in history.items.iter().zip(history.times) {
                out.write_record([histories.user_key(user), catalog.key(item), &time.to_string()])?;
            }
        }
        Ok(())
    })
}

/// Writes every item as a row: `item_id`, then the catalogue's columns. An existing file is replaced, and only
/// once the new one is whole.
///
/// # Errors
/// When the disk refuses.
pub fn write_items(path: &Path, catalog: &Catalog) -> Result<()> {
    write(path, |out| {
        let columns = catalog.columns();
        let names = columns.iter().map(|column| column.name.as_str());
        out.write_record(std::iter::once("item_id").chain(names))?;
        for item in (0..catalog.len()).map(|index| ItemId(index as u32)) {
            let values = columns.iter().map(|column| column.values.get(item.index()));
            out.write_record(std::iter::once(catalog.key(item)).chain(values))?;
        }
        Ok(())
    })
}

fn write(path: &Path, rows: impl FnOnce(&mut csv::Writer<File>) -> csv::Result<()>) -> Result<()> {
    let whole = || -> io::Result<()> {
        let (mut partial, file) = Partial::create(path)?;
        let mut out = csv::WriterBuilder::new().buffer_capacity(1 << 17).from_writer(file);
        rows(&mut out)?;
        out.flush()?;
        partial.commit(out.get_ref())
    };
    whole().map_err(|source| Error::Write { path: path.into(), source })
}
