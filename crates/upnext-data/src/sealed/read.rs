//! Strict reading of safetensors files, tensor by tensor.
//!
//! The file is not mapped: cutting a mapped file short kills the process that reads it. Sizes are checked against the
//! file's length before anything is allocated, and what is read in the order of the file is hashed in the same pass.

use std::collections::{BTreeMap, BTreeSet, TryReserveError};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};

use super::hash::CHUNK;
use super::{Dtype, FileHash, HEADER_LIMIT, HeaderError, TensorInfo, header};
use crate::{Error, ItemId, Result};

/// Why a tensor was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// It is not in the file.
    #[error("it is missing")]
    Missing,
    /// It is in the file but should not be.
    #[error("nothing of this name belongs here")]
    Unknown,
    /// It holds other elements.
    #[error("it holds {found:?}, not {expected:?}")]
    Dtype {
        /// What was asked for.
        expected: Dtype,
        /// What the header says.
        found: Dtype,
    },
    /// It has other extents.
    #[error("its shape is {found:?}, not {expected:?}")]
    Shape {
        /// What was asked for.
        expected: Vec<usize>,
        /// What the header says.
        found: Vec<usize>,
    },
    /// It does not fit into memory.
    #[error("it does not fit into memory")]
    Memory(#[from] TryReserveError),
    /// The disk refused.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// An open safetensors file whose header has been checked; its tensors are read by name and hashed on the way.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    /// Bytes of the file.
    bytes: u64,
    /// Where the elements begin, in bytes of the file.
    data: u64,
    tensors: BTreeMap<String, TensorInfo>,
    sealed: Option<FileHash>,
    hasher: blake3::Hasher,
    /// How many bytes of the file the hasher has seen.
    hashed: u64,
}

impl TensorFile {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// When the file cannot be read or its header is not strictly in order.
    pub fn open(path: &Path) -> Result<Self> {
        Self::start(path, None)
    }

    /// Opens a file of which a manifest remembers the hash. A damaged file is then called damaged, whatever first
    /// seems wrong with it; call [`verify`](Self::verify) after the tensors have been read.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when the length differs.
    pub fn open_sealed(path: &Path, sealed: &FileHash) -> Result<Self> {
        Self::start(path, Some(sealed.clone()))
    }

