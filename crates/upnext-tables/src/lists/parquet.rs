//! Lists as Parquet: a row an item, or a row a user.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::{Layout, List, ListFile};

/// Places and bytes of keys that are gathered before a row group is written: what a job holds in memory,
/// however many users it has.
const GROUP_PLACES: usize = 1 << 17;
const GROUP_BYTES: usize = 16 << 20;

const ROWS: &str = "message lists {
    required binary user_id (STRING);
    required int32 rank;
    required binary item_id (STRING);
    required double score;
}";
const NESTED: &str = "message lists {
    required binary user_id (STRING);
    required group items (LIST) { repeated group list { required binary element (STRING); } }
    required group scores (LIST) { repeated group list { required double element; } }
}";

/// A Parquet file of lists, zstd inside.
///
/// Scores are doubles in every file, so that the parts of a job have one schema, empty ones included; a single is
/// a double exactly. The same lists give the same bytes.
pub(super) struct ParquetLists {
    file: SerializedFileWriter<File>,
    layout: Layout,
    users: Vec<ByteArray>,
    ranks: Vec<i32>,
    items: Vec<ByteArray>,
    scores: Vec<f64>,
    /// Per user of the nested layout how many places its list has.
    lengths: Vec<usize>,
    bytes: usize,
}

impl ParquetLists {
    pub(super) fn new(file: File, layout: Layout) -> io::Result<Self> {
        let schema = parse_message_type(match layout {
            Layout::Rows => ROWS,
            Layout::Nested => NESTED,
        });
        let score = match layout {
            Layout::Rows => ColumnPath::from("score"),
            Layout::Nested => ColumnPath::new(["scores", "list", "element"].map(str::to_owned).to_vec()),
        };
        let properties = WriterProperties::builder()
            .set_created_by(concat!("upnext ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            // Hardly a score comes twice.
            .set_column_dictionary_enabled(score, false)
            .build();
        let writer =
            schema.and_then(|schema| SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)));
        Ok(Self {
            file: writer.map_err(failed)?,
            layout,
            users: Vec::new(),
            ranks: Vec::new(),
            items: Vec::new(),
            scores: Vec::new(),
            lengths: Vec::new(),
            bytes: 0,
        })
    }

    /// Writes what was gathered as one row group.
    fn write_group(&mut self) -> Result<()> {
        if self.users.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        match self.layout {
            Layout::Rows => {
                column::<ByteArrayType>(&mut group, &self.users, None)?;
                column::<Int32Type>(&mut group, &self.ranks, None)?;
                column::<ByteArrayType>(&mut group, &self.items, None)?;
                column::<DoubleType>(&mut group, &self.scores, None)?;
            }
            Layout::Nested => {
                let levels = Levels::of(&self.lengths);
                column::<ByteArrayType>(&mut group, &self.users, None)?;
                column::<ByteArrayType>(&mut group, &self.items, Some(&levels))?;
                column::<DoubleType>(&mut group, &self.scores, Some(&levels))?;
            }
        }
        group.close()?;
        self.users.clear();
        self.ranks.clear();
        self.items.clear();
        self.scores.clear();
        self.lengths.clear();
        self.bytes = 0;
        Ok(())
    }
}

impl ListFile for ParquetLists {
    fn add(&mut self, list: &List) -> io::Result<()> {
        let user = ByteArray::from(list.user.as_str());
        match self.layout {
            Layout::Rows => {
                for place in &list.places {
                    self.users.push(user.clone());
                    self.ranks.push(i32::try_from(place.rank).map_err(io::Error::other)?);
                }
            }
            Layout::Nested => {
                self.users.push(user);
                self.lengths.push(list.places.len());
            }
        }
        self.bytes += list.user.len();
        for place in &list.places {
            self.bytes += place.item.len();
            self.items.push(ByteArray::from(place.item.as_str()));
            self.scores.push(place.score.into());
        }
        if self.users.len().max(self.items.len()) >= GROUP_PLACES || self.bytes >= GROUP_BYTES {
            self.write_group().map_err(failed)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.write_group().map_err(failed)?;
        self.file.finish().map_err(failed)?;
        Ok(self.file.inner())
    }
}

/// Where lists begin (repetition 0) and which of them are empty (definition 0).
pub(crate) struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Levels {
    pub(crate) fn of(lengths: &[usize]) -> Self {
        let mut levels = Self { definition: Vec::new(), repetition: Vec::new() };
        for &length in lengths {
            for place in 0..length.max(1) {
                levels.definition.push(i16::from(length > 0));
                levels.repetition.push(i16::from(place > 0));
            }
        }
        levels
    }
}

pub(crate) fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: Option<&Levels>,
) -> Result<()> {
    let missing = || ParquetError::General("the schema has no further column".into());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    let (definition, repetition) =
        (levels.map(|levels| &levels.definition[..]), levels.map(|levels| &levels.repetition[..]));
    column.typed::<T>().write_batch(values, definition, repetition)?;
    column.close()
}

/// What the system said, where it was the system.
pub(crate) fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}
