//! The gradient of attention for one whole history.

use super::{at_least, mask_row, score_stride};
use crate::dropout::{Mask, MaskRow};
use crate::lane;
use crate::level::{Chosen, simd};
use crate::packed::{pack_plain, pack_transposed, panel_floats};
use crate::tile::{self, Left, Out, PANEL, Right, Size};
use crate::{Rows, RowsMut};

/// Queries whose probabilities and their gradients are held at once.
const QUERIES: usize = 36;

/// What [`attend_backward`] reads and writes; all views are `(t, d)` with heads side by side.
#[derive(Debug)]
pub struct AttendBackward<'a> {
    /// Queries of the positions `0..t`.
    pub q: Rows<'a>,
    /// Keys.
    pub k: Rows<'a>,
    /// Values.
    pub v: Rows<'a>,
    /// What the forward pass gave.
    pub out: Rows<'a>,
    /// The gradient of `out`.
    pub d_out: Rows<'a>,
    /// `(h, t)` log-sum-exps of the forward pass.
    pub lse: &'a [f32],
    /// h.
    pub heads: usize,
    /// The mask of the forward pass.
    pub mask: Option<Mask>,
    /// Receives the gradient of `q`.
    pub d_q: RowsMut<'a>,
    /// Receives the gradient of `k`.
    pub d_k: RowsMut<'a>,
    /// Receives the gradient of `v`.
    pub d_v: RowsMut<'a>,
}

/// The gradients of queries, keys and values of [`super::attend`] over the positions `0..t` of one history.
///
/// With `P` the probabilities, `M` the mask and `D = rowsum(d_out ∘ out)`: `d_v = (P∘M)ᵀ d_out`,
/// `dS = P ∘ (M ∘ (d_out vᵀ) - D) / √e`, `d_q = dS k`, `d_k = dSᵀ q`. Blocks of queries go from the last one, which
/// sees every key, to the first.
///
/// # Panics
/// When shapes disagree.
pub fn attend_backward(it: AttendBackward<'_>, scratch: &mut Vec<f32>) {
    let (t, d) = (it.q.rows(), it.q.cols());
    for x in [it.k, it.v, it.out, it.d_out] {
        assert!(x.rows() == t && x.cols() == d, "{x:?} beside {:?}", it.q);
    }
    for x in [&it.d_q, &it.d_k, &it.d_v] {
        assert!(x.rows() == t && x.cols() == d, "{x:?} beside {:?}", it.q);
    }
    assert!(it.heads > 0 && d.is_multiple_of(it.heads) && it.lse.len() == it.heads * t, "{} heads", it.heads);
    let (e, level, mut it) = (d / it.heads, Chosen::now(), it);
    if t == 0 || e == 0 {
        return;
    }
    let (across, along) = (panel_floats(e, t), panel_floats(t, e));
    let grid = Grid { level, t, e, stride: score_stride(t) };
    let block = QUERIES.min(t) * grid.stride;
    let mut rest = at_least(scratch, 2 * across + 3 * along + 2 * block);
    let mut take = |floats| rest.split_off_mut(..floats).unwrap_or_default();
    let (k_across, v_across) = (take(across), take(across));
    let (k_along, q_along, d_out_along) = (take(along), take(along), take(along));
    let (p, d_p) = (take(block), take(block));
    let scale = 1.0 / (e as f32).sqrt();
    for head in 0..it.heads {
        let col = head * e;
        let [q, k, v, out, d_out] = [it.q, it.k, it.v, it.out, it.d_out].map(|x| x.columns(col, e));
        pack_transposed(level, k, k_across);
        pack_transposed(level, v, v_across);
        pack_plain(k, k_along);
        pack_plain(q, q_along);
        pack_plain(d_out, d_out_along);
        for first in (0..t).step_by(QUERIES).rev() {
            let rows = (t - first).min(QUERIES);
            let (end, last) = (first + rows, first + rows == t);
            grid.compare(q.part(first, rows), k_across, end, p);
            grid.compare(d_out.part(first, rows), v_across, end, d_p);
            let blocks = p.chunks_exact_mut(grid.stride).zip(d_p.chunks_exact_mut(grid.stride));
            for (at, (p, d_p)) in (first..end).zip(blocks) {
                let mask = it.mask.filter(|mask| mask.rate > 0.0).map(|mask| mask_row(&mask, head, at));
                let row = Row { seen: at + 1, end, lse: it.lse[head * t + at], scale, mask };
                rebuild(level, p, d_p, &row, out.row(at), d_out.row(at));
            }
            // The last block comes first and covers every key, so it sets what the others add to.
            grid.gather(d_p, rows, end, k_along, it.d_q.reborrow(), (first, col));
            grid.scatter(p, rows, end, &d_out_along[first * PANEL..], it.d_v.reborrow(), (col, !last));
            grid.scatter(d_p, rows, end, &q_along[first * PANEL..], it.d_k.reborrow(), (col, !last));
        }
    }
}

