//! What a raw file seems to be, judged by its beginning: what `prepare` would make of it, without making it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;

use crate::columns::{ITEM, Role, TIME, USER};
use crate::error::{Error, Problem, Result};
use crate::fields;
use crate::format::{self, Format};
use crate::inputs;
use crate::source::{Compression, Source};
use crate::table::{self, Rows, Table, Value};
use crate::times::{Clock, MICROS, TimeUnit};

/// Rows that are handed out to be shown.
const SHOWN_ROWS: usize = 5;
/// Rows that are read to judge the file.
const JUDGED_ROWS: u64 = 1_000_000;

/// What a file seems to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peek {
    /// The file; the first one of a folder or pattern.
    pub path: PathBuf,
    /// How many files the folder or pattern has.
    pub files: usize,
    /// Bytes of the file on the disk.
    pub bytes: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// How its rows are written.
    pub format: Format,
    /// Its columns.
    pub columns: Vec<PeekColumn>,
    /// What `prepare` would do with it.
    pub kind: Kind,
    /// How many rows it has.
    pub row_count: RowCount,
    /// The first few rows, with a text for each column; values that are lists or objects are left empty.
    pub rows: Vec<Vec<String>>,
    /// The unit of the times, where there was a time to tell it by.
    pub time_unit: Option<TimeUnit>,
    /// The first and the last time among the rows that were read, as `prepare` would keep them.
    pub times: Option<(i64, i64)>,
    /// Rows that `prepare` would refuse, among those that were read.
    pub bad_rows: u64,
    /// Why it would refuse the first of them.
    pub first_bad_row: Option<String>,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeekColumn {
    /// Its name.
    pub name: String,
    /// `user`, `item` or `time`, where it is one of them.
    pub role: Option<&'static str>,
}

/// What `prepare` would do with a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Read it as events.
    Events,
    /// Nothing on its own: it has items, and neither users nor times.
    Items,
    /// Refuse it, for this reason, until somebody names its columns.
    Refused(String),
}

/// How many rows a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowCount {
    /// All of them were read.
    Exactly(u64),
    /// Judged by the share of the file that was read, to two digits.
    About(u64),
}

/// Looks at the beginning of a file, of the first file of a folder, or of the first that a pattern matches.
///
/// # Errors
/// Those of [`prepare`](crate::prepare()) for what cannot be read or recognised, or holds no row. A file whose columns
/// are not found is no error here: it is [`Kind::Refused`].
pub fn peek(path: &Path) -> Result<Peek> {
    peek_at(path, JUDGED_ROWS)
}

/// As [`peek`], judging the file by so many rows.
fn peek_at(path: &Path, rows_judged: u64) -> Result<Peek> {
    let files = inputs::expand(&[path.to_owned()])?;
    let Some(path) = files.first() else { return Err(Error::NoFiles) };
    let source = Source::open(path)?;
    let (bytes, compression) = (source.size, source.compression);
    let format = format::recognise(path, source.text.head(), &[])?;
    let table = table::open(source, format)?;
    let names = table.columns().to_vec();
    if names.is_empty() {
        return Err(Error::NoEvents { path: path.clone() });
    }
    let (roles, kind) = roles(table.as_ref(), path, format);
    drop(table);
    let rows = first_rows(path, format, &names)?;
    let mut peek = Peek {
        path: path.clone(),
        files: files.len(),
        bytes,
        compression,
        format,
        columns: names.iter().map(|name| PeekColumn { name: name.clone(), role: None }).collect(),
        kind,
        row_count: RowCount::Exactly(0),
        rows,
        time_unit: None,
        times: None,
        bad_rows: 0,
        first_bad_row: None,
    };
    for (name, index) in ["user", "item", "time"].into_iter().zip(roles) {
        if let Some(column) = index.and_then(|index| peek.columns.get_mut(index)) {
            column.role = Some(name);
        }
    }
    peek.judge(roles, rows_judged)?;
    match peek.row_count {
        RowCount::Exactly(0) => Err(Error::NoEvents { path: path.clone() }),
        _ => Ok(peek),
    }
}

