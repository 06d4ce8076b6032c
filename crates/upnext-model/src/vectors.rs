//! Finished item vectors: what the decoder reads and what its states are scored against.
//!
//! Borrowed rows serve validation during training without a copy; packed ones, which own their memory, serve
//! requests. Letters: i items · r rank.

use upnext_data::ItemId;
use upnext_kernels::product::Packed;
use upnext_kernels::score;

use crate::error::{Error, Result};

/// `(i, r)` item vectors of the input and of the output side; a tied model has one table for both.
pub struct Vectors<'a> {
    tables: Tables<'a>,
    items: usize,
    rank: usize,
}

enum Tables<'a> {
    /// Borrowed rows; without an output table the input serves as output.
    Rows { input: &'a [f32], output: Option<&'a [f32]> },
    /// Panels in the order in which products read them. Tied models read their input rows out of them.
    Packed { input: Option<Vec<f32>>, output: Packed },
}

impl<'a> Vectors<'a> {
    /// Vectors that borrow their rows; `output` is absent when one table serves both sides.
    ///
    /// # Errors
    /// When the values are not whole rows of `rank`, or the two sides have different numbers of items.
    pub fn from_tables(input: &'a [f32], output: Option<&'a [f32]>, rank: usize) -> Result<Self> {
        let items = items(input, output, rank)?;
        Ok(Self { tables: Tables::Rows { input, output }, items, rank })
    }

    /// Vectors that own packed output rows.
    ///
    /// # Errors
    /// As [`Vectors::from_tables`].
    pub fn packed(input: Vec<f32>, output: Option<&[f32]>, rank: usize) -> Result<Self> {
        let items = items(&input, output, rank)?;
        let panels = Packed::transposed(output.unwrap_or(&input), items, rank);
        let input = output.is_some().then_some(input);
        Ok(Self { tables: Tables::Packed { input, output: panels }, items, rank })
    }

    /// r: width of an item vector.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// i: how many items there are.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// Copies an item's input vector, which the decoder reads, into `row` `(r)`.
    ///
    /// # Errors
    /// [`Error::UnknownItem`] when the table has no such item; [`Error::Size`] when `row` has another length.
    pub fn input_row(&self, item: ItemId, row: &mut [f32]) -> Result<()> {
        self.check_row(item, row)?;
        match &self.tables {
            Tables::Rows { input, .. } => row.copy_from_slice(part(input, item, self.rank)),
            Tables::Packed { input: Some(input), .. } => row.copy_from_slice(part(input, item, self.rank)),
            Tables::Packed { input: None, output } => output.column(item.index(), row),
        }
        Ok(())
    }

    /// Copies an item's output vector, which states are scored against, into `row` `(r)`.
    ///
    /// # Errors
    /// As [`Vectors::input_row`].
    pub fn output_row(&self, item: ItemId, row: &mut [f32]) -> Result<()> {
        self.check_row(item, row)?;
        match &self.tables {
            Tables::Rows { input, output } => {
                row.copy_from_slice(part(output.unwrap_or(input), item, self.rank));
            }
            Tables::Packed { output, .. } => output.column(item.index(), row),
        }
        Ok(())
    }

    /// Copies an item's output vector at length 1 into `row` `(r)`: products of two are cosines. A vector of nothing stays
    /// one.
    ///
    /// # Errors
    /// As [`Vectors::input_row`].
    pub fn output_unit(&self, item: ItemId, row: &mut [f32]) -> Result<()> {
        self.output_row(item, row)?;
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|value| *value /= length);
        }
        Ok(())
    }

    fn check_row(&self, item: ItemId, row: &[f32]) -> Result<()> {
        self.check(item)?;
        if row.len() == self.rank {
            return Ok(());
        }
        Err(Error::Size { what: "the row for an item vector", found: row.len(), expected: self.rank })
    }

    /// Refuses an item that the tables do not hold.
    pub(crate) fn check(&self, item: ItemId) -> Result<()> {
        if item.index() < self.items {
            return Ok(());
        }
        Err(Error::UnknownItem { item: item.0, items: self.items })
    }

    /// The output vectors, to score states against.
    #[must_use]
    pub fn table(&self) -> score::Table<'_> {
        match &self.tables {
            Tables::Rows { input, output } => {
                score::Table::Rows { data: output.unwrap_or(input), rank: self.rank }
            }
            Tables::Packed { output, .. } => score::Table::Packed(output),
        }
    }
}

fn part(rows: &[f32], item: ItemId, rank: usize) -> &[f32] {
    &rows[item.index() * rank..][..rank]
}

fn items(input: &[f32], output: Option<&[f32]>, rank: usize) -> Result<usize> {
    if rank == 0 || !input.len().is_multiple_of(rank) {
        let expected = input.len().next_multiple_of(rank.max(1));
        return Err(Error::Size { what: "the input vectors", found: input.len(), expected });
    }
    match output {
        Some(output) if output.len() != input.len() => {
            Err(Error::Size { what: "the output vectors", found: output.len(), expected: input.len() })
        }
        _ => Ok(input.len() / rank),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    const OUTPUT: [f32; 6] = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0];

    fn second_row(vectors: &Vectors<'_>) -> Vec<f32> {
        let mut row = vec![0.0; 2];
        vectors.input_row(ItemId(1), &mut row).unwrap();
        row
    }

    #[test]
    fn every_form_gives_the_same_input_rows() {
        for output in [None, Some(&OUTPUT[..])] {
            assert_eq!(second_row(&Vectors::from_tables(&INPUT, output, 2).unwrap()), [3.0, 4.0]);
            assert_eq!(second_row(&Vectors::packed(INPUT.to_vec(), output, 2).unwrap()), [3.0, 4.0]);
        }
    }

    #[test]
    fn every_form_gives_the_same_output_rows() {
        let row = |vectors: Vectors<'_>| {
            let mut row = vec![0.0; 2];
            vectors.output_row(ItemId(1), &mut row).unwrap();
            row
        };
        for (output, expected) in [(None, [3.0, 4.0]), (Some(&OUTPUT[..]), [-3.0, -4.0])] {
            assert_eq!(row(Vectors::from_tables(&INPUT, output, 2).unwrap()), expected);
            assert_eq!(row(Vectors::packed(INPUT.to_vec(), output, 2).unwrap()), expected);
        }
    }

    #[test]
    fn scores_read_the_output_side() {
        let packed = Vectors::packed(INPUT.to_vec(), Some(&OUTPUT), 2).unwrap();
        let score::Table::Packed(panels) = packed.table() else { panic!("packed vectors have panels") };
        let mut row = [0.0; 2];
        panels.column(2, &mut row);
        assert_eq!(row, [-5.0, -6.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(
            Vectors::from_tables(&INPUT, None, 4),
            Err(Error::Size { found: 6, expected: 8, .. })
        ));
        assert!(matches!(
            Vectors::from_tables(&INPUT, Some(&OUTPUT[..4]), 2),
            Err(Error::Size { found: 4, .. })
        ));
        let vectors = Vectors::from_tables(&INPUT, None, 2).unwrap();
        assert!(matches!(
            vectors.input_row(ItemId(3), &mut [0.0; 2]),
            Err(Error::UnknownItem { item: 3, items: 3 })
        ));
    }
}
