//! Vectors as Parquet: a key and a list of floats a row.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

use super::VectorFile;
use crate::lists::parquet::{Levels, column, failed};
use crate::lists::schema;

/// Values that are gathered before a row group is written.
const GROUP_VALUES: usize = 1 << 20;

pub(super) struct ParquetVectors {
    file: SerializedFileWriter<File>,
    keys: Vec<ByteArray>,
    values: Vec<f32>,
    lengths: Vec<usize>,
}

impl ParquetVectors {
    pub(super) fn new(file: File, key: &str) -> io::Result<Self> {
        // Vectors do not compress, and whoever reads them wants them fast.
        let properties = WriterProperties::builder()
            .set_created_by(concat!("upnext ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .build();
        let writer =
            columns(key).and_then(|schema| SerializedFileWriter::new(file, schema, Arc::new(properties)));
        let file = writer.map_err(failed)?;
        Ok(Self { file, keys: Vec::new(), values: Vec::new(), lengths: Vec::new() })
    }

    fn write_group(&mut self) -> Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        column::<ByteArrayType>(&mut group, &self.keys, None)?;
        column::<FloatType>(&mut group, &self.values, Some(&Levels::of(&self.lengths)))?;
        group.close()?;
        self.keys.clear();
        self.values.clear();
        self.lengths.clear();
        Ok(())
    }
}

/// The key, under any name, and the list `vector`.
fn columns(key: &str) -> Result<TypePtr> {
    let vector = schema::list("vector", schema::plain("element", Physical::FLOAT)?)?;
    schema::table("vectors", vec![schema::text(key)?, vector])
}

impl VectorFile for ParquetVectors {
    fn add(&mut self, key: &str, vector: &[f32]) -> io::Result<()> {
        self.keys.push(ByteArray::from(key));
        self.values.extend(vector);
        self.lengths.push(vector.len());
        match self.values.len() >= GROUP_VALUES {
            true => self.write_group().map_err(failed),
            false => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.write_group().map_err(failed)?;
        self.file.finish().map_err(failed)?;
        Ok(self.file.inner())
    }
}
