//! Writing files into a folder that is being made.
//!
//! Elements go to the disk through a small buffer, so that a table is never held twice. The header is made and checked
//! by the safetensors crate; its own file writer is not used, because it leaves mode 0600 and cannot hash on the way.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::hash::CHUNK;
use super::{FileHash, HEADER_LIMIT, HeaderError};
use crate::{Error, ItemId, Result};

/// The elements of a tensor that is to be written.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 32-bit unsigned integers.
    U32(&'a [u32]),
    /// Item ids, written as 32-bit unsigned integers.
    Ids(&'a [ItemId]),
    /// 64-bit unsigned integers.
    U64(&'a [u64]),
    /// 64-bit signed integers.
    I64(&'a [i64]),
    /// Bytes.
    U8(&'a [u8]),
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::Ids(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::U32(_) | Self::Ids(_) => Dtype::U32,
            Self::U64(_) => Dtype::U64,
            Self::I64(_) => Dtype::I64,
            Self::U8(_) => Dtype::U8,
        }
    }

    /// Bytes an element.
    fn size(&self) -> usize {
        self.dtype().bitsize() / 8
    }
}

/// A tensor that is to be written.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its name, unique in the file.
    pub name: String,
    /// Its extents, the slowest first.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub values: Values<'a>,
}

impl<'a> Tensor<'a> {
    /// A tensor of this name, shape and values.
    #[must_use]
    pub fn new(name: impl Into<String>, shape: &[usize], values: Values<'a>) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), values }
    }
}

/// Writes a safetensors file, hashing on the way.
///
/// Wide elements come first and equal ones by name, whatever the order given: every tensor is aligned, and the same
/// tensors give the same bytes. The file is not synced; [`write_folder`](super::write_folder) does that.
///
/// # Errors
/// When two names are equal, a shape does not hold its values, the header is too long, or the disk refuses.
pub fn write_tensors(path: &Path, tensors: &[Tensor<'_>]) -> Result<FileHash> {
    let mut ordered: Vec<&Tensor<'_>> = tensors.iter().collect();
    ordered.sort_by(|a, b| b.values.size().cmp(&a.values.size()).then_with(|| a.name.cmp(&b.name)));
    let header = header(path, &ordered)?;
    let mut sink = Sink::create(path)?;
    sink.write(&(header.len() as u64).to_le_bytes())?;
    sink.write(&header)?;
    for tensor in ordered {
        match tensor.values {
            Values::F32(values) => sink.write_all(values, |value| value.to_le_bytes())?,
            Values::U32(values) => sink.write_all(values, |value| value.to_le_bytes())?,
            Values::Ids(values) => sink.write_all(values, |value| value.0.to_le_bytes())?,
            Values::U64(values) => sink.write_all(values, |value| value.to_le_bytes())?,
            Values::I64(values) => sink.write_all(values, |value| value.to_le_bytes())?,
            Values::U8(values) => sink.write(values)?,
        }
    }
    Ok(sink.finish())
}

/// Writes a file of these bytes and says what to remember of it. The file is not synced, as in [`write_tensors`].
///
/// # Errors
/// When the disk refuses.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<FileHash> {
    let mut sink = Sink::create(path)?;
    sink.write(bytes)?;
    Ok(sink.finish())
}

/// The JSON of these tensors in this order, padded to eight bytes.
fn header(path: &Path, tensors: &[&Tensor<'_>]) -> Result<Vec<u8>> {
    let (mut entries, mut names, mut end) = (Vec::with_capacity(tensors.len()), BTreeSet::new(), 0_usize);
    for tensor in tensors {
        let values = tensor.values.len();
        let holds = tensor.shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
        if holds != Some(values) || tensor.name == "__metadata__" {
            let (path, tensor, shape) = (path.to_owned(), tensor.name.clone(), tensor.shape.clone());
            return Err(Error::Unwritable { path, tensor, shape, values });
        }
        if !names.insert(tensor.name.as_str()) {
            return Err(Error::Duplicate { what: "tensor", key: tensor.name.clone() });
        }
        let start = end;
        end += values * tensor.values.size();
        let (dtype, shape) = (tensor.values.dtype(), tensor.shape.clone());
        entries.push((tensor.name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
    }
    let format = |source| Error::Format { path: path.to_owned(), source };
    let metadata = Metadata::new(None, entries).map_err(format)?;
    let mut text = serde_json::to_vec(&metadata).map_err(|source| format(source.into()))?;
    text.resize(text.len().next_multiple_of(8), b' ');
    if text.len() as u64 > HEADER_LIMIT {
        let source = HeaderError::Long(text.len() as u64);
        return Err(Error::Header { path: path.to_owned(), source });
    }
    Ok(text)
}

/// A file that is hashed as it is written.
struct Sink<'a> {
    path: &'a Path,
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<'a> Sink<'a> {
    fn create(path: &'a Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("creating", path))?;
        Ok(Self { path, file, hasher: blake3::Hasher::new(), bytes: 0, buffer: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("writing", self.path))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn write_all<T, const SIZE: usize>(
        &mut self,
        values: &[T],
        encode: impl Fn(&T) -> [u8; SIZE],
    ) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for part in values.chunks(CHUNK / SIZE) {
            buffer.resize(part.len() * SIZE, 0);
            for (slot, value) in buffer.as_chunks_mut().0.iter_mut().zip(part) {
                *slot = encode(value);
            }
            self.write(&buffer)?;
        }
        self.buffer = buffer;
        Ok(())
    }

    fn finish(self) -> FileHash {
        FileHash { blake3: self.hasher.finalize().to_hex().to_string(), bytes: self.bytes }
    }
}
