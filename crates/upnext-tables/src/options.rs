//! What `prepare` is asked, what it says on the way, and what it did.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use upnext_data::Manifest;

use crate::format::Format;
use crate::times::TimeUnit;

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
    /// Rows that may be skipped, all files together, before a bad row is an error.
    pub max_bad_rows: u64,
    /// Whether items that nobody has an event with join the catalogue.
    pub all_items: bool,
    /// Whether an existing prepared folder is replaced.
    pub overwrite: bool,
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
    /// Keys are being numbered and events sorted.
    Sorting {
        /// Events of all files.
        events: u64,
    },
    /// The prepared folder is being written.
    Writing,
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
    /// Items with events that the item file has no row for; 0 without an item file.
    pub items_without_row: u64,
    /// The folder's manifest.
    pub manifest: Manifest,
}
