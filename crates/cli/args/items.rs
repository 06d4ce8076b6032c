//! What can be typed of items and vectors: encoding, joining, likeness, export.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use upnext_data::Modality;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("from").args(["data", "items"]).required(true))]
#[command(group = ArgGroup::new("way").args(["hashing", "encoder", "import"]).required(true))]
pub(crate) struct EncodeArgs {
    /// Prepared folder whose items are encoded.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Item file whose rows are encoded, as prepare --items reads it.
    #[arg(long, value_name = "FILE")]
    pub(crate) items: Option<PathBuf>,
    /// Column of the item file that holds the key [default: by its name: item_id, movieId, …].
    #[arg(long, value_name = "COLUMN", conflicts_with = "data")]
    pub(crate) item: Option<String>,
    /// Hash words, parts of words and categories: needs no model.
    #[arg(long)]
    pub(crate) hashing: bool,
    /// Folder of a text encoder, in the layout of sentence-transformers or Hugging Face (BERT, XLM-RoBERTa, DistilBERT,
    /// ModernBERT).
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: Option<PathBuf>,
    /// Vectors made elsewhere: .npy or .safetensors with --keys, .parquet, or a feature file.
    #[arg(long, value_name = "FILE")]
    pub(crate) import: Option<PathBuf>,
    /// Feature file to write (.safetensors).
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Name of the vectors' modality; several feature files of different modalities can be used together.
    #[arg(long, value_name = "NAME", default_value = upnext_encode::hashing::MODALITY, value_parser = modality)]
    pub(crate) modality: String,
    /// Text of an item for --encoder, such as '{title}. {genres}' [default: its columns, one sentence each].
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["text", "category", "hashing", "import"])]
    pub(crate) template: Option<String>,
    /// Column of text; may be repeated [default: all columns, by their names].
    #[arg(long, value_name = "COLUMN", conflicts_with = "import")]
    pub(crate) text: Vec<String>,
    /// Column of categories; may be repeated.
    #[arg(long, value_name = "COLUMN", conflicts_with = "import")]
    pub(crate) category: Vec<String>,
    /// Width of hashed vectors [default: 256], or the one that imported vectors must have.
    #[arg(long, value_name = "N", conflicts_with = "encoder")]
    pub(crate) width: Option<usize>,
    /// Folder that keeps the encoder's vectors by their texts, so that the next run encodes only what changed [default: none].
    #[arg(long, value_name = "DIR", conflicts_with_all = ["hashing", "import"])]
    pub(crate) cache: Option<PathBuf>,
    /// Keys of imported vectors, one a line, in the order of the rows.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hashing", "encoder"])]
    pub(crate) keys: Option<PathBuf>,
    /// Tensor of an imported .safetensors file [default: the only one].
    #[arg(long, value_name = "NAME", conflicts_with_all = ["hashing", "encoder"])]
    pub(crate) tensor: Option<String>,
    /// Column of keys of an imported .parquet file [default: by its name: item_id, movieId, …].
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["hashing", "encoder"])]
    pub(crate) key_column: Option<String>,
    /// Column of vectors of an imported .parquet file, lists of floats [default: the only one].
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["hashing", "encoder"])]
    pub(crate) vector_column: Option<String>,
    /// Replace an existing file.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExtendArgs {
    /// Model folder with a semantic tower.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Item file, as prepare --items reads it; items that the model knows already stay as they are, but for those that
    /// joined it without features and have some now.
    #[arg(long, value_name = "FILE")]
    pub(crate) items: PathBuf,
    /// Column of the item file that holds the key [default: by its name: item_id, movieId, …].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) item: Option<String>,
    /// Feature file of these items; may be repeated [default: the items are encoded as those of the training were].
    #[arg(long, value_name = "FILE", conflicts_with = "encoder")]
    pub(crate) features: Vec<PathBuf>,
    /// Folder of the text encoder that the model's features were made with, if one was.
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: Option<PathBuf>,
    /// Model folder to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Replace an existing model folder.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Model folder (a run's `model/`), which gets the index.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Prepared folder whose users' lists are measured.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Clusters [default: twice the square root of the items].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clusters: Option<u32>,
    /// In how many clusters each item is found.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) homes: u32,
    /// The share of the items of exact lists that probed clusters are to find: as many are looked into by default as that
    /// takes.
    #[arg(long, value_name = "SHARE", default_value_t = 0.99, value_parser = share)]
    pub(crate) recall: f64,
    /// Items in the lists that are measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) length: u32,
    /// Users whose lists are measured, at most.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) users: u32,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

fn modality(text: &str) -> Result<String, String> {
    match Modality::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, - and _ make a name".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number <= 1.0 {
        Ok(number)
    } else {
        Err("must lie above 0 and at most at 1".to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct SimilarArgs {
    /// Model folder (a run's `model/`).
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Key of the item.
    #[arg(long, value_name = "KEY")]
    pub(crate) item: String,
    /// Items to name.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) length: u32,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["items", "users"]).required(true))]
pub(crate) struct ExportArgs {
    /// Model folder (a run's `model/`).
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Write the items' output vectors, which states are scored against; items that no list may show are left out.
    #[arg(long)]
    pub(crate) items: bool,
    /// Write the users' states after their histories; the product with an item's vector is the item's score.
    #[arg(long, requires = "data")]
    pub(crate) users: bool,
    /// Prepared folder whose histories are read for --users.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// With --items: write the vectors that the decoder reads instead, where a model has a table of its own for each side.
    #[arg(long, requires = "items")]
    pub(crate) input: bool,
    /// File to write: .parquet, or .npy with the keys in NAME.keys.txt beside it. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Print one JSON object on standard output and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}
