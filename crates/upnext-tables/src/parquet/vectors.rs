//! Vectors by key: a column of keys beside a column of lists of floats.

use std::path::Path;
use std::sync::Arc;

use ::parquet::basic::Type;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use upnext_data::Strings;

use super::guard::guarded;
use super::ledger::Ledger;
use super::{BOMB, LARGE, Parquet, pages};
use crate::columns::{self, Role};
use crate::error::{Error, Place, Problem, Result};
use crate::fields;
use crate::source::Source;
use crate::table::Table;

/// Rows that are decoded at once.
const ROWS: usize = 1024;
const KEY_FLAG: &str = "--key-column";
const VECTOR_FLAG: &str = "--vector-column";

/// Rows of a table that have a key and a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyedVectors {
    /// `(n)` their keys, in the order of the rows.
    pub keys: Strings,
    /// f: how wide each vector is.
    pub width: usize,
    /// `(n, f)` the vectors.
    pub values: Vec<f32>,
    /// Rows whose vector is null or empty; they are left out.
    pub without: u64,
}

/// Reads the vectors of a Parquet file: `key` names the column of keys, by default that of a common name such as
/// `item_id`; `vector` the column of lists of floats or doubles, by default the only one. Values may be infinite or not
/// a number; that is for whoever uses them to say.
///
/// # Errors
/// When the file cannot be read, a column is not there or of another type, a key is none, an element is null, or two
/// vectors differ in width.
pub fn read_vectors(path: &Path, key: Option<&str>, vector: Option<&str>) -> Result<KeyedVectors> {
    let keys = read_keys(path, key)?;
    let file = open(path)?;
    let list = file.list_column(vector)?;
    let mut read = Reading { path, keys: &keys, row: 0, bytes: file.size, out: KeyedVectors::default() };
    file.check_sizes(&[list.leaf])?;
    for group in 0..file.metadata.num_row_groups() {
        let ledger = Arc::new(Ledger::new(1));
        let reader =
            guarded(path, || pages::open(&file.file, &file.metadata, (group, list.leaf), &ledger, 0))?;
        match reader {
            ColumnReader::FloatColumnReader(mut reader) => {
                while read.take(&list, guarded(path, || batch(&mut reader, &ledger))?, |value| value)? {}
            }
            ColumnReader::DoubleColumnReader(mut reader) => {
                while read
                    .take(&list, guarded(path, || batch(&mut reader, &ledger))?, |value| value as f32)?
                {
                }
            }
            _ => return Err(file.no_list(&list.name)),
        }
    }
    read.finish()
}

/// A column of lists.
struct List {
    leaf: usize,
    name: String,
    /// The definition level of an element that is there, and of one that is null, where it may be.
    full: i16,
    null: Option<i16>,
}

fn open(path: &Path) -> Result<Parquet> {
    let source = Source::open(path)?;
    Parquet::open(path, source.size, source.meter)
}

fn read_keys(path: &Path, told: Option<&str>) -> Result<Strings> {
    let file = open(path)?;
    let index = match told {
        Some(name) => Role::named(&file, path, name, KEY_FLAG)?,
        None => columns::KEY.find(&file, path, None)?,
    };
    let column = file.columns()[index].clone();
    let mut rows = Box::new(file).select(&[index])?;
    let (mut keys, mut digits) = (Strings::new(), itoa::Buffer::new());
    while let Some(place) = rows.advance()? {
        let key = fields::key_of(&column, rows.value(0), &mut digits);
        keys.push(key.map_err(|problem| Error::Row { path: path.into(), place, problem })?);
    }
    Ok(keys)
}

impl Parquet {
    /// The column of lists of this name, or the only one.
    fn list_column(&self, told: Option<&str>) -> Result<List> {
        let schema = self.metadata.file_metadata().schema_descr();
        let lists = (0..schema.num_columns()).filter_map(|leaf| {
            let column = schema.column(leaf);
            let float = matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE);
            if column.max_rep_level() != 1 || !float {
                return None;
            }
            let full = column.max_def_level();
            let null = column.self_type().is_optional().then_some(full - 1);
            let name = column.path().parts().first()?.clone();
            Some(List { leaf, name, full, null })
        });
        let (named, mut others): (Vec<List>, Vec<List>) =
            lists.partition(|list| told.is_none_or(|name| name == list.name));
        let mut named = named.into_iter();
        match (named.next(), named.next()) {
            (Some(list), None) => Ok(list),
            (Some(first), Some(second)) => {
                let problem =
                    Problem::Ambiguous { first: first.name, second: second.name, flag: VECTOR_FLAG };
                Err(Error::Header { path: self.path.clone(), place: Place::Schema, problem })
            }
            (None, _) => {
                others.truncate(20);
                Err(Error::MissingColumn {
                    path: self.path.clone(),
                    place: Place::Schema,
                    column: told.unwrap_or("list of floats").to_owned(),
                    found: others.iter().map(|list| format!("{:?}", list.name)).collect(),
                    flag: VECTOR_FLAG,
                })
            }
        }
    }

    fn no_list(&self, column: &str) -> Error {
        let (path, column) = (self.path.clone(), column.to_owned());
        Error::ColumnType { path, column, kind: "no list of floats".to_owned() }
    }
}

