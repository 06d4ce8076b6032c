//! CSV and TSV rows, each with the line it begins on.

use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};

use crate::error::{Error, Place, Problem, Result};
use crate::fields;
use crate::lines::{Lines, ROW_LIMIT};
use crate::source::Text;
use crate::table::{Rows, Table, Value};

/// A file with a header, read row by row.
pub(crate) struct Delimited {
    path: PathBuf,
    reader: Reader<Lines>,
    record: ByteRecord,
    header: Vec<String>,
    header_line: u64,
    wanted: Vec<usize>,
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
        let mut file = Self {
            path: path.into(),
            reader,
            record,
            header: Vec::new(),
            header_line: 0,
            wanted: Vec::new(),
        };
        let Some(line) = file.next()? else {
            return Err(Error::Empty { path: path.into() });
        };
        file.header_line = line;
        for (index, name) in file.record.iter().enumerate() {
            let name = fields::text(&format!("#{}", index + 1), name);
            file.header.push(name.map_err(|problem| file.in_header(problem))?.to_owned());
        }
        Ok(file)
    }

    /// Takes the types off the names: `user_id:token` is the column `user_id`.
    pub(crate) fn without_types(mut self) -> Self {
        for name in &mut self.header {
            name.truncate(name.rfind(':').unwrap_or(name.len()));
        }
        self
    }

    fn in_header(&self, problem: Problem) -> Error {
        Error::Header { path: self.path.clone(), place: Place::Line(self.header_line), problem }
    }

    /// Goes to the next row and returns the line on which it begins; `None` behind the last one.
    /// Empty lines are passed over.
    fn next(&mut self) -> Result<Option<u64>> {
        self.reader.get_mut().begin_row();
        let outcome = self.reader.read_byte_record(&mut self.record);
        let lines = self.reader.get_ref();
        let line_ends = self.record.as_slice().iter().filter(|&&b| b == b'\n').count() as u64;
        let row = |line, problem| Error::Row { path: self.path.clone(), place: Place::Line(line), problem };
        match outcome {
            Ok(false) => Ok(None),
            // Only an open quote lets a row reach the end of the text, its last line end included.
            Ok(true) if lines.finished() => Err(row((lines.line() + 1) - line_ends, Problem::OpenQuote)),
            Ok(true) => Ok(Some(lines.line() - line_ends)),
            Err(_) if lines.too_long() => Err(row(lines.line(), Problem::LongRow { limit: ROW_LIMIT })),
            Err(error) => Err(Error::Read { path: self.path.clone(), source: error.into() }),
        }
    }
}

impl Table for Delimited {
    fn columns(&self) -> &[String] {
        &self.header
    }

    fn header(&self) -> Place {
        Place::Line(self.header_line)
    }

    fn select(mut self: Box<Self>, wanted: &[usize]) -> Result<Box<dyn Rows>> {
        self.wanted = wanted.to_vec();
        Ok(self)
    }
}

impl Rows for Delimited {
    fn advance(&mut self) -> Result<Option<Place>> {
        Ok(self.next()?.map(Place::Line))
    }

    /// Whether the row has as many fields as the header.
    fn check(&self) -> std::result::Result<(), Problem> {
        let (found, expected) = (self.record.len(), self.header.len());
        if found == expected { Ok(()) } else { Err(Problem::FieldCount { found, expected }) }
    }

    fn value(&self, index: usize) -> Value<'_> {
        Value::Text(self.record.get(self.wanted[index]).unwrap_or_default())
    }
}
