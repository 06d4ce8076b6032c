//! NumPy's array file, format version 1.0, and the keys beside it.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::VectorFile;
use crate::partial::Partial;

/// Bytes of magic, version and header: room for any shape, and a multiple of 64 as the format asks.
const HEADER: usize = 128;

/// A matrix whose number of rows is known at its end, and the text file of its keys.
pub(super) struct Npy {
    file: BufWriter<File>,
    keys: BufWriter<File>,
    keys_partial: Partial,
    width: usize,
    rows: u64,
}

impl Npy {
    pub(super) fn new(path: &Path, file: File, width: usize) -> io::Result<Self> {
        let (keys_partial, keys) = Partial::create(&keys_path(path))?;
        let (mut file, keys) = (BufWriter::new(file), BufWriter::new(keys));
        file.write_all(&[0; HEADER])?;
        Ok(Self { file, keys, keys_partial, width, rows: 0 })
    }
}

/// `vectors.keys.txt` for `vectors.npy`.
fn keys_path(path: &Path) -> PathBuf {
    path.with_extension("keys.txt")
}

fn header(rows: u64, width: usize) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER - 10) as u16).to_le_bytes());
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    header.extend(shape.as_bytes());
    header.resize(HEADER - 1, b' ');
    header.push(b'\n');
    header
}

impl VectorFile for Npy {
    fn add(&mut self, key: &str, vector: &[f32]) -> io::Result<()> {
        if key.contains(['\n', '\r']) {
            let what =
                format!("key {key:?} has a line break, which a file of keys cannot hold; write .parquet");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        vector.iter().try_for_each(|value| self.file.write_all(&value.to_le_bytes()))?;
        self.rows += 1;
        writeln!(self.keys, "{key}")
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.keys.flush()?;
        self.file.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.rows, self.width))?;
        self.file.flush()?;
        // The matrix is on the disk before its keys take their place; only its renaming is left then.
        self.file.get_ref().sync_all()?;
        self.keys_partial.commit(self.keys.get_ref())?;
        Ok(self.file.get_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_the_format() {
        let header = header(3, 64);
        assert_eq!(header.len(), HEADER);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 64), }"));
        assert!(text.ends_with(" \n"));
    }
}
