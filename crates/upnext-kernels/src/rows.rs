//! Rows of an item table, and the optimiser's updates (Adam: Kingma & Ba 2015, arXiv:1412.6980; decoupled weight
//! decay: Loshchilov & Hutter 2019, arXiv:1711.05101).
//!
//! Letters: i rows of a table · u rows of a step.

use crate::Rows;
use crate::level::{Chosen, simd};

/// Copies the rows `ids` of `table (i, width)` into `out (ids, width)`.
///
/// # Panics
/// When an id is no row of the table, or `out` has another length.
pub fn gather(table: &[f32], width: usize, ids: &[u32], out: &mut [f32]) {
    assert!(out.len() == ids.len() * width, "{} rows of {width} into {} floats", ids.len(), out.len());
    if width == 0 {
        return;
    }
    for (out, &id) in out.chunks_exact_mut(width).zip(ids) {
        out.copy_from_slice(&table[id as usize * width..][..width]);
    }
}

/// Sums rows by segments: row `j` of `out (u, width)` is the sum of the rows `order[s]` of `grads` for `s` in
/// `starts[j]..starts[j + 1]`, added in that order, so that equal inputs give equal bits.
///
/// It turns the gradient of gathered rows into the gradient of the distinct ones; callers cut it by segments.
///
/// # Panics
/// When shapes disagree or an index is out of range.
pub fn segment_sum(grads: Rows<'_>, order: &[u32], starts: &[u32], out: &mut [f32]) {
    let width = grads.cols();
    assert!(
        out.len() == starts.len().saturating_sub(1) * width,
        "{} segments of {width} into {} floats",
        starts.len().saturating_sub(1),
        out.len()
    );
    if width == 0 {
        return;
    }
    let level = Chosen::now();
    for (out, bounds) in out.chunks_exact_mut(width).zip(starts.windows(2)) {
        match &order[bounds[0] as usize..bounds[1] as usize] {
            [] => out.fill(0.0),
            [first, rest @ ..] => {
                out.copy_from_slice(grads.row(*first as usize));
                rest.iter().for_each(|&s| add(level, out, grads.row(s as usize)));
            }
        }
    }
}

simd! {
    fn add(out: &mut [f32], x: &[f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out += x;
        }
    }
}

/// One step's constants of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the mean gradient.
    pub beta1: f32,
    /// Decay of the mean square.
    pub beta2: f32,
    /// Added to the root of the mean square.
    pub eps: f32,
    /// Decoupled decay: values shrink by `lr · weight_decay` of themselves before the update.
    pub weight_decay: f32,
    /// `1 / (1 - beta1^t)` at step t, counted from 1.
    pub correction1: f32,
    /// `1 / (1 - beta2^t)`.
    pub correction2: f32,
}

/// `AdamW` on dense parameters; `scale` multiplies the gradient first (clipping).
///
/// # Panics
/// When the slices differ in length.
pub fn adamw(values: &mut [f32], m: &mut [f32], v: &mut [f32], grad: &[f32], scale: f32, adam: &Adam) {
    let n = values.len();
    assert!(
        m.len() == n && v.len() == n && grad.len() == n,
        "{n} values, {} and {} moments",
        m.len(),
        v.len()
    );
    update(Chosen::now(), values, m, v, grad, scale, adam);
}

/// `AdamW` on the rows `ids` of a table and of its moments, all `(i, width)`, from `grads (ids, width)`.
///
/// Rows without a gradient stay as they are, moments included (lazy Adam). The ids are distinct: a row is updated
/// once a step. A caller with sorted ids can cut table, moments and gradients into parts for its threads.
///
/// # Panics
/// When shapes disagree or an id is no row of the table.
#[expect(
    clippy::too_many_arguments,
    reason = "a table, its two moments and which rows of them take which gradient"
)]
pub fn adam_rows(
    table: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    width: usize,
    ids: &[u32],
    grads: &[f32],
    scale: f32,
    adam: &Adam,
) {
    assert!(m.len() == table.len() && v.len() == table.len(), "a table of {} floats", table.len());
    assert!(grads.len() == ids.len() * width, "{} gradients for {} rows of {width}", grads.len(), ids.len());
    if width == 0 {
        return;
    }
    let level = Chosen::now();
    for (grad, &id) in grads.chunks_exact(width).zip(ids) {
        let row = id as usize * width..(id as usize + 1) * width;
        update(level, &mut table[row.clone()], &mut m[row.clone()], &mut v[row], grad, scale, adam);
    }
}

