//! Checkpoints: all that a run needs to go on as if nothing had happened.
//!
//! `checkpoints/step-000000120/` holds `state.safetensors` (tables, matrices and the moments of both) and
//! `manifest.json` (where the run stands, hashes of the tensors, the configuration and the data, and a seal over all of
//! it). It is written into a temporary folder, synced and renamed; the newest two stay, and the one of the latest
//! validation, to which weights are rolled back.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use upnext_data::sealed::{
    self, FileHash, Tensor, TensorFile, Values, write_bytes, write_folder, write_tensors,
};
use upnext_model::{Model, Table};

use crate::adam::{Adam, Moments};
use crate::state::State;
use crate::{Error, Result};

/// The folder of checkpoints in a run folder.
pub(crate) const FOLDER: &str = "checkpoints";
const TENSORS: &str = "state.safetensors";
const MANIFEST: &str = "manifest.json";
/// Version of the format.
const VERSION: u32 = 1;
/// How many of the newest checkpoints stay.
const KEPT: usize = 2;
/// Most bytes that a manifest may have.
const MANIFEST_LIMIT: u64 = 1 << 20;

/// What a run was made from, as its checkpoints remember it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// The configuration as TOML.
    pub(crate) config: String,
    /// The hash of the prepared data.
    pub(crate) data_hash: String,
    /// The hash of the features that a tower reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) features: Option<String>,
    /// The seal of the model that training goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// blake3 of `body` as it is written.
    seal: String,
    body: Body,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    version: u32,
    state: State,
    updates: u64,
    origin: Origin,
    tensors: FileHash,
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
    origin: Origin,
    /// Steps whose checkpoints could not be used; they go once a new one is on the disk.
    refused: Vec<u64>,
}

impl Checkpoints {
    /// The checkpoints of the run in folder `run`, made from `origin`.
    pub(crate) fn new(run: &Path, origin: Origin) -> Self {
        Self { folder: run.join(FOLDER), origin, refused: Vec::new() }
    }

    /// What the run was made from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The folder of the checkpoint of a step.
    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(name_of(step))
    }

    /// Writes a checkpoint, whole or not at all, and removes those that are no longer needed.
    pub(crate) fn write(&mut self, state: &State, model: &Model, adam: &Adam) -> Result<PathBuf> {
        let path = self.path(state.step);
        if path.is_dir() && !path.join(MANIFEST).exists() {
            // One that lost its manifest is of no use to anybody, and would not give way by itself.
            fs::remove_dir_all(&path).map_err(Error::io("removing", &path))?;
        }
        write_folder(
            &path,
            true,
            |_| true,
            |folder| {
                let tensors = write(&folder.join(TENSORS), model, adam)?;
                let (state, origin) = (state.clone(), self.origin.clone());
                let body = Body { version: VERSION, state, updates: adam.updates, origin, tensors };
                let seal = blake3::hash(&serde_json::to_vec(&body)?).to_hex().to_string();
                write_bytes(&folder.join(MANIFEST), &serde_json::to_vec(&Sealed { seal, body })?)?;
                Ok::<_, Error>(())
            },
        )?;
        self.prune(state)?;
        Ok(path)
    }

    /// Notes that the checkpoint of a step could not be used: [`Self::write`] removes it.
    pub(crate) fn refuse(&mut self, step: u64) {
        self.refused.push(step);
    }

    /// Removes all but the newest and the one to roll back to.
    ///
    /// The one just written counts as the newest: a run goes on from the newest that can be used, so whatever has a
    /// later step was refused.
    fn prune(&mut self, state: &State) -> Result<()> {
        let mut kept = 0;
        for step in self.steps()? {
            let refused = step > state.step || step < state.step && self.refused.contains(&step);
            kept += usize::from(!refused);
            if refused || kept > KEPT && Some(step) != state.milestone {
                let path = self.path(step);
                fs::remove_dir_all(&path).map_err(Error::io("removing", &path))?;
            }
        }
        self.refused.clear();
        Ok(())
    }

    /// The steps of all checkpoints, the newest first. What is no folder named as [`Self::path`] does is left alone.
    pub(crate) fn steps(&self) -> Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("listing", &self.folder)(error)),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("listing", &self.folder))?;
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            steps.extend(entry.file_name().to_str().and_then(step_of).filter(|_| folder));
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    /// Clears what crashes left beside checkpoints.
    pub(crate) fn recover(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let left = name.to_str().and_then(|name| name.strip_prefix('.')?.split_once('.'));
            if let Some((checkpoint, _)) = left.filter(|(checkpoint, _)| step_of(checkpoint).is_some()) {
                sealed::recover(&self.folder.join(checkpoint))?;
            }
        }
        Ok(())
    }

    /// Where the run stood at a checkpoint, and the weights and moments, which replace those of `model` and `adam`.
    ///
    /// When it fails, model and moments are part old, part new: restore another checkpoint, or make them anew.
    pub(crate) fn restore(&self, step: u64, model: &mut Model, adam: &mut Adam) -> Result<State> {
        let folder = self.path(step);
        let body = manifest(&folder)?;
        if body.origin != self.origin || body.state.step != step {
            let reason = "it was made by another run".to_owned();
            return Err(Error::Checkpoint { path: folder, reason });
        }
        let mut file = TensorFile::open_sealed(&folder.join(TENSORS), &body.tensors)?;
        read(&mut file, model, adam)?;
        file.verify()?;
        adam.updates = body.updates;
        Ok(body.state)
    }
}

