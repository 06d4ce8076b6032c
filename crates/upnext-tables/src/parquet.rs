//! Parquet files: the top-level columns that hold one value a row, and vectors.

mod column;
mod footer;
mod guard;
mod ledger;
mod pages;
mod thrift;
mod vectors;

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use crate::error::{Error, Place, Problem, Result};
use crate::source::{Compression, Meter};
use crate::table::{Rows, Table, Value};
use column::{Column, Meaning};
use guard::guarded;
use ledger::Ledger;

pub use guard::is_decoding;
pub use vectors::{KeyedVectors, read_vectors};

/// Rows that are decoded at once, at most.
const ROWS: usize = 8192;
/// Bytes that they should have, decoded.
const BYTES: i64 = 4 << 20;
/// A column of a row group of more bytes that was compressed more than so many times is no data.
const LARGE: i64 = 256 << 20;
const BOMB: i64 = 2000;

/// The first bytes of a Parquet file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// A file whose schema is read.
pub(crate) struct Parquet {
    path: PathBuf,
    file: Arc<File>,
    metadata: ParquetMetaData,
    size: u64,
    meter: Rc<RefCell<Meter>>,
    columns: Vec<String>,
    /// Of each column its place among the leaves of the schema.
    leaves: Vec<usize>,
}

impl Parquet {
    /// Reads the schema; `meter` is told how far the rows are read.
    pub(crate) fn open(path: &Path, size: u64, meter: Rc<RefCell<Meter>>) -> Result<Self> {
        if Compression::of_file(path) != Compression::None {
            return Err(Error::PackedParquet { path: path.into() });
        }
        let file = File::open(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let metadata = guarded(path, || {
            footer::check(&file)?;
            ParquetMetaDataReader::new().parse_and_finish(&file)
        })?;
        let schema = metadata.file_metadata().schema_descr_ptr();
        let flat = |leaf: &usize| {
            let column = schema.column(*leaf);
            column.max_rep_level() == 0 && column.path().parts().len() == 1
        };
        let leaves: Vec<usize> = (0..schema.num_columns()).filter(flat).collect();
        let columns = leaves.iter().map(|&leaf| schema.column(leaf).name().to_owned()).collect();
        Ok(Self { path: path.into(), file: Arc::new(file), metadata, size, meter, columns, leaves })
    }

    /// Refuses column chunks that would unpack into absurd sizes.
    fn check_sizes(&self, wanted: &[usize]) -> Result<()> {
        for (group, metadata) in self.metadata.row_groups().iter().enumerate() {
            for (leaf, column) in
                wanted.iter().filter_map(|&leaf| Some((leaf, metadata.columns().get(leaf)?)))
            {
                let (packed, unpacked) = (column.compressed_size(), column.uncompressed_size());
                let bomb = unpacked > LARGE && unpacked / packed.max(1) > BOMB;
                if bomb || packed < 0 || unpacked < 0 || metadata.num_rows() < 0 {
                    let schema = self.metadata.file_metadata().schema_descr();
                    let column = schema.column(leaf).name().to_owned();
                    return Err(Error::Bomb { path: self.path.clone(), group, column, packed, unpacked });
                }
            }
        }
        Ok(())
    }
}

impl Table for Parquet {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn header(&self) -> Place {
        Place::Schema
    }

