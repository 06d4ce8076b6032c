//! Rows that could not be read.

use crate::error::{Error, Result};

/// Reasons that are kept of the rows that were skipped.
const KEPT_REASONS: usize = 5;

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
