//! What `prepare` is asked, what it says on the way, and what it did.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use upnext_data::Manifest;

use crate::error::{Error, Result};
use crate::event_columns::KeptColumn;
use crate::filter::Condition;
use crate::format::Format;
use crate::times::{Moment, TimeUnit};

/// Names of the columns that make an event; `None` finds one by the names that logs commonly use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// Column of the user's key, `user_id` by default.
    pub user: Option<String>,
    /// Column of the item's key, in event files and in the item file, `item_id` by default.
    pub item: Option<String>,
    /// Column of the event's time, `timestamp` by default.
    pub time: Option<String>,
}

/// Which files make a prepared folder, and how they are read.
#[derive(Clone, Debug, Default)]
pub struct PrepareOptions {
    /// Event files, folders of them, or patterns, read in this order; events of one user with the same time keep it.
    pub events: Vec<PathBuf>,
    /// Item file: a row an item, with display columns, all kept as text.
    pub items: Option<PathBuf>,
    /// Names of the columns.
    pub columns: Columns,
    /// Format of the event files; `None` recognises it by content, then by extension.
    pub format: Option<Format>,
    /// Unit of the times; `None` recognises it in each file.
    pub time_unit: Option<TimeUnit>,
    /// Columns of the event files that are kept as columns of the events.
    pub event_columns: Vec<KeptColumn>,
    /// Columns of the event files that describe the item, and are kept as display columns of the catalogue: of each item
    /// the newest text.
    pub item_columns: Vec<String>,
    /// Conditions that an event must fulfil, all of them.
    pub keep: Vec<Condition>,
    /// Events before this moment are left out.
    pub from: Option<Moment>,
    /// Events at or after this moment are left out.
    pub to: Option<Moment>,
    /// Users with fewer events are left out, and items with fewer, again and again until all have enough.
    pub min_user_events: u64,
    /// As [`PrepareOptions::min_user_events`], of items.
    pub min_item_events: u64,
    /// About the most bytes of memory to use beside the keys of the items and the item file; more goes to files
    /// without a name in [`PrepareOptions::spill`]. `None` keeps all in memory. It changes no byte of the outcome.
    pub memory_limit: Option<u64>,
    /// Folder for what does not fit; by default the one that the prepared folder is written to.
    pub spill: Option<PathBuf>,
    /// Rows that may be skipped, all files together, before a bad row is an error.
    pub max_bad_rows: u64,
    /// Whether items that nobody has an event with join the catalogue.
    pub all_items: bool,
    /// Whether an existing prepared folder is replaced.
    pub overwrite: bool,
}

/// Rows between two words about progress.
pub(crate) const PROGRESS_ROWS: u64 = 1 << 16;

/// Who is told of the progress, and may break off.
pub type Listener<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Tells, and makes an error of being broken off.
pub(crate) fn tell(listener: &mut Listener<'_>, progress: Progress) -> Result<()> {
    if listener(progress).is_break() { Err(Error::Interrupted) } else { Ok(()) }
}

/// What `prepare` is doing; told about every 65,536 rows and at the start of each phase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A file is being read.
    Reading {
        /// The file.
        path: PathBuf,
        /// Bytes read from the disk so far.
        bytes: u64,
        /// Bytes of the file on the disk.
        of: u64,
        /// Rows read so far, of this file.
        rows: u64,
    },
    /// Events are being sorted.
    Sorting {
        /// Events so far.
        events: u64,
        /// Events of all files.
        of: u64,
    },
    /// Users and items with too few events are being looked for.
    Thinning {
        /// The round, from 1.
        round: u64,
    },
    /// The prepared folder is being written.
    Writing {
        /// Events so far.
        events: u64,
        /// Events of all files.
        of: u64,
    },
}

/// What a prepared folder was made of.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Users with an event.
    pub users: usize,
    /// Items of the catalogue.
    pub items: usize,
    /// Events.
    pub events: usize,
    /// Rows that were skipped because they could not be read.
    pub bad_rows: u64,
    /// Why, for the first few of them: `file:line: field: reason`.
    pub bad_row_reasons: Vec<String>,
    /// Rows of the item file whose item has no event; in the catalogue only with `all_items`.
    pub items_without_events: u64,
    /// Of each event file what the folder remembers: name, hash, format, compression, rows, columns, unit of the times.
    pub files: Vec<serde_json::Value>,
    /// Events that a condition or a bound in time left out.
    pub filtered: u64,
    /// Events that went with users and items of too few.
    pub thinned: u64,
    /// Bytes that did not fit into memory.
    pub spilled: u64,
    /// Items with events that the item file has no row for; 0 without an item file.
    pub items_without_row: u64,
    /// The folder's manifest.
    pub manifest: Manifest,
}
