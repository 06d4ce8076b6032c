//! The right operand of a product, laid out for the register tile.

use crate::Rows;
use crate::level::{Chosen, simd};
use crate::tile::{PANEL, Right};
use crate::transpose::into_panel;

/// A `(inner, cols)` matrix in panels of 32 columns, each `(inner, 32)` and zero padded.
///
/// A weight is packed once and multiplied many times; a panel's slice stays in cache while all rows pass by it.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    inner: usize,
    cols: usize,
    panels: Vec<f32>,
}

impl Packed {
    /// From `w (cols, inner)` row-major: multiplying gives `x · wᵀ`, the forward product of a weight.
    ///
    /// # Panics
    /// When `w` is not `cols * inner` long.
    pub fn transposed(w: &[f32], cols: usize, inner: usize) -> Packed {
        let mut packed = Packed::default();
        packed.repack_transposed(w, cols, inner);
        packed
    }

    /// From `b (inner, cols)` row-major: multiplying gives `x · b`.
    ///
    /// # Panics
    /// When `b` is not `inner * cols` long.
    pub fn plain(b: &[f32], inner: usize, cols: usize) -> Packed {
        let mut packed = Packed::default();
        packed.repack_plain(b, inner, cols);
        packed
    }

    /// As [`Packed::transposed`], in the memory already held.
    ///
    /// # Panics
    /// When `w` is not `cols * inner` long.
    pub fn repack_transposed(&mut self, w: &[f32], cols: usize, inner: usize) {
        self.repack_transposed_rows(Rows::new(w, cols, inner));
    }

    /// As [`Packed::repack_transposed`], from a strided `(cols, inner)` view.
    pub fn repack_transposed_rows(&mut self, w: Rows<'_>) {
        self.resize(w.cols(), w.rows());
        pack_transposed(Chosen::now(), w, &mut self.panels);
    }

    /// As [`Packed::plain`], in the memory already held.
    ///
    /// # Panics
    /// When `b` is not `inner * cols` long.
    pub fn repack_plain(&mut self, b: &[f32], inner: usize, cols: usize) {
        self.repack_plain_rows(Rows::new(b, inner, cols));
    }

    /// As [`Packed::repack_plain`], from a strided `(inner, cols)` view.
    pub fn repack_plain_rows(&mut self, b: Rows<'_>) {
        self.resize(b.rows(), b.cols());
        pack_plain(b, &mut self.panels);
    }

    /// From panels `(inner, 32)` of bf16, in the memory already held.
    ///
    /// # Panics
    /// When the panels are not those of so many columns.
    pub(crate) fn repack_bf16(&mut self, level: Chosen, panels: &[[u16; PANEL]], inner: usize, cols: usize) {
        self.resize(inner, cols);
        assert!(self.panels.len() == panels.len() * PANEL, "{} steps of {inner} by {cols}", panels.len());
        widen(level, panels.as_flattened(), &mut self.panels);
    }

    /// The length of the inner axis: columns of the left operand.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Columns of the product.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Copies column `j` (of a transposed weight: row `j`) into `out`, which is `inner` long.
    ///
    /// # Panics
    /// When there is no column `j`, or `out` has another length.
    pub fn column(&self, j: usize, out: &mut [f32]) {
        assert!(j < self.cols && out.len() == self.inner, "column {j} of {} into {}", self.cols, out.len());
        let panel = &self.panels[j / PANEL * self.inner * PANEL..][..self.inner * PANEL];
        for (out, step) in out.iter_mut().zip(panel.as_chunks::<PANEL>().0) {
            *out = step[j % PANEL];
        }
    }

    /// The panels from column `first` (a multiple of 32) on, for the tile.
    pub(crate) fn right(&self, first: usize) -> Right {
        let panel_stride = self.inner * PANEL;
        let panels = &self.panels[first / PANEL * panel_stride..];
        Right { data: panels.as_ptr(), run: self.inner.max(1), run_stride: 0, panel_stride }
    }

    fn resize(&mut self, inner: usize, cols: usize) {
        (self.inner, self.cols) = (inner, cols);
        self.panels.resize(panel_floats(inner, cols), 0.0);
    }
}

simd! {
    /// bf16 to f32.
    fn widen(from: &[u16], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = f32::from_bits(u32::from(*from) << 16);
        }
    }
}

/// Floats that the panels of an `(inner, cols)` operand take.
pub(crate) fn panel_floats(inner: usize, cols: usize) -> usize {
    cols.div_ceil(PANEL) * inner * PANEL
}

/// The panels of `wᵀ`, of `w (cols, inner)`.
///
/// # Panics
/// When `panels` is not as long as they are.
pub(crate) fn pack_transposed(level: Chosen, w: Rows<'_>, panels: &mut [f32]) {
    assert!(panels.len() == panel_floats(w.cols(), w.rows()), "{w:?} into {} floats", panels.len());
    if w.cols() == 0 {
        return;
    }
    for (p, panel) in panels.chunks_exact_mut(w.cols() * PANEL).enumerate() {
        let count = (w.rows() - p * PANEL).min(PANEL);
        if count < PANEL {
            panel.fill(0.0);
        }
        into_panel(level, w.part(p * PANEL, count), panel, 0);
    }
}

/// The panels of `b (inner, cols)`.
///
/// # Panics
/// When `panels` is not as long as they are.
pub(crate) fn pack_plain(b: Rows<'_>, panels: &mut [f32]) {
    assert!(panels.len() == panel_floats(b.rows(), b.cols()), "{b:?} into {} floats", panels.len());
    if b.rows() == 0 {
        return;
    }
    for (p, panel) in panels.chunks_exact_mut(b.rows() * PANEL).enumerate() {
        let width = (b.cols() - p * PANEL).min(PANEL);
        for (k, step) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let source = &b.row(k)[p * PANEL..p * PANEL + width];
            if let Ok(source) = <&[f32; PANEL]>::try_from(source) {
                *step = *source;
            } else {
                step[..width].copy_from_slice(source);
                step[width..].fill(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_weight_gives_back_its_rows() {
        let w: Vec<f32> = (0..45 * 7).map(|i| i as f32).collect();
        let packed = Packed::transposed(&w, 45, 7);
        let mut row = [0f32; 7];
        for j in [0, 31, 32, 44] {
            packed.column(j, &mut row);
            assert_eq!(row, w[j * 7..j * 7 + 7]);
        }
    }

    #[test]
    fn repacking_equals_packing_anew() {
        let (w, small): (Vec<f32>, Vec<f32>) = ((0..70 * 9).map(|i| i as f32).collect(), vec![3.0; 33 * 2]);
        let mut packed = Packed::transposed(&w, 70, 9);
        packed.repack_plain(&small, 2, 33);
        assert_eq!(packed.panels, Packed::plain(&small, 2, 33).panels);
        packed.repack_transposed(&w, 70, 9);
        assert_eq!(packed.panels, Packed::transposed(&w, 70, 9).panels);
        let transpose: Vec<f32> = (0..9 * 70).map(|i| w[i % 70 * 9 + i / 70]).collect();
        assert_eq!(packed.panels, Packed::plain(&transpose, 9, 70).panels);
    }
}
