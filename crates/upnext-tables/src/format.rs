//! Which format a file is in: by content, then by extension, or as it was told.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::columns::{ITEM, TIME, USER};
use crate::error::{Error, Result};
use crate::movielens;
use crate::parquet;

/// How the rows of a file are written. Compression is recognised apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A header and comma-separated fields (RFC 4180).
    Csv,
    /// A header and tab-separated fields, quoted like CSV.
    Tsv,
    /// A JSON object a line.
    #[serde(rename = "jsonl")]
    JsonLines,
    /// Parquet: its top-level columns of one value a row.
    Parquet,
    /// `MovieLens`: fields between `::` (`ratings.dat`, `movies.dat`) or, in `u.data`, tabs; no header.
    MovieLens,
    /// `RecBole` atomic files: tab-separated, with a type behind each name of the header (`user_id:token`).
    RecBole,
    /// `user item` a line, without a header, in order; the time is the position within the user, from 1.
    SasRec,
}

impl Format {
    /// The names by which formats are asked for.
    pub const NAMES: [&str; 7] = ["csv", "tsv", "jsonl", "parquet", "movielens", "recbole", "sasrec"];
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            "movielens" => Ok(Self::MovieLens),
            "recbole" => Ok(Self::RecBole),
            "sasrec" => Ok(Self::SasRec),
            _ => Err(Error::UnknownFormatName { name: name.into() }),
        }
    }
}

/// Lines at the beginning of a file that decide whether it is `user item` text.
const SAMPLE_LINES: usize = 100;

/// Recognises the format from the first bytes of the (decompressed) text.
///
/// In this order: `PAR1` is Parquet; an object is JSON lines; types behind the names of a tab-separated header are `RecBole`; a first
/// line that has one of the names `told`, or a common one, is the header of CSV or TSV; `::` or four numbers between
/// tabs are `MovieLens`; a file whose first lines all have two words is `SASRec` text, unless its extension says
/// otherwise; then the extension; then the separator of the first line.
pub(crate) fn recognise(path: &Path, head: &[u8], told: &[&str]) -> Result<Format> {
    if head.starts_with(parquet::MAGIC) {
        return Ok(Format::Parquet);
    }
    let mut lines = head.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let Some(first) = lines.next() else {
        return Err(Error::Empty { path: path.into() });
    };
    if first.starts_with(b"{") {
        return Ok(Format::JsonLines);
    }
    if is_recbole(first) {
        return Ok(Format::RecBole);
    }
    let has_name =
        |separator: u8| first.split(|&b| b == separator).map(unquoted).any(|name| is_name(name, told));
    for (separator, format) in [(b'\t', Format::Tsv), (b',', Format::Csv)] {
        if first.contains(&separator) && has_name(separator) {
            return Ok(format);
        }
    }
    let extension = extension(path);
    if movielens::separator(first).is_some() && !matches!(extension.as_str(), "csv" | "tsv") {
        return Ok(Format::MovieLens);
    }
    if first.contains(&b';') && has_name(b';') {
        return Err(Error::Semicolons { path: path.into() });
    }
    let sample = || std::iter::once(first).chain(lines.clone()).take(SAMPLE_LINES);
    // The last line of the sample may be cut short, so it is not asked, unless it is the only one.
    let asked = sample().count().saturating_sub(1).max(1);
    let of_two_words = sample().take(asked).all(|line| words(line) == 2 && !line.contains(&b','));
    match extension.as_str() {
        "csv" => Ok(Format::Csv),
        "tsv" => Ok(Format::Tsv),
        _ if of_two_words && !has_name(b' ') => Ok(Format::SasRec),
        _ if first.contains(&b'\t') => Ok(Format::Tsv),
        _ if first.contains(&b',') => Ok(Format::Csv),
        _ => Err(Error::UnknownFormat { path: path.into() }),
    }
}

fn is_name(name: &[u8], told: &[&str]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    told.contains(&name) || [USER, ITEM, TIME].iter().any(|role| role.is_common(name))
}

/// Whether every name of a tab-separated header ends in one of `RecBole`'s types.
fn is_recbole(header: &[u8]) -> bool {
    let types: [&[u8]; 4] = [b":token", b":token_seq", b":float", b":float_seq"];
    header.split(|&b| b == b'\t').all(|name| types.iter().any(|kind| name.ends_with(kind)))
}

/// The extension in lower case, that of the text inside where the file is compressed.
fn extension(path: &Path) -> String {
    let of = |path: &Path| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match of(path).as_str() {
        "zst" | "gz" | "xz" => of(Path::new(path.file_stem().unwrap_or_default())),
        other => other.to_owned(),
    }
}

fn unquoted(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    field.strip_prefix(b"\"").and_then(|f| f.strip_suffix(b"\"")).unwrap_or(field)
}

fn words(line: &[u8]) -> usize {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, head: &str, expected: Option<Format>) {
        let found = recognise(Path::new(name), head.as_bytes(), &["who"]).ok();
        assert_eq!(found, expected, "{name}: {head:?}");
    }

    #[test]
    fn content_is_asked_before_the_extension() {
        check("a.txt", "user_id,item_id,timestamp\n1,2,3\n", Some(Format::Csv));
        check("a.csv", "user_id\titem_id\ttimestamp\n", Some(Format::Tsv));
        check("a.txt", "\"user_id\"\t\"item_id\"\n", Some(Format::Tsv));
        check("ratings.txt", "userId,movieId,rating,timestamp\n1,2,3,4\n", Some(Format::Csv));
        check("a.txt", "who\twhat\n1\t2\n", Some(Format::Tsv));
        check("a.txt", "1 2\n1 3\n", Some(Format::SasRec));
        check("a.txt.zst", "1\t2\n1\t3\n", Some(Format::SasRec));
        check("a", "\n\n1 2", Some(Format::SasRec));
        check("a.csv", "{\"user_id\": 1}\n", Some(Format::JsonLines));
        check("ratings.dat", "1::1193::5::978300760\n", Some(Format::MovieLens));
        check("u.data", "196\t242\t3\t881250949\n", Some(Format::MovieLens));
        check("a.txt", "user_id:token\titem_id:token\ttimestamp:float\n1\t2\t3\n", Some(Format::RecBole));
    }

    #[test]
    fn extension_decides_where_the_content_does_not() {
        check("a.csv", "name,thing\n1,2\n", Some(Format::Csv));
        check("a.tsv.zst", "name\tthing\n1\t2\n", Some(Format::Tsv));
        check("a.CSV", "name thing\n", Some(Format::Csv));
        check("a.txt", "one,two,three\n1,2,3\n", Some(Format::Csv));
        check("a.txt", "one two three\n", None);
        check("a.txt", "user_id item_id\n1 2\n", None);
        check("a.txt", "user_id;item_id\n1;2\n", None);
        check("a.csv", "\r\n \n", None);
    }
}
