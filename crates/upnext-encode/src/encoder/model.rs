//! A frozen encoder: ids of tokens in, a vector a token out.
//!
//! Shapes: n tokens of all texts, d width. No gradient flows through a model, and none is needed. `ModernBERT` is
//! candle's, on the CPU in 32-bit floats.

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_transformers::models::modernbert::ModernBert;
use upnext_data::sealed::FileHash;

use super::config::{Config, Sizes};
use super::post_norm::PostNorm;
use super::weights;
use crate::{Error, Result};

/// A model of one of the families.
pub(super) enum Model {
    PostNorm(Box<PostNorm>),
    ModernBert(ModernBert),
}

impl Model {
    pub(super) fn load(config: &Config, path: &Path, sealed: &FileHash) -> Result<Self> {
        weights::load(path, sealed, config.family, |source| match &config.sizes {
            Sizes::PostNorm(sizes) => Ok(Self::PostNorm(Box::new(PostNorm::load(sizes, source)?))),
            Sizes::ModernBert(sizes) => {
                let model = ModernBert::load(source.builder(), sizes);
                Ok(Self::ModernBert(model.map_err(|error| Error::compute("building the model", &error))?))
            }
        })
    }

    /// Whether texts that share a call must be equally long.
    pub(super) fn wants_equal_lengths(&self) -> bool {
        matches!(self, Self::ModernBert(_))
    }

    /// `(n, d)` vectors of the tokens of some texts, one text after the other.
    pub(super) fn forward(&self, texts: &[&[u32]]) -> Result<Vec<f32>> {
        match self {
            Self::PostNorm(model) => Ok(model.forward(texts)),
            Self::ModernBert(model) => {
                modern(model, texts).map_err(|error| Error::compute("encoding texts", &error))
            }
        }
    }
}

/// Equally long texts, so that nothing is padding.
fn modern(model: &ModernBert, texts: &[&[u32]]) -> candle_core::Result<Vec<f32>> {
    let shape = (texts.len(), texts.first().map_or(0, |text| text.len()));
    let ids_bt = Tensor::from_vec(texts.concat(), shape, &Device::Cpu)?;
    model.forward(&ids_bt, &ids_bt.ones_like()?)?.flatten_all()?.to_vec1()
}
