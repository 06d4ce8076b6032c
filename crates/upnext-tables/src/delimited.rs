//! CSV and TSV rows, each with the line it begins on.

use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};

use crate::error::{Error, Problem, Result};
use crate::fields;
use crate::lines::{Lines, ROW_LIMIT};
use crate::source::Text;

/// Column names that an error shows.
const SHOWN_COLUMNS: usize = 20;

/// A file with a header, read row by row.
pub(crate) struct Delimited {
    path: PathBuf,
    reader: Reader<Lines>,
    record: ByteRecord,
    header: Vec<String>,
    header_line: u64,
}

impl Delimited {
    /// Reads the header. Rows may then have any number of fields; [`Delimited::check_count`] compares it.
    pub(crate) fn open(path: &Path, text: Text, separator: u8) -> Result<Self> {
        let reader = ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(Lines::new(text));
        let record = ByteRecord::new();
        let mut file = Self { path: path.into(), reader, record, header: Vec::new(), header_line: 0 };
        let Some(line) = file.advance()? else {
            return Err(Error::Empty { path: path.into() });
        };
        file.header_line = line;
        for (index, name) in file.record.iter().enumerate() {
            let name = fields::text(&format!("#{}", index + 1), name);
            file.header.push(name.map_err(|problem| file.in_header(problem))?.to_owned());
        }
        Ok(file)
    }

    /// Names of the columns.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// Index of the column `name`, which must stand in the header exactly once; `flag` maps it to another.
    pub(crate) fn column(&self, name: &str, flag: &'static str) -> Result<usize> {
        let mut found = self.header.iter().enumerate().filter(|(_, column)| *column == name);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => Err(self.in_header(Problem::DuplicateColumn { name: name.into() })),
            (None, _) => Err(Error::MissingColumn {
                path: self.path.clone(),
                line: self.header_line,
                column: name.into(),
                found: self.shown_columns(),
                flag,
            }),
        }
    }

    fn shown_columns(&self) -> Vec<String> {
        let shown = self.header.iter().take(SHOWN_COLUMNS);
        let mut shown: Vec<_> = shown.map(|name| format!("{:?}", fields::shorten(name.as_bytes()))).collect();
        if self.header.len() > SHOWN_COLUMNS {
            shown.push(format!("and {} more", self.header.len() - SHOWN_COLUMNS));
        }
        shown
    }

    /// The error of a header with this problem.
    pub(crate) fn in_header(&self, problem: Problem) -> Error {
        Error::Header { path: self.path.clone(), line: self.header_line, problem }
    }

    /// Goes to the next row and returns the line on which it begins; `None` behind the last one.
    /// Empty lines are passed over.
    pub(crate) fn advance(&mut self) -> Result<Option<u64>> {
        self.reader.get_mut().begin_row();
        let outcome = self.reader.read_byte_record(&mut self.record);
        let lines = self.reader.get_ref();
        let line_ends = self.record.as_slice().iter().filter(|&&b| b == b'\n').count() as u64;
        let row = |line, problem| Error::Row { path: self.path.clone(), line, problem };
        match outcome {
            Ok(false) => Ok(None),
            // Only an open quote lets a row reach the end of the text, its last line end included.
            Ok(true) if lines.finished() => Err(row((lines.line() + 1) - line_ends, Problem::OpenQuote)),
            Ok(true) => Ok(Some(lines.line() - line_ends)),
            Err(_) if lines.too_long() => Err(row(lines.line(), Problem::LongRow { limit: ROW_LIMIT })),
            Err(error) => Err(Error::Read { path: self.path.clone(), source: error.into() }),
        }
    }

    /// Whether the row has as many fields as the header.
    pub(crate) fn check_count(&self) -> std::result::Result<(), Problem> {
        let (found, expected) = (self.record.len(), self.header.len());
        if found == expected { Ok(()) } else { Err(Problem::FieldCount { found, expected }) }
    }

    /// Field `index` of the row; empty where the row has fewer.
    pub(crate) fn field(&self, index: usize) -> &[u8] {
        self.record.get(index).unwrap_or_default()
    }
}
