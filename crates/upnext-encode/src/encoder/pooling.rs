//! Many vectors of tokens to one of the text.
//!
//! Shapes: b texts, n tokens of all of them, t of one (none is padding), d width.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json::Fields;
use crate::{Error, Result};

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean, special tokens included.
    Mean,
    /// Their sum over the root of their number.
    MeanSqrtLen,
    /// The first, which stands for the whole text.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The last.
    LastToken,
}

/// The switches of the older layout.
const SWITCHES: [(&str, Option<Pooling>); 6] = [
    ("pooling_mode_mean_tokens", Some(Pooling::Mean)),
    ("pooling_mode_mean_sqrt_len_tokens", Some(Pooling::MeanSqrtLen)),
    ("pooling_mode_cls_token", Some(Pooling::Cls)),
    ("pooling_mode_max_tokens", Some(Pooling::Max)),
    ("pooling_mode_lasttoken", Some(Pooling::LastToken)),
    ("pooling_mode_weightedmean_tokens", None),
];

impl Pooling {
    /// Reads `1_Pooling/config.json`, in which one mode must be on.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let fields = Fields::read(path)?;
        if fields.get("include_prompt").is_some() && !fields.truth("include_prompt")? {
            return Err(Error::file(path, "it leaves the prompt out of the pooling, which is not done here"));
        }
        if let Some(mode) = fields.get("pooling_mode") {
            let named = match mode.as_str() {
                Some("mean") => Some(Self::Mean),
                Some("mean_sqrt_len_tokens") => Some(Self::MeanSqrtLen),
                Some("cls") => Some(Self::Cls),
                Some("max") => Some(Self::Max),
                Some("lasttoken") => Some(Self::LastToken),
                _ => None,
            };
            let known = "mean, mean_sqrt_len_tokens, cls, max or lasttoken";
            return named.ok_or_else(|| fields.refuse("pooling_mode", mode, known));
        }
        let mut on = Vec::new();
        for (name, pooling) in SWITCHES {
            if fields.truth(name)? {
                on.push((name, pooling));
            }
        }
        match on.as_slice() {
            [(_, Some(pooling))] => Ok(*pooling),
            _ => {
                let names: Vec<&str> = on.iter().map(|(name, _)| *name).collect();
                let need = "exactly one of mean, mean_sqrt_len, cls, max and lasttoken must be on";
                Err(Error::file(path, format!("its modes are {names:?}; {need}")))
            }
        }
    }

    /// `(n, d)` to `(b, d)`, given the tokens of each text.
    pub(super) fn apply(self, tokens: &[f32], lengths: &[usize], d: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(lengths.len() * d);
        let mut start = 0;
        for &t in lengths {
            let text = &tokens[start * d..][..t * d];
            start += t;
            let sum = || folded(text, d, |a, b| a + b);
            match self {
                Self::Cls => out.extend_from_slice(&text[..d]),
                Self::LastToken => out.extend_from_slice(&text[(t - 1) * d..]),
                Self::Max => out.extend(folded(text, d, f32::max)),
                Self::Mean => out.extend(sum().iter().map(|sum| sum / t as f32)),
                Self::MeanSqrtLen => out.extend(sum().iter().map(|sum| sum / (t as f32).sqrt())),
            }
        }
        out
    }
}

/// `(t, d)` to `(d)`, token by token.
fn folded(text: &[f32], d: usize, fold: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let mut out = text[..d].to_vec();
    for token in text[d..].chunks_exact(d) {
        out.iter_mut().zip(token).for_each(|(out, &value)| *out = fold(*out, value));
    }
    out
}

/// Scales each row to length 1; a length below 1e-12 counts as that, as in PyTorch's `normalize`.
pub(super) fn normalise(rows: &mut [f32], d: usize) {
    for row in rows.chunks_exact_mut(d) {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
        row.iter_mut().for_each(|value| *value /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_pooled_by_hand() {
        // A text of two tokens and one of one, two wide.
        let tokens = [1.0, -2.0, 3.0, 4.0, 0.0, 2.0];
        let check =
            |pooling: Pooling, expected: [f32; 4]| assert_eq!(pooling.apply(&tokens, &[2, 1], 2), expected);
        check(Pooling::Mean, [2.0, 1.0, 0.0, 2.0]);
        check(Pooling::Cls, [1.0, -2.0, 0.0, 2.0]);
        check(Pooling::LastToken, [3.0, 4.0, 0.0, 2.0]);
        check(Pooling::Max, [3.0, 4.0, 0.0, 2.0]);
        let root = 2.0_f32.sqrt();
        check(Pooling::MeanSqrtLen, [4.0 / root, 2.0 / root, 0.0, 2.0]);
        let mut rows = [3.0, 4.0, 0.0, 0.0];
        normalise(&mut rows, 2);
        assert_eq!(rows, [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn a_mode_that_is_not_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Pooling::read(&path)
        };
        assert_eq!(
            read(r#"{"pooling_mode_max_tokens":true,"pooling_mode_cls_token":false}"#).unwrap(),
            Pooling::Max
        );
        assert_eq!(read(r#"{"pooling_mode":"cls","include_prompt":true}"#).unwrap(), Pooling::Cls);
        for (text, expected) in [
            ("{}", "its modes are []"),
            (r#"{"pooling_mode_max_tokens":true,"pooling_mode_cls_token":true}"#, "pooling_mode_cls_token"),
            (r#"{"pooling_mode_weightedmean_tokens":true}"#, "weightedmean"),
            (r#"{"pooling_mode":"weightedmean"}"#, "weightedmean"),
            (r#"{"pooling_mode":"mean","include_prompt":false}"#, "leaves the prompt out"),
            (r#"{"pooling_mode_max_tokens":1}"#, "true or false"),
            ("[]", "no JSON object"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("config.json"), "{text}: {error}");
        }
    }
}
