//! The popularity baseline: the same list for everybody.

use upnext_data::ItemId;

use crate::scorer::check_call;
use crate::{Result, Scorer};

/// Scores every item by how many training events it has, whatever the input.
#[derive(Clone, Debug)]
pub struct Popularity {
    scores: Vec<f32>,
}

impl Popularity {
    /// From training counts, as `upnext_data::popularity::counts` makes them.
    ///
    /// Counts above 2^24 round to the nearest f32; the ties this may make count against the baseline.
    ///
    /// ```
    /// use upnext_data::ItemId;
    /// use upnext_eval::{Scorer, popularity::Popularity};
    /// let mut scores = [0.0; 3];
    /// Popularity::new(&[5, 0, 9]).score(&[&[ItemId(1)]], &mut scores)?;
    /// assert_eq!(scores, [5.0, 0.0, 9.0]);
    /// # Ok::<(), upnext_eval::Error>(())
    /// ```
    pub fn new(counts: &[u64]) -> Self {
        Self { scores: counts.iter().map(|&count| count as f32).collect() }
    }
}

impl Scorer for Popularity {
    fn name(&self) -> &str {
        "popularity"
    }

    fn items(&self) -> usize {
        self.scores.len()
    }

    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        check_call(inputs, self.items(), self.name(), out)?;
        out.chunks_exact_mut(self.scores.len().max(1)).for_each(|row| row.copy_from_slice(&self.scores));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_items_there_is_nothing_to_score() {
        Popularity::new(&[]).score(&[], &mut []).unwrap();
    }
}
