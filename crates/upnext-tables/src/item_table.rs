//! Reads the item file: display columns by key.

use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use upnext_data::{Catalog, Column, Strings};

use crate::bad_rows::BadRows;
use crate::columns::ITEM;
use crate::error::{Error, Place, Problem, Result};
use crate::event_file::describe;
use crate::fields;
use crate::format::{self, Format};
use crate::intern::Keys;
use crate::jsonl::JsonLines;
use crate::options::{Listener, PROGRESS_ROWS, Progress, tell};
use crate::source::Source;
use crate::table::{self, Rows, Table};

/// Reads an item file as a catalogue: its items in the order of their rows, with every other column as text. `key` names
/// the column of the keys, by default that of a common name such as `item_id`.
///
/// # Errors
/// When the file cannot be read or recognised, a row cannot be used, or an item has two.
pub fn read_items(path: &Path, key: Option<&str>) -> Result<Catalog> {
    let go_on = &mut |_| ControlFlow::Continue(());
    let (table, _) = ItemTable::read(path, key, &mut BadRows::new(0), go_on)?;
    if table.keys.len() == 0 {
        return Err(Error::NoItems { path: path.into() });
    }
    let rows = 0..table.keys.len() as u32;
    // A key that was taken in was text.
    let keys: Strings = rows.map(|row| String::from_utf8_lossy(table.keys.get(row)).into_owned()).collect();
    let columns = table.names.into_iter().zip(table.values).map(|(name, values)| Column { name, values });
    Ok(Catalog::new(keys, columns.collect())?)
}

/// The rows of an item file.
#[derive(Default)]
pub(crate) struct ItemTable {
    /// Items in the order of their rows.
    pub(crate) keys: Keys,
    /// Names of the display columns.
    pub(crate) names: Vec<String>,
    /// Per display column, its value per row.
    pub(crate) values: Vec<Strings>,
    /// Per row where it begins.
    places: Vec<Place>,
}

impl ItemTable {
    /// Reads the file; the item column holds the keys, every other column is kept as text.
    pub(crate) fn read(
        path: &Path,
        told: Option<&str>,
        bad: &mut BadRows,
        progress: &mut Listener<'_>,
    ) -> Result<(Self, serde_json::Value)> {
        let source = Source::open(path)?;
        let format = format::recognise(path, source.text.head(), told.as_slice())?;
        if format == Format::SasRec {
            return Err(Error::ItemFormat { path: path.into() });
        }
        let (meter, size, compression) = (Rc::clone(&source.meter), source.size, source.compression);
        let opened: Box<dyn Table> = match format {
            // A catalogue has the columns that any of its items has.
            Format::JsonLines if path.is_file() => {
                let columns = JsonLines::all_columns(path, Source::open(path)?.text)?;
                Box::new(JsonLines::open(path, source.text)?.with_columns(columns))
            }
            _ => table::open(source, format)?,
        };
        let key = ITEM.find(opened.as_ref(), path, told)?;
        let column = opened.columns()[key].clone();
        let display: Vec<usize> = (0..opened.columns().len()).filter(|index| *index != key).collect();
        let mut items = Self::new(opened.as_ref(), path, &display)?;
        // The key comes first, then the display columns.
        let mut wanted = vec![key];
        wanted.extend(display);
        let mut file = opened.select(&wanted)?;
        let mut rows = 0_u64;
        let mut told = |rows| {
            tell(
                progress,
                Progress::Reading { path: path.into(), bytes: meter.borrow().bytes, of: size, rows },
            )
        };
        told(0)?;
        while let Some(place) = file.advance()? {
            match items.push(file.as_ref(), place, &column) {
                Ok(true) => {}
                Ok(false) => return Err(Error::TooManyKeys { what: "items" }),
                Err(problem) => bad.skip(Error::Row { path: path.into(), place, problem })?,
            }
            rows += 1;
            if rows.is_multiple_of(PROGRESS_ROWS) {
                told(rows)?;
            }
        }
        told(rows)?;
        let origin = describe(path, format, compression, rows, &meter.borrow());
        Ok((items, origin))
    }

    fn new(table: &dyn Table, path: &Path, display: &[usize]) -> Result<Self> {
        let refuse = |problem| Error::Header { path: path.into(), place: table.header(), problem };
        let mut names: Vec<String> = Vec::with_capacity(display.len());
        for &index in display {
            let name = table.columns()[index].clone();
            if name.is_empty() {
                return Err(refuse(Problem::NamelessColumn { number: index + 1 }));
            }
            if names.contains(&name) {
                return Err(refuse(Problem::DuplicateColumn { name }));
            }
            names.push(name);
        }
        let values = names.iter().map(|_| Strings::default()).collect();
        Ok(Self { names, values, ..Self::default() })
    }

    /// Adds the file's current row; `false` where its item can have no number any more.
    fn push(&mut self, file: &dyn Rows, place: Place, column: &str) -> std::result::Result<bool, Problem> {
        file.check()?;
        let (mut digits, mut number) = (itoa::Buffer::new(), String::new());
        for (index, name) in self.names.iter().enumerate() {
            fields::display_of(name, file.value(index + 1), &mut digits, &mut number)?;
        }
        let mut digits = itoa::Buffer::new();
        let key = fields::key_of(column, file.value(0), &mut digits)?;
        if let Some(first) = self.keys.find(key.as_bytes()) {
            let first = self.places[first as usize];
            return Err(Problem::DuplicateItem {
                column: column.into(),
                key: fields::shorten(key.as_bytes()),
                first,
            });
        }
        if self.keys.number(key.as_bytes()).is_none() {
            return Ok(false);
        }
        for (index, (name, values)) in self.names.iter().zip(&mut self.values).enumerate() {
            let mut digits = itoa::Buffer::new();
            values.push(fields::display_of(name, file.value(index + 1), &mut digits, &mut number)?);
        }
        self.places.push(place);
        Ok(true)
    }

    /// The item's text in display column `column`; empty where the item has no row.
    pub(crate) fn value(&self, column: usize, key: &[u8]) -> &str {
        self.keys.find(key).map_or("", |row| self.values[column].get(row as usize))
    }
}