/// The name of the checkpoint of a step.
fn name_of(step: u64) -> String {
    format!("step-{step:09}")
}

/// The step of a checkpoint with this name, if it is one that [`name_of`] gives.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (name_of(step) == name).then_some(step)
}

/// A checkpoint's manifest, byte for byte what was written.
fn manifest(folder: &Path) -> Result<Body> {
    let path = folder.join(MANIFEST);
    let refuse = |reason: &str| Error::Checkpoint { path: folder.to_owned(), reason: reason.to_owned() };
    let bytes = sealed::read_bytes(&path, MANIFEST_LIMIT)?;
    let sealed: Sealed = serde_json::from_slice(&bytes)
        .map_err(|error| refuse(&format!("its manifest is no JSON of ours: {error}")))?;
    let whole = serde_json::to_vec(&sealed)? == bytes;
    if !whole || blake3::hash(&serde_json::to_vec(&sealed.body)?).to_hex().as_str() != sealed.seal {
        return Err(refuse("its manifest was changed after it was written"));
    }
    match sealed.body.version {
        VERSION => Ok(sealed.body),
        version => Err(refuse(&format!("its format is version {version}, this program knows {VERSION}"))),
    }
}

const INPUT: &str = "items.input";
const OUTPUT: &str = "items.output";

fn first(name: &str) -> String {
    format!("adam.first.{name}")
}

fn second(name: &str) -> String {
    format!("adam.second.{name}")
}

/// The three tensors of some values and their moments.
fn trio<'a>(name: &str, shape: &[usize], values: &'a [f32], moments: &'a Moments) -> [Tensor<'a>; 3] {
    [
        Tensor::new(name, shape, Values::F32(values)),
        Tensor::new(first(name), shape, Values::F32(&moments.first)),
        Tensor::new(second(name), shape, Values::F32(&moments.second)),
    ]
}

fn write(path: &Path, model: &Model, adam: &Adam) -> Result<FileHash> {
    let parameters = model.parameters();
    let copies: Vec<Vec<f32>> =
        parameters.iter().map(|(name, _)| Ok(parameters.values(name)?)).collect::<Result<_>>()?;
    let mut tensors = Vec::new();
    for ((name, var), values) in parameters.iter().zip(&copies) {
        let moments = adam.parameters.get(name).ok_or_else(|| missing(name))?;
        tensors.extend(trio(name, var.dims(), values, moments));
    }
    let shape = [model.items(), model.config().rank];
    tensors.extend(trio(INPUT, &shape, model.input_table().rows(), &adam.input));
    if let Some(moments) = &adam.output {
        tensors.extend(trio(OUTPUT, &shape, model.output_table().rows(), moments));
    }
    Ok(write_tensors(path, &tensors)?)
}

fn read(file: &mut TensorFile, model: &mut Model, adam: &mut Adam) -> Result<()> {
    let parameters: Vec<(String, Vec<usize>)> =
        model.parameters().iter().map(|(name, var)| (name.to_owned(), var.dims().to_vec())).collect();
    let rank = model.config().rank;
    let shape = vec![model.items(), rank];
    let tables = [INPUT, OUTPUT].into_iter().take(if model.config().tied { 1 } else { 2 });
    let mut known = parameters.clone();
    known.extend(tables.clone().map(|name| (name.to_owned(), shape.clone())));
    let names: Vec<String> =
        known.iter().flat_map(|(name, _)| [name.clone(), first(name), second(name)]).collect();
    file.expect_names(&names)?;
    for (name, shape) in &known {
        for name in [name.clone(), first(name), second(name)] {
            file.expect_shape(&name, shape)?;
        }
    }
    for (name, _) in &parameters {
        model.parameters_mut().set(name, &file.f32(name)?)?;
        let moments = Moments { first: file.f32(&first(name))?, second: file.f32(&second(name))? };
        adam.parameters.insert(name.clone(), moments);
    }
    for name in tables {
        // The old moments go before the new ones come: no more than one copy of a table at a time.
        let moments =
            if name == INPUT { &mut adam.input } else { adam.output.get_or_insert(Moments::zeros(0)) };
        *moments = Moments::zeros(0);
        let (input, output) = model.tables_mut();
        if let Some(table) = if name == INPUT { Some(input) } else { output } {
            *table = Table::from_rows(file.f32(name)?, rank)?;
        }
        moments.first = file.f32(&first(name))?;
        moments.second = file.f32(&second(name))?;
    }
    Ok(())
}

fn missing(name: &str) -> Error {
    candle_core::Error::Msg(format!("{name} has no moments")).into()
}
