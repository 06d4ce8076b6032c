//! `config.json`: which family an encoder is of, and its sizes.

use std::path::Path;

use candle_transformers::models::modernbert;
use serde_json::Value;

use super::family::Family;
use super::folder::MOST_TOKENS;
use super::json::Fields;
use super::post_norm::{Activation, PostNormConfig};
use crate::{Error, Result};

/// Widest, and deepest, that is read.
const WIDEST: usize = 1 << 14;
const DEEPEST: usize = 256;
/// The most tokens of a vocabulary.
const VOCABULARY: usize = 1 << 22;

/// Sizes of an encoder.
pub(super) struct Config {
    pub(super) family: Family,
    /// v: tokens that it knows.
    pub(super) vocabulary: usize,
    /// d: width of its vectors.
    pub(super) width: usize,
    /// Most tokens of a text, by its table of positions.
    pub(super) positions: usize,
    pub(super) sizes: Sizes,
}

/// What the models are made of.
pub(super) enum Sizes {
    PostNorm(PostNormConfig),
    ModernBert(modernbert::Config),
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let fields = Fields::read(path)?;
        let kind = fields.text("model_type")?.ok_or_else(|| fields.missing("model_type"))?;
        match kind {
            "bert" => bert(&fields),
            "xlm-roberta" | "roberta" => xlm_roberta(&fields),
            "distilbert" => distil(&fields),
            "modernbert" => modern(&fields),
            other => Err(Error::Architecture { path: path.to_owned(), found: other.to_owned() }),
        }
    }
}

fn bert(fields: &Fields) -> Result<Config> {
    Ok(of(Family::Bert, common(fields)?))
}

/// Positions are counted from behind the padding's number.
fn xlm_roberta(fields: &Fields) -> Result<Config> {
    let mut sizes = common(fields)?;
    let pad = fields.count("pad_token_id", 0..=sizes.positions - 5)?.unwrap_or(1);
    sizes.pad = Some(pad as u32);
    Ok(of(Family::XlmRoberta, sizes))
}

fn distil(fields: &Fields) -> Result<Config> {
    let sizes = PostNormConfig {
        vocabulary: fields.needed("vocab_size", 1..=VOCABULARY)?,
        width: fields.needed("dim", 1..=WIDEST)?,
        layers: fields.needed("n_layers", 1..=DEEPEST)?,
        heads: fields.needed("n_heads", 1..=WIDEST)?,
        hidden: fields.needed("hidden_dim", 1..=WIDEST * 4)?,
        positions: fields.needed("max_position_embeddings", 8..=MOST_TOKENS)?,
        activation: activation(fields, "activation")?,
        eps: 1e-12,
        types: 0,
        pad: None,
    };
    divides(fields, "n_heads", sizes.heads, sizes.width)?;
    Ok(of(Family::DistilBert, sizes))
}

/// Sizes by the names that BERT and RoBERTa use.
fn common(fields: &Fields) -> Result<PostNormConfig> {
    let sizes = PostNormConfig {
        vocabulary: fields.needed("vocab_size", 1..=VOCABULARY)?,
        width: fields.needed("hidden_size", 1..=WIDEST)?,
        layers: fields.needed("num_hidden_layers", 1..=DEEPEST)?,
        heads: fields.needed("num_attention_heads", 1..=WIDEST)?,
        hidden: fields.needed("intermediate_size", 1..=WIDEST * 4)?,
        positions: fields.needed("max_position_embeddings", 8..=MOST_TOKENS)?,
        activation: activation(fields, "hidden_act")?,
        eps: eps(fields, "layer_norm_eps", 1e-12)? as f32,
        types: fields.needed("type_vocab_size", 1..=16)?,
        pad: None,
    };
    match fields.text("position_embedding_type")? {
        None | Some("absolute") => {}
        Some(other) => return Err(fields.refuse("position_embedding_type", &Value::from(other), "absolute")),
    }
    divides(fields, "num_attention_heads", sizes.heads, sizes.width)?;
    Ok(sizes)
}

fn of(family: Family, sizes: PostNormConfig) -> Config {
    let (vocabulary, width, positions) = (sizes.vocabulary, sizes.width, sizes.longest());
    Config { family, vocabulary, width, positions, sizes: Sizes::PostNorm(sizes) }
}

