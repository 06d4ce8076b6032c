//! Reads event files, one behind the other, into numbered rows.

use std::path::Path;
use std::rc::Rc;

use serde_json::json;

use crate::columns::{ITEM, TIME, USER};
use crate::error::{Error, Place, Problem, Result};
use crate::fields;
use crate::format::{self, Format};
use crate::inputs;
use crate::intern::Keys;
use crate::options::{PrepareOptions, Progress};
use crate::source::{Compression, Source};
use crate::table::{self, Rows};
use crate::times::{Clock, MICROS};

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
    /// In microseconds; `None` where the position within the user is the time.
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
        let files = inputs::expand(&options.events)?;
        for path in &files {
            origins.push(events.read_file(path, options, bad, progress)?);
        }
        match files.last() {
            None => Err(Error::NoFiles),
            Some(path) if events.user.is_empty() => Err(Error::NoEvents { path: path.clone() }),
            Some(_) => Ok((events, origins)),
        }
    }

    fn read_file(
        &mut self,
        path: &Path,
        options: &PrepareOptions,
        bad: &mut BadRows,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<serde_json::Value> {
        let source = Source::open(path)?;
        let columns = &options.columns;
        let told: Vec<&str> = [&columns.user, &columns.item, &columns.time]
            .into_iter()
            .flatten()
            .map(|name| name.as_str())
            .collect();
        let format = match options.format {
            Some(format) => format,
            None => format::recognise(path, source.text.head(), &told)?,
        };
        let (meter, size, compression) = (Rc::clone(&source.meter), source.size, source.compression);
        let mut file = EventFile::open(source, format, options)?;
        let bytes = || meter.borrow().bytes;
        let mut rows = 0_u64;
        let mut told =
            |rows| progress(Progress::Reading { path: path.into(), bytes: bytes(), of: size, rows });
        told(0);
        let mut buffers = [itoa::Buffer::new(), itoa::Buffer::new()];
        while let Some((place, row)) = file.advance(&mut buffers)? {
            match row {
                Ok(row) if self.push(&row) => {}
                Ok(_) => return Err(Error::TooManyKeys { path: path.into(), place, what: "users or items" }),
                Err(problem) => bad.skip(Error::Row { path: path.into(), place, problem })?,
            }
            rows += 1;
            if rows.is_multiple_of(PROGRESS_ROWS) {
                told(rows);
            }
        }
        told(rows);
        let mut origin = describe(path, format, compression, rows, &meter.borrow());
        origin["columns"] = json!(file.names);
        origin["time_unit"] = json!(file.clock.unit());
        Ok(origin)
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
            *position * MICROS
        });
        self.user.push(user);
        self.item.push(item);
        self.time.push(time);
        true
    }
}

/// An event file whose columns are found.
struct EventFile {
    rows: Box<dyn Rows>,
    /// Names of the user's, the item's and the time's column; the last is missing where order is time.
    names: Vec<String>,
    clock: Clock,
}

impl EventFile {
    fn open(source: Source, format: Format, options: &PrepareOptions) -> Result<Self> {
        let path = source.path.clone();
        let table = table::open(source, format)?;
        let columns = &options.columns;
        let mut wanted = vec![
            USER.find(table.as_ref(), &path, columns.user.as_deref())?,
            ITEM.find(table.as_ref(), &path, columns.item.as_deref())?,
        ];
        if format != Format::SasRec {
            wanted.push(TIME.find(table.as_ref(), &path, columns.time.as_deref())?);
        }
        let names = wanted.iter().map(|&index| table.columns()[index].clone()).collect();
        Ok(Self { rows: table.select(&wanted)?, names, clock: Clock::new(options.time_unit) })
    }

    /// The next row and where it begins.
    fn advance<'a>(
        &'a mut self,
        [user, item]: &'a mut [itoa::Buffer; 2],
    ) -> Result<Option<(Place, std::result::Result<Row<'a>, Problem>)>> {
        let Some(place) = self.rows.advance()? else { return Ok(None) };
        let (rows, names, clock) = (&self.rows, &self.names, &mut self.clock);
        let row = rows.check().and_then(|()| {
            let time = match names.get(2) {
                Some(name) => Some(clock.micros(name, rows.value(2))?),
                None => None,
            };
            Ok(Row {
                user: fields::key_of(&names[0], rows.value(0), user)?,
                item: fields::key_of(&names[1], rows.value(1), item)?,
                time,
            })
        });
        Ok(Some((place, row)))
    }
}

/// A file's name without its folder, and its content's hash: what the same input always gives.
pub(crate) fn describe(
    path: &Path,
    format: Format,
    compression: Compression,
    rows: u64,
    meter: &crate::source::Meter,
) -> serde_json::Value {
    json!({
        "file": path.file_name().unwrap_or_default().to_string_lossy(),
        "format": format,
        "compression": compression,
        "bytes": meter.bytes,
        "blake3": meter.hash(),
        "rows": rows,
    })
}
