//! BERT, XLM-RoBERTa and DistilBERT on slices: attention, then a feed-forward block, each followed by its norm
//! (Vaswani et al. 2017, arXiv:1706.03762; Devlin et al. 2018, arXiv:1810.04805).
//!
//! Texts of any lengths lie one after the other; nothing is padded, and products run over all tokens at once. Every
//! product, norm and activation is a kernel whose result is one fixed sequence of roundings an element, so a text has
//! the same vector, bit for bit, in whatever company it is encoded. Inference only.
//!
//! Shapes: n tokens of all texts, t tokens of one, d width, m hidden width, h heads, e = d/h, v vocabulary, p positions.

use upnext_kernels::gelu::{gelu, gelu_tanh};
use upnext_kernels::layer_norm::layer_norm;
use upnext_kernels::product::{Packed, Write, multiply};
use upnext_kernels::softmax::softmax_rows;
use upnext_kernels::{Rows, RowsMut};

use super::weights::Source;
use crate::Result;

/// The feed-forward block's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// By the error function.
    Gelu,
    /// Its approximation by a hyperbolic tangent.
    GeluTanh,
    Relu,
}

/// Sizes of an encoder.
#[derive(Clone, Debug)]
pub(super) struct PostNormConfig {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) hidden: usize,
    pub(super) positions: usize,
    pub(super) activation: Activation,
    pub(super) eps: f32,
    /// Rows of the table of token types; none where the family does without.
    pub(super) types: usize,
    /// The token that padding would be, where positions are counted from behind its number and past it.
    pub(super) pad: Option<u32>,
}

/// A frozen encoder.
pub(super) struct PostNorm {
    config: PostNormConfig,
    /// `(v, d)`
    words: Vec<f32>,
    /// `(p, d)`, the first type of token added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Norm {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

/// `x · wᵀ + b`
struct Linear {
    weight: Packed,
    bias: Vec<f32>,
}

struct Layer {
    /// `d → 3d`, query, key and value side by side.
    query_key_value: Linear,
    attended: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

impl PostNorm {
    pub(super) fn load(config: &PostNormConfig, source: &Source) -> Result<Self> {
        let &PostNormConfig { vocabulary, width, positions, types, .. } = config;
        let words = source.take("embeddings.word_embeddings.weight", &[vocabulary, width])?;
        let mut table = source.take("embeddings.position_embeddings.weight", &[positions, width])?;
        if types > 0 {
            let types = source.take("embeddings.token_type_embeddings.weight", &[types, width])?;
            for row in table.chunks_exact_mut(width) {
                row.iter_mut().zip(&types).for_each(|(value, kind)| *value += kind);
            }
        }
        let norm = Norm::load(source, "embeddings.LayerNorm", width)?;
        let layers =
            (0..config.layers).map(|layer| Layer::load(config, source, layer)).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), words, positions: table, norm, layers })
    }

    /// `(n, d)` vectors of the tokens of some texts, one text after the other.
    pub(super) fn forward(&self, texts: &[&[u32]]) -> Vec<f32> {
        let (d, eps) = (self.config.width, self.config.eps);
        let mut x_nd = Vec::with_capacity(texts.iter().map(|text| text.len()).sum::<usize>() * d);
        for text in texts {
            for (&id, position) in text.iter().zip(self.places(text)) {
                let (word, place) =
                    (&self.words[id as usize * d..][..d], &self.positions[position * d..][..d]);
                x_nd.extend(word.iter().zip(place).map(|(word, place)| word + place));
            }
        }
        layer_norm(&mut x_nd, &self.norm.gain, &self.norm.bias, eps);
        let mut scratch = Scratch::default();
        for layer in &self.layers {
            layer.forward(&self.config, texts, &mut x_nd, &mut scratch);
        }
        x_nd
    }

    /// The positions of a text's tokens.
    fn places<'a>(&'a self, text: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
        let mut seen = 0;
        text.iter().enumerate().map(move |(at, id)| match self.config.pad {
            None => at,
            // A text may spell the padding's token, which then counts no position.
            Some(pad) if *id == pad => pad as usize,
            Some(pad) => {
                seen += 1;
                pad as usize + seen
            }
        })
    }
}

/// What a layer needs beside the tokens' vectors, kept between layers.
#[derive(Default)]
struct Scratch {
    query_key_value: Vec<f32>,
    context: Vec<f32>,
    hidden: Vec<f32>,
    scores: Vec<f32>,
    keys: Packed,
    values: Packed,
}

