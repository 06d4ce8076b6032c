//! The keys and values of one history, layer by layer; they belong to the caller.

use upnext_kernels::attention::KeyValues;

use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// What the decoder remembers of the positions it has read: one [`KeyValues`] a layer.
#[derive(Clone)]
pub struct Cache {
    layers: Vec<KeyValues>,
    heads: usize,
    head_width: usize,
}

impl Cache {
    /// An empty cache for models of this shape.
    #[must_use]
    pub fn new(config: &ModelConfig) -> Self {
        Self::with_capacity(config, 0)
    }

    /// An empty cache that can hold `positions` without moving.
    #[must_use]
    pub fn with_capacity(config: &ModelConfig, positions: usize) -> Self {
        let (heads, head_width) = (config.heads, config.head_width());
        let layer = |_| KeyValues::with_capacity(heads, head_width, positions);
        Self { layers: (0..config.layers).map(layer).collect(), heads, head_width }
    }

    /// How many positions it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, KeyValues::len)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.layers.iter_mut().for_each(|layer| layer.truncate(len));
    }

    /// Forgets everything; the memory stays.
    pub fn clear(&mut self) {
        self.layers.iter_mut().for_each(KeyValues::clear);
    }

    /// Refuses a cache that was made for another shape.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<()> {
        let sizes = [
            ("the cache's layers", self.layers.len(), config.layers),
            ("the cache's attention heads", self.heads, config.heads),
            ("the cache's attention head", self.head_width, config.head_width()),
        ];
        match sizes.into_iter().find(|(_, found, expected)| found != expected) {
            Some((what, found, expected)) => Err(Error::Size { what, found, expected }),
            None => Ok(()),
        }
    }

    /// The keys and values of layer `l`.
    pub(crate) fn layer(&self, l: usize) -> &KeyValues {
        &self.layers[l]
    }

    /// The keys and values of layer `l`, to be appended to.
    pub(crate) fn layer_mut(&mut self, l: usize) -> &mut KeyValues {
        &mut self.layers[l]
    }
}
