//! Log and item files to prepared folders; lists to files.
//!
//! The one place that knows table formats: CSV and TSV with a header, and `SASRec` text
//! (`user item` a line), each plain or compressed with zstd. [`prepare`] reads them into memory,
//! numbers users and items in byte order of their keys, sorts every user's events by
//! (timestamp, input order) and writes a prepared folder; [`read`] stops before the writing. [`RowSink`] writes
//! lists as CSV or JSON lines.
#![forbid(unsafe_code)]

mod columns;
mod delimited;
mod error;
mod events;
mod fields;
mod format;
mod inputs;
mod intern;
mod item_table;
mod jsonl;
mod lines;
mod lists;
mod logs;
mod movielens;
mod options;
mod partial;
mod prepare;
mod sasrec;
mod source;
mod table;
mod times;

pub use error::{Error, Place, Problem, Result};
pub use format::Format;
pub use lists::{RowSink, Score};
pub use logs::{write_events, write_items};
pub use options::{Columns, PrepareOptions, Progress, Summary};
pub use prepare::{prepare, read};
pub use source::Compression;
pub use times::TimeUnit;