/// The columns of user, item and time, and what `prepare` would do.
fn roles(table: &dyn Table, path: &Path, format: Format) -> ([Option<usize>; 3], Kind) {
    let find = |role: &Role| role.find(table, path, None);
    let found = [find(&USER), find(&ITEM), find(&TIME)];
    let needed = if format == Format::SasRec { 2 } else { 3 };
    let missing = |found: &Result<usize>| matches!(found, Err(Error::MissingColumn { .. }));
    let kind = match &found {
        [user, Ok(_), time] if missing(user) && missing(time) => Kind::Items,
        _ => match found[..needed].iter().find_map(|found| found.as_ref().err()) {
            Some(error) => Kind::Refused(error.to_string()),
            None => Kind::Events,
        },
    };
    (found.map(Result::ok), kind)
}

/// The first few rows. A column that cannot be shown, being a list or an object, is left empty.
fn first_rows(path: &Path, format: Format, names: &[String]) -> Result<Vec<Vec<String>>> {
    let mut shown: Vec<usize> = (0..names.len()).collect();
    loop {
        let refused = match shown_rows(path, format, names, &shown)? {
            Ok(rows) => return Ok(rows),
            Err(column) => column,
        };
        let before = shown.len();
        shown.retain(|&index| names[index] != refused);
        if shown.len() == before {
            return Ok(Vec::new());
        }
    }
}

/// The first few rows of some columns, or the name of a column that has no text.
fn shown_rows(
    path: &Path,
    format: Format,
    names: &[String],
    shown: &[usize],
) -> Result<std::result::Result<Vec<Vec<String>>, String>> {
    let mut file = match table::open(Source::open(path)?, format)?.select(shown) {
        Err(Error::ColumnType { column, .. }) => return Ok(Err(column)),
        opened => opened?,
    };
    let mut rows = Vec::new();
    while rows.len() < SHOWN_ROWS && file.advance()?.is_some() {
        match file.check() {
            Err(Problem::Nested { column }) => return Ok(Err(column)),
            // A bad row is told apart, with its reason.
            Err(_) => {}
            Ok(()) => {
                let mut row = vec![String::new(); names.len()];
                for (place, &index) in shown.iter().enumerate() {
                    row[index] = text(file.value(place));
                }
                rows.push(row);
            }
        }
    }
    Ok(Ok(rows))
}

fn text(value: Value<'_>) -> String {
    match value {
        Value::Text(bytes) => fields::shorten(bytes),
        value => {
            let (mut digits, mut number) = (itoa::Buffer::new(), String::new());
            fields::display_of("", value, &mut digits, &mut number).unwrap_or_default().to_owned()
        }
    }
}

impl Peek {
    /// Reads many rows as `prepare` would, and counts them.
    fn judge(&mut self, [user, item, time]: [Option<usize>; 3], limit: u64) -> Result<()> {
        let source = Source::open(&self.path)?;
        let meter = Rc::clone(&source.meter);
        let table = table::open(source, self.format)?;
        let names = table.columns().to_vec();
        let is_events = self.kind == Kind::Events;
        let keys = [user.filter(|_| is_events), item];
        let keys: Vec<usize> = keys.into_iter().flatten().collect();
        let time = time.filter(|_| is_events && self.format != Format::SasRec);
        let mut wanted: Vec<usize> = keys.iter().copied().chain(time).collect();
        if wanted.is_empty() {
            // Rows can be counted by any column.
            wanted.push(0);
        }
        let mut file = table.select(&wanted)?;
        let mut clock = Clock::new(None);
        let (mut rows, mut ended) = (0, false);
        while rows < limit {
            let Some(place) = file.advance()? else {
                ended = true;
                break;
            };
            rows += 1;
            match judge_row(file.as_ref(), &names, &keys, time, &mut clock) {
                Ok(None) => {}
                Ok(Some(at)) => {
                    let (first, last) = self.times.unwrap_or((at, at));
                    self.times = Some((first.min(at), last.max(at)));
                }
                Err(problem) => {
                    self.bad_rows += 1;
                    let error = || Error::Row { path: self.path.clone(), place, problem }.to_string();
                    self.first_bad_row.get_or_insert_with(error);
                }
            }
        }
        self.time_unit = clock.unit();
        let read = meter.borrow().bytes;
        self.row_count = if ended { RowCount::Exactly(rows) } else { about(rows, self.bytes, read) };
        Ok(())
    }
}

/// What `prepare` would say of a row: its time in seconds, if it has one, or what is wrong with it.
fn judge_row(
    file: &dyn Rows,
    names: &[String],
    keys: &[usize],
    time: Option<usize>,
    clock: &mut Clock,
) -> std::result::Result<Option<i64>, Problem> {
    file.check()?;
    let at = match time {
        Some(index) => Some(clock.micros(&names[index], file.value(keys.len()))?.div_euclid(MICROS)),
        None => None,
    };
    for (place, &index) in keys.iter().enumerate() {
        fields::key_of(&names[index], file.value(place), &mut itoa::Buffer::new())?;
    }
    Ok(at)
}

