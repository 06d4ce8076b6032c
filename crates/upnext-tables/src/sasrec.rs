//! `SASRec` text: `user item` a line, in order.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Place, Problem, Result};
use crate::lines::Lines;
use crate::source::Text;
use crate::table::{Rows, Table, Value};

/// A file of lines of two words; more white space around them does no harm.
pub(crate) struct SasRec {
    path: PathBuf,
    lines: Lines,
    line: Vec<u8>,
    columns: [String; 2],
    wanted: Vec<usize>,
    /// Where user and item stand on the line.
    words: [Range<usize>; 2],
    found: usize,
}

impl SasRec {
    /// Nothing read yet.
    pub(crate) fn open(path: &Path, text: Text) -> Self {
        let columns = ["user_id".to_owned(), "item_id".to_owned()];
        let (path, lines, line) = (path.into(), Lines::new(text), Vec::new());
        Self { path, lines, line, columns, wanted: Vec::new(), words: [0..0, 0..0], found: 0 }
    }
}

impl Table for SasRec {
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

impl Rows for SasRec {
    fn advance(&mut self) -> Result<Option<Place>> {
        let Some(place) = self.lines.next_filled(&mut self.line, &self.path)? else { return Ok(None) };
        self.found = 0;
        let mut at = 0;
        for word in self.line.split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                if let Some(slot) = self.words.get_mut(self.found) {
                    *slot = at..at + word.len();
                }
                self.found += 1;
            }
            at += word.len() + 1;
        }
        Ok(Some(place))
    }

    fn check(&self) -> std::result::Result<(), Problem> {
        if self.found == 2 { Ok(()) } else { Err(Problem::WordCount { found: self.found }) }
    }

    fn value(&self, index: usize) -> Value<'_> {
        Value::Text(&self.line[self.words[self.wanted[index]].clone()])
    }
}
