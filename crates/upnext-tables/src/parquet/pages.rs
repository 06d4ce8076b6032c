//! Stands between the file and the decoder, and lets no page through that would fill the memory.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use ::parquet::basic::Compression;
use ::parquet::column::reader::{ColumnReader, get_column_reader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::properties::ReaderProperties;
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::file::serialized_reader::SerializedPageReader;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::footer::is_inside;
use super::ledger::Ledger;
use super::thrift;

/// Bytes of one page, compressed or not.
const PAGE_LIMIT: i64 = 64 << 20;
/// Bytes that are tried for a page's header: it is short, unless its statistics have long values.
const HEADERS: [u64; 2] = [4 << 10, 1 << 20];
/// What a value of a dictionary takes, its bytes apart.
const VALUE_BYTES: u64 = 32;
/// What a value of a list takes with its two levels; runs of equal ones have next to no bytes on the page.
const LIST_VALUE_BYTES: u64 = 12;
/// Encodings whose decoder reserves what the page's bytes declare.
const UNBOUNDED: [(i64, &str); 2] = [(6, "DELTA_LENGTH_BYTE_ARRAY"), (7, "DELTA_BYTE_ARRAY")];

/// One column's way to the file. The decoder asks for a page's header, then for its bytes.
struct PageSource {
    file: Arc<File>,
    size: u64,
    /// The column's place in the ledger.
    column: usize,
    ledger: Arc<Ledger>,
    /// Whether pages are gzip, whose decoder takes whatever comes.
    is_gzip: bool,
    /// Whether a row may have any number of values, so that a page is decoded whole.
    is_list: bool,
    header: Mutex<Header>,
}

/// Opens a column of a row group; `place` is its own in the ledger.
pub(super) fn open(
    file: &Arc<File>,
    metadata: &ParquetMetaData,
    (group, leaf): (usize, usize),
    ledger: &Arc<Ledger>,
    place: usize,
) -> Result<ColumnReader> {
    let (group, size) = (metadata.row_group(group), file.metadata()?.len());
    let chunk = group.column(leaf);
    if !is_inside(chunk, size) {
        return Err(refuse(format!("column {:?} lies outside the file", chunk.column_path().string())));
    }
    let source = PageSource {
        file: Arc::clone(file),
        size,
        column: place,
        ledger: Arc::clone(ledger),
        is_list: chunk.column_descr().max_rep_level() > 0,
        is_gzip: matches!(chunk.compression(), Compression::GZIP(_)),
        header: Mutex::new(Header::default()),
    };
    // The older kinds of LZ4 that would be tried otherwise write without bounds.
    let properties = Arc::new(ReaderProperties::builder().set_backward_compatible_lz4(false).build());
    let rows = usize::try_from(group.num_rows())?;
    let pages = SerializedPageReader::new_with_properties(Arc::new(source), chunk, rows, None, properties)?;
    Ok(get_column_reader(chunk.column_descr_ptr(), Box::new(pages)))
}

/// What a page's header declares.
#[derive(Clone, Copy, Default)]
struct Header {
    plain: i64,
    packed: i64,
    /// Bytes of levels before the compressed ones.
    levels: i64,
    encoding: i64,
    /// Values of a page of data.
    values: i64,
    /// Values of a dictionary.
    dictionary: Option<i64>,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut header = Self::default();
        thrift::walk(bytes, &mut |path, _, value| match path {
            [2] => header.plain = value,
            [3] => header.packed = value,
            [5 | 8, 1] => header.values = value,
            [5, 2] | [8, 4] => header.encoding = value,
            [7, 1] => header.dictionary = Some(value),
            [8, 5 | 6] => header.levels = header.levels.saturating_add(value),
            _ => {}
        })?;
        Some(header)
    }
}

impl PageSource {
    fn bytes(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn check(&self, header: Header) -> Result<()> {
        let Header { plain, packed, dictionary, encoding, .. } = header;
        if !(0..=PAGE_LIMIT).contains(&plain) || !(0..=PAGE_LIMIT).contains(&packed) {
            return Err(refuse(format!(
                "a page declares {} bytes, and at most {PAGE_LIMIT} are read",
                plain.max(packed)
            )));
        }
        if let Some((_, name)) = UNBOUNDED.iter().find(|(number, _)| *number == encoding) {
            return Err(refuse(format!(
                "a page is encoded as {name}, which is not read; write it as PLAIN or RLE_DICTIONARY"
            )));
        }
        let values = dictionary.unwrap_or_default();
        if values < 0 || values > plain {
            return Err(refuse(format!("a dictionary declares {values} values in {plain} bytes")));
        }
        let mut bytes = plain as u64 + values as u64 * VALUE_BYTES;
        if self.is_list {
            bytes += u64::try_from(header.values).unwrap_or(u64::MAX / 16).saturating_mul(LIST_VALUE_BYTES);
        }
        if !self.ledger.take(self.column, dictionary.is_some(), bytes) {
            return Err(refuse(
                "its pages do not fit into memory; write it with pages of about 1 MiB".into(),
            ));
        }
        Ok(())
    }
}

impl Length for PageSource {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for PageSource {
    type T = Cursor<Vec<u8>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        for length in HEADERS {
            let bytes = self.bytes(start, length)?;
            if let Some(header) = Header::of(&bytes) {
                self.check(header)?;
                *self.header.lock().unwrap_or_else(PoisonError::into_inner) = header;
                return Ok(Cursor::new(bytes));
            }
        }
        Err(refuse("a page has a damaged header".into()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.bytes(start, length as u64)?;
        if bytes.len() != length {
            return Err(refuse("a page is cut off".into()));
        }
        let header = *self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Ok(levels)) = (self.is_gzip, usize::try_from(header.levels)) {
            let inflated = MultiGzDecoder::new(bytes.get(levels..).unwrap_or_default());
            // What is damaged is the decoder's to tell.
            let found = io::copy(&mut inflated.take(header.plain as u64 + 1), &mut io::sink());
            if found.is_ok_and(|found| found > header.plain as u64) {
                return Err(refuse(format!(
                    "a page holds more than the {} bytes that it declares",
                    header.plain
                )));
            }
        }
        Ok(bytes.into())
    }
}

fn refuse(reason: String) -> ParquetError {
    ParquetError::General(reason)
}
