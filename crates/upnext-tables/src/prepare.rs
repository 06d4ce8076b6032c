//! Files in, prepared folder out.

use std::path::Path;

use serde_json::json;
use upnext_data::{Catalog, Column, Histories, ItemId, Prepared, Strings};

use crate::error::Result;
use crate::events::{BadRows, Events};
use crate::intern::Keys;
use crate::item_table::ItemTable;
use crate::options::{PrepareOptions, Progress, Summary};
use crate::times::MICROS;

/// Reads event files and the item file into a prepared folder at `out`.
///
/// Users and items are numbered in byte order of their keys. Every user's events are sorted by time;
/// events of one time keep the order of the files. The same files in the same order give the same bytes.
/// The catalogue is the items of the events, and with [`PrepareOptions::all_items`] also those that only
/// the item file has. All of it is held in memory: about 50 bytes an event, and the keys.
///
/// # Errors
/// A file that cannot be read or recognised; a header without a column that is needed; a bad row, named by
/// file and line, beyond the [`PrepareOptions::max_bad_rows`] that may be skipped; no event at all; `out`
/// exists and may not be replaced, or cannot be written. Nothing is left at `out` then, and what stood
/// there before is unharmed.
pub fn prepare(options: &PrepareOptions, out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Summary> {
    let made = Made::from_files(options, progress)?;
    progress(Progress::Writing);
    let origin = json!({
        "made_by": "prepare",
        "columns": options.columns,
        "events": made.event_files,
        "items": made.item_file,
        "all_items": options.all_items,
        "max_bad_rows": options.max_bad_rows,
        "bad_rows": made.bad.count,
        "items_without_events": made.items_without_events,
        "items_without_row": made.items_without_row,
    });
    let manifest = Prepared::write(out, &made.catalog, &made.histories, origin, options.overwrite)?;
    Ok(Summary {
        users: made.histories.users(),
        items: made.catalog.len(),
        events: made.histories.events(),
        bad_rows: made.bad.count,
        bad_row_reasons: made.bad.reasons,
        items_without_events: made.items_without_events,
        items_without_row: made.items_without_row,
        manifest,
    })
}

/// As [`prepare`], but hands the catalogue and the histories over instead of writing them.
///
/// # Errors
/// As [`prepare`], those of writing excepted.
pub fn read(options: &PrepareOptions, progress: &mut dyn FnMut(Progress)) -> Result<(Catalog, Histories)> {
    let made = Made::from_files(options, progress)?;
    Ok((made.catalog, made.histories))
}

/// What the files hold.
struct Made {
    catalog: Catalog,
    histories: Histories,
    bad: BadRows,
    event_files: Vec<serde_json::Value>,
    item_file: Option<serde_json::Value>,
    items_without_events: u64,
    items_without_row: u64,
}

impl Made {
    fn from_files(options: &PrepareOptions, progress: &mut dyn FnMut(Progress)) -> Result<Self> {
        let mut bad = BadRows::new(options.max_bad_rows);
        let (mut events, event_files) = Events::read(options, &mut bad, progress)?;
        let (table, item_file) = match &options.items {
            Some(path) => ItemTable::read(path, options.columns.item.as_deref(), &mut bad, progress)
                .map(|(table, file)| (Some(table), Some(file)))?,
            None => (None, None),
        };
        progress(Progress::Sorting { events: events.user.len() as u64 });
        let (mut items_without_events, mut items_without_row) = (0, 0);
        if let Some(table) = &table {
            items_without_events = missing(&table.keys, &events.items);
            items_without_row = missing(&events.items, &table.keys);
            if options.all_items {
                join(&mut events.items, &table.keys);
            }
        }
        let item_order = events.items.in_byte_order();
        let catalog = catalog(&events.items, &item_order, table.as_ref())?;
        let histories = histories(&events, &item_order)?;
        Ok(Self { catalog, histories, bad, event_files, item_file, items_without_events, items_without_row })
    }
}

/// How many of `keys` are not in `others`.
fn missing(keys: &Keys, others: &Keys) -> u64 {
    (0..keys.len() as u32).filter(|&n| others.find(keys.get(n)).is_none()).count() as u64
}

/// Gives numbers to those of `more` that have none.
fn join(keys: &mut Keys, more: &Keys) {
    for n in 0..more.len() as u32 {
        keys.number(&String::from_utf8_lossy(more.get(n)));
    }
}

/// The keys as text, in the given order.
fn strings(keys: &Keys, order: &[u32]) -> Strings {
    let mut strings = Strings::default();
    for &n in order {
        strings.push(&String::from_utf8_lossy(keys.get(n)));
    }
    strings
}

fn catalog(items: &Keys, order: &[u32], table: Option<&ItemTable>) -> Result<Catalog> {
    let mut columns = Vec::new();
    if let Some(table) = table {
        for (index, name) in table.names.iter().enumerate() {
            let mut values = Strings::default();
            for &n in order {
                values.push(table.value(index, items.get(n)));
            }
            columns.push(Column { name: name.clone(), values });
        }
    }
    Ok(Catalog::new(strings(items, order), columns)?)
}

/// Groups the events by user with a counting sort, which keeps their order, then sorts each user's by time.
fn histories(events: &Events, item_order: &[u32]) -> Result<Histories> {
    let user_order = events.users.in_byte_order();
    let user_rank = ranks(&user_order);
    let item_rank = ranks(item_order);
    let mut offsets = vec![0_u64; user_order.len() + 1];
    for &user in &events.user {
        offsets[user_rank[user as usize] as usize + 1] += 1;
    }
    for user in 0..user_order.len() {
        offsets[user + 1] += offsets[user];
    }
    let mut next = offsets.clone();
    let mut rows = vec![(0_i64, ItemId(0)); events.user.len()];
    for ((&user, &item), &time) in events.user.iter().zip(&events.item).zip(&events.time) {
        let slot = &mut next[user_rank[user as usize] as usize];
        rows[*slot as usize] = (time, ItemId(item_rank[item as usize]));
        *slot += 1;
    }
    for user in 0..user_order.len() {
        rows[offsets[user] as usize..offsets[user + 1] as usize].sort_by_key(|row| row.0);
    }
    let (times, items) = rows.into_iter().map(|(time, item)| (time.div_euclid(MICROS), item)).unzip();
    Ok(Histories::new(strings(&events.users, &user_order), offsets, items, times)?)
}

/// The inverse of an order: where each number stands in it.
fn ranks(order: &[u32]) -> Vec<u32> {
    let mut ranks = vec![0; order.len()];
    for (rank, &n) in order.iter().enumerate() {
        ranks[n as usize] = rank as u32;
    }
    ranks
}
