//! A catalogue and histories back to event and item files, as `prepare` reads them.

use std::path::Path;

use upnext_data::{Catalog, Histories, ItemId};

use crate::error::{Error, Result};

/// Writes all events as CSV: `user_id,item_id,timestamp`, by user, oldest first.
///
/// # Errors
/// When the file cannot be written.
pub fn write_events(path: &Path, catalog: &Catalog, histories: &Histories) -> Result<()> {
    write(path, |file| {
        file.write_record(["user_id", "item_id", "timestamp"])?;
        for (user, history) in histories.iter() {
            let key = histories.user_key(user);
            for (&item, time) in history.items.iter().zip(history.times) {
                file.write_record([key, catalog.key(item), &time.to_string()])?;
            }
        }
        Ok(())
    })
}

/// Writes all items as CSV: `item_id` and the catalogue's columns.
///
/// # Errors
/// When the file cannot be written.
pub fn write_items(path: &Path, catalog: &Catalog) -> Result<()> {
    write(path, |file| {
        let columns = catalog.columns();
        file.write_record(["item_id"].into_iter().chain(columns.iter().map(|column| column.name.as_str())))?;
        for index in 0..catalog.len() {
            let values = columns.iter().map(|column| column.values.get(index));
            file.write_record([catalog.key(ItemId(index as u32))].into_iter().chain(values))?;
        }
        Ok(())
    })
}

fn write(path: &Path, rows: impl FnOnce(&mut csv::Writer<std::fs::File>) -> csv::Result<()>) -> Result<()> {
    let failed = |error: csv::Error| Error::Write { path: path.into(), source: error.into() };
    let mut file = csv::Writer::from_path(path).map_err(failed)?;
    rows(&mut file).map_err(failed)?;
    file.flush().map_err(|source| Error::Write { path: path.into(), source })
}
