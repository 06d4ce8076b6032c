//! Columns of event files that are kept beside user, item and time.

use serde::{Deserialize, Serialize};
use upnext_data::{ColumnKind, EventColumn, EventValues, Strings};

use crate::error::{Error, Problem, Result};
use crate::fields;
use crate::intern::Keys;
use crate::table::Value;

/// A column of the event files that is kept, written as `rating`, `rating:number` or `device:category`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptColumn {
    /// Its name.
    pub name: String,
    /// What kind of values it has; `None` takes that of its first value.
    pub kind: Option<ColumnKind>,
}

impl std::str::FromStr for KeptColumn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, kind) = match text.rsplit_once(':') {
            Some((name, "number")) => (name, Some(ColumnKind::Number)),
            Some((name, "category")) => (name, Some(ColumnKind::Category)),
            _ => (text, None),
        };
        if name.is_empty() {
            return Err(Error::KeptColumn { text: text.into() });
        }
        Ok(Self { name: name.into(), kind })
    }
}

/// A value of a kept column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kept<'a> {
    /// An empty field.
    Nothing,
    Number(f32),
    Category(&'a str),
}

/// The bits of nothing, in either kind: a missing number, or a category that nobody has.
const NOTHING: u32 = 0x7fc0_0000;

/// A field as a value of the kind, which the first value other than nothing decides.
pub(crate) fn kept<'a>(
    name: &str,
    value: Value<'a>,
    kind: &mut Option<ColumnKind>,
    digits: &'a mut itoa::Buffer,
) -> std::result::Result<Kept<'a>, Problem> {
    let number = match value {
        Value::Whole(number) | Value::Instant(number) => Some(number as f64),
        Value::Real(number) => Some(number),
        Value::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.trim_ascii().parse().ok()),
        Value::Missing => None,
    };
    if matches!(value, Value::Missing | Value::Text(b"")) {
        return Ok(Kept::Nothing);
    }
    let decided = if number.is_some() { ColumnKind::Number } else { ColumnKind::Category };
    match (*kind.get_or_insert(decided), value) {
        (ColumnKind::Number, _) => {
            let finite = number.map(|number| number as f32).filter(|number| number.is_finite());
            finite.map(Kept::Number).ok_or_else(|| {
                let shown = if let Value::Text(text) = value { fields::shorten(text) } else { String::new() };
                Problem::NoNumber { column: name.into(), value: shown }
            })
        }
        (ColumnKind::Category, Value::Text(text)) => fields::key(name, text).map(Kept::Category),
        (ColumnKind::Category, Value::Whole(number) | Value::Instant(number)) => {
            Ok(Kept::Category(digits.format(number)))
        }
        (ColumnKind::Category, _) => Err(Problem::RealCategory { column: name.into() }),
    }
}

/// The vocabularies of the kept columns while they are read: categories have numbers in order of first sight.
pub(crate) struct Vocabularies {
    keys: Vec<Keys>,
}

impl Vocabularies {
    /// Empty ones for `columns`.
    pub(crate) fn new(columns: usize) -> Self {
        Self { keys: (0..columns).map(|_| Keys::default()).collect() }
    }

    /// A value as 32 bits: a number's, or the category's number.
    pub(crate) fn bits(&mut self, column: usize, value: Kept<'_>) -> Result<u32> {
        match value {
            Kept::Nothing => Ok(NOTHING),
            Kept::Number(number) => Ok(number.to_bits()),
            Kept::Category(text) => {
                self.keys[column].number(text.as_bytes()).ok_or(Error::TooManyKeys { what: "categories" })
            }
        }
    }

    /// The columns with their vocabularies in byte order, and of each the code of each number.
    pub(crate) fn finish(
        self,
        columns: &[KeptColumn],
        kinds: &[Option<ColumnKind>],
    ) -> (Vec<EventColumn>, Codes) {
        let mut codes = Vec::with_capacity(columns.len());
        let mut made = Vec::with_capacity(columns.len());
        for ((column, kind), mut keys) in columns.iter().zip(kinds).zip(self.keys) {
            let values = if *kind == Some(ColumnKind::Number) {
                codes.push(Code::Number);
                EventValues::Numbers(Vec::new())
            } else {
                // The empty text stands for nothing, and in byte order it is the first.
                keys.number(b"");
                let order = keys.in_byte_order();
                let mut ranks = vec![0; order.len()];
                for (rank, &number) in order.iter().enumerate() {
                    ranks[number as usize] = rank as u32;
                }
                codes.push(Code::Category(ranks));
                let text = order.iter().map(|&number| String::from_utf8_lossy(keys.get(number)));
                EventValues::Categories { codes: Vec::new(), vocabulary: text.collect::<Strings>() }
            };
            made.push(EventColumn { name: column.name.clone(), values });
        }
        (made, Codes(codes))
    }
}

/// How the bits of each column become those of the folder.
pub(crate) struct Codes(Vec<Code>);

enum Code {
    Number,
    Category(Vec<u32>),
}

impl Codes {
    /// The values of one column out of rows of all columns.
    pub(crate) fn column(&self, column: usize, rows: &[u32], out: &mut Vec<u32>) {
        let bits = rows.iter().skip(column).step_by(self.0.len());
        out.clear();
        match &self.0[column] {
            Code::Number => out.extend(bits),
            Code::Category(ranks) => {
                out.extend(bits.map(|&number| ranks.get(number as usize).copied().unwrap_or(0)));
            }
        }
    }
}
