//! One event file, row by row.

use std::path::Path;

use serde_json::json;
use upnext_data::ColumnKind;

use crate::columns::{ITEM, Role, TIME, USER};
use crate::error::{Error, Place, Problem, Result};
use crate::event_columns::{self, Kept};
use crate::fields;
use crate::format::{self, Format};
use crate::options::PrepareOptions;
use crate::source::{Compression, Meter, Source};
use crate::table::{self, Rows};
use crate::times::{Clock, MICROS};

/// What one row of an event file says.
pub(crate) struct Event<'a> {
    pub(crate) user: &'a str,
    pub(crate) item: &'a str,
    /// In microseconds; `None` where the position within the user is the time.
    pub(crate) time: Option<i64>,
}

/// A row, where it begins, and what became of it: an event, or nothing if it is not to be kept.
pub(crate) type Found<'a> = (Place, std::result::Result<Option<Event<'a>>, Problem>);

/// An event file whose columns are found.
pub(crate) struct EventFile<'o> {
    rows: Box<dyn Rows>,
    format: Format,
    /// Names of the user's, the item's and the time's column; the last is missing where order is time.
    names: Vec<String>,
    clock: Clock,
    options: &'o PrepareOptions,
}

impl<'o> EventFile<'o> {
    /// Recognises format and columns.
    pub(crate) fn open(source: Source, options: &'o PrepareOptions) -> Result<Self> {
        let path = source.path.clone();
        let columns = &options.columns;
        let format = match options.format {
            Some(format) => format,
            None => {
                let told = [&columns.user, &columns.item, &columns.time];
                let told: Vec<&str> = told.into_iter().flatten().map(String::as_str).collect();
                format::recognise(&path, source.text.head(), &told)?
            }
        };
        let table = table::open(source, format)?;
        let mut wanted = vec![
            USER.find(table.as_ref(), &path, columns.user.as_deref())?,
            ITEM.find(table.as_ref(), &path, columns.item.as_deref())?,
        ];
        let of_times = [
            (columns.time.is_some(), "--time"),
            (options.time_unit.is_some(), "--time-unit"),
            (options.from.is_some(), "--from"),
            (options.to.is_some(), "--to"),
        ];
        if format != Format::SasRec {
            wanted.push(TIME.find(table.as_ref(), &path, columns.time.as_deref())?);
        }
        if let (Format::SasRec, Some((_, flag))) = (format, of_times.iter().find(|(is_given, _)| *is_given)) {
            return Err(Error::NoTimes { path, flag });
        }
        let names = wanted.iter().map(|&index| table.columns()[index].clone()).collect();
        for condition in &options.keep {
            wanted.push(Role::named(table.as_ref(), &path, &condition.column, "--keep")?);
        }
        for column in &options.event_columns {
            wanted.push(Role::named(table.as_ref(), &path, &column.name, "--event-column")?);
        }
        for name in &options.item_columns {
            wanted.push(Role::named(table.as_ref(), &path, name, "--item-column")?);
        }
        let clock = Clock::new(options.time_unit);
        Ok(Self { rows: table.select(&wanted)?, format, names, clock, options })
    }

    /// The next row.
    pub(crate) fn advance<'a>(&'a mut self, digits: &'a mut [itoa::Buffer; 2]) -> Result<Option<Found<'a>>> {
        let Some(place) = self.rows.advance()? else { return Ok(None) };
        Ok(Some((place, self.event(digits))))
    }

    fn event<'a>(
        &'a mut self,
        [user, item]: &'a mut [itoa::Buffer; 2],
    ) -> std::result::Result<Option<Event<'a>>, Problem> {
        let (rows, names, clock) = (&self.rows, &self.names, &mut self.clock);
        rows.check()?;
        let time = match names.get(2) {
            Some(name) => Some(clock.micros(name, rows.value(2))?),
            None => None,
        };
        let event = Event {
            user: fields::key_of(&names[0], rows.value(0), user)?,
            item: fields::key_of(&names[1], rows.value(1), item)?,
            time,
        };
        let seconds = time.map(|time| time.div_euclid(MICROS));
        let outside = seconds.is_some_and(|time| {
            self.options.from.is_some_and(|from| time < from.0)
                || self.options.to.is_some_and(|to| time >= to.0)
        });
        let conditions = &self.options.keep;
        let first = names.len();
        let kept = conditions.iter().enumerate().all(|(index, one)| one.holds(rows.value(first + index)));
        Ok(Some(event).filter(|_| kept && !outside))
    }

    /// The current row's value in the `index`-th of the kept columns; the first value decides the `kind`.
    pub(crate) fn kept<'a>(
        &'a self,
        index: usize,
        kind: &mut Option<ColumnKind>,
        digits: &'a mut itoa::Buffer,
    ) -> std::result::Result<Kept<'a>, Problem> {
        let first = self.names.len() + self.options.keep.len();
        let name = &self.options.event_columns[index].name;
        event_columns::kept(name, self.rows.value(first + index), kind, digits)
    }

    /// What the current row says of its item in the `index`-th of the item columns.
    pub(crate) fn described<'a>(
        &'a self,
        index: usize,
        digits: &'a mut itoa::Buffer,
        number: &'a mut String,
    ) -> std::result::Result<Kept<'a>, Problem> {
        let first = self.names.len() + self.options.keep.len() + self.options.event_columns.len();
        let name = &self.options.item_columns[index];
        match fields::display_of(name, self.rows.value(first + index), digits, number)? {
            "" => Ok(Kept::Nothing),
            text => fields::key(name, text.as_bytes()).map(Kept::Category),
        }
    }

    /// What the prepared folder remembers of the file.
    pub(crate) fn describe(
        &self,
        path: &Path,
        compression: Compression,
        rows: u64,
        meter: &Meter,
    ) -> serde_json::Value {
        let mut origin = describe(path, self.format, compression, rows, meter);
        origin["columns"] = json!(self.names);
        origin["time_unit"] = json!(self.clock.unit());
        origin
    }
}

/// A file's name without its folder, and its content's hash: what the same input always gives.
pub(crate) fn describe(
    path: &Path,
    format: Format,
    compression: Compression,
    rows: u64,
    meter: &Meter,
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