fn modern(fields: &Fields) -> Result<Config> {
    for bias in ["attention_bias", "mlp_bias", "norm_bias"] {
        if fields.truth(bias)? {
            return Err(fields.refuse(bias, &Value::Bool(true), "false"));
        }
    }
    if let Some(act) = fields.get("hidden_activation").filter(|act| *act != "gelu") {
        return Err(fields.refuse("hidden_activation", act, "gelu"));
    }
    let (global_theta, local_theta) = thetas(fields)?;
    let sizes = modernbert::Config {
        vocab_size: fields.needed("vocab_size", 1..=VOCABULARY)?,
        hidden_size: fields.needed("hidden_size", 1..=WIDEST)?,
        num_hidden_layers: fields.needed("num_hidden_layers", 1..=DEEPEST)?,
        num_attention_heads: fields.needed("num_attention_heads", 1..=WIDEST)?,
        intermediate_size: fields.needed("intermediate_size", 1..=WIDEST * 4)?,
        max_position_embeddings: fields.needed("max_position_embeddings", 8..=MOST_TOKENS)?,
        layer_norm_eps: eps(fields, "norm_eps", 1e-5)?,
        pad_token_id: 0,
        global_attn_every_n_layers: every(fields)?,
        global_rope_theta: global_theta,
        local_attention: fields.count("local_attention", 1..=MOST_TOKENS)?.unwrap_or(128),
        local_rope_theta: local_theta,
        classifier_config: None,
    };
    divides(fields, "num_attention_heads", sizes.num_attention_heads * 2, sizes.hidden_size)?;
    let (vocabulary, width, positions) = (sizes.vocab_size, sizes.hidden_size, sizes.max_position_embeddings);
    Ok(Config { family: Family::ModernBert, vocabulary, width, positions, sizes: Sizes::ModernBert(sizes) })
}

/// The bases of `ModernBERT`'s rotations, global and local: under these names, or by kind of layer as newer files have it.
fn thetas(fields: &Fields) -> Result<(f64, f64)> {
    let by_kind = fields.below("rope_parameters")?;
    let theta = |kind: &str, old: &str, default: f64| -> Result<f64> {
        let below = by_kind.below(kind)?;
        if let Some(form) = below.text("rope_type")?.filter(|form| *form != "default") {
            return Err(below.refuse("rope_type", &Value::from(form), "default"));
        }
        let found = match below.real("rope_theta", 1.0..=1e12)? {
            Some(theta) => Some(theta),
            None => fields.real(old, 1.0..=1e12)?,
        };
        Ok(found.unwrap_or(default))
    };
    let global = theta("full_attention", "global_rope_theta", 160_000.0)?;
    Ok((global, theta("sliding_attention", "local_rope_theta", 10_000.0)?))
}

/// Every which layer of `ModernBERT` attends to the whole text: said outright, or layer by layer.
fn every(fields: &Fields) -> Result<usize> {
    let told = fields.count("global_attn_every_n_layers", 1..=DEEPEST)?;
    let Some(kinds) = fields.get("layer_types") else { return Ok(told.unwrap_or(3)) };
    let refuse =
        || fields.refuse("layer_types", kinds, "full_attention in every n-th layer, from the first on,");
    let list = kinds.as_array().ok_or_else(refuse)?;
    let full: Vec<bool> = list.iter().map(|kind| kind == "full_attention").collect();
    let every = full.iter().skip(1).position(|&full| full).map_or(full.len().max(1), |gap| gap + 1);
    let regular = full.iter().enumerate().all(|(layer, &full)| full == layer.is_multiple_of(every));
    if regular && told.is_none_or(|told| told == every) { Ok(every) } else { Err(refuse()) }
}

fn activation(fields: &Fields, name: &str) -> Result<Activation> {
    match fields.text(name)? {
        None | Some("gelu") => Ok(Activation::Gelu),
        Some("gelu_new" | "gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
        Some("relu") => Ok(Activation::Relu),
        Some(other) => {
            Err(fields.refuse(name, &Value::from(other), "gelu, gelu_new, gelu_pytorch_tanh or relu"))
        }
    }
}

fn eps(fields: &Fields, name: &str, default: f64) -> Result<f64> {
    Ok(fields.real(name, 0.0..=1.0)?.unwrap_or(default))
}

fn divides(fields: &Fields, name: &str, heads: usize, width: usize) -> Result<()> {
    if width.is_multiple_of(heads) {
        Ok(())
    } else {
        Err(fields.refuse(name, &Value::from(heads), &format!("a divisor of the width {width}")))
    }
}
