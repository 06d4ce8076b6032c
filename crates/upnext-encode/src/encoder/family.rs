//! The families of encoders that are read, and how their checkpoints name tensors.
//!
//! `DistilBERT` is BERT without types of tokens and with other names (Sanh et al. 2019, arXiv 1910.01108). (candle's own
//! has the approximate GELU where the checkpoints were trained with the exact one.)

use std::fmt;

use serde::{Deserialize, Serialize};

/// A family of encoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// BERT: Devlin et al. 2018, arXiv 1810.04805. MiniLM, E5, BGE and GTE are such.
    Bert,
    /// RoBERTa and XLM-RoBERTa: Conneau et al. 2019, arXiv 1911.02116.
    XlmRoberta,
    /// `DistilBERT`.
    DistilBert,
    /// `ModernBERT`: Warner et al. 2024, arXiv 2412.13663.
    ModernBert,
}

/// Parts of BERT's names, and what `DistilBERT` calls them.
const DISTILLED: [(&str, &str); 9] = [
    ("encoder.layer.", "transformer.layer."),
    (".attention.self.query.", ".attention.q_lin."),
    (".attention.self.key.", ".attention.k_lin."),
    (".attention.self.value.", ".attention.v_lin."),
    (".attention.output.dense.", ".attention.out_lin."),
    (".attention.output.LayerNorm.", ".sa_layer_norm."),
    (".intermediate.dense.", ".ffn.lin1."),
    (".output.dense.", ".ffn.lin2."),
    (".output.LayerNorm.", ".output_layer_norm."),
];

impl Family {
    /// A tensor that every checkpoint has.
    pub(super) fn probe(self) -> &'static str {
        match self {
            Self::ModernBert => "embeddings.tok_embeddings.weight",
            _ => "embeddings.word_embeddings.weight",
        }
    }

    /// What may stand before all names.
    pub(super) fn prefixes(self) -> [&'static str; 2] {
        match self {
            Self::Bert => ["", "bert."],
            Self::XlmRoberta => ["", "roberta."],
            Self::DistilBert => ["", "distilbert."],
            Self::ModernBert => ["", "model."],
        }
    }

    /// The checkpoint's name, without the prefix, of what a model asks for.
    pub(super) fn name_in_file(self, asked: &str) -> String {
        match self {
            Self::Bert | Self::XlmRoberta => asked.to_owned(),
            Self::DistilBert => {
                DISTILLED.iter().fold(asked.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs))
            }
            Self::ModernBert => asked.strip_prefix("model.").unwrap_or(asked).to_owned(),
        }
    }

    /// Whether a model asks for it only in case: the first layer of `ModernBERT` has no norm before its attention.
    pub(super) fn may_lack(self, asked: &str) -> bool {
        self == Self::ModernBert && asked == "model.layers.0.attn_norm.weight"
    }

    /// Whether a checkpoint may hold this beside the encoder: counted positions, and heads that no vector of a sentence
    /// goes through.
    pub(super) fn is_spare(self, name: &str) -> bool {
        let heads: &[&str] = match self {
            Self::Bert => &["pooler.dense.", "cls."],
            Self::XlmRoberta => &["pooler.dense.", "lm_head."],
            Self::DistilBert => &["vocab_transform.", "vocab_layer_norm.", "vocab_projector."],
            Self::ModernBert => &["head.", "decoder."],
        };
        let counted = ["embeddings.position_ids", "embeddings.token_type_ids"].contains(&name);
        counted || heads.iter().any(|head| name.starts_with(head))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bert => "BERT",
            Self::XlmRoberta => "XLM-RoBERTa",
            Self::DistilBert => "DistilBERT",
            Self::ModernBert => "ModernBERT",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distilled_names_follow_from_those_of_bert() {
        let check =
            |asked: &str, expected: &str| assert_eq!(Family::DistilBert.name_in_file(asked), expected);
        check("embeddings.LayerNorm.bias", "embeddings.LayerNorm.bias");
        check("encoder.layer.3.attention.self.key.bias", "transformer.layer.3.attention.k_lin.bias");
        check("encoder.layer.3.attention.output.dense.bias", "transformer.layer.3.attention.out_lin.bias");
        check(
            "encoder.layer.3.attention.output.LayerNorm.weight",
            "transformer.layer.3.sa_layer_norm.weight",
        );
        check("encoder.layer.3.output.dense.weight", "transformer.layer.3.ffn.lin2.weight");
        check("encoder.layer.3.output.LayerNorm.weight", "transformer.layer.3.output_layer_norm.weight");
    }

    #[test]
    fn heads_are_spare_and_layers_are_not() {
        assert!(
            Family::Bert.is_spare("pooler.dense.bias") && Family::Bert.is_spare("embeddings.position_ids")
        );
        assert!(!Family::Bert.is_spare("encoder.layer.9.output.dense.weight"));
        assert!(!Family::DistilBert.is_spare("pooler.dense.bias"));
    }
}
