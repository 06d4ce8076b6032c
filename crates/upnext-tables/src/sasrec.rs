//! `SASRec` text: `user item` a line, in order.

use std::path::{Path, PathBuf};

use crate::error::{Error, Problem, Result};
use crate::lines::{Lines, ROW_LIMIT};
use crate::source::Text;

/// A file of lines of two words; more white space around them does no harm.
pub(crate) struct SasRec {
    path: PathBuf,
    lines: Lines,
    line: Vec<u8>,
}

impl SasRec {
    /// Nothing read yet.
    pub(crate) fn open(path: &Path, text: Text) -> Self {
        Self { path: path.into(), lines: Lines::new(text), line: Vec::new() }
    }

    /// Goes to the next line that is not blank and returns its number; `None` behind the last one.
    pub(crate) fn advance(&mut self) -> Result<Option<u64>> {
        loop {
            self.line.clear();
            match self.lines.read_line(&mut self.line) {
                Ok(false) => return Ok(None),
                Ok(true) if self.line.trim_ascii().is_empty() => {}
                Ok(true) => return Ok(Some(self.lines.line())),
                Err(_) if self.lines.too_long() => {
                    let problem = Problem::LongRow { limit: ROW_LIMIT };
                    return Err(Error::Row { path: self.path.clone(), line: self.lines.line(), problem });
                }
                Err(source) => return Err(Error::Read { path: self.path.clone(), source }),
            }
        }
    }

    /// User and item of the line.
    pub(crate) fn words(&self) -> std::result::Result<(&[u8], &[u8]), Problem> {
        let mut words = self.line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.count()) {
            (Some(user), Some(item), 0) => Ok((user, item)),
            (user, item, more) => {
                let found = usize::from(user.is_some()) + usize::from(item.is_some()) + more;
                Err(Problem::WordCount { found })
            }
        }
    }
}
