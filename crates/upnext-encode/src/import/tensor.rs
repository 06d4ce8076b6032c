//! A matrix out of a safetensors file.

use std::path::Path;

use upnext_data::sealed::TensorFile;

use super::Matrix;
use crate::{Error, Result};

/// Whether a safetensors file is one of our feature files, which have their keys inside.
///
/// # Errors
/// When it cannot be read as safetensors.
pub fn is_feature_file(path: &Path) -> Result<bool> {
    let file = TensorFile::open(path)?;
    Ok(["keys.bytes", "modalities.bytes", "encoder.bytes"].iter().all(|name| file.info(name).is_some()))
}

pub(super) fn read(path: &Path, name: Option<&str>) -> Result<Matrix> {
    let mut file = TensorFile::open(path)?;
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let chosen = match (name, names.as_slice()) {
        (Some(name), _) if names.iter().any(|other| other == name) => name.to_owned(),
        (None, [only]) => only.clone(),
        (Some(name), _) => {
            return Err(Error::file(path, format!("it has no tensor {name:?}; it has {}", names.join(", "))));
        }
        (None, _) => {
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::file(path, format!("name one of its tensors: it has {found}")));
        }
    };
    let shape = file.info(&chosen).map(|info| info.shape.clone()).unwrap_or_default();
    let &[rows, width] = shape.as_slice() else {
        let problem =
            format!("the shape of tensor {chosen:?} is {shape:?}; a matrix of one vector a row is needed");
        return Err(Error::file(path, problem));
    };
    Ok(Matrix { rows, width, values: file.floats(&chosen)? })
}
