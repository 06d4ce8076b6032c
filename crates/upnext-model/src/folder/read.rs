//! Reading a model folder with suspicion: the manifest first, then every file against it, then what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use upnext_data::Catalog;
use upnext_data::sealed::{FileHash, TensorFile, read_bytes, recover};

use super::{
    CATALOG, CONFIG, ConfigFile, FILES, FORMAT, GENERATION, Generation, MANIFEST, MODEL, ModelManifest,
    Served, TEXT_LIMIT, VECTORS, not_finite, seal, tensors,
};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::init::Parameters;
use crate::items::Table;
use crate::model::Model;
use crate::network::Network;
use crate::tower::unread;
use crate::vectors::Vectors;

/// Opens a model folder for serving. The trained tables are hashed with their file, and only the decoder's
/// parameters and the finished vectors are kept.
///
/// # Errors
/// When anything in it is missing, unknown, damaged or does not fit; the error names the file, and the tensor.
pub fn open(dir: &Path) -> Result<Served> {
    let folder = Folder::open(dir)?;
    let catalog = folder.catalog()?;
    let Finishing { input, output, counts, ineligible } = folder.vectors()?;
    let vectors = Vectors::packed(input, output.as_deref(), folder.config.rank)?;
    let served = |name: &str| !name.starts_with("items.") && !name.starts_with("tower.");
    let mut values = folder.model(|name| served(name) || name == "items.project_in")?;
    let network = Network::new(&folder.config, |name| take(&mut values, name))?;
    let Folder { config, generation, manifest, .. } = folder;
    let unread = unread(&config, &counts, &ineligible);
    Ok(Served { config, network, vectors, catalog, counts, ineligible, unread, generation, manifest })
}

/// Opens a model folder for further training.
///
/// # Errors
/// As [`open`].
pub fn open_model(dir: &Path) -> Result<Model> {
    Folder::open(dir)?.trained()
}

/// Opens a model folder to train on from it.
///
/// # Errors
/// As [`open`].
pub fn open_trained(dir: &Path) -> Result<Earlier> {
    let folder = Folder::open(dir)?;
    let catalog = folder.catalog()?;
    let Finishing { counts, .. } = folder.vectors()?;
    let model = folder.trained()?;
    Ok(Earlier { model, catalog, counts, manifest: folder.manifest })
}

/// A model with what later training needs to know of it.
pub struct Earlier {
    /// Its values.
    pub model: Model,
    /// Keys of its items.
    pub catalog: Catalog,
    /// `(i)` training events of each item.
    pub counts: Vec<u64>,
    /// Where it comes from.
    pub manifest: ModelManifest,
}

fn take(values: &mut BTreeMap<String, Vec<f32>>, name: &str) -> Result<Vec<f32>> {
    values.remove(name).ok_or_else(|| Error::UnknownParameter { name: name.to_owned() })
}

/// What `vectors.safetensors` holds.
pub(super) struct Finishing {
    /// `(i, r)`.
    pub(super) input: Vec<f32>,
    /// `(i, r)`; absent in a tied model.
    pub(super) output: Option<Vec<f32>>,
    pub(super) counts: Vec<u64>,
    pub(super) ineligible: Vec<u32>,
}

/// A folder whose text files have been read and agree.
pub(super) struct Folder {
    pub(super) dir: PathBuf,
    pub(super) manifest: ModelManifest,
    pub(super) config: ModelConfig,
    pub(super) run: Value,
    pub(super) generation: Generation,
}

