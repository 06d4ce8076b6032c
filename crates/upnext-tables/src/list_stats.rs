//! What a file of lists holds, be it of `generate` or of `evaluate --predictions`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use upnext_data::spread::{gini, top_share};

use crate::columns::TIME;
use crate::error::{Error, Result};
use crate::fields;
use crate::format;
use crate::intern::Keys;
use crate::source::Source;
use crate::table::{self, Rows, Value};

/// The columns of every file of lists; there may be others, such as titles.
const COLUMNS: [&str; 4] = ["user_id", "rank", "item_id", "score"];

/// Counts over a file of lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ListStats {
    /// Rows.
    pub rows: u64,
    /// Lists: a list begins where the user changes or the rank is 1.
    pub lists: u64,
    /// Users that have one.
    pub users: usize,
    /// Items of the longest list.
    pub length: u64,
    /// Lists that are shorter than the longest.
    pub short: u64,
    /// Distinct items: what of the catalogue the lists cover.
    pub items: usize,
    /// The share of rows that the most listed 1 % of these items have.
    pub top_1_percent: f64,
    /// How unequally these items are listed: 0 when all are as often.
    pub gini: f64,
    /// The lowest score.
    pub lowest_score: Option<f64>,
    /// The highest score.
    pub highest_score: Option<f64>,
    /// Rows whose rank does not follow the one before it in the list, which counts from 1.
    pub out_of_order: u64,
    /// Rows with a higher score than the one before it in the list.
    pub rising: u64,
    /// Rows whose score is no finite number.
    pub without_score: u64,
}

/// The list that is being read.
#[derive(Default)]
struct Current {
    user: Option<u32>,
    length: u64,
    score: Option<f64>,
}

impl ListStats {
    /// Reads a file of lists; `None` where its columns are not those of one.
    ///
    /// # Errors
    /// When it cannot be read, or a row has no user or no item.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        Self::read_all(&[path.to_owned()])
    }

    /// The same of files that follow each other, as the parts of a job do.
    ///
    /// # Errors
    /// As there.
    pub fn read_all(paths: &[PathBuf]) -> Result<Option<Self>> {
        let (mut users, mut items) = (Keys::default(), Keys::default());
        let (mut stats, mut counts, mut lengths) = (Self::default(), Vec::new(), Vec::new());
        let mut current = Current::default();
        for path in paths {
            let Some(mut file) = open(path)? else { return Ok(None) };
            while let Some(place) = file.advance()? {
                let refuse = |problem| Error::Row { path: path.into(), place, problem };
                file.check().map_err(refuse)?;
                let number = |keys: &mut Keys, column: usize| {
                    let mut digits = itoa::Buffer::new();
                    let key =
                        fields::key_of(COLUMNS[column], file.value(column), &mut digits).map_err(refuse)?;
                    let many = || Error::TooManyKeys { what: "users or items" };
                    keys.number(key.as_bytes()).ok_or_else(many)
                };
                let (user, item) = (number(&mut users, 0)?, number(&mut items, 2)?);
                let rank = rank(file.value(1));
                counts.resize(items.len(), 0);
                counts[item as usize] += 1;
                if current.user != Some(user) || rank == Some(1) {
                    lengths.extend(current.user.map(|_| current.length));
                    current = Current { user: Some(user), length: 0, score: None };
                }
                stats.add(&mut current, rank, score(file.value(3)));
            }
        }
        lengths.extend(current.user.map(|_| current.length));
        stats.length = lengths.iter().copied().max().unwrap_or(0);
        stats.short = lengths.iter().filter(|&&length| length < stats.length).count() as u64;
        (stats.lists, stats.users, stats.items) = (lengths.len() as u64, users.len(), items.len());
        stats.top_1_percent = top_share(counts.clone(), 1);
        stats.gini = gini(counts);
        Ok(Some(stats))
    }

    /// Adds the next row of the current list.
    fn add(&mut self, current: &mut Current, rank: Option<u64>, score: Option<f64>) {
        self.rows += 1;
        current.length += 1;
        self.out_of_order += u64::from(rank != Some(current.length));
        let Some(score) = score else {
            self.without_score += 1;
            return;
        };
        self.rising += u64::from(current.score.is_some_and(|before| score > before));
        current.score = Some(score);
        self.lowest_score = Some(self.lowest_score.map_or(score, |lowest| lowest.min(score)));
        self.highest_score = Some(self.highest_score.map_or(score, |highest| highest.max(score)));
    }
}

/// The rows of a file of lists; none where its columns are not those of one.
fn open(path: &Path) -> Result<Option<Box<dyn Rows>>> {
    let source = Source::open(path)?;
    let format = format::recognise(path, source.text.head(), &COLUMNS)?;
    let table = table::open(source, format)?;
    let place = |name: &str| table.columns().iter().position(|column| column == name);
    let wanted: Vec<usize> = COLUMNS.iter().filter_map(|name| place(name)).collect();
    // Ranks and scores with a time are somebody's log.
    if wanted.len() < COLUMNS.len() || table.columns().iter().any(|column| TIME.is_common(column)) {
        return Ok(None);
    }
    table.select(&wanted).map(Some)
}

/// A rank, which every format may write as text or as a number.
fn rank(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Text(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
        Value::Whole(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

/// A score, if it is a finite number.
fn score(value: Value<'_>) -> Option<f64> {
    let score = match value {
        Value::Text(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok()?,
        Value::Whole(number) => number as f64,
        Value::Real(number) => number,
        Value::Missing | Value::Instant(_) => return None,
    };
    score.is_finite().then_some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Option<ListStats> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        ListStats::read(&path).unwrap()
    }

    #[test]
    fn lists_are_counted_by_hand() {
        let text = "user_id,rank,item_id,score\na,1,x,-1\na,2,y,-2.5\nb,1,x,-0.5\nb,1,x,-3\nb,2,z,-4\n";
        let stats = read("lists.csv", text).unwrap();
        assert_eq!((stats.rows, stats.lists, stats.users, stats.items), (5, 3, 2, 3));
        assert_eq!((stats.length, stats.short), (2, 1));
        assert_eq!((stats.lowest_score, stats.highest_score), (Some(-4.0), Some(-0.5)));
        assert_eq!((stats.out_of_order, stats.rising, stats.without_score), (0, 0, 0));
        assert_eq!(stats.top_1_percent, 0.6);
        let json = "{\"user_id\":\"a\",\"rank\":1,\"item_id\":\"x\",\"score\":-1,\"title\":\"X\",\"because\":[\"y\"]}\n";
        let stats = read("lists.jsonl", json).unwrap();
        assert_eq!((stats.rows, stats.lists, stats.lowest_score), (1, 1, Some(-1.0)));
    }

    #[test]
    fn what_no_list_should_have_is_counted() {
        let text = "user_id,rank,item_id,score\na,1,x,1\na,3,y,2\na,last,z,nan\n";
        let stats = read("lists.csv", text).unwrap();
        assert_eq!((stats.out_of_order, stats.rising, stats.without_score), (2, 1, 1));
    }

    #[test]
    fn other_tables_are_no_lists() {
        assert_eq!(read("a.csv", "user_id,item_id,timestamp\na,x,1\n"), None);
        assert_eq!(read("a.csv", "user_id,rank,item_id,score,date\na,1,x,1,2020-01-31\n"), None);
        assert_eq!(read("a.txt", "1 2\n1 3\n"), None);
        assert_eq!(read("a.csv", "user_id,rank,item_id,score\n"), Some(ListStats::default()));
    }
}
