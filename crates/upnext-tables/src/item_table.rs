//! Reads the item file: display columns by key.

use std::path::Path;

use upnext_data::Strings;

use crate::delimited::Delimited;
use crate::error::{Error, Problem, Result};
use crate::events::{BadRows, PROGRESS_ROWS, describe};
use crate::fields;
use crate::format::{self, Format};
use crate::intern::Keys;
use crate::options::Progress;
use crate::source::Source;

/// The rows of an item file.
#[derive(Default)]
pub(crate) struct ItemTable {
    /// Items in the order of their rows.
    pub(crate) keys: Keys,
    /// Names of the display columns.
    pub(crate) names: Vec<String>,
    /// Per display column, its value per row.
    pub(crate) values: Vec<Strings>,
    /// Per row the line it begins on.
    lines: Vec<u64>,
}

impl ItemTable {
    /// Reads the file; `column` holds the keys, every other column is kept as text.
    pub(crate) fn read(
        path: &Path,
        column: &str,
        bad: &mut BadRows,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, serde_json::Value)> {
        let Source { path, size, compressed, text, meter } = Source::open(path)?;
        let format = format::recognise(&path, text.head(), &[column])?;
        let separator = match format {
            Format::Csv => b',',
            Format::Tsv => b'\t',
            Format::Sasrec => return Err(Error::ItemFormat { path }),
        };
        let mut file = Delimited::open(&path, text, separator)?;
        let key_index = file.column(column, "--item")?;
        let display: Vec<usize> = (0..file.header().len()).filter(|index| *index != key_index).collect();
        let mut table = Self::new(&file, &display)?;
        let mut rows = 0_u64;
        let mut told = |rows| {
            progress(Progress::Reading { path: path.clone(), bytes: meter.borrow().bytes, of: size, rows });
        };
        told(0);
        while let Some(line) = file.advance()? {
            match table.push(&file, line, column, key_index, &display) {
                Ok(true) => {}
                Ok(false) => return Err(Error::TooManyKeys { path, line, what: "items" }),
                Err(problem) => bad.skip(Error::Row { path: path.clone(), line, problem })?,
            }
            rows += 1;
            if rows.is_multiple_of(PROGRESS_ROWS) {
                told(rows);
            }
        }
        told(rows);
        let origin = describe(&path, format, compressed, rows, &meter.borrow());
        Ok((table, origin))
    }

    fn new(file: &Delimited, display: &[usize]) -> Result<Self> {
        let mut names: Vec<String> = Vec::with_capacity(display.len());
        for &index in display {
            let name = file.header()[index].clone();
            if name.is_empty() {
                return Err(file.in_header(Problem::NamelessColumn { number: index + 1 }));
            }
            if names.contains(&name) {
                return Err(file.in_header(Problem::DuplicateColumn { name }));
            }
            names.push(name);
        }
        let values = names.iter().map(|_| Strings::default()).collect();
        Ok(Self { names, values, ..Self::default() })
    }

    /// Adds the file's current row; `false` where its item can have no number any more.
    fn push(
        &mut self,
        file: &Delimited,
        line: u64,
        column: &str,
        key_index: usize,
        display: &[usize],
    ) -> std::result::Result<bool, Problem> {
        file.check_count()?;
        let key = fields::key(column, file.field(key_index))?;
        for (&index, name) in display.iter().zip(&self.names) {
            fields::text(name, file.field(index))?;
        }
        if let Some(first) = self.keys.find(key.as_bytes()) {
            let first = self.lines[first as usize];
            return Err(Problem::DuplicateItem {
                column: column.into(),
                key: fields::shorten(key.as_bytes()),
                first,
            });
        }
        if self.keys.number(key).is_none() {
            return Ok(false);
        }
        for ((&index, name), values) in display.iter().zip(&self.names).zip(&mut self.values) {
            values.push(fields::text(name, file.field(index))?);
        }
        self.lines.push(line);
        Ok(true)
    }

    /// The item's text in display column `column`; empty where the item has no row.
    pub(crate) fn value(&self, column: usize, key: &[u8]) -> &str {
        self.keys.find(key).map_or("", |row| self.values[column].get(row as usize))
    }
}
