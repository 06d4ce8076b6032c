//! A text encoder out of a local folder: texts in, vectors out.
//!
//! [`Encoder::open`] reads a folder of sentence-transformers or Hugging Face strictly and trusts nothing in it;
//! [`Encoder::encode`] gives each text a vector. The encoder is frozen: nothing here trains.
//!
//! Nothing is padded, and no text sees another. With BERT, XLM-RoBERTa and `DistilBERT` a text has the same vector, bit for
//! bit, alone and in any company, on any number of threads and at any SIMD level. `ModernBERT` runs on candle, where texts
//! of equal length share a batch: its company moves a vector by about 1e-6 of its length, the number of threads by
//! nothing.

mod batches;
mod config;
mod family;
mod folder;
mod guard;
mod identity;
mod json;
mod model;
mod pooling;
mod post_norm;
mod weights;
mod workers;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tokenizers::{Tokenizer, TruncationParams};
use upnext_data::sealed::{FileHash, read_bytes};

use self::config::Config;
use self::folder::Layout;
use self::guard::guarded;
use self::model::Model;
use crate::{Error, Result};

pub use family::Family;
pub use guard::is_tokenizing;
pub use identity::Identity;
pub use pooling::Pooling;

/// Bytes of `config.json` and `tokenizer.json`: those of large multilingual vocabularies have 35 MB.
const CONFIG_LIMIT: u64 = 1 << 20;
const TOKENIZER_LIMIT: u64 = 128 << 20;

/// A frozen text encoder.
pub struct Encoder {
    dir: PathBuf,
    identity: Identity,
    vocabulary: usize,
    tokenizer: Tokenizer,
    model: Model,
}

/// The ids of a text's tokens.
type Tokens = Vec<u32>;
/// Takes a batch's texts, by their places, and their vectors.
type Take<'a> = dyn FnMut(&[usize], &[f32]) -> Result<()> + 'a;

impl Encoder {
    /// Reads the encoder of a folder.
    ///
    /// # Errors
    /// When a file is missing, damaged, of an architecture that is not read, in pickle format, or holds tensors other
    /// than those its configuration asks for; the error names the file, and the tensor or setting.
    pub fn open(dir: &Path) -> Result<Self> {
        let layout = Layout::read(dir)?;
        let config_hash = FileHash::of(&read_bytes(&layout.config, CONFIG_LIMIT)?);
        let config = Config::read(&layout.config)?;
        let bytes = read_bytes(&layout.tokenizer, TOKENIZER_LIMIT)?;
        let max_tokens = layout.max_tokens.unwrap_or(config.positions).min(config.positions);
        let tokenizer = tokenizer(&layout.tokenizer, &bytes, max_tokens)?;
        let (blake3, length) = upnext_data::sealed::hash_file(&layout.weights)?;
        let weights_hash = FileHash { blake3, bytes: length };
        let model = Model::load(&config, &layout.weights, &weights_hash)?;
        let name = dir.canonicalize().ok();
        let name = name.as_deref().and_then(Path::file_name).or(dir.file_name()).unwrap_or_default();
        let identity = Identity {
            name: name.to_string_lossy().into_owned(),
            family: config.family,
            width: config.width,
            max_tokens,
            pooling: layout.pooling,
            normalised: layout.normalised,
            lower_case: layout.lower_case,
            prompt: layout.prompt,
            files: [
                ("config.json".to_owned(), config_hash),
                ("model.safetensors".to_owned(), weights_hash),
                ("tokenizer.json".to_owned(), FileHash::of(&bytes)),
            ]
            .into(),
        };
        Ok(Self { dir: dir.to_owned(), identity, vocabulary: config.vocabulary, tokenizer, model })
    }

    /// What it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The folder it was read from.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// d: how wide its vectors are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.identity.width
    }

    /// `(n, d)` vectors of n texts.
    ///
    /// # Errors
    /// When a text cannot be cut into tokens, or the encoder gives something that is not finite.
    pub fn encode<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<f32>> {
        let width = self.width();
        let mut out = vec![0.0; texts.len() * width];
        self.encode_each(texts, &mut |places, rows| {
            for (&place, row) in places.iter().zip(rows.chunks_exact(width)) {
                out[place * width..][..width].copy_from_slice(row);
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// As [`Encoder::encode`], batch by batch as they are finished: the places of its texts, and their vectors.
    pub(crate) fn encode_each<S: AsRef<str> + Sync>(&self, texts: &[S], take: &mut Take<'_>) -> Result<()> {
        let tokens: Vec<Tokens> =
            texts.par_iter().map(|text| self.tokens(text.as_ref())).collect::<Result<_>>()?;
        let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
        let batches = batches::plan(&lengths, self.model.wants_equal_lengths());
        let text = |place: usize| texts[place].as_ref().to_owned();
        workers::run(&batches, |batch| self.run(&tokens, batch), take, text)
    }

    fn tokens(&self, text: &str) -> Result<Tokens> {
        let refuse = |problem: String| Error::Text { text: text.chars().take(60).collect(), problem };
        let mut whole = format!("{}{text}", self.identity.prompt);
        if self.identity.lower_case {
            whole = whole.to_lowercase();
        }
        let encoding = guarded(|| self.tokenizer.encode_fast(whole, true)).map_err(refuse)?;
        let ids = encoding.get_ids();
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocabulary) {
            let known = self.vocabulary;
            return Err(refuse(format!("its tokenizer gives token {id}, but the model knows {known}")));
        }
        if ids.is_empty() {
            return Err(refuse("it has no token".to_owned()));
        }
        if ids.len() > self.identity.max_tokens {
            let (found, most) = (ids.len(), self.identity.max_tokens);
            return Err(refuse(format!("its tokenizer gives {found} tokens, cut to {most}")));
        }
        Ok(ids.to_vec())
    }

    /// The pooled vectors of a batch.
    fn run(&self, tokens: &[Tokens], batch: &[usize]) -> Result<Vec<f32>> {
        let texts: Vec<&[u32]> = batch.iter().map(|&place| tokens[place].as_slice()).collect();
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let hidden = self.model.forward(&texts)?;
        let mut rows = self.identity.pooling.apply(&hidden, &lengths, self.width());
        if self.identity.normalised {
            pooling::normalise(&mut rows, self.width());
        }
        Ok(rows)
    }
}

/// A tokenizer that cuts to so many tokens and pads nothing, whatever its file says.
fn tokenizer(path: &Path, bytes: &[u8], max_tokens: usize) -> Result<Tokenizer> {
    let refuse = |problem: String| Error::file(path, format!("it is no tokenizer: {problem}"));
    let mut tokenizer = guarded(|| Tokenizer::from_bytes(bytes)).map_err(refuse)?;
    let processor = tokenizer.get_post_processor();
    let added = processor.map_or(0, |processor| tokenizers::PostProcessor::added_tokens(processor, false));
    if added >= max_tokens {
        return Err(refuse(format!(
            "it adds {added} tokens to each text, of {max_tokens} that are possible"
        )));
    }
    tokenizer.with_padding(None);
    let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(|error| refuse(error.to_string()))?;
    Ok(tokenizer)
}
