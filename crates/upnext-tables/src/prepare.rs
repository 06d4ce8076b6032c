//! Files in, prepared folder out.

use std::path::Path;
use std::sync::{Mutex, mpsc};

use serde_json::json;
use upnext_data::{Catalog, Column, EventColumn, EventValues, Histories, ItemId, Prepared, Shards, Strings};

use crate::budget::Budget;
use crate::descriptions::Descriptions;
use crate::error::{Error, Result};
use crate::event_columns::{Codes, Vocabularies};
use crate::inputs;
use crate::intern::Keys;
use crate::item_table::ItemTable;
use crate::options::{Listener, PROGRESS_ROWS, PrepareOptions, Progress, Summary, tell};
use crate::partition::Parts;
use crate::reading::{self, Outcome};
use crate::runs::{Run, merge};
use crate::spool::Room;
use crate::thinning::{self, Kept};

/// Reads event files and the item file into a prepared folder at `out`.
///
/// Users and items are numbered in byte order of their keys. Every user's events are sorted by time;
/// events of one time keep the order of the files. The same files in the same order give the same bytes,
/// whatever [`PrepareOptions::memory_limit`] is. The catalogue is the items of the events, and with
/// [`PrepareOptions::all_items`] also those that only the item file has.
///
/// # Errors
/// A file that cannot be read or recognised; a header without a column that is needed; a bad row, named by
/// file and line, beyond the [`PrepareOptions::max_bad_rows`] that may be skipped; no event at all; `out`
/// exists and may not be replaced, or cannot be written; `listener` breaks off. Nothing is left at `out` then,
/// and what stood there before is unharmed.
pub fn prepare(options: &PrepareOptions, out: &Path, listener: &mut Listener<'_>) -> Result<Summary> {
    let mut facts = None;
    let manifest = Prepared::write_with(out, options.overwrite, |shards: &mut Shards| {
        let beside = out.parent().filter(|parent| !parent.as_os_str().is_empty());
        let sorted = Sorted::read(options, beside.unwrap_or(Path::new(".")), listener)?;
        shards.set_columns(sorted.columns.clone());
        let (catalog, counts) = sorted
            .finish(listener, |user, items, times, values| Ok(shards.push(user, items, times, values)?))?;
        let origin = json!({
            "made_by": "prepare",
            "events": counts.origins,
            "items": counts.item_origin,
            "all_items": options.all_items,
            "event_columns": options.event_columns,
            "item_columns": options.item_columns,
            "keep": options.keep,
            "from": options.from,
            "to": options.to,
            "filtered": counts.filtered,
            "min_user_events": options.min_user_events,
            "min_item_events": options.min_item_events,
            "max_bad_rows": options.max_bad_rows,
            "bad_rows": counts.bad_rows,
            "items_without_events": counts.items_without_events,
            "items_without_row": counts.items_without_row,
        });
        facts = Some(counts);
        Ok::<_, Error>((catalog, origin))
    })?;
    // Filled whenever the folder was written.
    let facts = facts.unwrap_or_default();
    Ok(Summary {
        users: manifest.users,
        items: manifest.items,
        events: manifest.events,
        bad_rows: facts.bad_rows,
        bad_row_reasons: facts.bad_row_reasons,
        files: facts.origins,
        items_without_events: facts.items_without_events,
        filtered: facts.filtered,
        thinned: facts.thinned,
        spilled: facts.spilled,
        items_without_row: facts.items_without_row,
        manifest,
    })
}

/// As [`prepare`], but hands the catalogue and the histories over instead of writing them.
///
/// # Errors
/// As [`prepare`], those of writing excepted.
pub fn read(options: &PrepareOptions, listener: &mut Listener<'_>) -> Result<(Catalog, Histories)> {
    let sorted = Sorted::read(options, &std::env::temp_dir(), listener)?;
    let (mut users, mut offsets) = (Strings::default(), vec![0_u64]);
    let (mut all_items, mut all_times) = (Vec::new(), Vec::new());
    let mut columns = sorted.columns.clone();
    let (catalog, _) = sorted.finish(listener, |user, items, times, values| {
        users.push(user);
        for (column, bits) in columns.iter_mut().zip(values) {
            match &mut column.values {
                EventValues::Numbers(all) => all.extend(bits.iter().map(|&bits| f32::from_bits(bits))),
                EventValues::Categories { codes, .. } => codes.extend_from_slice(bits),
            }
        }
        all_items.extend_from_slice(items);
        all_times.extend_from_slice(times);
        offsets.push(all_items.len() as u64);
        Ok(())
    })?;
    Ok((catalog, Histories::new(users, offsets, all_items, all_times)?.with_columns(columns)?))
}

