//! Text handed out a line at a time, with a limit on what one row may hold.

use std::io::{self, BufRead, Read};
use std::path::Path;

use crate::error::{Error, Place, Problem, Result};
use crate::source::Text;

/// Bytes that one row may hold, quoted line ends included.
pub(crate) const ROW_LIMIT: usize = 1 << 20;

/// Text that knows the number of the line it is at.
///
/// Read through [`Read`], a call never goes beyond a line end, so that after a parser has returned a
/// row, [`Lines::line`] is the line on which the row ends. A last line without an end is given one.
pub(crate) struct Lines {
    text: Text,
    line: u64,
    ended: bool,
    finished: bool,
    row_bytes: usize,
}

impl Lines {
    /// Nothing read yet.
    pub(crate) fn new(text: Text) -> Self {
        Self { text, line: 0, ended: true, finished: false, row_bytes: 0 }
    }

    /// Says that the bytes from here on belong to another row.
    pub(crate) fn begin_row(&mut self) {
        self.row_bytes = 0;
    }

    /// Number, from 1, of the line that the last byte handed out stands on.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Whether the end of the text was asked for and told.
    pub(crate) fn finished(&self) -> bool {
        self.finished
    }

    /// Whether the row is longer than [`ROW_LIMIT`]; nothing more is handed out then.
    pub(crate) fn too_long(&self) -> bool {
        self.row_bytes > ROW_LIMIT
    }

    /// Replaces `line` by the next one that is not blank, without its end, and says where it stands.
    pub(crate) fn next_filled(&mut self, line: &mut Vec<u8>, path: &Path) -> Result<Option<Place>> {
        loop {
            line.clear();
            match self.read_line(line) {
                Ok(false) => return Ok(None),
                Ok(true) if line.trim_ascii().is_empty() => {}
                Ok(true) => return Ok(Some(Place::Line(self.line))),
                Err(_) if self.too_long() => {
                    let (place, problem) = (Place::Line(self.line), Problem::LongRow { limit: ROW_LIMIT });
                    return Err(Error::Row { path: path.into(), place, problem });
                }
                Err(source) => return Err(Error::Read { path: path.into(), source }),
            }
        }
    }

    /// Appends the next line to `line`, without its end. `false` where there is none.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        self.begin_row();
        let mut piece = [0; 4096];
        loop {
            let count = self.read(&mut piece)?;
            line.extend_from_slice(&piece[..count]);
            if line.pop_if(|last| *last == b'\n').is_some() || count == 0 {
                return Ok(count > 0);
            }
        }
    }
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.text.fill_buf()?;
        if out.is_empty() {
            return Ok(0);
        }
        if available.is_empty() {
            if self.ended {
                self.finished = true;
                return Ok(0);
            }
            self.ended = true;
            out[0] = b'\n';
            return Ok(1);
        }
        let available = &available[..available.len().min(out.len())];
        let end = available.iter().position(|&b| b == b'\n');
        let count = end.map_or(available.len(), |at| at + 1);
        out[..count].copy_from_slice(&available[..count]);
        self.text.consume(count);
        self.line += u64::from(self.ended);
        self.ended = end.is_some();
        self.row_bytes += count;
        if self.too_long() { Err(io::Error::from(io::ErrorKind::InvalidData)) } else { Ok(count) }
    }
}
