//! The small model of the benches that answer requests: d=64, l=2, a plain head.

use upnext_model::{ModelConfig, Positions};

/// Its sizes; it reads `window` events.
#[must_use]
pub(crate) fn small(window: usize) -> ModelConfig {
    ModelConfig {
        layers: 2,
        width: 64,
        heads: 2,
        hidden: 172,
        rank: 64,
        project: false,
        window,
        positions: Positions::Learned,
        ..ModelConfig::default()
    }
}