/// What happened on the way.
#[derive(Default)]
struct Counts {
    origins: Vec<serde_json::Value>,
    item_origin: Option<serde_json::Value>,
    bad_rows: u64,
    bad_row_reasons: Vec<String>,
    filtered: u64,
    thinned: u64,
    spilled: u64,
    items_without_events: u64,
    items_without_row: u64,
}

/// What the files hold, sorted.
struct Sorted {
    runs: Vec<Run>,
    room: Room,
    /// Items of the events by order of first sight.
    items: Keys,
    kept: Kept,
    table: Option<ItemTable>,
    /// Names of the columns in which the event files describe their items, and what they say.
    described: Vec<String>,
    descriptions: Descriptions,
    all_items: bool,
    events: u64,
    /// Kept columns with their vocabularies, without values.
    columns: Vec<EventColumn>,
    codes: Codes,
    counts: Counts,
}

impl Sorted {
    fn read(options: &PrepareOptions, spill: &Path, listener: &mut Listener<'_>) -> Result<Self> {
        let files = inputs::expand(&options.events)?;
        let spill = options.spill.as_deref().unwrap_or(spill);
        let budget = Budget::of(options.memory_limit, &files)?;
        budget.check_disk(spill)?;
        let room = Room::new(spill, budget.spools);
        let mut items = Keys::default();
        let kept_columns = options.event_columns.len();
        let mut parts = Parts::new(budget.parts, kept_columns, &room);
        let mut vocabularies = Vocabularies::new(kept_columns);
        let mut bits = vec![0; kept_columns];
        let mut descriptions = Descriptions::new(options.item_columns.len());
        let read = reading::read(&files, options, listener, &mut |user, item, time, kept| {
            let item = items.number(item).ok_or(Error::TooManyKeys { what: "items" })?;
            let (kept, described) = kept.split_at(kept_columns);
            for (column, (bits, &value)) in bits.iter_mut().zip(kept).enumerate() {
                *bits = vocabularies.bits(column, value)?;
            }
            descriptions.push(item, time, described);
            parts.push(user, item, time, &bits)
        })?;
        let Outcome { origins, mut bad, filtered, kinds } = read;
        let (columns, codes) = vocabularies.finish(&options.event_columns, &kinds);
        let events = parts.events();
        match files.last() {
            Some(_) if events == 0 && filtered > 0 => return Err(Error::AllFiltered { rows: filtered }),
            Some(path) if events == 0 => return Err(Error::NoEvents { path: path.clone() }),
            _ => {}
        }
        let (table, item_origin) = match &options.items {
            Some(path) => ItemTable::read(path, options.columns.item.as_deref(), &mut bad, listener)
                .map(|(table, file)| (Some(table), Some(file)))?,
            None => (None, None),
        };
        let runs = sort(parts, &budget, listener)?;
        let kept = thinning::thin(&runs, items.len(), options, &room, listener)?;
        let counts = Counts {
            origins,
            item_origin,
            bad_rows: bad.count,
            bad_row_reasons: bad.reasons,
            filtered,
            ..Counts::default()
        };
        let all_items = options.all_items;
        let described = options.item_columns.clone();
        Ok(Self {
            runs,
            room,
            items,
            kept,
            table,
            described,
            descriptions,
            all_items,
            events,
            columns,
            codes,
            counts,
        })
    }

