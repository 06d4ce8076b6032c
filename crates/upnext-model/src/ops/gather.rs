//! Rows of a leaf by position: `(u, r)` to `(n, r)`, and the sum of gradients back into the leaf.
//!
//! The backward is a segment sum over positions that were sorted beforehand (a counting sort, done once a batch), so
//! each leaf row is summed in token order by one thread, whatever their number. Letters: n tokens, r rank, u rows.

use super::host::{Host, slice};
use super::{fused, sums::CHUNK_ROWS};
use candle_core::{CpuStorage, CustomOp1, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;
use upnext_kernels::rows;
use upnext_kernels::view::Rows;

/// Which leaf row each token reads, and for each leaf row the tokens that read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    positions: Vec<u32>,
    /// Tokens ordered by the row that they read, ties by token.
    order: Vec<u32>,
    /// `order[starts[j]..starts[j + 1]]` are the tokens of row `j`.
    starts: Vec<u32>,
}

impl Segments {
    /// Sorts `positions` (token to row) for a leaf of `rows` rows.
    ///
    /// # Errors
    /// When a position is not below `rows`, or there are 2³² tokens or more.
    pub fn new(positions: &[u32], rows: usize) -> Result<Self> {
        if u32::try_from(positions.len()).is_err() {
            bail!("a step holds at most {} tokens, not {}", u32::MAX, positions.len());
        }
        let mut starts = vec![0_u32; rows + 1];
        for (token, &row) in positions.iter().enumerate() {
            match starts.get_mut(row as usize + 1) {
                Some(count) => *count += 1,
                None => bail!("token {token} reads row {row}, but the leaf has {rows} rows"),
            }
        }
        for j in 0..rows {
            starts[j + 1] += starts[j];
        }
        let mut next = starts.clone();
        let mut order = vec![0_u32; positions.len()];
        for (token, &row) in positions.iter().enumerate() {
            let slot = &mut next[row as usize];
            order[*slot as usize] = token as u32;
            *slot += 1;
        }
        Ok(Self { positions: positions.to_vec(), order, starts })
    }

    /// n: how many tokens read.
    pub fn tokens(&self) -> usize {
        self.positions.len()
    }

    /// u: how many rows the leaf has.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The row of each token.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Tokens ordered by the row that they read, ties by token.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// `order()[starts()[j]..starts()[j + 1]]` are the tokens of row `j`.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// `(u, r)` to `(n, r)`.
    pub fn gather(&self, leaf: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.positions.len() * width];
        out.par_chunks_mut(CHUNK_ROWS * width)
            .zip(self.positions.par_chunks(CHUNK_ROWS))
            .for_each(|(out, positions)| rows::gather(leaf, width, positions, out));
        out
    }

    /// `(n, r)` to `(u, r)`: each row's tokens, summed in token order.
    pub fn sum(&self, grads: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.rows() * width];
        let grads = Rows::new(grads, self.positions.len(), width);
        out.par_chunks_mut(CHUNK_ROWS * width).enumerate().for_each(|(chunk, out)| {
            let first = chunk * CHUNK_ROWS;
            let starts = &self.starts[first..=first + out.len() / width];
            rows::segment_sum(grads, &self.order, starts, out);
        });
        out
    }
}

/// `(u, r)` leaf rows to `(n, r)`: fused on the CPU, the reference elsewhere.
///
/// # Errors
/// When the leaf has another number of rows than the segments.
pub fn run(leaf_ur: &Tensor, segments: &Arc<Segments>) -> Result<Tensor> {
    let (u, _r) = leaf_ur.dims2()?;
    if u != segments.rows() {
        bail!("gather: the leaf has {u} rows, but its positions were sorted for {}", segments.rows());
    }
    if !fused(leaf_ur) {
        return reference(leaf_ur, segments);
    }
    leaf_ur.contiguous()?.apply_op1(Gather { segments: Arc::clone(segments) })
}

/// The same by candle's `index_select`.
///
/// # Errors
/// When a candle op fails.
pub fn reference(leaf_ur: &Tensor, segments: &Segments) -> Result<Tensor> {
    let positions_n = Tensor::from_slice(&segments.positions, segments.tokens(), leaf_ur.device())?;
    leaf_ur.index_select(&positions_n, 0)
}

struct Gather {
    segments: Arc<Segments>,
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(&self, leaf: &CpuStorage, strides: &Strides) -> Result<(CpuStorage, Shape)> {
        let (_u, r) = strides.shape().dims2()?;
        let out = self.segments.gather(slice("the gathered leaf", leaf, strides)?, r);
        Ok((CpuStorage::F32(out), (self.segments.tokens(), r).into()))
    }

    fn bwd(&self, leaf: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (u, r) = leaf.dims2()?;
        let grad = grad.contiguous()?;
        let sums = self.segments.sum(Host::of("the gradient of gathered rows", &grad).values()?, r);
        Ok(Some(Tensor::from_vec(sums, (u, r), leaf.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_sorted_by_row_and_keep_their_order() {
        let segments = Segments::new(&[2, 0, 2, 2, 0], 4).unwrap();
        assert_eq!(segments.order, [1, 4, 0, 2, 3]);
        assert_eq!(segments.starts, [0, 2, 2, 5, 5]);
    }

    #[test]
    fn a_position_past_the_leaf_is_named() {
        let error = Segments::new(&[0, 4], 4).unwrap_err().to_string();
        assert!(error.contains("token 1 reads row 4, but the leaf has 4 rows"), "{error}");
    }

    #[test]
    fn a_gathered_row_sums_what_its_tokens_received() {
        let segments = Segments::new(&[1, 1, 0], 3).unwrap();
        assert_eq!(segments.gather(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2), [3.0, 4.0, 3.0, 4.0, 1.0, 2.0]);
        assert_eq!(segments.sum(&[1.0, 2.0, 10.0, 20.0, 5.0, 6.0], 2), [5.0, 6.0, 11.0, 22.0, 0.0, 0.0]);
    }
}
