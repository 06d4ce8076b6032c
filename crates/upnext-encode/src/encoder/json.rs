//! Small JSON files of somebody else's: each field asked for by name, with the range it must lie in.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use upnext_data::sealed::read_bytes;

use crate::{Error, Result};

/// Bytes of a configuration.
const LIMIT: u64 = 1 << 20;

/// A file that holds one object.
pub(super) struct Fields {
    path: PathBuf,
    fields: Map<String, Value>,
}

/// Reads a file of JSON.
pub(super) fn value(path: &Path) -> Result<Value> {
    let bytes = read_bytes(path, LIMIT)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::file(path, format!("it is no JSON: {source}")))
}

impl Fields {
    pub(super) fn read(path: &Path) -> Result<Self> {
        match value(path)? {
            Value::Object(fields) => Ok(Self { path: path.to_owned(), fields }),
            _ => Err(Error::file(path, "it is no JSON object")),
        }
    }

    /// As [`Fields::read`], without any field where there is no file.
    pub(super) fn read_if_there(path: &Path) -> Result<Self> {
        if path.exists() { Self::read(path) } else { Ok(Self { path: path.to_owned(), fields: Map::new() }) }
    }

    /// The field of this name, unless it is null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// The object below a name; without any field where there is none.
    pub(super) fn below(&self, name: &str) -> Result<Self> {
        let fields = match self.get(name) {
            None => Map::new(),
            Some(Value::Object(fields)) => fields.clone(),
            Some(other) => return Err(self.refuse(name, other, "an object")),
        };
        Ok(Self { path: self.path.clone(), fields })
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.refuse(name, other, "a text")),
        }
    }

    pub(super) fn truth(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(&Value::Bool(truth)) => Ok(truth),
            Some(other) => Err(self.refuse(name, other, "true or false")),
        }
    }

    pub(super) fn count(&self, name: &str, range: RangeInclusive<usize>) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let found = value.as_u64().and_then(|found| usize::try_from(found).ok());
        match found.filter(|found| range.contains(found)) {
            Some(found) => Ok(Some(found)),
            None => Err(self.refuse(name, value, &format!("{} to {}", range.start(), range.end()))),
        }
    }

    pub(super) fn needed(&self, name: &str, range: RangeInclusive<usize>) -> Result<usize> {
        self.count(name, range)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn real(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64().filter(|found| range.contains(found)) {
            Some(found) => Ok(Some(found)),
            None => Err(self.refuse(name, value, &format!("{:e} to {:e}", range.start(), range.end()))),
        }
    }

    pub(super) fn missing(&self, name: &str) -> Error {
        Error::file(&self.path, format!("it has no {name:?}"))
    }

    pub(super) fn refuse(&self, name: &str, found: &Value, need: &str) -> Error {
        let shown: String = found.to_string().chars().take(60).collect();
        Error::file(&self.path, format!("{name:?} is {shown}; {need} is possible"))
    }
}
