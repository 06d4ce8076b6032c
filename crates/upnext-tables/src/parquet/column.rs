//! One column of a row group, some rows of it decoded.

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType, FixedLenByteArray, Int96};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::schema::types::ColumnDescriptor;

use crate::table::Value;

const DAY: i64 = 86_400_000_000;

/// What the stored values mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    /// Whole numbers as they are.
    Whole,
    /// Whole numbers whose bits are unsigned.
    Unsigned,
    /// Instants, so many of which are a microsecond, or each of which is so many.
    Instant { times: i64, over: i64 },
    /// Whole numbers over ten to this power.
    Decimal(i32),
    /// Numbers.
    Real,
    /// Text, or bytes that may be text.
    Text,
    /// Truth values.
    Truth,
}

impl Meaning {
    /// `None` for types that hold nothing of ours.
    pub(super) fn of(column: &ColumnDescriptor) -> Option<Self> {
        let whole = match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Timestamp(kind)), _) => match kind.unit {
                TimeUnit::MILLIS => Self::Instant { times: 1000, over: 1 },
                TimeUnit::MICROS => Self::Instant { times: 1, over: 1 },
                TimeUnit::NANOS => Self::Instant { times: 1, over: 1000 },
            },
            (_, ConvertedType::TIMESTAMP_MILLIS) => Self::Instant { times: 1000, over: 1 },
            (_, ConvertedType::TIMESTAMP_MICROS) => Self::Instant { times: 1, over: 1 },
            (Some(LogicalType::Date), _) | (_, ConvertedType::DATE) => Self::Instant { times: DAY, over: 1 },
            (Some(LogicalType::Integer(kind)), _) if !kind.is_signed => Self::Unsigned,
            (_, ConvertedType::UINT_32 | ConvertedType::UINT_64) => Self::Unsigned,
            (Some(LogicalType::Decimal(kind)), _) => Self::Decimal(kind.scale),
            (_, ConvertedType::DECIMAL) => Self::Decimal(column.type_scale()),
            _ => Self::Whole,
        };
        match column.physical_type() {
            Type::BOOLEAN => Some(Self::Truth),
            Type::INT32 | Type::INT64 if whole == Self::Decimal(0) => Some(Self::Whole),
            Type::INT32 | Type::INT64 => Some(whole),
            Type::INT96 => Some(Self::Instant { times: 1, over: 1 }),
            Type::FLOAT | Type::DOUBLE => Some(Self::Real),
            Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY if matches!(whole, Self::Decimal(_)) => None,
            Type::BYTE_ARRAY => Some(Self::Text),
            Type::FIXED_LEN_BYTE_ARRAY => match column.logical_type_ref() {
                Some(LogicalType::Float16 | LogicalType::Uuid) => None,
                _ => Some(Self::Text),
            },
        }
    }
}

/// Decoded rows.
enum Cells {
    Whole(Vec<i64>),
    /// Whole numbers beyond 2^63 have their digits.
    Unsigned(Vec<String>),
    Instant(Vec<i64>),
    Real(Vec<f64>),
    Text(Vec<ByteArray>),
    Truth(Vec<bool>),
}

pub(super) struct Column {
    /// Its place among the leaves of the schema.
    pub(super) leaf: usize,
    meaning: Meaning,
    /// The definition level of a value that is there.
    full: i16,
    reader: Option<ColumnReader>,
    /// Of each row the place of its value; rows without one have `MISSING`. Empty where every row has one.
    places: Vec<u32>,
    cells: Cells,
}

const MISSING: u32 = u32::MAX;

impl Column {
    pub(super) fn new(leaf: usize, meaning: Meaning, full: i16) -> Self {
        Self { leaf, meaning, full, reader: None, places: Vec::new(), cells: Cells::Whole(Vec::new()) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// Goes on with the reader of a row group.
    pub(super) fn open(&mut self, reader: ColumnReader) -> Result<()> {
        self.reader = Some(reader);
        Ok(())
    }

    /// Decodes up to `rows` rows and says how many.
    pub(super) fn fill(&mut self, rows: usize) -> Result<usize> {
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let (full, places, meaning) = (self.full, &mut self.places, self.meaning);
        let (count, cells) = match reader {
            ColumnReader::BoolColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                (count, Cells::Truth(values))
            }
            ColumnReader::Int32ColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                let unsigned = meaning == Meaning::Unsigned;
                let wide =
                    |value: i32| if unsigned { i64::from(value.cast_unsigned()) } else { i64::from(value) };
                let meaning = if unsigned { Meaning::Whole } else { meaning };
                (count, numbers(values.into_iter().map(wide).collect(), meaning)?)
            }
            ColumnReader::Int64ColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                (count, numbers(values, meaning)?)
            }
            ColumnReader::Int96ColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                (count, Cells::Instant(values.iter().map(Int96::to_micros).collect()))
            }
            ColumnReader::FloatColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                (count, Cells::Real(values.into_iter().map(f64::from).collect()))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                (count, Cells::Real(values))
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                (count, Cells::Text(values))
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                let (count, values) = read(reader, rows, full, places)?;
                let text = |value: FixedLenByteArray| ByteArray::from(value.data().to_vec());
                (count, Cells::Text(values.into_iter().map(text).collect()))
            }
        };
        self.cells = cells;
        Ok(count)
    }

    /// The value of a row of the batch.
    pub(super) fn value(&self, row: usize) -> Value<'_> {
        let at = match self.places.get(row) {
            Some(&MISSING) => return Value::Missing,
            Some(&place) => place as usize,
            None => row,
        };
        match &self.cells {
            Cells::Whole(values) => Value::Whole(values[at]),
            Cells::Unsigned(values) => Value::Text(values[at].as_bytes()),
            Cells::Instant(values) => Value::Instant(values[at]),
            Cells::Real(values) => Value::Real(values[at]),
            Cells::Text(values) => Value::Text(values[at].data()),
            Cells::Truth(values) => Value::Text(if values[at] { b"true" } else { b"false" }),
        }
    }
}

/// Reads rows of a column; `places` is left empty where none is missing.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    full: i16,
    places: &mut Vec<u32>,
) -> Result<(usize, Vec<T::T>)> {
    let mut values = Vec::with_capacity(rows);
    let mut levels = Vec::new();
    let given = (full > 0).then_some(&mut levels);
    let (records, count, _) = reader.read_records(rows, given, None, &mut values)?;
    places.clear();
    let missing = || ParquetError::General("a column has fewer values than its levels say".into());
    if full == 0 || count == records {
        return if values.len() == records { Ok((records, values)) } else { Err(missing()) };
    }
    let mut next = 0;
    for &level in &levels {
        places.push(if level == full { next } else { MISSING });
        next += u32::from(level == full);
    }
    if places.len() == records && next as usize == values.len() {
        Ok((records, values))
    } else {
        Err(missing())
    }
}

/// Whole numbers as what they mean.
fn numbers(values: Vec<i64>, meaning: Meaning) -> Result<Cells> {
    let range = || ParquetError::General("an instant is out of the range of microseconds".into());
    Ok(match meaning {
        Meaning::Unsigned => {
            Cells::Unsigned(values.iter().map(|value| value.cast_unsigned().to_string()).collect())
        }
        Meaning::Instant { times, over } => {
            let micros = values.iter().map(|value| Some(value.checked_mul(times)?.div_euclid(over)));
            Cells::Instant(micros.collect::<Option<_>>().ok_or_else(range)?)
        }
        Meaning::Decimal(scale) => {
            Cells::Real(values.iter().map(|&value| value as f64 / 10_f64.powi(scale)).collect())
        }
        _ => Cells::Whole(values),
    })
}
