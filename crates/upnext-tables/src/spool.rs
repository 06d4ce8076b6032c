//! Bytes that go to memory while there is room, and to a file that nobody can see where there is not.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Bytes of a block; a record is never cut by its end, so a record is at most as long.
const BLOCK: usize = 64 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;

/// The memory that all spools share, and where they go when it is used up.
pub(crate) struct Room {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
    spilled: AtomicU64,
}

impl Room {
    /// `limit` bytes in memory, the rest in files in `folder`. They have no name, so that nothing of them stays,
    /// however the process ends.
    pub(crate) fn new(folder: &Path, limit: u64) -> Self {
        Self { folder: folder.into(), limit, used: AtomicU64::new(0), spilled: AtomicU64::new(0) }
    }

    /// Whether spools hold more than they may.
    pub(crate) fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Bytes that went to files.
    pub(crate) fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Where files go.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Spill { folder: self.folder.clone(), source }
    }
}

/// An append-only run of records: a file first, then blocks in memory.
#[derive(Default)]
pub(crate) struct Spool {
    file: Option<File>,
    in_file: u64,
    blocks: Vec<Vec<u8>>,
    in_blocks: u64,
}

impl Spool {
    /// Bytes in it.
    pub(crate) fn len(&self) -> u64 {
        self.in_file + self.in_blocks
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], room: &Room) {
        let full = self.blocks.last().is_none_or(|block| block.len() + bytes.len() > block.capacity());
        if full {
            self.blocks.push(Vec::with_capacity(BLOCK.max(bytes.len())));
            room.used.fetch_add(BLOCK.max(bytes.len()) as u64, Ordering::Relaxed);
        }
        if let Some(block) = self.blocks.last_mut() {
            block.extend_from_slice(bytes);
        }
        self.in_blocks += bytes.len() as u64;
    }

    /// Moves the blocks to the file.
    pub(crate) fn spill(&mut self, room: &Room) -> Result<()> {
        if self.blocks.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&room.folder).map_err(|source| room.failed(source))?);
        }
        if let Some(file) = &mut self.file {
            for block in &self.blocks {
                file.write_all(block).map_err(|source| room.failed(source))?;
            }
        }
        room.spilled.fetch_add(self.in_blocks, Ordering::Relaxed);
        self.in_file += self.in_blocks;
        self.release(room);
        Ok(())
    }

    fn release(&mut self, room: &Room) {
        let held: u64 = self.blocks.iter().map(|block| block.capacity() as u64).sum();
        room.used.fetch_sub(held, Ordering::Relaxed);
        self.blocks.clear();
        self.in_blocks = 0;
    }

    /// Reads it from the beginning. One reader at a time: they share the file's position.
    pub(crate) fn reader<'a>(&'a self, room: &Room) -> Result<impl Read + use<'a>> {
        let file = match &self.file {
            Some(file) => {
                let mut file = file;
                file.seek(SeekFrom::Start(0)).map_err(|source| room.failed(source))?;
                Some(BufReader::with_capacity(BUFFER_BYTES, file).take(self.in_file))
            }
            None => None,
        };
        Ok(Parts { file, blocks: self.blocks.iter(), block: Cursor::new(&[]) })
    }

    /// All of it, which frees the spool.
    pub(crate) fn into_bytes(mut self, room: &Room) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.in_file as usize];
        if let Some(file) = &mut self.file {
            let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes));
            read.map_err(|source| room.failed(source))?;
        }
        bytes.reserve_exact(self.in_blocks as usize);
        for block in &self.blocks {
            bytes.extend_from_slice(block);
        }
        self.release(room);
        Ok(bytes)
    }

    /// Frees the spool's memory.
    pub(crate) fn discard(mut self, room: &Room) {
        self.release(room);
    }
}

/// A spool's file, then its blocks.
struct Parts<'a> {
    file: Option<io::Take<BufReader<&'a File>>>,
    blocks: std::slice::Iter<'a, Vec<u8>>,
    block: Cursor<&'a [u8]>,
}

impl Read for Parts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if let Some(file) = &mut self.file {
            match file.read(out)? {
                0 => self.file = None,
                count => return Ok(count),
            }
        }
        loop {
            match self.block.read(out)? {
                0 => match self.blocks.next() {
                    Some(block) => self.block = Cursor::new(block),
                    None => return Ok(0),
                },
                count => return Ok(count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_in_order_from_file_and_memory() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::new(folder.path(), 3 * BLOCK as u64);
        let mut spool = Spool::default();
        let mut expected = Vec::new();
        for n in 0..40_000_u32 {
            let record = n.to_le_bytes().repeat(1 + n as usize % 3);
            spool.push(&record, &room);
            expected.extend_from_slice(&record);
            if room.is_over() {
                spool.spill(&room).unwrap();
            }
        }
        assert!(spool.in_file > 0 && spool.in_blocks > 0);
        assert_eq!((spool.len(), room.spilled()), (expected.len() as u64, spool.in_file));
        for _ in 0..2 {
            let mut read = Vec::new();
            spool.reader(&room).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == expected);
        }
        assert!(spool.into_bytes(&room).unwrap() == expected);
        assert_eq!(room.used.load(Ordering::Relaxed), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "spill files have no names");
    }
}
