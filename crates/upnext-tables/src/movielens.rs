//! `MovieLens` files without a header: `.dat` with fields between `::`, and `u.data` with tabs.

use std::path::{Path, PathBuf};

use crate::error::{Place, Problem, Result};
use crate::lines::Lines;
use crate::source::Text;
use crate::table::{Rows, Table, Value};

/// Names of the fields of an event file and of an item file.
const EVENT: [&str; 4] = ["user_id", "item_id", "rating", "timestamp"];
const ITEM: [&str; 3] = ["item_id", "title", "genres"];

/// How many fields a line of an event file has.
pub(crate) const EVENT_FIELDS: usize = EVENT.len();

/// The separator of a line, if it is one of `MovieLens`.
pub(crate) fn separator(line: &[u8]) -> Option<&'static [u8]> {
    let dat: &[u8] = b"::";
    let tab: &[u8] = b"\t";
    if line.windows(2).any(|pair| pair == dat) {
        return Some(dat);
    }
    let numbers = |line: &[u8]| {
        let mut fields = line.split(|&b| b == b'\t');
        fields.all(|field| !field.is_empty() && field.iter().all(u8::is_ascii_digit))
    };
    (line.iter().filter(|&&b| b == b'\t').count() + 1 == EVENT_FIELDS && numbers(line)).then_some(tab)
}

/// Lines of fields, which are text in UTF-8 or, as in the published files, in Latin-1.
pub(crate) struct MovieLens {
    path: PathBuf,
    lines: Lines,
    separator: &'static [u8],
    columns: Vec<String>,
    wanted: Vec<usize>,
    line: Vec<u8>,
    /// Of each field its text; a field that is not UTF-8 is read as Latin-1.
    fields: Vec<Vec<u8>>,
    found: usize,
}

impl MovieLens {
    /// Looks at the first line for the number of its fields.
    pub(crate) fn open(path: &Path, text: Text) -> Result<Self> {
        let head = text.head();
        let first = head.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
        let first = first.unwrap_or_default();
        let separator = separator(first).unwrap_or(b"::");
        let count = split(first, separator).count();
        let columns = if count == ITEM.len() { &ITEM[..] } else { &EVENT[..] };
        Ok(Self {
            path: path.into(),
            separator,
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            wanted: Vec::new(),
            line: Vec::new(),
            fields: Vec::new(),
            found: 0,
            lines: Lines::new(text),
        })
    }
}

/// The fields of a line.
fn split<'a>(line: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.windows(separator.len()).position(|window| window == separator) {
            Some(at) => {
                rest = Some(&text[at + separator.len()..]);
                Some(&text[..at])
            }
            None => rest.take(),
        }
    })
}

impl Table for MovieLens {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn header(&self) -> Place {
        Place::Line(1)
    }

    fn select(mut self: Box<Self>, wanted: &[usize]) -> Result<Box<dyn Rows>> {
        self.wanted = wanted.to_vec();
        Ok(self)
    }
}

impl Rows for MovieLens {
    fn advance(&mut self) -> Result<Option<Place>> {
        let Some(place) = self.lines.next_filled(&mut self.line, &self.path)? else { return Ok(None) };
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        self.fields.resize_with(self.columns.len(), Vec::new);
        self.found = 0;
        for field in split(line, self.separator) {
            if let Some(slot) = self.fields.get_mut(self.found) {
                slot.clear();
                match std::str::from_utf8(field) {
                    Ok(_) => slot.extend_from_slice(field),
                    Err(_) => slot.extend(field.iter().map(|&b| char::from(b)).collect::<String>().bytes()),
                }
            }
            self.found += 1;
        }
        Ok(Some(place))
    }

    fn check(&self) -> std::result::Result<(), Problem> {
        let (found, expected) = (self.found, self.columns.len());
        if found == expected { Ok(()) } else { Err(Problem::DatFieldCount { found, expected }) }
    }

    fn value(&self, index: usize) -> Value<'_> {
        Value::Text(&self.fields[self.wanted[index]])
    }
}