impl Folder {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        // A crash while the folder was replaced can leave it under its temporary name.
        if !dir.is_dir() && !matches!(recover(dir), Ok(true)) {
            return Err(Error::Missing { path: dir.join(MANIFEST) });
        }
        let manifest = read_manifest(&dir.join(MANIFEST))?;
        let (path, bytes) = text(dir, &manifest, CONFIG)?;
        let file: ConfigFile = parse(&path, &bytes, "format")?;
        complete(&path, &bytes)?;
        let refuse = |path: &Path, need: String| Err(Error::File { path: path.to_owned(), need });
        if file.items != manifest.items {
            let need = format!("`items` is {}, but {MANIFEST} says {}", file.items, manifest.items);
            return refuse(&path, need);
        }
        if file.model.parameter_count(file.items).is_err() {
            let need = format!("a model over {} items would hold more numbers than any machine", file.items);
            return refuse(&path, need);
        }
        let (path, bytes) = text(dir, &manifest, GENERATION)?;
        let generation: Generation = parse(&path, &bytes, "format")?;
        if generation.length == 0 {
            return refuse(&path, "`length` is 0; a list has at least one item".to_owned());
        }
        Ok(Self { dir: dir.to_owned(), manifest, config: file.model, run: file.run, generation })
    }

    pub(super) fn catalog(&self) -> Result<Catalog> {
        let (path, sealed) = listed(&self.dir, &self.manifest, CATALOG)?;
        let catalog = Catalog::read(&path, sealed)?;
        if catalog.len() != self.manifest.items {
            let need = format!("holds {} items, but {MANIFEST} says {}", catalog.len(), self.manifest.items);
            return Err(Error::File { path, need });
        }
        Ok(catalog)
    }

    /// The finished item vectors, the training counts, and who must not be recommended.
    pub(super) fn vectors(&self) -> Result<Finishing> {
        let (items, rank) = (self.manifest.items, self.config.rank);
        let mut names = vec!["counts", "input"];
        names.extend((!self.config.tied).then_some("output"));
        let sides = names.len();
        names.extend(self.config.tower.is_some().then_some("ineligible"));
        let (path, sealed) = listed(&self.dir, &self.manifest, VECTORS)?;
        let mut file = TensorFile::open_sealed(&path, sealed)?;
        file.expect_names(&names)?;
        file.expect_shape("counts", &[items])?;
        for side in &names[1..sides] {
            file.expect_shape(side, &[items, rank])?;
        }
        let counts = file.u64("counts")?;
        let input = file.f32("input")?;
        let output = if self.config.tied { None } else { Some(file.f32("output")?) };
        let ineligible = if self.config.tower.is_some() { file.u32("ineligible")? } else { Vec::new() };
        file.verify()?;
        let known = ineligible.last().is_none_or(|&last| (last as usize) < items);
        if !known || !ineligible.is_sorted_by(|a, b| a < b) {
            let need = format!("must hold items below {items}, ascending, each once");
            return Err(Error::Tensor { path, name: "ineligible".to_owned(), need });
        }
        finite(&path, "input", &input)?;
        if let Some(output) = &output {
            finite(&path, "output", output)?;
        }
        Ok(Finishing { input, output, counts, ineligible })
    }

    /// The trainable model.
    pub(super) fn trained(&self) -> Result<Model> {
        let (mut values, config) = (self.model(|_| true)?, &self.config);
        let input = Table::from_rows(take(&mut values, "items.input")?, config.rank)?;
        let mut output = None;
        if !config.tied {
            output = Some(Table::from_rows(take(&mut values, "items.output")?, config.rank)?);
        }
        let mut parameters = Parameters::new(0);
        for (name, [rows, cols]) in tensors(config, self.manifest.items) {
            if let Some(values) = values.remove(&name) {
                parameters.insert(&name, rows, cols, values)?;
            }
        }
        Ok(Model::of(parameters, input, output, config.clone()))
    }

    /// The tensors of `model.safetensors` whose names are `kept`; all of them are checked by name, shape and hash.
    fn model(&self, kept: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Vec<f32>>> {
        let (path, sealed) = listed(&self.dir, &self.manifest, MODEL)?;
        let mut file = TensorFile::open_sealed(&path, sealed)?;
        let expected = tensors(&self.config, self.manifest.items);
        file.expect_names(&expected.iter().map(|(name, _)| name).collect::<Vec<_>>())?;
        for (name, shape) in &expected {
            file.expect_shape(name, shape)?;
        }
        let mut values = BTreeMap::new();
        for (name, _) in expected {
            if kept(&name) {
                let tensor = file.f32(&name)?;
                values.insert(name, tensor);
            }
        }
        file.verify()?;
        values.iter().try_for_each(|(name, values)| finite(&path, name, values))?;
        Ok(values)
    }
}

