//! What a log says of an event beside item and time.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Strings};

/// A column of events, such as `rating` or `device`.
#[derive(Clone, Debug)]
pub struct EventColumn {
    /// Its name.
    pub name: String,
    /// One value an event.
    pub values: EventValues,
}

/// The values of an event column.
#[derive(Clone, Debug)]
pub enum EventValues {
    /// Numbers; NaN where there is none.
    Numbers(Vec<f32>),
    /// Categories: of each event the place in the vocabulary, which is in byte order
    /// and begins with the empty text, for no value.
    Categories {
        /// One an event.
        codes: Vec<u32>,
        /// The text of each code.
        vocabulary: Strings,
    },
}

/// What kind of values an event column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// [`EventValues::Numbers`]
    Number,
    /// [`EventValues::Categories`]
    Category,
}

impl EventColumn {
    /// What kind of values it has.
    #[must_use]
    pub fn kind(&self) -> ColumnKind {
        match self.values {
            EventValues::Numbers(_) => ColumnKind::Number,
            EventValues::Categories { .. } => ColumnKind::Category,
        }
    }

    /// How many events it has values of.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.values {
            EventValues::Numbers(values) => values.len(),
            EventValues::Categories { codes, .. } => codes.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as 32 bits each: a number's bits, or a code.
    pub(crate) fn bits(&self, events: std::ops::Range<usize>) -> Vec<u32> {
        match &self.values {
            EventValues::Numbers(values) => values[events].iter().map(|value| value.to_bits()).collect(),
            EventValues::Categories { codes, .. } => codes[events].to_vec(),
        }
    }

    /// Refuses another number of values than `events`, and codes outside the vocabulary.
    pub(crate) fn check(&self, events: usize) -> Result<()> {
        let entries = |expected, found| Error::Entries { what: self.name.clone(), expected, found };
        if self.len() != events {
            return Err(entries(events, self.len()));
        }
        if let EventValues::Categories { codes, vocabulary } = &self.values
            && let Some(event) = codes.iter().position(|&code| code as usize >= vocabulary.len())
        {
            let (code, codes) = (codes[event], vocabulary.len());
            return Err(Error::NoSuchCode { column: self.name.clone(), event, code, codes });
        }
        Ok(())
    }
}

/// Equal in every bit, so that a missing number equals a missing number.
impl PartialEq for EventColumn {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.values, &other.values) {
            (EventValues::Numbers(_), EventValues::Numbers(_)) => true,
            (
                EventValues::Categories { vocabulary: one, .. },
                EventValues::Categories { vocabulary: two, .. },
            ) => one == two,
            _ => false,
        };
        same && self.name == other.name
            && self.len() == other.len()
            && self.bits(0..self.len()) == other.bits(0..other.len())
    }
}

impl Eq for EventColumn {}
