//! Reads event files, one behind the other, into numbered rows.

use serde_json::json;

use crate::delimited::Delimited;
use crate::error::{Error, Problem, Result};
use crate::fields;
use crate::format::{self, Format};
use crate::intern::Keys;
use crate::options::{Columns, PrepareOptions, Progress};
use crate::sasrec::SasRec;
use crate::source::Source;

/// Reasons that are kept of the rows that were skipped.
const KEPT_REASONS: usize = 5;
/// Rows between two words about progress.
pub(crate) const PROGRESS_ROWS: u64 = 1 << 16;

/// The events of all files in the order they were read, and the keys of users and items.
#[derive(Default)]
pub(crate) struct Events {
    /// Users by order of first sight.
    pub(crate) users: Keys,
    /// Items by order of first sight.
    pub(crate) items: Keys,
    /// Per event the user's number.
    pub(crate) user: Vec<u32>,
    /// Per event the item's number.
    pub(crate) item: Vec<u32>,
    /// Per event its time.
    pub(crate) time: Vec<i64>,
    /// Per user the last position given to an event of `SASRec` text.
    positions: Vec<i64>,
}

/// Rows that were skipped, and how many more may be.
pub(crate) struct BadRows {
    limit: u64,
    /// How many there were.
    pub(crate) count: u64,
    /// Why, for the first few.
    pub(crate) reasons: Vec<String>,
}

impl BadRows {
    /// None yet, of at most `limit`.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, count: 0, reasons: Vec::new() }
    }

    /// Counts a bad row, or makes it an error where no more may be skipped.
    pub(crate) fn skip(&mut self, error: Error) -> Result<()> {
        if self.limit == 0 || matches!(&error, Error::Row { problem, .. } if !problem.can_be_skipped()) {
            return Err(error);
        }
        if self.count == self.limit {
            return Err(Error::TooManyBadRows { limit: self.limit, source: Box::new(error) });
        }
        self.count += 1;
        if self.reasons.len() < KEPT_REASONS {
            self.reasons.push(error.to_string());
        }
        Ok(())
    }
}

/// What one row of an event file says.
struct Row<'a> {
    user: &'a str,
    item: &'a str,
    /// `None` where the position within the user is the time.
    time: Option<i64>,
}

impl Events {
    /// Reads all event files; with each comes a description of it for the prepared folder's manifest.
    pub(crate) fn read(
        options: &PrepareOptions,
        bad: &mut BadRows,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Vec<serde_json::Value>)> {
        let mut events = Self::default();
        let mut origins = Vec::with_capacity(options.events.len());
        for path in &options.events {
            let source = Source::open(path)?;
            let names = [options.columns.user.as_str(), &options.columns.item, &options.columns.time];
            let format = match options.format {
                Some(format) => format,
                None => format::recognise(path, source.text.head(), &names)?,
            };
            origins.push(events.read_file(source, format, &options.columns, bad, progress)?);
        }
        match options.events.last() {
            None => Err(Error::NoFiles),
            Some(path) if events.user.is_empty() => Err(Error::NoEvents { path: path.clone() }),
            Some(_) => Ok((events, origins)),
        }
    }

    fn read_file(
        &mut self,
        source: Source,
        format: Format,
        columns: &Columns,
        bad: &mut BadRows,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<serde_json::Value> {
        let Source { path, size, compressed, text, meter } = source;
        let bytes = || meter.borrow().bytes;
        let mut rows = 0_u64;
        let mut told =
            |rows| progress(Progress::Reading { path: path.clone(), bytes: bytes(), of: size, rows });
        told(0);
        let mut take = |line: u64, row: std::result::Result<Row<'_>, Problem>| -> Result<()> {
            match row {
                Ok(row) if self.push(&row) => {}
                Ok(_) => {
                    return Err(Error::TooManyKeys { path: path.clone(), line, what: "users or items" });
                }
                Err(problem) => bad.skip(Error::Row { path: path.clone(), line, problem })?,
            }
            rows += 1;
            if rows.is_multiple_of(PROGRESS_ROWS) {
                told(rows);
            }
            Ok(())
        };
        match format {
            Format::Csv => each_delimited(Delimited::open(&path, text, b',')?, columns, &mut take)?,
            Format::Tsv => each_delimited(Delimited::open(&path, text, b'\t')?, columns, &mut take)?,
            Format::Sasrec => each_line(SasRec::open(&path, text), columns, &mut take)?,
        }
        told(rows);
        Ok(describe(&path, format, compressed, rows, &meter.borrow()))
    }

    /// Adds an event; `false` where its user or item can have no number any more.
    fn push(&mut self, row: &Row<'_>) -> bool {
        let (Some(user), Some(item)) = (self.users.number(row.user), self.items.number(row.item)) else {
            return false;
        };
        self.positions.resize(self.users.len(), 0);
        let time = row.time.unwrap_or_else(|| {
            let position = &mut self.positions[user as usize];
            *position += 1;
            *position
        });
        self.user.push(user);
        self.item.push(item);
        self.time.push(time);
        true
    }
}

type Take<'a> = &'a mut dyn FnMut(u64, std::result::Result<Row<'_>, Problem>) -> Result<()>;

fn each_delimited(mut file: Delimited, columns: &Columns, take: Take<'_>) -> Result<()> {
    let user = file.column(&columns.user, "--user")?;
    let item = file.column(&columns.item, "--item")?;
    let time = file.column(&columns.time, "--time")?;
    while let Some(line) = file.advance()? {
        let row = file.check_count().and_then(|()| {
            Ok(Row {
                user: fields::key(&columns.user, file.field(user))?,
                item: fields::key(&columns.item, file.field(item))?,
                time: Some(fields::time(&columns.time, file.field(time))?),
            })
        });
        take(line, row)?;
    }
    Ok(())
}

fn each_line(mut file: SasRec, columns: &Columns, take: Take<'_>) -> Result<()> {
    while let Some(line) = file.advance()? {
        let row = file.words().and_then(|(user, item)| {
            Ok(Row {
                user: fields::key(&columns.user, user)?,
                item: fields::key(&columns.item, item)?,
                time: None,
            })
        });
        take(line, row)?;
    }
    Ok(())
}

/// A file's name without its folder, and its content's hash: what the same input always gives.
pub(crate) fn describe(
    path: &std::path::Path,
    format: Format,
    compressed: bool,
    rows: u64,
    meter: &crate::source::Meter,
) -> serde_json::Value {
    json!({
        "file": path.file_name().unwrap_or_default().to_string_lossy(),
        "format": format,
        "compressed": compressed,
        "bytes": meter.bytes,
        "blake3": meter.hash(),
        "rows": rows,
    })
}
