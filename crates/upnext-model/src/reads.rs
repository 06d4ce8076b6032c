//! Which states of a batch a loss reads: those of every token, or of tokens for horizons.
//!
//! The decoder runs once; what is done for a horizon is a vector added, the final norm and the head. Letters: n tokens ·
//! N states that are read · K horizons · d width.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::init::{HORIZONS, Parameters};
use crate::ops::gather::Segments;

/// The states that a loss reads, in its own order.
#[derive(Clone, Debug)]
pub struct Reads {
    /// `(N)` the token of each.
    tokens: Arc<Segments>,
    /// `(N)` its horizon, from 0; absent where all horizons share a state.
    horizons: Option<Arc<Segments>>,
}

/// Picks rows: the fused gather, or its reference.
pub(crate) type Pick = fn(&Tensor, &Arc<Segments>) -> candle_core::Result<Tensor>;

impl Reads {
    /// States of `tokens` `(N)` out of a batch of `n`, each for one of the model's horizons, which count from 0.
    ///
    /// # Errors
    /// When the lists are of different lengths, or name a token or a horizon that is not there.
    pub fn new(tokens: &[u32], horizons: &[u32], n: usize, config: &ModelConfig) -> Result<Self> {
        if tokens.len() != horizons.len() {
            let (found, expected) = (horizons.len(), tokens.len());
            return Err(Error::Size { what: "the list of horizons", found, expected });
        }
        let own = config.own_horizons();
        let horizons = match own > 1 {
            true => Some(Arc::new(Segments::new(horizons, own)?)),
            false => None,
        };
        Ok(Self { tokens: Arc::new(Segments::new(tokens, n)?), horizons })
    }

    /// How many states are read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.tokens()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tokens the batch has.
    pub(crate) fn batch(&self) -> usize {
        self.tokens.rows()
    }

    /// `(n, d)` outputs of the last layer to `(N, d)`: each token's with its horizon's vector added. As they come where the
    /// horizons share a state.
    pub(crate) fn before_head(&self, x_nd: Tensor, parameters: &Parameters, pick: Pick) -> Result<Tensor> {
        let Some(horizons) = &self.horizons else { return Ok(x_nd) };
        let first_1d = Tensor::zeros((1, x_nd.dim(1)?), x_nd.dtype(), &Device::Cpu)?;
        let added_kd = Tensor::cat(&[&first_1d, parameters.get(HORIZONS)?.as_tensor()], 0)?;
        Ok((pick(&x_nd, &self.tokens)? + pick(&added_kd, horizons)?)?)
    }

    /// States `(n, r)` to `(N, r)` where the horizons share them. As they come where each has its own.
    pub(crate) fn after_head(&self, states: Tensor, pick: Pick) -> Result<Tensor> {
        match self.horizons {
            Some(_) => Ok(states),
            None => Ok(pick(&states, &self.tokens)?),
        }
    }
}
