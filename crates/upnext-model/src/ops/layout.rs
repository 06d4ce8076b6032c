//! How the histories of a jagged batch lie in its rows, and how work on them is cut.
//!
//! Letters: n tokens, b histories. Nothing is padded: history `j` is the rows `offsets[j]..offsets[j + 1]`.

use super::sums::CHUNK_ROWS;
use candle_core::{Result, bail};
use std::ops::Range;
use upnext_kernels::lanes::{LANES, lanes};

/// The token ranges of a batch's histories, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    offsets: Vec<usize>,
    lanes: Vec<Range<usize>>,
}

impl Layout {
    /// A batch whose history `j` is the tokens `offsets[j]..offsets[j + 1]`.
    ///
    /// # Errors
    /// When there is no history, the first offset is not 0, or a history has no token.
    pub fn new(offsets: &[usize]) -> Result<Self> {
        if offsets.len() < 2 {
            bail!("a batch needs at least one history, but {} offsets were given", offsets.len());
        }
        if offsets[0] != 0 {
            bail!("the first history of a batch starts at token 0, not {}", offsets[0]);
        }
        if let Some(j) = (1..offsets.len()).find(|&j| offsets[j] <= offsets[j - 1]) {
            bail!("history {} has no token: its offsets are {} and {}", j - 1, offsets[j - 1], offsets[j]);
        }
        let lanes = lanes(offsets, LANES).into_iter().filter(|lane| !lane.is_empty()).collect();
        Ok(Self { offsets: offsets.to_vec(), lanes })
    }

    /// n: how many tokens the batch has.
    pub fn tokens(&self) -> usize {
        self.offsets[self.offsets.len() - 1]
    }

    /// b: how many histories the batch has.
    pub fn histories(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The `b + 1` offsets.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The tokens of history `j`.
    pub fn tokens_of(&self, j: usize) -> Range<usize> {
        self.offsets[j]..self.offsets[j + 1]
    }

    /// The longest history's length.
    pub fn longest(&self) -> usize {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    /// The tokens of a run of histories.
    pub(crate) fn rows(&self, histories: &Range<usize>) -> Range<usize> {
        self.offsets[histories.start]..self.offsets[histories.end]
    }

    /// Runs of whole histories that may be worked on side by side; they depend on the batch alone.
    pub(crate) fn lanes(&self) -> &[Range<usize>] {
        &self.lanes
    }

    /// Cuts a lane into groups of whole histories of about [`CHUNK_ROWS`] rows, each at least one history.
    pub(crate) fn groups(&self, lane: &Range<usize>) -> Vec<Range<usize>> {
        let mut groups = Vec::new();
        let mut start = lane.start;
        for j in lane.clone() {
            if j > start && self.offsets[j + 1] - self.offsets[start] > CHUNK_ROWS {
                groups.push(start..j);
                start = j;
            }
        }
        groups.push(start..lane.end);
        groups
    }

    /// Cuts an `(n, width)` buffer into one piece a lane.
    pub(crate) fn cut_mut<'a>(&self, buffer: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        let mut rest = buffer;
        let mut pieces = Vec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            let (piece, tail) = rest.split_at_mut(self.rows(lane).len() * width);
            pieces.push(piece);
            rest = tail;
        }
        pieces
    }

    /// Refuses a tensor whose rows are not this batch's tokens.
    pub(crate) fn check_rows(&self, what: &str, rows: usize) -> Result<()> {
        if rows != self.tokens() {
            bail!("{what}: the batch has {} tokens, but {rows} rows were given", self.tokens());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_history_is_named() {
        let error = Layout::new(&[0, 3, 3, 5]).unwrap_err().to_string();
        assert!(error.contains("history 1 has no token"), "{error}");
    }

    #[test]
    fn a_batch_without_histories_is_refused() {
        assert!(Layout::new(&[]).is_err());
        assert!(Layout::new(&[0]).is_err());
        assert!(Layout::new(&[1, 2]).is_err());
    }

    #[test]
    fn lanes_and_groups_cover_every_history_once_in_order() {
        let mut offsets = vec![0];
        for j in 0..77 {
            offsets.push(offsets[j] + 1 + (j * 37) % 200);
        }
        let layout = Layout::new(&offsets).unwrap();
        let groups: Vec<_> = layout.lanes().iter().flat_map(|lane| layout.groups(lane)).collect();
        assert_eq!((groups[0].start, groups[groups.len() - 1].end), (0, 77));
        assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(groups.iter().all(|group| group.len() == 1 || layout.rows(group).len() <= CHUNK_ROWS));
    }

    #[test]
    fn a_history_longer_than_a_group_is_one_group() {
        let layout = Layout::new(&[0, 1000, 1001]).unwrap();
        assert_eq!(layout.groups(&(0..2)), vec![0..1, 1..2]);
    }
}
