//! Opens a file as text: plain or compressed, hashed and counted on the way.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;

use crate::error::{Error, Result};

/// Bytes at the beginning of the text that are looked at to recognise its format.
const HEAD_BYTES: u64 = 64 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Memory that one xz stream may ask for.
const XZ_MEMORY: u64 = 256 << 20;

/// How a file is compressed, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, any number of members.
    Gzip,
    /// Zstandard.
    Zstd,
    /// xz.
    Xz,
}

impl Compression {
    const MAGIC_BYTES: u64 = 6;

    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            _ => Self::None,
        }
    }

    /// That of a file; one that cannot be read is not compressed, and an error when it is opened.
    pub(crate) fn of_file(path: &Path) -> Self {
        let mut magic = Vec::new();
        let read = File::open(path).and_then(|file| file.take(Self::MAGIC_BYTES).read_to_end(&mut magic));
        if read.is_ok() { Self::of(&magic) } else { Self::None }
    }

    fn reader(self, raw: impl BufRead + 'static) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::None => Box::new(raw),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
            Self::Xz => {
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(raw, stream))
            }
        })
    }
}

/// A file being read: its text, without a byte order mark, and what is known about it so far.
pub(crate) struct Source {
    /// The file.
    pub(crate) path: PathBuf,
    /// Bytes of the file on the disk.
    pub(crate) size: u64,
    /// How the text is compressed.
    pub(crate) compression: Compression,
    /// The text.
    pub(crate) text: Text,
    /// What was read from the disk.
    pub(crate) meter: Rc<RefCell<Meter>>,
}

/// Count and hash of the bytes read from the disk.
#[derive(Default)]
pub(crate) struct Meter {
    /// Bytes so far.
    pub(crate) bytes: u64,
    hash: blake3::Hasher,
}

impl Meter {
    /// BLAKE3 of the bytes so far.
    pub(crate) fn hash(&self) -> String {
        self.hash.finalize().to_hex().to_string()
    }

    /// Says how far a reader has come that does not read front to back.
    pub(crate) fn set_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// Takes the hash of the whole file, for such a reader.
    pub(crate) fn hash_file(&mut self, path: &Path) -> Result<()> {
        let failed = |source| Error::Read { path: path.into(), source };
        let mut hash = blake3::Hasher::new();
        hash.update_reader(File::open(path).map_err(failed)?).map_err(failed)?;
        self.hash = hash;
        Ok(())
    }
}

/// The text of a file; its first bytes can be looked at before it is read.
pub(crate) struct Text {
    head: Vec<u8>,
    read: usize,
    rest: BufReader<Box<dyn Read>>,
}

impl Source {
    /// Opens `path` and reads the beginning of its text.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::Read { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::IsFolder { path: path.into() });
        }
        let meter = Rc::new(RefCell::new(Meter::default()));
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, Metered { file, meter: Rc::clone(&meter) });
        let mut magic = Vec::new();
        raw.by_ref().take(Compression::MAGIC_BYTES).read_to_end(&mut magic).map_err(failed)?;
        let compression = Compression::of(&magic);
        let raw = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(magic).chain(raw));
        let mut plain = compression.reader(raw).map_err(failed)?;
        let mut head = Vec::new();
        plain.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return Err(Error::Utf16 { path: path.into() });
        }
        let read = if head.starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 };
        let text = Text { head, read, rest: BufReader::with_capacity(BUFFER_BYTES, plain) };
        Ok(Self { path: path.into(), size: metadata.len(), compression, text, meter })
    }
}

impl Text {
    /// The beginning of what is still to be read, as far as it was looked at.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[self.read..]
    }
}

impl Read for Text {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Text {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read < self.head.len() { Ok(&self.head[self.read..]) } else { self.rest.fill_buf() }
    }

    fn consume(&mut self, count: usize) {
        if self.read < self.head.len() { self.read += count } else { self.rest.consume(count) }
    }
}

struct Metered {
    file: File,
    meter: Rc<RefCell<Meter>>,
}

impl Read for Metered {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(out)?;
        let mut meter = self.meter.borrow_mut();
        meter.bytes += count as u64;
        meter.hash.update(&out[..count]);
        Ok(count)
    }
}