/// Decoded rows of a column of lists.
struct Batch<T> {
    rows: usize,
    /// Of each element its definition level, and whether it goes on with the row before it (1) or begins one (0).
    definition: Vec<i16>,
    repetition: Vec<i16>,
    values: Vec<T>,
}

fn batch<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    ledger: &Ledger,
) -> std::result::Result<Batch<T::T>, ParquetError> {
    ledger.begin_batch();
    let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (rows, ..) = reader.read_records(ROWS, Some(&mut definition), Some(&mut repetition), &mut values)?;
    let begun = repetition.iter().filter(|&&level| level == 0).count();
    if definition.len() != repetition.len()
        || begun != rows
        || repetition.first().is_some_and(|&level| level != 0)
    {
        return Err(ParquetError::General("the levels of a list do not fit its rows".into()));
    }
    Ok(Batch { rows, definition, repetition, values })
}

/// The vectors so far.
struct Reading<'a> {
    path: &'a Path,
    keys: &'a Strings,
    row: usize,
    /// Bytes of the file.
    bytes: u64,
    out: KeyedVectors,
}

impl Default for KeyedVectors {
    fn default() -> Self {
        Self { keys: Strings::new(), width: 0, values: Vec::new(), without: 0 }
    }
}

impl Reading<'_> {
    /// Takes the rows of a batch; false where there was none.
    fn take<T: Copy>(&mut self, list: &List, batch: Batch<T>, narrow: fn(T) -> f32) -> Result<bool> {
        let mut values = batch.values.into_iter().map(narrow);
        let mut levels = batch.definition.iter().zip(&batch.repetition).peekable();
        while let Some((&first, _)) = levels.next() {
            let Some(key) = (self.row < self.keys.len()).then(|| self.keys.get(self.row)) else {
                return Err(self.uneven());
            };
            self.row += 1;
            let mut row = Vec::new();
            let mut level = first;
            loop {
                if level == list.full {
                    row.extend(values.next());
                } else if Some(level) == list.null {
                    let (column, key) = (list.name.clone(), fields::shorten(key.as_bytes()));
                    return Err(self.refuse(Problem::NullElement { column, key }));
                }
                match levels.next_if(|&(_, &repetition)| repetition != 0) {
                    Some((&next, _)) => level = next,
                    None => break,
                }
            }
            self.add(list, key, &row)?;
        }
        Ok(batch.rows > 0)
    }

    fn add(&mut self, list: &List, key: &str, row: &[f32]) -> Result<()> {
        if row.is_empty() {
            self.out.without += 1;
            return Ok(());
        }
        if self.out.keys.is_empty() {
            self.out.width = row.len();
        }
        if row.len() != self.out.width {
            let (column, key) = (list.name.clone(), fields::shorten(key.as_bytes()));
            let (found, expected) = (row.len(), self.out.width);
            return Err(self.refuse(Problem::VectorWidth { column, key, found, expected }));
        }
        self.out.keys.push(key);
        self.out.values.extend_from_slice(row);
        // Vectors hardly compress: what unpacks into thousands of times the file is no data.
        let unpacked = self.out.values.len() as i64 * 4;
        if unpacked > LARGE && unpacked as u64 / self.bytes.max(1) > BOMB as u64 {
            let (path, column) = (self.path.to_owned(), list.name.clone());
            return Err(Error::Bomb { path, group: 0, column, packed: self.bytes as i64, unpacked });
        }
        Ok(())
    }

    fn refuse(&self, problem: Problem) -> Error {
        Error::Row { path: self.path.into(), place: Place::Row(self.row as u64), problem }
    }

    fn uneven(&self) -> Error {
        let source = ParquetError::General("the columns of keys and of vectors differ in length".into());
        Error::Parquet { path: self.path.into(), source }
    }

    fn finish(self) -> Result<KeyedVectors> {
        if self.row == self.keys.len() { Ok(self.out) } else { Err(self.uneven()) }
    }
}
