//! Lists as Parquet: a row an item, or a row a user.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, TypePtr};

use super::{Form, Layout, List, ListFile, schema};

/// Places and bytes of keys and texts that are gathered before a row group is written: what a job holds in memory,
/// however many users it has.
const GROUP_PLACES: usize = 1 << 16;
const GROUP_BYTES: usize = 8 << 20;

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
    /// Of each text column a text an item.
    texts: Vec<Vec<ByteArray>>,
    because: Option<Because>,
    /// Per user of the nested layout how many places its list has.
    lengths: Vec<usize>,
    bytes: usize,
}

/// Ids that speak for items, of all items in a row.
#[derive(Default)]
struct Because {
    ids: Vec<ByteArray>,
    /// How many speak for each item.
    counts: Vec<usize>,
}

/// The columns of a form; in the nested layout all but the user are lists.
fn columns(form: &Form) -> Result<TypePtr> {
    let nested = |name: &str, element: TypePtr| match form.layout {
        Layout::Rows => Ok(element),
        Layout::Nested => schema::list(name, element),
    };
    let name = |own: &'static str| if form.layout == Layout::Nested { "element" } else { own };
    let mut columns = vec![schema::text("user_id")?];
    if form.layout == Layout::Rows {
        columns.push(schema::plain("rank", Physical::INT32)?);
    }
    columns.push(nested("items", schema::text(name("item_id"))?)?);
    columns.push(nested("scores", schema::plain(name("score"), Physical::DOUBLE)?)?);
    for column in &form.columns {
        let own = if form.layout == Layout::Nested { "element" } else { column };
        columns.push(nested(column, schema::text(own)?)?);
    }
    if form.because {
        let list = schema::list(name("because"), schema::text("element")?)?;
        columns.push(nested("because", list)?);
    }
    schema::table("lists", columns)
}

impl ParquetLists {
    pub(super) fn new(file: File, form: &Form) -> io::Result<Self> {
        let score = match form.layout {
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
            columns(form).and_then(|schema| SerializedFileWriter::new(file, schema, Arc::new(properties)));
        Ok(Self {
            file: writer.map_err(failed)?,
            layout: form.layout,
            users: Vec::new(),
            ranks: Vec::new(),
            items: Vec::new(),
            scores: Vec::new(),
            texts: vec![Vec::new(); form.columns.len()],
            because: form.because.then(Because::default),
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
        column::<ByteArrayType>(&mut group, &self.users, None)?;
        let levels = match self.layout {
            Layout::Rows => {
                column::<Int32Type>(&mut group, &self.ranks, None)?;
                None
            }
            Layout::Nested => Some(Levels::of(&self.lengths)),
        };
        column::<ByteArrayType>(&mut group, &self.items, levels.as_ref())?;
        column::<DoubleType>(&mut group, &self.scores, levels.as_ref())?;
        for texts in &self.texts {
            column::<ByteArrayType>(&mut group, texts, levels.as_ref())?;
        }
        if let Some(Because { ids, counts }) = &self.because {
            let levels = match self.layout {
                Layout::Rows => Levels::of(counts),
                Layout::Nested => Levels::of_lists(&self.lengths, counts),
            };
            column::<ByteArrayType>(&mut group, ids, Some(&levels))?;
        }
        group.close()?;
        self.users.clear();
        self.ranks.clear();
        self.items.clear();
        self.scores.clear();
        self.texts.iter_mut().for_each(Vec::clear);
        self.because = self.because.is_some().then(Because::default);
        self.lengths.clear();
        self.bytes = 0;
        Ok(())
    }

    fn is_full(&self) -> bool {
        let reasons = self.because.as_ref().map_or(0, |because| because.ids.len());
        self.users.len().max(self.items.len()).max(reasons) >= GROUP_PLACES || self.bytes >= GROUP_BYTES
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
            for (texts, text) in self.texts.iter_mut().zip(&place.texts) {
                self.bytes += text.len();
                texts.push(ByteArray::from(text.as_str()));
            }
            if let Some(because) = &mut self.because {
                self.bytes += place.because.iter().map(String::len).sum::<usize>();
                because.counts.push(place.because.len());
                because.ids.extend(place.because.iter().map(|id| ByteArray::from(id.as_str())));
            }
        }
        if self.is_full() { self.write_group().map_err(failed) } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<&File> {
        self.write_group().map_err(failed)?;
        self.file.finish().map_err(failed)?;
        Ok(self.file.inner())
    }
}

/// Where lists begin (repetition 0) and which of them are empty (definition 0). Of lists of lists: where outer (0) and
/// inner ones (1) begin, and which outer (0) and inner ones (1) are empty.
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

    /// Of lists of so many lists, which have `counts` elements in turn.
    fn of_lists(lengths: &[usize], counts: &[usize]) -> Self {
        let mut levels = Self { definition: Vec::new(), repetition: Vec::new() };
        let mut counts = counts.iter();
        for &length in lengths {
            if length == 0 {
                levels.definition.push(0);
                levels.repetition.push(0);
            }
            for (place, &count) in counts.by_ref().take(length).enumerate() {
                for element in 0..count.max(1) {
                    levels.definition.push(if count > 0 { 2 } else { 1 });
                    levels.repetition.push(if element > 0 { 2 } else { i16::from(place > 0) });
                }
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