    fn start(path: &Path, sealed: Option<FileHash>) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("opening", path))?;
        let bytes = file.metadata().map_err(Error::io("reading", path))?.len();
        let (hasher, path) = (blake3::Hasher::new(), path.to_owned());
        if let Some(expected) = sealed.as_ref().map(|sealed| sealed.bytes).filter(|&sealed| sealed != bytes) {
            return Err(Error::Length { path, expected, found: bytes });
        }
        let mut opened =
            Self { path, file, bytes, data: 0, tensors: BTreeMap::new(), sealed, hasher, hashed: 0 };
        opened.read_header()?;
        Ok(opened)
    }

    fn read_header(&mut self) -> Result<()> {
        let refuse = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Header { path, source }
        };
        let (mut length, left) = ([0; 8], self.bytes.saturating_sub(8));
        if self.bytes < 8 {
            return Err(refuse(&self.path)(HeaderError::Short(self.bytes)));
        }
        self.read_hashed(&mut length).map_err(Error::io("reading", &self.path))?;
        let claimed = u64::from_le_bytes(length);
        let wrong = match claimed {
            _ if claimed > HEADER_LIMIT => Some(HeaderError::Long(claimed)),
            _ if claimed > left => Some(HeaderError::Cut { claimed, left }),
            _ => None,
        };
        if let Some(source) = wrong {
            let error = refuse(&self.path)(source);
            return Err(self.blame(error));
        }
        let mut text = vec![0; claimed as usize];
        self.read_hashed(&mut text).map_err(Error::io("reading", &self.path))?;
        self.data = 8 + claimed;
        match header::parse(&text, left - claimed) {
            Ok(tensors) => {
                self.tensors = tensors;
                Ok(())
            }
            Err(source) => {
                let error = refuse(&self.path)(source);
                Err(self.blame(error))
            }
        }
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the tensors, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// What the header says of a tensor.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// Refuses tensors other than these, and their absence.
    ///
    /// # Errors
    /// When a tensor is missing or unknown.
    pub fn expect_names<S: AsRef<str>>(&mut self, names: &[S]) -> Result<()> {
        let known: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
        let missing = known.iter().find(|&&name| !self.tensors.contains_key(name));
        let unknown = || self.names().find(|name| !known.contains(name));
        let wrong = match missing {
            Some(&name) => Some((name.to_owned(), TensorError::Missing)),
            None => unknown().map(|name| (name.to_owned(), TensorError::Unknown)),
        };
        wrong.map_or(Ok(()), |(name, source)| Err(self.wrong(&name, source)))
    }

    /// Refuses a tensor that has another shape.
    ///
    /// # Errors
    /// When it is missing or its shape differs.
    pub fn expect_shape(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        let source = match self.tensors.get(name).map(|info| info.shape.as_slice()) {
            Some(found) if found == shape => return Ok(()),
            Some(found) => TensorError::Shape { expected: shape.to_vec(), found: found.to_vec() },
            None => TensorError::Missing,
        };
        Err(self.wrong(name, source))
    }

    /// Reads a tensor of 32-bit floats. Whether they are finite is the caller's to check.
    ///
    /// # Errors
    /// When it is missing, of another type, or cannot be read.
    pub fn f32(&mut self, name: &str) -> Result<Vec<f32>> {
        self.read(name, Dtype::F32, f32::from_le_bytes)
    }

    /// Reads a tensor of floats of any width as 32-bit ones; 64-bit floats are rounded, and what is too large for 32 bits
    /// becomes infinite. Whether they are finite is the caller's to check.
    ///
    /// # Errors
    /// When it is missing, holds no floats, or cannot be read.
    pub fn floats(&mut self, name: &str) -> Result<Vec<f32>> {
        match self.info(name).map(|info| info.dtype) {
            Some(Dtype::F64) => self.read(name, Dtype::F64, |bytes| f64::from_le_bytes(bytes) as f32),
            Some(Dtype::F16) => self.read(name, Dtype::F16, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Some(Dtype::BF16) => self.read(name, Dtype::BF16, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            _ => self.f32(name),
        }
    }

    /// Reads a tensor of 32-bit unsigned integers.
    ///
    /// # Errors
    /// When it is missing, of another type, or cannot be read.
    pub fn u32(&mut self, name: &str) -> Result<Vec<u32>> {
        self.read(name, Dtype::U32, u32::from_le_bytes)
    }

    /// Reads a tensor of item ids (32-bit unsigned integers). Whether the catalogue has them is the caller's to check.
    ///
    /// # Errors
    /// When it is missing, of another type, or cannot be read.
    pub fn ids(&mut self, name: &str) -> Result<Vec<ItemId>> {
        self.read(name, Dtype::U32, |bytes| ItemId(u32::from_le_bytes(bytes)))
    }

    /// Reads a tensor of 64-bit unsigned integers.
    ///
    /// # Errors
    /// When it is missing, of another type, or cannot be read.
    pub fn u64(&mut self, name: &str) -> Result<Vec<u64>> {
        self.read(name, Dtype::U64, u64::from_le_bytes)
    }

    /// Reads a tensor of 64-bit signed integers.
    ///
    /// # Errors
    /// When it is missing, of another type, or cannot be read.
    pub fn i64(&mut self, name: &str) -> Result<Vec<i64>> {
        self.read(name, Dtype::I64, i64::from_le_bytes)
    }

    /// Reads a tensor of bytes.
    ///
    /// # Errors
    /// When it is missing, of another type, or cannot be read.
    pub fn u8(&mut self, name: &str) -> Result<Vec<u8>> {
        self.read(name, Dtype::U8, u8::from_le_bytes)
    }

    /// Hashes whatever was not read yet and compares with what the manifest remembers, if the file was opened so.
    ///
    /// # Errors
    /// When the file cannot be read or is not the one that was sealed.
    pub fn verify(mut self) -> Result<()> {
        let Some(sealed) = self.sealed.take() else { return Ok(()) };
        self.hash_up_to(self.bytes).map_err(Error::io("reading", &self.path))?;
        let blake3 = self.hasher.finalize().to_hex().to_string();
        sealed.check(&self.path, &FileHash { blake3, bytes: self.bytes })
    }

    /// Says that a tensor's contents were refused, or that the file is damaged, if that is why.
    pub fn refuse(&mut self, name: &str, source: Error) -> Error {
        let (path, tensor) = (self.path.clone(), name.to_owned());
        self.blame(Error::InTensor { path, tensor, source: Box::new(source) })
    }

    fn wrong(&mut self, name: &str, source: TensorError) -> Error {
        let (path, tensor) = (self.path.clone(), name.to_owned());
        self.blame(Error::Tensor { path, tensor, source })
    }

    /// An error's deeper cause, when the file is not the one that was sealed.
    fn blame(&mut self, error: Error) -> Error {
        let Some(sealed) = &self.sealed else { return error };
        let Ok((blake3, bytes)) = super::hash_file(&self.path) else { return error };
        sealed.check(&self.path, &FileHash { blake3, bytes }).err().unwrap_or(error)
    }

    fn read<T, const SIZE: usize>(
        &mut self,
        name: &str,
        expected: Dtype,
        decode: impl Fn([u8; SIZE]) -> T,
    ) -> Result<Vec<T>> {
        let (start, end) = match self.tensors.get(name) {
            Some(info) if info.dtype == expected => (info.start, info.end),
            Some(&TensorInfo { dtype: found, .. }) => {
                return Err(self.wrong(name, TensorError::Dtype { expected, found }));
            }
            None => return Err(self.wrong(name, TensorError::Missing)),
        };
        self.read_range(start, end, decode).map_err(|source| self.wrong(name, source))
    }

    /// The elements between two bytes of the data; the header has promised that they are whole and in the file.
    fn read_range<T, const SIZE: usize>(
        &mut self,
        start: u64,
        end: u64,
        decode: impl Fn([u8; SIZE]) -> T,
    ) -> std::result::Result<Vec<T>, TensorError> {
        let (mut at, end) = (self.data + start, self.data + end);
        let mut values = Vec::new();
        values.try_reserve_exact(usize::try_from((end - at) / SIZE as u64).unwrap_or(usize::MAX))?;
        if at > self.hashed {
            self.hash_up_to(at)?;
        }
        // Tensors out of the file's order are read a second time, past the hasher.
        let fresh = at == self.hashed;
        self.file.seek(SeekFrom::Start(at))?;
        let mut buffer = vec![0; CHUNK.min((end - at) as usize)];
        while at < end {
            let part = CHUNK.min((end - at) as usize);
            let bytes = &mut buffer[..part];
            if fresh {
                self.read_hashed(bytes)?;
            } else {
                self.file.read_exact(bytes)?;
            }
            values.extend(bytes.as_chunks().0.iter().map(|&bytes| decode(bytes)));
            at += part as u64;
        }
        Ok(values)
    }

    /// Reads the next bytes of the file, which the hasher has not seen.
    fn read_hashed(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact(bytes)?;
        self.hasher.update(bytes);
        self.hashed += bytes.len() as u64;
        Ok(())
    }

    fn hash_up_to(&mut self, end: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.hashed))?;
        let mut buffer = vec![0; CHUNK.min(end.saturating_sub(self.hashed) as usize)];
        while self.hashed < end {
            let part = CHUNK.min((end - self.hashed) as usize);
            self.read_hashed(&mut buffer[..part])?;
        }
        Ok(())
    }
}
