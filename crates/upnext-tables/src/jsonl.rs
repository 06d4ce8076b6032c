//! JSON lines: an object a line.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::error::{Place, Problem, Result};
use crate::fields;
use crate::lines::Lines;
use crate::source::Text;
use crate::table::{Rows, Table, Value};

/// A file of objects. Its columns are the keys that the objects at its beginning have, in order of first sight.
pub(crate) struct JsonLines {
    path: PathBuf,
    lines: Lines,
    columns: Vec<String>,
    /// Each column that is wanted, once.
    wanted: Vec<String>,
    /// For each selected column its place among `wanted`.
    places: Vec<usize>,
    line: Vec<u8>,
    row: std::result::Result<Vec<Field>, Problem>,
}

/// A value of the row, as far as it can be one of ours.
enum Field {
    Missing,
    Text(String),
    Whole(i64),
    Real(f64),
}

impl JsonLines {
    /// Looks at the whole lines of the beginning for their keys.
    pub(crate) fn open(path: &Path, text: Text) -> Result<Self> {
        let mut columns: Vec<String> = Vec::new();
        let head = text.head();
        let mut lines: Vec<&[u8]> = head.split(|&b| b == b'\n').collect();
        if lines.len() > 1 {
            // The last one may be cut short.
            lines.pop();
        }
        for line in lines.iter().map(|line| line.trim_ascii()).filter(|line| !line.is_empty()) {
            // A bad line is told when its row is read.
            if let Ok(Json::Object(row)) = serde_json::from_slice(line) {
                for (key, _) in row {
                    if !columns.contains(&key) {
                        columns.push(key);
                    }
                }
            }
        }
        let (path, wanted, places, line) = (path.into(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { path, lines: Lines::new(text), columns, wanted, places, line, row: Ok(Vec::new()) })
    }

    /// The keys that any object of a file has, in order of first sight.
    pub(crate) fn all_columns(path: &Path, text: Text) -> Result<Vec<String>> {
        let (mut lines, mut line, mut columns) = (Lines::new(text), Vec::new(), Vec::new());
        while lines.next_filled(&mut line, path)?.is_some() {
            if let Ok(Json::Object(row)) = serde_json::from_slice(&line) {
                columns.extend(
                    row.into_iter()
                        .map(|(key, _)| key)
                        .filter(|key| !columns.contains(key))
                        .collect::<Vec<_>>(),
                );
            }
        }
        Ok(columns)
    }

    /// The same file with these columns.
    pub(crate) fn with_columns(self, columns: Vec<String>) -> Self {
        Self { columns, ..self }
    }

    fn parse(&self) -> std::result::Result<Vec<Field>, Problem> {
        let refuse = |reason: String| {
            let value = fields::shorten(&self.line);
            Problem::Json { value, reason }
        };
        let row: Json = serde_json::from_slice(&self.line).map_err(|error| refuse(without_line(&error)))?;
        let Json::Object(mut row) = row else {
            return Err(refuse("an object such as {\"user_id\": …} is expected".into()));
        };
        let field = |name: &String| match row.remove(name) {
            None | Some(Json::Null) => Ok(Field::Missing),
            Some(Json::String(text)) => Ok(Field::Text(text)),
            Some(Json::Bool(value)) => Ok(Field::Text(value.to_string())),
            Some(Json::Number(number)) => Ok(match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Field::Whole(whole),
                (None, Some(real)) if !number.is_u64() => Field::Real(real),
                _ => Field::Text(number.to_string()),
            }),
            // Lists of words, such as genres, read like the `a|b` of other files.
            Some(Json::Array(values)) if values.iter().all(Json::is_string) => {
                Ok(Field::Text(values.iter().filter_map(Json::as_str).collect::<Vec<_>>().join("|")))
            }
            Some(Json::Array(_) | Json::Object(_)) => Err(Problem::Nested { column: name.clone() }),
        };
        self.wanted.iter().map(field).collect()
    }
}

/// What the parser says; its lines are always the first.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    format!("{reason} at byte {}", error.column())
}

impl Table for JsonLines {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn header(&self) -> Place {
        Place::Line(1)
    }

    fn select(mut self: Box<Self>, wanted: &[usize]) -> Result<Box<dyn Rows>> {
        for &index in wanted {
            let name = &self.columns[index];
            let place = self.wanted.iter().position(|known| known == name).unwrap_or(self.wanted.len());
            if place == self.wanted.len() {
                self.wanted.push(name.clone());
            }
            self.places.push(place);
        }
        Ok(self)
    }
}

impl Rows for JsonLines {
    fn advance(&mut self) -> Result<Option<Place>> {
        let place = self.lines.next_filled(&mut self.line, &self.path)?;
        if place.is_some() {
            self.row = self.parse();
        }
        Ok(place)
    }

    fn check(&self) -> std::result::Result<(), Problem> {
        self.row.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn value(&self, index: usize) -> Value<'_> {
        match self.row.as_ref().ok().zip(self.places.get(index)).and_then(|(row, &place)| row.get(place)) {
            None | Some(Field::Missing) => Value::Missing,
            Some(Field::Text(text)) => Value::Text(text.as_bytes()),
            Some(Field::Whole(number)) => Value::Whole(*number),
            Some(Field::Real(number)) => Value::Real(*number),
        }
    }
}