/// Rows of a file of which `read` bytes gave `rows`, to two digits.
fn about(rows: u64, bytes: u64, read: u64) -> RowCount {
    let all = u128::from(rows) * u128::from(bytes) / u128::from(read.max(1));
    let all = u64::try_from(all).unwrap_or(u64::MAX).max(rows);
    let unit = 10_u64.pow(all.checked_ilog10().unwrap_or(0).saturating_sub(1));
    RowCount::About(all / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str, text: &str) -> Result<Peek> {
        look_at(name, text, JUDGED_ROWS)
    }

    fn look_at(name: &str, text: &str, rows_judged: u64) -> Result<Peek> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        peek_at(&path, rows_judged)
    }

    #[test]
    fn an_event_file_is_told_by_its_columns() {
        let peek =
            look("log.csv", "movieId,userId,rating,ts\nm1,u1,5,1700000000000\nm2,u1,4,1700000001000\n");
        let peek = peek.unwrap();
        let roles: Vec<_> = peek.columns.iter().map(|column| column.role).collect();
        assert_eq!(roles, [Some("item"), Some("user"), None, Some("time")]);
        assert_eq!((peek.format, &peek.kind), (Format::Csv, &Kind::Events));
        assert_eq!(peek.time_unit, Some(TimeUnit::Milliseconds));
        assert_eq!(peek.times, Some((1_700_000_000, 1_700_000_001)));
        assert_eq!(peek.row_count, RowCount::Exactly(2));
        assert_eq!(peek.rows[1], ["m2", "u1", "4", "1700000001000"]);
    }

    #[test]
    fn what_prepare_would_refuse_is_told_in_its_words() {
        let peek = look("log.csv", "user_id,item_id,timestamp\nu,i,5\nu,i,soon\nu,,7\n").unwrap();
        assert_eq!(peek.bad_rows, 2);
        assert!(peek.first_bad_row.unwrap().contains("log.csv:3: column \"timestamp\": \"soon\""));
        let peek = look("log.csv", "person,item_id,timestamp\nu,i,5\n").unwrap();
        assert!(matches!(&peek.kind, Kind::Refused(why) if why.contains("--user")), "{:?}", peek.kind);
        assert_eq!(peek.rows, [["u", "i", "5"]]);
        assert!(matches!(look("log.csv", "user_id,item_id,timestamp\n"), Err(Error::NoEvents { .. })));
        assert!(matches!(look("log.csv", ""), Err(Error::Empty { .. })));
        assert!(matches!(look("log", "what is this\n"), Err(Error::UnknownFormat { .. })));
    }

    #[test]
    fn an_item_file_is_no_event_file() {
        let peek = look("items.jsonl", "{\"item_id\":\"a\",\"title\":\"A\",\"cast\":{\"x\":1}}\n").unwrap();
        assert_eq!((&peek.kind, peek.bad_rows), (&Kind::Items, 0));
        let row = ["a", "A", ""].map(str::to_owned);
        let by_name = |name: &str| peek.columns.iter().position(|column| column.name == name).unwrap();
        for (name, value) in ["item_id", "title", "cast"].iter().zip(row) {
            assert_eq!(peek.rows[0][by_name(name)], value);
        }
    }

    #[test]
    fn lines_without_a_time_are_in_order() {
        let peek = look("beauty.txt", "1 7\n1 9\n2 7\n").unwrap();
        assert_eq!((peek.format, &peek.kind, peek.times), (Format::SasRec, &Kind::Events, None));
    }

    #[test]
    fn long_files_are_counted_by_their_beginning() {
        let mut text = String::from("user_id,item_id,timestamp\n");
        for row in 0..200_000 {
            text.push_str(&format!("user{:07},item{:07},{}\n", row, row * 7 % 1000, 1_700_000_000 + row));
        }
        let RowCount::About(rows) = look_at("log.csv", &text, 100_000).unwrap().row_count else {
            panic!("all were read")
        };
        assert!((180_000..=210_000).contains(&rows), "{rows}");
        assert_eq!(about(10, 987_654, 100), RowCount::About(98_000));
        assert_eq!(about(10, 0, 0), RowCount::About(10));
    }
}