impl Layer {
    fn load(config: &PostNormConfig, source: &Source, layer: usize) -> Result<Self> {
        let (d, m) = (config.width, config.hidden);
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let mut weight = Vec::with_capacity(3 * d * d);
        let mut bias = Vec::with_capacity(3 * d);
        for part in ["query", "key", "value"] {
            weight.extend(source.take(&name(&format!("attention.self.{part}.weight")), &[d, d])?);
            bias.extend(source.take(&name(&format!("attention.self.{part}.bias")), &[d])?);
        }
        Ok(Self {
            query_key_value: Linear { weight: Packed::transposed(&weight, 3 * d, d), bias },
            attended: Linear::load(source, &name("attention.output.dense"), d, d)?,
            attention_norm: Norm::load(source, &name("attention.output.LayerNorm"), d)?,
            up: Linear::load(source, &name("intermediate.dense"), d, m)?,
            down: Linear::load(source, &name("output.dense"), m, d)?,
            norm: Norm::load(source, &name("output.LayerNorm"), d)?,
        })
    }

    /// Replaces the vectors of the tokens by the layer's.
    fn forward(&self, config: &PostNormConfig, texts: &[&[u32]], x_nd: &mut [f32], scratch: &mut Scratch) {
        let (d, m) = (config.width, config.hidden);
        let n = x_nd.len() / d;
        scratch.query_key_value.clear();
        (0..n).for_each(|_| scratch.query_key_value.extend_from_slice(&self.query_key_value.bias));
        self.query_key_value.add_to(x_nd, &mut scratch.query_key_value);
        scratch.context.resize(n * d, 0.0);
        let mut start = 0;
        for text in texts {
            attend(config, start, text.len(), scratch);
            start += text.len();
        }
        // The residual is what the product is added to; so is the bias.
        add_rows(x_nd, &self.attended.bias);
        self.attended.add_to(&scratch.context, x_nd);
        layer_norm(x_nd, &self.attention_norm.gain, &self.attention_norm.bias, config.eps);
        scratch.hidden.clear();
        scratch.hidden.reserve(n * m);
        (0..n).for_each(|_| scratch.hidden.extend_from_slice(&self.up.bias));
        self.up.add_to(x_nd, &mut scratch.hidden);
        match config.activation {
            Activation::Gelu => gelu(&mut scratch.hidden),
            Activation::GeluTanh => gelu_tanh(&mut scratch.hidden),
            Activation::Relu => scratch.hidden.iter_mut().for_each(|value| *value = value.max(0.0)),
        }
        add_rows(x_nd, &self.down.bias);
        self.down.add_to(&scratch.hidden, x_nd);
        layer_norm(x_nd, &self.norm.gain, &self.norm.bias, config.eps);
    }
}

/// Every token of a text attends to all of its tokens: rows `start..start + t` of the context.
fn attend(config: &PostNormConfig, start: usize, t: usize, scratch: &mut Scratch) {
    let (d, e) = (config.width, config.width / config.heads);
    let Scratch { query_key_value, context, scores, keys, values, .. } = scratch;
    let rows = Rows::strided(&query_key_value[start * 3 * d..], t, 3 * d, 3 * d);
    scores.resize(t * t, 0.0);
    for head in 0..config.heads {
        let part = |which: usize| rows.columns(which * d + head * e, e);
        keys.repack_transposed_rows(part(1));
        values.repack_plain_rows(part(2));
        multiply(part(0), keys, RowsMut::new(scores, t, t), Write::Set);
        softmax_rows(RowsMut::new(scores, t, t), 1.0 / (e as f32).sqrt());
        let out_te = RowsMut::strided(&mut context[start * d + head * e..], t, e, d);
        multiply(Rows::new(scores, t, t), values, out_te, Write::Set);
    }
}

/// Adds a bias to each row.
fn add_rows(x_nd: &mut [f32], bias: &[f32]) {
    for row in x_nd.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
}

impl Norm {
    /// Older checkpoints call the gain `gamma` and the bias `beta`.
    fn load(source: &Source, name: &str, width: usize) -> Result<Self> {
        let older = source.has(&format!("{name}.gamma"));
        let [gain, bias] = if older { ["gamma", "beta"] } else { ["weight", "bias"] };
        let take = |part: &str| source.take(&format!("{name}.{part}"), &[width]);
        Ok(Self { gain: take(gain)?, bias: take(bias)? })
    }
}

impl Linear {
    fn load(source: &Source, name: &str, inner: usize, cols: usize) -> Result<Self> {
        let weight = source.take(&format!("{name}.weight"), &[cols, inner])?;
        let bias = source.take(&format!("{name}.bias"), &[cols])?;
        Ok(Self { weight: Packed::transposed(&weight, cols, inner), bias })
    }

    /// Adds the product to `out`, in which the bias stands already.
    fn add_to(&self, x: &[f32], out: &mut [f32]) {
        let (inner, cols) = (self.weight.inner(), self.weight.cols());
        let n = x.len() / inner;
        multiply(Rows::new(x, n, inner), &self.weight, RowsMut::new(out, n, cols), Write::Add);
    }
}

impl PostNormConfig {
    /// Most tokens of a text.
    pub(super) fn longest(&self) -> usize {
        self.positions - self.pad.map_or(0, |pad| pad as usize + 1)
    }
}