    /// Hands over user by user and returns the catalogue.
    fn finish(
        mut self,
        listener: &mut Listener<'_>,
        mut push: impl FnMut(&str, &[ItemId], &[i64], &[Vec<u32>]) -> Result<()>,
    ) -> Result<(Catalog, Counts)> {
        let (order, ranks) = self.number()?;
        let catalog = self.catalog(&order)?;
        let (kept, codes, of) = (&self.kept, &self.codes, self.events);
        let (mut read, mut told, mut written) = (0_u64, 0_u64, 0_u64);
        let mut ids = Vec::new();
        let mut values = vec![Vec::new(); self.columns.len()];
        tell(listener, Progress::Writing { events: 0, of })?;
        merge(&self.runs, &self.room, |user| {
            read += user.items.len() as u64;
            user.retain(&kept.items);
            if !user.items.is_empty() && user.items.len() as u64 >= kept.min_user_events {
                ids.clear();
                ids.extend(user.items.iter().map(|&item| ItemId(ranks[item as usize])));
                written += ids.len() as u64;
                for (column, values) in values.iter_mut().enumerate() {
                    codes.column(column, &user.kept, values);
                }
                push(&String::from_utf8_lossy(&user.key), &ids, &user.times, &values)?;
            }
            if read - told >= PROGRESS_ROWS {
                told = read;
                tell(listener, Progress::Writing { events: read, of })?;
            }
            Ok(())
        })?;
        self.counts.thinned = of - written;
        self.counts.spilled = self.room.spilled();
        Ok((catalog, self.counts))
    }

    /// The items with the columns of the item file, then those of the event files.
    fn catalog(&self, order: &[u32]) -> Result<Catalog> {
        let mut columns = Vec::new();
        if let Some(table) = &self.table {
            for (index, name) in table.names.iter().enumerate() {
                let values = order.iter().map(|&number| table.value(index, self.items.get(number))).collect();
                columns.push(Column { name: name.clone(), values });
            }
        }
        for (index, name) in self.described.iter().enumerate() {
            columns.push(Column { name: name.clone(), values: self.descriptions.column(index, order) });
        }
        let keys = order.iter().map(|&number| String::from_utf8_lossy(self.items.get(number))).collect();
        Ok(Catalog::new(keys, columns)?)
    }

    /// The items of the catalogue in byte order, and where in it each item of the events stands.
    fn number(&mut self) -> Result<(Vec<u32>, Vec<u32>)> {
        // What thinning left, and with `all_items` what the item file names besides; that brings no event back.
        let mut kept = self.kept.items.clone();
        if let Some(table) = &self.table {
            let mut without_events = 0;
            for row in 0..table.keys.len() as u32 {
                let key = table.keys.get(row);
                let number = self.items.find(key);
                if number.is_none_or(|number| !kept[number as usize]) {
                    without_events += 1;
                    if self.all_items {
                        let number = self.items.number(key).ok_or(Error::TooManyKeys { what: "items" })?;
                        kept.resize(self.items.len(), false);
                        kept[number as usize] = true;
                    }
                }
            }
            self.counts.items_without_events = without_events;
            let unknown = |number: &u32| table.keys.find(self.items.get(*number)).is_none();
            let known = (0..self.items.len() as u32).filter(|&number| kept[number as usize]);
            self.counts.items_without_row = known.filter(unknown).count() as u64;
        }
        let mut order = self.items.in_byte_order();
        order.retain(|&number| kept[number as usize]);
        let mut ranks = vec![0; self.items.len()];
        for (rank, &number) in order.iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        Ok((order, ranks))
    }
}

/// Sorts the parts on all threads, while this one tells the listener.
fn sort(parts: Parts<'_>, budget: &Budget, listener: &mut Listener<'_>) -> Result<Vec<Run>> {
    let of = parts.events();
    let mut done = 0;
    tell(listener, Progress::Sorting { events: done, of })?;
    let (send, receive) = mpsc::channel();
    // A sender is not shared between threads as it is.
    let send = Mutex::new(send);
    std::thread::scope(|scope| {
        let sorter = scope.spawn(move || {
            parts.sort(budget.part, &|events| {
                let sent = send.lock().is_ok_and(|send| send.send(events).is_ok());
                if sent { Ok(()) } else { Err(Error::Interrupted) }
            })
        });
        let told = receive.iter().try_for_each(|events| {
            done += events;
            tell(listener, Progress::Sorting { events: done, of })
        });
        // A sorter whose words nobody takes stops.
        drop(receive);
        match sorter.join() {
            Ok(runs) => told.and(runs),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
