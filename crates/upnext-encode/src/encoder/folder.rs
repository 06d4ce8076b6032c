//! The layout of an encoder's folder: which files it has, and what surrounds the transformer.
//!
//! A sentence-transformers folder says it in `modules.json` and the folders named there; a plain Hugging Face folder has
//! `config.json`, `tokenizer.json` and `model.safetensors`, and is pooled by the mean. Only settings that change a
//! vector are read; modules of other kinds are refused.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::json::{self, Fields};
use super::pooling::Pooling;
use crate::{Error, Result};

/// Where the parts of an encoder are, and how they are used.
pub(super) struct Layout {
    /// `config.json`.
    pub(super) config: PathBuf,
    /// `tokenizer.json`.
    pub(super) tokenizer: PathBuf,
    /// `model.safetensors`.
    pub(super) weights: PathBuf,
    pub(super) pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub(super) normalised: bool,
    /// Whether texts are put into lower case before anything else.
    pub(super) lower_case: bool,
    /// Most tokens of a text, where somebody says so.
    pub(super) max_tokens: Option<usize>,
    /// What stands before every text.
    pub(super) prompt: String,
}

/// Longest text that any setting may allow, in tokens.
pub(super) const MOST_TOKENS: usize = 1 << 15;
/// Families by which older versions named the file of limits.
const LIMITS: [&str; 4] = ["bert", "roberta", "distilbert", "xlm-roberta"];
/// A tokenizer without a limit says 10^30.
const NO_LIMIT: f64 = 1e6;

impl Layout {
    pub(super) fn read(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::file(
                dir,
                "is no folder; name one with config.json, tokenizer.json and model.safetensors",
            ));
        }
        let list = dir.join("modules.json");
        let modules = if list.exists() { Modules::read(dir, &list)? } else { Modules::plain(dir) };
        let Modules { transformer, pooling, normalised } = modules;
        let pooling = pooling.map_or(Ok(Pooling::Mean), |dir| Pooling::read(&dir.join("config.json")))?;
        let limits = LIMITS.map(|family| transformer.join(format!("sentence_{family}_config.json")));
        let [default, ..] = &limits;
        let sentence = Fields::read_if_there(limits.iter().find(|path| path.exists()).unwrap_or(default))?;
        let lower_case = sentence.truth("do_lower_case")?;
        let max_tokens = match sentence.count("max_seq_length", 3..=MOST_TOKENS)? {
            Some(limit) => Some(limit),
            None => tokenizer_limit(&transformer)?,
        };
        let prompt = prompt(&dir.join("config_sentence_transformers.json"))?;
        let [config, tokenizer, weights] =
            ["config.json", "tokenizer.json", "model.safetensors"].map(|name| transformer.join(name));
        for (path, what) in [(&config, "the architecture"), (&tokenizer, "the tokenizer")] {
            if !path.is_file() {
                return Err(Error::file(path, format!("is missing: the encoder's folder must have {what}")));
            }
        }
        check_weights(&transformer, &weights)?;
        Ok(Self { config, tokenizer, weights, pooling, normalised, lower_case, max_tokens, prompt })
    }
}

/// The modules of a folder that concern us.
struct Modules {
    transformer: PathBuf,
    pooling: Option<PathBuf>,
    normalised: bool,
}

impl Modules {
    fn plain(dir: &Path) -> Self {
        Self { transformer: dir.to_owned(), pooling: None, normalised: false }
    }

    fn read(dir: &Path, list: &Path) -> Result<Self> {
        let refuse = |problem: String| Error::file(list, problem);
        let Value::Array(modules) = json::value(list)? else {
            return Err(refuse("it is no list of modules".to_owned()));
        };
        let mut found = Self::plain(dir);
        for (place, module) in modules.iter().enumerate() {
            let text = |name: &str| module.get(name).and_then(Value::as_str);
            let (Some(path), Some(kind)) = (text("path"), text("type")) else {
                return Err(refuse(format!("module {place} has no \"path\" or no \"type\"")));
            };
            let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
            if !inside(Path::new(path)) {
                return Err(refuse(format!("module {place} lies at {path:?}, outside the folder")));
            }
            let path = dir.join(path);
            match (place, kind.rsplit('.').next().unwrap_or(kind)) {
                (0, "Transformer") => found.transformer = path,
                (1, "Pooling") => found.pooling = Some(path),
                (2, "Normalize") => found.normalised = true,
                _ => {
                    let known =
                        "a Transformer, a Pooling and perhaps a Normalize module are known in this order";
                    return Err(refuse(format!(
                        "module {place} is a {kind:?}; {known}: import its vectors instead"
                    )));
                }
            }
        }
        if found.pooling.is_none() {
            return Err(refuse("it has no Pooling module".to_owned()));
        }
        Ok(found)
    }
}

/// Names what is there in place of the weights.
fn check_weights(dir: &Path, weights: &Path) -> Result<()> {
    if weights.is_file() {
        return Ok(());
    }
    for pickle in ["pytorch_model.bin", "model.pt", "model.pth"].map(|name| dir.join(name)) {
        if pickle.exists() {
            let why = "it is in pickle format, which can run code when it is read, and is not opened";
            return Err(Error::file(&pickle, format!("{why}: save the model as model.safetensors")));
        }
    }
    let index = dir.join("model.safetensors.index.json");
    if index.exists() {
        return Err(Error::file(
            &index,
            "weights in several files are not read: save them as one model.safetensors",
        ));
    }
    Err(Error::file(weights, "is missing: the encoder's folder must have the weights"))
}

/// `model_max_length` of the tokenizer, where it is a limit.
fn tokenizer_limit(dir: &Path) -> Result<Option<usize>> {
    let fields = Fields::read_if_there(&dir.join("tokenizer_config.json"))?;
    let limit = fields.real("model_max_length", 3.0..=f64::MAX)?;
    Ok(limit.filter(|&limit| limit < NO_LIMIT).map(|limit| (limit as usize).min(MOST_TOKENS)))
}

/// The prompt that stands before every text when nobody says otherwise.
fn prompt(path: &Path) -> Result<String> {
    let fields = Fields::read_if_there(path)?;
    let Some(name) = fields.text("default_prompt_name")? else { return Ok(String::new()) };
    let prompts = fields.below("prompts")?;
    match prompts.text(name)? {
        Some(prompt) => Ok(prompt.to_owned()),
        None => {
            let known: Vec<&str> = prompts.names().take(20).collect();
            let problem = format!("\"default_prompt_name\" is {name:?}, but it has the prompts {known:?}");
            Err(Error::file(path, problem))
        }
    }
}
