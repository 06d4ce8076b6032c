//! Looks over the footer, schema and places of the columns, before it is decoded.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::ColumnChunkMetaData;

use super::MAGIC;
use super::thrift::{self, I32, LIST, STRUCT};

/// Bytes that a footer may have, and columns: a reader holds several times as many in memory.
const FOOTER_LIMIT: u64 = 32 << 20;
/// Groups of columns within groups.
const DEPTH: usize = 64;
/// Length and magic bytes behind the footer.
const TAIL: u64 = 8;

/// Looks over the footer of a file: what it declares must be there, and columns must lie in the file.
pub(super) fn check(file: &File) -> Result<()> {
    let bytes = bytes(file)?;
    if looked_over(&bytes) { Ok(()) } else { Err(refuse("the footer is damaged".into())) }
}

/// Whether a column's pages lie in a file of this size.
pub(super) fn is_inside(chunk: &ColumnChunkMetaData, size: u64) -> bool {
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let end = start.checked_add(chunk.compressed_size());
    start >= 0 && chunk.compressed_size() >= 0 && end.is_some_and(|end| end as u64 <= size)
}

fn bytes(mut file: &File) -> Result<Vec<u8>> {
    let size = file.metadata()?.len();
    let mut tail = [0; TAIL as usize];
    if size < TAIL + MAGIC.len() as u64 {
        return Err(refuse("the file is too short".into()));
    }
    file.seek(SeekFrom::Start(size - TAIL))?;
    file.read_exact(&mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    if magic == *b"PARE" {
        return Err(refuse("it is encrypted".into()));
    }
    if magic != *MAGIC {
        return Err(refuse("it does not end as a Parquet file does; it may have been cut off".into()));
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if length > size - TAIL {
        return Err(refuse("the footer is longer than the file".into()));
    }
    if length > FOOTER_LIMIT {
        return Err(refuse(format!("the footer has {length} bytes, and at most {FOOTER_LIMIT} are read")));
    }
    file.seek(SeekFrom::Start(size - TAIL - length))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether lists, and the tree that the schema declares, are neither larger nor deeper than what is there.
fn looked_over(bytes: &[u8]) -> bool {
    let mut children: Vec<i64> = Vec::new();
    let mut sound = true;
    let whole = thrift::walk(bytes, &mut |path, kind, value| match path {
        // The schema and the row groups are lists.
        [2] if kind == STRUCT => children.push(0),
        [2 | 4] => sound &= matches!(kind, LIST | STRUCT),
        [2, 5] => match children.last_mut() {
            Some(last) if kind == I32 => *last = value,
            _ => sound = false,
        },
        _ => {}
    });
    whole.is_some() && sound && is_shallow(&children)
}

/// Whether numbers of children, each followed by the children, fit the list and nest no deeper than [`DEPTH`].
fn is_shallow(children: &[i64]) -> bool {
    let mut open: Vec<i64> = Vec::new();
    for (index, &count) in children.iter().enumerate() {
        if count < 0 || count as usize > children.len() - index - 1 {
            return false;
        }
        if let Some(last) = open.last_mut() {
            *last -= 1;
        }
        open.push(count);
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > DEPTH {
            return false;
        }
    }
    true
}

fn refuse(reason: String) -> ParquetError {
    ParquetError::General(reason)
}
