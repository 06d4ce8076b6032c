//! A table of item vectors in host memory.
//!
//! It is no candle variable: a step gathers the rows that it touches, and the optimiser writes these rows back in
//! place, so a step's cost does not depend on the catalogue.

use crate::error::{Error, Result};
use crate::init;

/// `(i, r)` item vectors, row-major: row `j` belongs to item `j`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    rows: Vec<f32>,
    rank: usize,
}

impl Table {
    /// A table drawn by (seed, name), normal with standard deviation `std`.
    ///
    /// The caller has checked that `items · rank` can be allocated; see [`crate::ModelConfig::table_len`].
    #[must_use]
    pub fn new(items: usize, rank: usize, std: f32, seed: u64, name: &str) -> Self {
        Self { rows: init::normal(seed, name, std, items * rank), rank }
    }

    /// A table of given rows.
    ///
    /// # Errors
    /// When the values are not whole rows of `rank`.
    pub fn from_rows(rows: Vec<f32>, rank: usize) -> Result<Self> {
        if rank == 0 || !rows.len().is_multiple_of(rank) {
            let expected = rows.len().next_multiple_of(rank.max(1));
            return Err(Error::Size { what: "an item table", found: rows.len(), expected });
        }
        Ok(Self { rows, rank })
    }

    /// All rows, `(i, r)` row-major.
    #[must_use]
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// All rows, to be changed in place.
    pub fn rows_mut(&mut self) -> &mut [f32] {
        &mut self.rows
    }

    /// r: width of an item vector.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// i: how many items the table holds.
    #[must_use]
    pub fn items(&self) -> usize {
        self.rows.len() / self.rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_table_starts_with_the_shorter_one() {
        let short = Table::new(10, 4, 0.1, 3, "items.input");
        let long = Table::new(1_000, 4, 0.1, 3, "items.input");
        assert_eq!((short.items(), short.rank()), (10, 4));
        assert_eq!(short.rows(), &long.rows()[..40]);
    }

    #[test]
    fn half_a_row_is_refused() {
        assert!(matches!(Table::from_rows(vec![0.0; 7], 2), Err(Error::Size { found: 7, expected: 8, .. })));
    }
}