    fn select(self: Box<Self>, wanted: &[usize]) -> Result<Box<dyn Rows>> {
        let schema = self.metadata.file_metadata().schema_descr_ptr();
        let mut columns = Vec::with_capacity(wanted.len());
        for &index in wanted {
            let leaf = self.leaves[index];
            let described = schema.column(leaf);
            let Some(meaning) = Meaning::of(&described) else {
                let (path, column) = (self.path.clone(), self.columns[index].clone());
                let kind = format!("{:?} {:?}", described.physical_type(), described.converted_type());
                return Err(Error::ColumnType { path, column, kind });
            };
            columns.push(Column::new(leaf, meaning, described.max_def_level()));
        }
        let leaves: Vec<usize> = columns.iter().map(|column| column.leaf).collect();
        self.check_sizes(&leaves)?;
        let of = self.metadata.row_groups().iter().map(RowGroupMetaData::num_rows).sum::<i64>().max(0) as u64;
        let ledger = Arc::new(Ledger::new(columns.len()));
        Ok(Box::new(ParquetRows {
            file: *self,
            columns,
            ledger,
            group: 0,
            batch: 0,
            row: 0,
            of,
            at: 0,
            rows: 0,
        }))
    }
}

/// The rows of a file, some of them decoded.
struct ParquetRows {
    file: Parquet,
    columns: Vec<Column>,
    ledger: Arc<Ledger>,
    /// The row group to be opened next.
    group: usize,
    /// Rows of a batch of the open group.
    batch: usize,
    /// Rows so far, and of the file.
    row: u64,
    of: u64,
    /// The current row of the batch, from 1, and how many the batch has.
    at: usize,
    rows: usize,
}

impl ParquetRows {
    /// Decodes the next batch; false behind the last one.
    fn fill(&mut self) -> Result<bool> {
        loop {
            let (path, batch) = (self.file.path.clone(), self.batch);
            let open = self.columns.first().is_some_and(Column::is_open);
            if open {
                let columns = &mut self.columns;
                self.ledger.begin_batch();
                let rows = guarded(&path, || {
                    let counts: std::result::Result<Vec<usize>, ParquetError> =
                        columns.iter_mut().map(|column| column.fill(batch)).collect();
                    let counts = counts?;
                    let first = counts.first().copied().unwrap_or(0);
                    if counts.iter().any(|&count| count != first) {
                        return Err(ParquetError::General(
                            "columns of one row group differ in length".into(),
                        ));
                    }
                    Ok(first)
                })?;
                if rows > 0 {
                    (self.at, self.rows) = (0, rows);
                    return Ok(true);
                }
            }
            if self.group == self.file.metadata.num_row_groups() {
                return Ok(false);
            }
            self.open_group(&path)?;
        }
    }

    fn open_group(&mut self, path: &Path) -> Result<()> {
        let metadata = self.file.metadata.row_group(self.group);
        let bytes: i64 =
            self.columns.iter().map(|column| metadata.column(column.leaf).uncompressed_size()).sum();
        let each = (bytes / metadata.num_rows().max(1)).max(1);
        self.batch = ((BYTES / each).max(1) as usize).min(ROWS);
        self.ledger = Arc::new(Ledger::new(self.columns.len()));
        let (group, columns, ledger, file) = (self.group, &mut self.columns, &self.ledger, &self.file);
        guarded(path, || {
            columns.iter_mut().enumerate().try_for_each(|(place, column)| {
                let at = (group, column.leaf);
                column.open(pages::open(&file.file, &file.metadata, at, ledger, place)?)
            })
        })?;
        self.group += 1;
        Ok(())
    }
}

impl Rows for ParquetRows {
    fn advance(&mut self) -> Result<Option<Place>> {
        if self.at == self.rows {
            let read = if self.of == 0 { 1.0 } else { self.row as f64 / self.of as f64 };
            self.file.meter.borrow_mut().set_bytes((read * self.file.size as f64) as u64);
            if !self.fill()? {
                // Pages are not read front to back, so the hash is taken at the end, by whoever reads to the end.
                let mut meter = self.file.meter.borrow_mut();
                meter.set_bytes(self.file.size);
                meter.hash_file(&self.file.path)?;
                return Ok(None);
            }
        }
        self.at += 1;
        self.row += 1;
        Ok(Some(Place::Row(self.row)))
    }

    fn check(&self) -> std::result::Result<(), Problem> {
        Ok(())
    }

    fn value(&self, index: usize) -> Value<'_> {
        self.columns[index].value(self.at - 1)
    }
}
