//! What happens to item embeddings before the first layer: learned positions are added, then values are dropped.
//!
//! A token's position is its index in its history (or window), from 0. With rotary positions nothing is added here.
//! `(n, d)` to `(n, d)`, positions `(T, d)`.

use super::host::{Host, slice};
use super::{Layout, dropped, fused};
use crate::dropout::{Drop, Site};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout as Strides, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;
use upnext_kernels::dropout::Mask;

/// Position rows that are summed at a time in the backward.
const POSITIONS: usize = 16;

/// Adds positions (if learned) and drops values: fused on the CPU, the reference elsewhere.
///
/// # Errors
/// When `x` has other rows than the batch, or a history is longer than there are positions.
pub fn run(
    x_nd: &Tensor,
    positions_td: Option<&Tensor>,
    layout: &Arc<Layout>,
    drop: Option<Drop>,
) -> Result<Tensor> {
    check(x_nd, positions_td, layout)?;
    let mask = drop.and_then(|drop| drop.mask(Site::Embedding, 0));
    if !fused(x_nd) {
        return composed(x_nd, positions_td, layout, mask);
    }
    let op = Embed { layout: Arc::clone(layout), mask };
    match positions_td {
        Some(positions_td) => x_nd.contiguous()?.apply_op2(&positions_td.contiguous()?, op),
        None if mask.is_some() => x_nd.contiguous()?.apply_op1(op),
        None => Ok(x_nd.clone()),
    }
}

/// The same composed of candle ops.
///
/// # Errors
/// As [`run`].
pub fn reference(
    x_nd: &Tensor,
    positions_td: Option<&Tensor>,
    layout: &Layout,
    drop: Option<Drop>,
) -> Result<Tensor> {
    check(x_nd, positions_td, layout)?;
    composed(x_nd, positions_td, layout, drop.and_then(|drop| drop.mask(Site::Embedding, 0)))
}

fn composed(
    x_nd: &Tensor,
    positions_td: Option<&Tensor>,
    layout: &Layout,
    mask: Option<Mask>,
) -> Result<Tensor> {
    let Some(positions_td) = positions_td else {
        return dropped(x_nd.clone(), mask);
    };
    let index: Vec<u32> = (0..layout.histories()).flat_map(|j| 0..layout.tokens_of(j).len() as u32).collect();
    let index_n = Tensor::from_vec(index, layout.tokens(), x_nd.device())?;
    dropped((x_nd + positions_td.index_select(&index_n, 0)?)?, mask)
}

fn check(x_nd: &Tensor, positions_td: Option<&Tensor>, layout: &Layout) -> Result<()> {
    let (n, d) = x_nd.dims2()?;
    layout.check_rows("embed", n)?;
    let Some(positions_td) = positions_td else { return Ok(()) };
    let (positions, width) = positions_td.dims2()?;
    if width != d {
        bail!("embed: positions are {width} wide, but embeddings are {d} wide");
    }
    if positions < layout.longest() {
        bail!(
            "embed: a history has {} tokens, but there are {positions} learned positions",
            layout.longest()
        );
    }
    Ok(())
}

/// Adds learned positions `first..` to the rows of one history, in place.
pub fn forward(x: &mut [f32], positions: &[f32], width: usize, first: usize) {
    let positions = &positions[first * width..first * width + x.len()];
    x.iter_mut().zip(positions).for_each(|(x, &position)| *x += position);
}

struct Embed {
    layout: Arc<Layout>,
    mask: Option<Mask>,
}

impl Embed {
    fn apply(&self, x: &[f32], positions: Option<&[f32]>, width: usize) -> Vec<f32> {
        let mut out = x.to_vec();
        let pieces = self.layout.cut_mut(&mut out, width);
        self.layout.lanes().par_iter().zip(pieces).for_each(|(lane, piece)| {
            let first = self.layout.rows(lane).start;
            if let Some(positions) = positions {
                for j in lane.clone() {
                    let rows = self.layout.tokens_of(j);
                    forward(
                        &mut piece[(rows.start - first) * width..(rows.end - first) * width],
                        positions,
                        width,
                        0,
                    );
                }
            }
            if let Some(mask) = self.mask {
                mask.apply(piece, (first * width) as u64);
            }
        });
        out
    }

    /// The gradient of the learned positions: each one's rows are summed in the order of the histories.
    fn positions_gradient(&self, dx: &[f32], positions: usize, width: usize) -> Vec<f32> {
        let mut out = vec![0.0; positions * width];
        out.par_chunks_mut(POSITIONS * width).enumerate().for_each(|(chunk, out)| {
            for j in 0..self.layout.histories() {
                let rows = self.layout.tokens_of(j);
                let first = chunk * POSITIONS;
                if first < rows.len() {
                    let last = rows.len().min(first + out.len() / width);
                    let rows = &dx[(rows.start + first) * width..(rows.start + last) * width];
                    out.iter_mut().zip(rows).for_each(|(sum, &dx)| *sum += dx);
                }
            }
        });
        out
    }
}

impl CustomOp1 for Embed {
    fn name(&self) -> &'static str {
        "drop-embedding"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Strides) -> Result<(CpuStorage, Shape)> {
        let (_n, d) = lx.shape().dims2()?;
        let out = self.apply(slice("embeddings", x, lx)?, None, d);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_n, d) = x.dims2()?;
        let dy = dy.contiguous()?;
        let dx = self.apply(Host::of("dy", &dy).values()?, None, d);
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

impl CustomOp2 for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Strides,
        p: &CpuStorage,
        lp: &Strides,
    ) -> Result<(CpuStorage, Shape)> {
        let (_n, d) = lx.shape().dims2()?;
        let out = self.apply(slice("embeddings", x, lx)?, Some(slice("positions", p, lp)?), d);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        p: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (positions, d) = p.dims2()?;
        let dy = dy.contiguous()?;
        let dx = self.apply(Host::of("dy", &dy).values()?, None, d);
        let dp = self.positions_gradient(&dx, positions, d);
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
        Ok((Some(dx), Some(Tensor::from_vec(dp, (positions, d), p.device())?)))
    }
}
