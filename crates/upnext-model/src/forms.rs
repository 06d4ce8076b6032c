//! The decoder once, over the forms that its operations come in.
//!
//! [`Fused`] ones are ours and run on the CPU, [`Composed`] ones are candle's own operations and what the fused ones are
//! tested against; [`crate::padded::Padded`] ones are for a device.

use std::sync::Arc;

use candle_core::Tensor;
use upnext_kernels::products::Products;
use upnext_kernels::rotary::Rotary;

use crate::config::{ModelConfig, Positions};
use crate::dropout::Drop;
use crate::error::Result;
use crate::init::Parameters;
use crate::ops::gather::Segments;
use crate::ops::{Layout, attention, embed, gather, linear, mlp, norm};

/// Which sub-layer of a step is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sub {
    /// Its layer, from 0.
    pub(crate) layer: usize,
    /// Dropout of the step; none outside training.
    pub(crate) drop: Option<Drop>,
}

/// The operations of a decoder over one batch, each in the same form.
pub(crate) trait Forms {
    /// `(u, r)` rows to tokens `(n, r)`.
    fn gather(&self, rows_ur: &Tensor) -> candle_core::Result<Tensor>;
    /// `x · wᵀ`.
    fn linear(&self, x: &Tensor, w: &Tensor) -> candle_core::Result<Tensor>;
    /// Adds learned positions and drops values.
    fn embed(
        &self,
        x: &Tensor,
        positions: Option<&Tensor>,
        drop: Option<Drop>,
    ) -> candle_core::Result<Tensor>;
    /// The attention sub-layer.
    fn attention(&self, x: &Tensor, qkv: &Tensor, out: &Tensor, sub: Sub) -> candle_core::Result<Tensor>;
    /// The feed-forward sub-layer.
    fn mlp(&self, x: &Tensor, gate_up: &Tensor, down: &Tensor, sub: Sub) -> candle_core::Result<Tensor>;
    /// The norm of every row.
    fn norm(&self, x: &Tensor) -> candle_core::Result<Tensor>;
}

/// `(n, d)` outputs of the last layer for the batch that the forms stand for.
pub(crate) fn decode(
    forms: &impl Forms,
    config: &ModelConfig,
    parameters: &Parameters,
    rows_ur: &Tensor,
    drop: Option<Drop>,
) -> Result<Tensor> {
    let mut x_nd = forms.gather(rows_ur)?;
    x_nd = match config.entering_scale() {
        Some(scale) => (x_nd * f64::from(scale))?,
        None => forms.linear(&x_nd, parameters.get("items.project_in")?)?,
    };
    let positions = match config.positions {
        Positions::Learned => Some(parameters.get("positions")?.as_tensor()),
        Positions::Rotary => None,
    };
    x_nd = forms.embed(&x_nd, positions, drop)?;
    for layer in 0..config.layers {
        let matrix = |part: &str| parameters.get(&format!("decoder.{layer}.{part}"));
        let sub = Sub { layer, drop };
        x_nd = forms.attention(&x_nd, matrix("attention.qkv")?, matrix("attention.out")?, sub)?;
        x_nd = forms.mlp(&x_nd, matrix("mlp.gate_up")?, matrix("mlp.down")?, sub)?;
    }
    Ok(x_nd)
}

/// States `g(x)` `(n, r)`: the final norm, and the head.
pub(crate) fn head(
    forms: &impl Forms,
    config: &ModelConfig,
    parameters: &Parameters,
    x_nd: &Tensor,
) -> Result<Tensor> {
    let x_nd = forms.norm(x_nd)?;
    match config.project {
        true => Ok(forms.linear(&x_nd, parameters.get("head.project")?)?),
        false => Ok(x_nd),
    }
}

/// A jagged batch without padding.
pub(crate) struct Jagged {
    pub(crate) layout: Arc<Layout>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) heads: usize,
    pub(crate) rotary: Option<Arc<Rotary>>,
    pub(crate) products: Products,
}

impl Jagged {
    fn attention(&self, Sub { layer, drop }: Sub) -> attention::Settings {
        let (layout, rotary) = (Arc::clone(&self.layout), self.rotary.clone());
        attention::Settings { layout, heads: self.heads, rotary, layer, drop, products: self.products }
    }

    fn mlp(&self, Sub { layer, drop }: Sub) -> mlp::Settings {
        mlp::Settings { layer, drop, products: self.products }
    }
}

/// Our operations, fused where that pays.
pub(crate) struct Fused(pub(crate) Jagged);

/// candle's operations.
pub(crate) struct Composed(pub(crate) Jagged);

impl Forms for Fused {
    fn gather(&self, rows_ur: &Tensor) -> candle_core::Result<Tensor> {
        gather::run(rows_ur, &self.0.segments)
    }

    fn linear(&self, x: &Tensor, w: &Tensor) -> candle_core::Result<Tensor> {
        linear::run(x, w, self.0.products)
    }

    fn embed(
        &self,
        x: &Tensor,
        positions: Option<&Tensor>,
        drop: Option<Drop>,
    ) -> candle_core::Result<Tensor> {
        embed::run(x, positions, &self.0.layout, drop)
    }

    fn attention(&self, x: &Tensor, qkv: &Tensor, out: &Tensor, sub: Sub) -> candle_core::Result<Tensor> {
        attention::run(x, qkv, out, &self.0.attention(sub))
    }

    fn mlp(&self, x: &Tensor, gate_up: &Tensor, down: &Tensor, sub: Sub) -> candle_core::Result<Tensor> {
        mlp::run(x, gate_up, down, &self.0.mlp(sub))
    }

    fn norm(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        norm::run(x)
    }
}

impl Forms for Composed {
    fn gather(&self, rows_ur: &Tensor) -> candle_core::Result<Tensor> {
        gather::reference(rows_ur, &self.0.segments)
    }

    fn linear(&self, x: &Tensor, w: &Tensor) -> candle_core::Result<Tensor> {
        linear::reference(x, w, self.0.products)
    }

    fn embed(
        &self,
        x: &Tensor,
        positions: Option<&Tensor>,
        drop: Option<Drop>,
    ) -> candle_core::Result<Tensor> {
        embed::reference(x, positions, &self.0.layout, drop)
    }

    fn attention(&self, x: &Tensor, qkv: &Tensor, out: &Tensor, sub: Sub) -> candle_core::Result<Tensor> {
        attention::reference(x, qkv, out, &self.0.attention(sub))
    }

    fn mlp(&self, x: &Tensor, gate_up: &Tensor, down: &Tensor, sub: Sub) -> candle_core::Result<Tensor> {
        mlp::reference(x, gate_up, down, &self.0.mlp(sub))
    }

    fn norm(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        norm::reference(x)
    }
}
