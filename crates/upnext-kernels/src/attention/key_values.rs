//! The keys and values of one history in one layer.

use crate::Rows;
use crate::level::Chosen;
use crate::tile::{PANEL, Right};
use crate::transpose::into_panel;

/// Keys and values of positions `0..len`, in chunks of 32 positions that never move as the history grows.
///
/// A chunk of keys is `(h, e, 32)`, ready to be multiplied by queries; a chunk of values is `(h, ⌈e/32⌉, 32, 32)`,
/// columns zero padded, ready to be multiplied by probabilities.
#[derive(Clone, Debug)]
pub struct KeyValues {
    heads: usize,
    head_width: usize,
    len: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KeyValues {
    /// Of no positions yet.
    pub fn new(heads: usize, head_width: usize) -> KeyValues {
        KeyValues { heads, head_width, len: 0, keys: Vec::new(), values: Vec::new() }
    }

    /// Of no positions yet, with room for `positions`.
    pub fn with_capacity(heads: usize, head_width: usize, positions: usize) -> KeyValues {
        let mut all = KeyValues::new(heads, head_width);
        let chunks = positions.div_ceil(PANEL);
        all.keys.reserve_exact(chunks * all.key_chunk());
        all.values.reserve_exact(chunks * all.value_chunk());
        all
    }

    /// h.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// e.
    pub fn head_width(&self) -> usize {
        self.head_width
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the positions `len..len + t`: `keys (t, h·e)` and `values (t, h·e)`, heads side by side.
    ///
    /// # Panics
    /// When the shapes are others.
    pub fn append(&mut self, keys: Rows<'_>, values: Rows<'_>) {
        let width = self.heads * self.head_width;
        assert!(
            keys.cols() == width && values.cols() == width && keys.rows() == values.rows(),
            "{keys:?} and {values:?} for {} heads of {}",
            self.heads,
            self.head_width
        );
        let (level, end) = (Chosen::now(), self.len + keys.rows());
        let chunks = end.div_ceil(PANEL);
        if self.keys.len() < chunks * self.key_chunk() {
            self.keys.resize(chunks * self.key_chunk(), 0.0);
            self.values.resize(chunks * self.value_chunk(), 0.0);
        }
        let mut taken = 0;
        while self.len < end {
            let first = self.len % PANEL;
            let count = (end - self.len).min(PANEL - first);
            self.append_keys(level, keys.part(taken, count), first);
            self.append_values(values.part(taken, count), first);
            taken += count;
            self.len += count;
        }
    }

    /// Forgets the positions from `len` on; a longer `len` changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets all positions and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The keys of a head as a `(e, positions)` right operand.
    pub(super) fn keys_of(&self, head: usize) -> Right {
        let keys = &self.keys[head * self.head_width * PANEL..];
        Right { data: keys.as_ptr(), run: self.head_width, run_stride: 0, panel_stride: self.key_chunk() }
    }

    /// The values of a head as a `(positions, e)` right operand.
    pub(super) fn values_of(&self, head: usize) -> Right {
        let values = &self.values[head * self.value_panels() * PANEL * PANEL..];
        Right {
            data: values.as_ptr(),
            run: PANEL,
            run_stride: self.value_chunk(),
            panel_stride: PANEL * PANEL,
        }
    }

    fn append_keys(&mut self, level: Chosen, keys: Rows<'_>, first: usize) {
        let (e, size) = (self.head_width, self.key_chunk());
        let chunk = &mut self.keys[self.len / PANEL * size..][..size];
        for (head, panel) in chunk.chunks_exact_mut((e * PANEL).max(1)).enumerate() {
            into_panel(level, keys.columns(head * e, e), panel, first);
        }
    }

    fn append_values(&mut self, values: Rows<'_>, first: usize) {
        let (e, panels, size) = (self.head_width, self.value_panels(), self.value_chunk());
        let chunk = &mut self.values[self.len / PANEL * size..][..size];
        for (i, panel) in chunk.chunks_exact_mut(PANEL * PANEL).enumerate() {
            let (head, col) = (i / panels, i % panels * PANEL);
            let width = (e - col).min(PANEL);
            for j in 0..values.rows() {
                let source = &values.row(j)[head * e + col..][..width];
                panel[(first + j) * PANEL..][..width].copy_from_slice(source);
            }
        }
    }

    fn value_panels(&self) -> usize {
        self.head_width.div_ceil(PANEL)
    }

    fn key_chunk(&self) -> usize {
        self.heads * self.head_width * PANEL
    }

    fn value_chunk(&self) -> usize {
        self.heads * self.value_panels() * PANEL * PANEL
    }
}