/// The shapes that all blocks of one call share.
#[derive(Clone, Copy)]
struct Grid {
    level: Chosen,
    t: usize,
    e: usize,
    /// Floats between the rows of a block.
    stride: usize,
}

impl Grid {
    /// `block (rows, end) = x (rows, e) · (e, t)`, the first `end` columns of it.
    fn compare(&self, x: Rows<'_>, across: &[f32], end: usize, block: &mut [f32]) {
        let panel_stride = self.e * PANEL;
        assert!(x.cols() == self.e && end <= self.stride && block.len() >= x.rows() * self.stride);
        assert!(across.len() >= end.div_ceil(PANEL) * panel_stride);
        let size = Size { rows: x.rows(), inner: self.e, cols: end };
        let left = Left { data: x.as_ptr(), row: x.stride(), inner: 1 };
        let right = Right { data: across.as_ptr(), run: self.e, run_stride: 0, panel_stride };
        let out = Out { data: block.as_mut_ptr(), row: self.stride };
        // SAFETY: the sizes were just compared.
        #[expect(unsafe_code, reason = "hands checked views to the register tile")]
        unsafe {
            tile::product(self.level, size, left, right, out, false);
        }
    }

    /// `out[first.., col..] (rows, e) = block (rows, end) · (t, e)`.
    fn gather(
        &self,
        block: &[f32],
        rows: usize,
        end: usize,
        along: &[f32],
        mut out: RowsMut<'_>,
        (first, col): (usize, usize),
    ) {
        assert!(
            block.len() >= rows * self.stride && end <= self.t.min(self.stride) && first + rows <= out.rows()
        );
        let size = Size { rows, inner: end, cols: self.e };
        let left = Left { data: block.as_ptr(), row: self.stride, inner: 1 };
        let out = Out { row: out.stride(), data: out.row_mut(first)[col..col + self.e].as_mut_ptr() };
        // SAFETY: the sizes were just compared.
        #[expect(unsafe_code, reason = "hands checked views to the register tile")]
        unsafe {
            tile::product(self.level, size, left, self.along(along, end), out, false);
        }
    }

    /// `out[.., col..] (end, e) = block (rows, end)ᵀ · (rows, e)`, or added to it.
    fn scatter(
        &self,
        block: &[f32],
        rows: usize,
        end: usize,
        along: &[f32],
        mut out: RowsMut<'_>,
        (col, add): (usize, bool),
    ) {
        assert!(block.len() >= rows * self.stride && end <= self.stride && end <= out.rows());
        let size = Size { rows: end, inner: rows, cols: self.e };
        let left = Left { data: block.as_ptr(), row: 1, inner: self.stride };
        let out = Out { row: out.stride(), data: out.row_mut(0)[col..col + self.e].as_mut_ptr() };
        // SAFETY: the sizes were just compared.
        #[expect(unsafe_code, reason = "hands checked views to the register tile")]
        unsafe {
            tile::product(self.level, size, left, self.along(along, rows), out, add);
        }
    }

    /// Panels of a `(t, e)` operand from some row on, of which `inner` rows are read.
    fn along(&self, panels: &[f32], inner: usize) -> Right {
        let panel_stride = self.t * PANEL;
        let last = (self.e.div_ceil(PANEL) - 1) * panel_stride;
        assert!(panels.len() >= last + inner * PANEL, "{inner} rows of panels");
        Right { data: panels.as_ptr(), run: self.t, run_stride: 0, panel_stride }
    }
}

/// One row of a block, apart from its scores.
struct Row {
    /// Keys that it sees.
    seen: usize,
    /// Keys that the last row of the block sees.
    end: usize,
    lse: f32,
    scale: f32,
    mask: Option<MaskRow>,
}

simd! {
    /// `p`: scores into masked probabilities; `d_p`: their gradients into those of the scores. Both 0 above the
    /// diagonal.
    fn rebuild(p: &mut [f32], d_p: &mut [f32], row: &Row, out: &[f32], d_out: &[f32]) {
        let (lse, scale) = (row.lse, row.scale);
        let along = lane::dot(out, d_out);
        let whole = lane::up(row.seen);
        let (p_all, d_all) = (&mut p[..whole], &mut d_p[..whole]);
        p_all[row.seen..].fill(f32::NEG_INFINITY);
        d_all[row.seen..].fill(0.0);
        if let Some(mask) = row.mask {
            for (key, (p, d_p)) in p_all.iter_mut().zip(d_all).enumerate() {
                let (share, kept) = (lane::exp(p.mul_add(scale, -lse)), mask.scale(key as u32));
                *d_p = share * d_p.mul_add(kept, -along) * scale;
                *p = share * kept;
            }
        } else {
            for (p, d_p) in p_all.iter_mut().zip(d_all) {
                let share = lane::exp(p.mul_add(scale, -lse));
                *d_p = share * (*d_p - along) * scale;
                *p = share;
            }
        }
        if row.end > whole {
            p[whole..row.end].fill(0.0);
            d_p[whole..row.end].fill(0.0);
        }
    }
}
