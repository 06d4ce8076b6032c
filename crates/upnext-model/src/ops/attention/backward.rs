//! The analytic backward of one lane of histories.

use super::{Masks, Saved, Settings};
use crate::dropout::of_history;
use crate::ops::sums::sized;
use std::ops::Range;
use upnext_kernels::attention::{AttendBackward, attend_backward};
use upnext_kernels::bf16;
use upnext_kernels::norm::{rms_norm, rms_norm_backward};
use upnext_kernels::product::Write;
use upnext_kernels::products::{Adjoint, WeightGradient};
use upnext_kernels::view::{Rows, RowsMut};

/// What the lanes of one backward share.
pub(super) struct Backward<'a> {
    pub(super) settings: &'a Settings,
    pub(super) masks: Masks,
    /// d.
    pub(super) width: usize,
    /// `(3d, d)`.
    pub(super) qkv: Adjoint<'a>,
    /// `(d, d)`.
    pub(super) out: Adjoint<'a>,
}

/// Buffers that lanes of a thread share.
#[derive(Default)]
pub(super) struct Buffers {
    /// `(rows, d)`: dy behind the dropout, then the norm, then its gradient.
    narrow: Vec<f32>,
    /// `(rows, d)`: the gradient of what attention gave.
    d_heads: Vec<f32>,
    /// `(rows, 3d)`.
    d_qkv: Vec<f32>,
    attend: Vec<f32>,
    packed: bf16::Scratch,
}

/// One lane's share of the gradients of `W_qkv` and `W_out`, as it is summed.
struct Share {
    qkv: WeightGradient,
    out: WeightGradient,
}

impl Backward<'_> {
    /// One lane: `dx` comes in as dy and goes out as the gradient of x; returns the lane's share of the gradients of
    /// `W_qkv` and `W_out`.
    pub(super) fn lane(
        &self,
        histories: &Range<usize>,
        x: &[f32],
        saved: &Saved,
        dx: &mut [f32],
        buffers: &mut Buffers,
    ) -> (Vec<f32>, Vec<f32>) {
        let (d, layout, products) = (self.width, &self.settings.layout, self.settings.products);
        let groups = layout.groups(histories);
        let lengths = || groups.iter().map(|group| layout.rows(group).len());
        let mut share = Share {
            qkv: products.weight_gradient(3 * d, d, lengths(), &mut buffers.packed),
            out: products.weight_gradient(d, d, lengths(), &mut buffers.packed),
        };
        let first = layout.rows(histories).start;
        for group in &groups {
            let rows = layout.rows(group);
            let here = (rows.start - first) * d..(rows.end - first) * d;
            self.group(group, &x[here.clone()], saved, first, &mut dx[here], &mut share, buffers);
        }
        (share.qkv.finish(&mut buffers.packed), share.out.finish(&mut buffers.packed))
    }

    #[expect(clippy::too_many_arguments, reason = "the body of one loop, split off to fit a screen")]
    fn group(
        &self,
        group: &Range<usize>,
        x: &[f32],
        saved: &Saved,
        first: usize,
        dx: &mut [f32],
        share: &mut Share,
        buffers: &mut Buffers,
    ) {
        let (d, start) = (self.width, self.settings.layout.rows(group).start);
        let rows = x.len() / d;
        // Through the residual's dropout and the out product.
        let narrow = sized(&mut buffers.narrow, rows * d);
        narrow.copy_from_slice(dx);
        if let Some(mask) = self.masks.output {
            mask.apply(narrow, (start * d) as u64);
        }
        let heads = &saved.heads[(start - first) * d..(start - first + rows) * d];
        let dy = Rows::new(narrow, rows, d);
        share.out.add(dy, Rows::new(heads, rows, d));
        let d_heads = sized(&mut buffers.d_heads, rows * d);
        self.out.multiply(dy, RowsMut::new(d_heads, rows, d), Write::Set, &mut buffers.packed);
        // Through attention, history by history.
        let d_qkv = sized(&mut buffers.d_qkv, rows * 3 * d);
        for j in group.clone() {
            self.history(j, first, start, saved, d_heads, d_qkv, &mut buffers.attend);
        }
        // Through the qkv product and the norm.
        let d_qkv = Rows::new(d_qkv, rows, 3 * d);
        rms_norm(x, d, narrow);
        share.qkv.add(d_qkv, Rows::new(narrow, rows, d));
        self.qkv.multiply(d_qkv, RowsMut::new(narrow, rows, d), Write::Set, &mut buffers.packed);
        rms_norm_backward(x, narrow, d, dx, Write::Add);
    }

    /// The gradient of history `j`'s queries, keys and values, before rotation; `first` is the lane's first token and
    /// `start` the group's.
    #[expect(clippy::too_many_arguments, reason = "the body of one loop, split off to fit a screen")]
    fn history(
        &self,
        j: usize,
        first: usize,
        start: usize,
        saved: &Saved,
        d_heads: &[f32],
        d_qkv: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let (d, heads, tokens) = (self.width, self.settings.heads, self.settings.layout.tokens_of(j));
        let length = tokens.len();
        let in_lane = |width: usize| (tokens.start - first) * width..(tokens.end - first) * width;
        let in_group = |width: usize| (tokens.start - start) * width..(tokens.end - start) * width;
        let qkv = Rows::new(&saved.qkv[in_lane(3 * d)], length, 3 * d);
        let d_qkv = &mut d_qkv[in_group(3 * d)];
        let (d_q, others) = RowsMut::new(d_qkv, length, 3 * d).split_columns(d);
        let (d_k, d_v) = others.split_columns(d);
        let operands = AttendBackward {
            q: qkv.columns(0, d),
            k: qkv.columns(d, d),
            v: qkv.columns(2 * d, d),
            out: Rows::new(&saved.heads[in_lane(d)], length, d),
            d_out: Rows::new(&d_heads[in_group(d)], length, d),
            lse: &saved.log_sums[in_lane(heads)],
            heads,
            mask: self.masks.probabilities.map(|mask| of_history(mask, j)),
            d_q,
            d_k,
            d_v,
        };
        attend_backward(operands, scratch);
        if let Some(rotary) = &self.settings.rotary {
            let (d_q, others) = RowsMut::new(d_qkv, length, 3 * d).split_columns(d);
            rotary.rotate_back(d_q, 0);
            rotary.rotate_back(others.split_columns(d).0, 0);
        }
    }
}
