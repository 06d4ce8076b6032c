//! Log and item files to prepared folders; lists to files.
//!
//! The one place that knows table formats. [`prepare`] reads event files of any of the [`Format`]s, plain or
//! compressed, numbers users and items in byte order of their keys, sorts every user's events by (timestamp, input
//! order) and writes a prepared folder, within a memory limit if there is one; [`read`] stops before the writing.
//! [`read_items`] reads an item file alone, [`read_vectors`] vectors of items in Parquet. [`RowSink`] writes lists as
//! Parquet, CSV or JSON lines, [`VectorSink`] vectors as Parquet or `.npy`. [`Parts`] is the folder of a job that may be
//! killed at any moment, [`EarlierJob`] what the next job asks of it.
//!
//! Data flows one way: `source` (bytes) → `format`, `table` (columns and rows) → `event_file` (events) → `reading`
//! (a thread) → `partition` (parts by user) → `runs` (sorted) → `thinning` → the folder.
#![forbid(unsafe_code)]

mod bad_rows;
mod budget;
mod columns;
mod delimited;
mod descriptions;
mod error;
mod event_columns;
mod event_file;
mod fields;
mod filter;
mod format;
mod inputs;
mod intern;
mod item_table;
mod jsonl;
mod lines;
mod list_stats;
mod lists;
mod logs;
mod movielens;
mod options;
mod parquet;
mod partial;
mod partition;
mod parts;
mod peek;
mod prepare;
mod problem;
mod reading;
mod runs;
mod sasrec;
mod scratch;
mod size;
mod source;
mod spool;
mod table;
mod thinning;
mod times;
mod vectors;

pub use budget::LEAST_MEMORY;
pub use error::{Error, Place, Problem, Result};
pub use event_columns::KeptColumn;
pub use filter::{Condition, Operator};
pub use format::Format;
pub use item_table::read_items;
pub use list_stats::ListStats;
pub use lists::{Beside, Form, Layout, RowSink, Score};
pub use logs::{write_events, write_items};
pub use options::{Columns, Listener, PrepareOptions, Progress, Summary};
pub use parquet::{KeyedVectors, is_decoding, read_vectors};
pub use parts::{EarlierJob, HistoryRecord, Parts, history_hash, is_finished};
pub use peek::{Kind, Peek, PeekColumn, RowCount, peek};
pub use prepare::{prepare, read};
pub use scratch::Scratch;
pub use size::Size;
pub use source::Compression;
pub use times::{Moment, TimeUnit};
pub use vectors::VectorSink;