fn read_manifest(path: &Path) -> Result<ModelManifest> {
    plain(path)?;
    let bytes = read_bytes(path, TEXT_LIMIT)?;
    let manifest: ModelManifest = parse(path, &bytes, "version")?;
    let refuse = |need: String| Err(Error::File { path: path.to_owned(), need });
    if let Some(name) = manifest.files.keys().find(|name| !FILES.contains(&name.as_str())) {
        return refuse(format!("lists {name:?}, which is no file of a model folder"));
    }
    if let Some(name) = FILES.iter().find(|&&name| !manifest.files.contains_key(name)) {
        return refuse(format!("does not list {name}, which every model folder has"));
    }
    if manifest.seal != seal::of(&manifest)? {
        return refuse("was changed after it was written: its seal does not fit its contents".to_owned());
    }
    Ok(manifest)
}

/// A listed file's path and what the manifest remembers of it.
fn listed<'m>(dir: &Path, manifest: &'m ModelManifest, name: &str) -> Result<(PathBuf, &'m FileHash)> {
    let path = dir.join(name);
    plain(&path)?;
    match manifest.files.get(name) {
        Some(sealed) => Ok((path, sealed)),
        None => Err(Error::Missing { path }),
    }
}

/// A listed text file, checked against what the manifest remembers of it.
fn text(dir: &Path, manifest: &ModelManifest, name: &str) -> Result<(PathBuf, Vec<u8>)> {
    let (path, sealed) = listed(dir, manifest, name)?;
    let bytes = read_bytes(&path, TEXT_LIMIT)?;
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    sealed.check(&path, &FileHash { blake3, bytes: bytes.len() as u64 })?;
    Ok((path, bytes))
}

/// Refuses what is no plain file: a link could lead out of the folder, a pipe would block.
fn plain(path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => {
            let need = "is no plain file; a model folder holds no folders, links or devices".to_owned();
            Err(Error::File { path: path.to_owned(), need })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::Missing { path: path.to_owned() })
        }
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// Parses JSON, its version first, so that a newer file is called newer and not wrong.
fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8], version: &str) -> Result<T> {
    let wrong = |source| Error::Json { path: path.to_owned(), source };
    let value: Value = serde_json::from_slice(bytes).map_err(wrong)?;
    match value.get(version).and_then(Value::as_u64) {
        Some(found) if found != u64::from(FORMAT) => {
            Err(Error::Version { path: path.to_owned(), found, expected: FORMAT })
        }
        _ => serde_json::from_slice(bytes).map_err(wrong),
    }
}

/// Refuses a configuration that leaves keys to their defaults: a folder says everything.
fn complete(path: &Path, config: &[u8]) -> Result<()> {
    let wrong = |source| Error::Json { path: path.to_owned(), source };
    let found: Value = serde_json::from_slice(config).map_err(wrong)?;
    let expected = serde_json::to_value(ModelConfig::default()).map_err(wrong)?;
    let missing =
        expected.as_object().and_then(|keys| keys.keys().find(|key| found["model"].get(key).is_none()));
    match missing {
        Some(key) => {
            let need = format!("`model.{key}` is missing; a model folder's configuration is complete");
            Err(Error::File { path: path.to_owned(), need })
        }
        None => Ok(()),
    }
}

fn finite(path: &Path, name: &str, values: &[f32]) -> Result<()> {
    match not_finite(values) {
        Some(need) => Err(Error::Tensor { path: path.to_owned(), name: name.to_owned(), need }),
        None => Ok(()),
    }
}
