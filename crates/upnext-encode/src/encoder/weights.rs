//! Weights of an encoder, strictly: what a model asks for must be in the file, in that shape and finite, and the file must
//! hold nothing else.
//!
//! Tensors are read one by one as the model asks for them, never mapped. A checkpoint may have a prefix of its family
//! (`bert.`), and tensors that no vector of a sentence needs, which the family names. candle's models ask through
//! [`Source::builder`]; the first thing that is wrong is kept as our own error, since candle sees only a message.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use upnext_data::sealed::{FileHash, TensorFile};

use super::family::Family;
use crate::{Error, Result};

/// A file of weights, and what a model has asked of it.
pub(super) struct Source {
    path: std::path::PathBuf,
    family: Family,
    prefix: &'static str,
    state: Mutex<State>,
}

struct State {
    file: TensorFile,
    used: BTreeSet<String>,
    wrong: Option<Error>,
}

/// Lets `build` make a model of a file's weights, whose hash must be `sealed`.
pub(super) fn load<M>(
    path: &Path,
    sealed: &FileHash,
    family: Family,
    build: impl FnOnce(&Source) -> Result<M>,
) -> Result<M> {
    let file = TensorFile::open_sealed(path, sealed)?;
    let probe = family.probe();
    let found = family.prefixes().into_iter().find(|prefix| file.info(&format!("{prefix}{probe}")).is_some());
    let prefix = found.ok_or_else(|| {
        let some: Vec<&str> = file.names().take(3).collect();
        Error::file(path, format!("tensor {probe:?} is missing; it has {some:?} and others"))
    })?;
    let state = Mutex::new(State { file, used: BTreeSet::new(), wrong: None });
    let source = Source { path: path.to_owned(), family, prefix, state };
    let built = build(&source);
    let State { file, used, wrong } = source.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let model = match wrong {
        Some(wrong) => return Err(wrong),
        None => built?,
    };
    let known =
        |name: &str| used.contains(name) || family.is_spare(name.strip_prefix(prefix).unwrap_or(name));
    if let Some(name) = file.names().find(|name| !known(name)) {
        return Err(Error::file(
            path,
            format!("tensor {name:?} belongs to no {family} encoder of this size"),
        ));
    }
    file.verify()?;
    Ok(model)
}

impl Source {
    /// A tensor by the name that BERT, or candle's model, has for it.
    pub(super) fn take(&self, asked: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let name = self.name(asked);
        state.file.expect_shape(&name, shape)?;
        let values = state.file.floats(&name)?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::file(
                &self.path,
                format!("tensor {name:?} holds {value}; all must be finite"),
            ));
        }
        state.used.insert(name);
        Ok(values)
    }

    /// Whether the file has a tensor.
    pub(super) fn has(&self, asked: &str) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.file.info(&self.name(asked)).is_some()
    }

    /// The way in which candle's models ask.
    pub(super) fn builder(&self) -> VarBuilder<'_> {
        VarBuilder::from_backend(Box::new(self), DType::F32, Device::Cpu)
    }

    fn name(&self, asked: &str) -> String {
        format!("{}{}", self.prefix, self.family.name_in_file(asked))
    }
}

impl SimpleBackend for &Source {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        _: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        match self.take(name, shape.dims()) {
            Ok(values) => Tensor::from_vec(values, shape, device),
            Err(error) => {
                let told = candle_core::Error::Msg(error.to_string());
                if !self.family.may_lack(name) {
                    let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.wrong.get_or_insert(error);
                }
                Err(told)
            }
        }
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        Err(candle_core::Error::Msg(format!("{name} was asked for without a shape")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.has(name)
    }
}