simd! {
    fn update(values: &mut [f32], m: &mut [f32], v: &mut [f32], grad: &[f32], scale: f32, adam: &Adam) {
        let a = *adam;
        let (keep, step) = (1.0 - a.lr * a.weight_decay, a.lr * a.correction1);
        let moments = m.iter_mut().zip(v.iter_mut());
        for ((value, (m, v)), grad) in values.iter_mut().zip(moments).zip(grad) {
            let grad = grad * scale;
            *m = m.mul_add(a.beta1, (1.0 - a.beta1) * grad);
            *v = v.mul_add(a.beta2, (1.0 - a.beta2) * grad * grad);
            *value = value.mul_add(keep, -(step * *m / ((*v * a.correction2).sqrt() + a.eps)));
        }
    }
}

/// The sum of squares, in f64 and in a fixed order; not finite if an element is not.
pub fn sum_squares(x: &[f32]) -> f64 {
    squares(Chosen::now(), x)
}

simd! {
    fn squares(x: &[f32]) -> f64 {
        let mut lanes = [0f64; 16];
        let (chunks, tail) = x.as_chunks::<16>();
        for chunk in chunks {
            for i in 0..16 {
                let x = f64::from(chunk[i]);
                lanes[i] = x.mul_add(x, lanes[i]);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(tail) {
            let x = f64::from(x);
            *lane = x.mul_add(x, *lane);
        }
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, close, noise};

    const ADAM: Adam = Adam {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.5,
        correction1: 10.0,
        correction2: 100.0,
    };

    #[test]
    fn the_gradient_of_a_gather_is_the_segment_sum() {
        let (table, width, ids) = (noise(1, 5 * 3), 3, [4u32, 0, 4, 4, 2]);
        let mut out = vec![0f32; 15];
        gather(&table, width, &ids, &mut out);
        assert_eq!(out[6..9], table[12..15]);
        let grads = noise(2, 15);
        let mut sums = vec![7f32; 12];
        segment_sum(Rows::new(&grads, 5, 3), &[1, 4, 0, 2, 3], &[0, 1, 2, 5, 5], &mut sums);
        assert_eq!(sums[..3], grads[3..6]);
        assert_eq!(sums[3..6], grads[12..15]);
        assert_eq!(sums[6], grads[0] + grads[6] + grads[9]);
        assert_eq!(sums[9..], [0.0; 3]);
    }

    #[test]
    fn adam_takes_its_textbook_step() {
        let n = 37;
        let (mut x, mut m, mut v, grad) = (noise(3, n), noise(4, n), vec![0.3f32; n], noise(5, n));
        let a = ADAM;
        let truth: Vec<f64> = (0..n)
            .map(|i| {
                let [b1, b2] = [a.beta1, a.beta2].map(f64::from);
                let g = f64::from(grad[i]) * 0.5;
                let mean = b1 * f64::from(m[i]) + (1.0 - b1) * g;
                let square = b2 * f64::from(v[i]) + (1.0 - b2) * g * g;
                let decayed = f64::from(x[i]) * (1.0 - 0.1 * 0.5);
                decayed - 0.1 * mean * 10.0 / ((square * 100.0).sqrt() + 1e-8)
            })
            .collect();
        let before = (x.clone(), m.clone(), v.clone());
        adamw(&mut x, &mut m, &mut v, &grad, 0.5, &a);
        close(&x, &truth, 1e-6);
        for level in Chosen::all() {
            let (mut y, mut m, mut v) = before.clone();
            update(level, &mut y, &mut m, &mut v, &grad, 0.5, &a);
            assert_eq!(bits(&y), bits(&x), "{level:?}");
        }
    }

    #[test]
    fn only_the_named_rows_are_updated_as_dense_ones_are() {
        let (width, ids) = (5, [6u32, 1]);
        let (mut table, mut m, mut v) = (noise(6, 40), noise(7, 40), vec![0.2f32; 40]);
        let (before, grads) = (table.clone(), noise(8, 10));
        let (mut row, mut row_m, mut row_v) = (table[5..10].to_vec(), m[5..10].to_vec(), v[5..10].to_vec());
        adam_rows(&mut table, &mut m, &mut v, width, &ids, &grads, 1.0, &ADAM);
        adamw(&mut row, &mut row_m, &mut row_v, &grads[5..], 1.0, &ADAM);
        assert_eq!((&table[5..10], &m[5..10], &v[5..10]), (&row[..], &row_m[..], &row_v[..]));
        assert_eq!(
            (&table[..5], &table[10..30], &table[35..]),
            (&before[..5], &before[10..30], &before[35..])
        );
        assert_ne!(table[30..35], before[30..35]);
    }

    #[test]
    fn squares_are_summed_alike_at_every_level() {
        let x = noise(9, 1003);
        let truth: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        assert!((sum_squares(&x) - truth).abs() < 1e-10 * truth);
        for level in Chosen::all() {
            assert_eq!(squares(level, &x).to_bits(), sum_squares(&x).to_bits());
        }
        assert!(!sum_squares(&[1.0, f32::NAN]).is_finite());
    }
}
