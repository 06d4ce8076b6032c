//! Event and item files as they come: what `prepare` would make of them, and what to type for it.

use std::path::Path;

use anyhow::Result;
use indicatif::BinaryBytes;
use serde_json::json;
use upnext_data::calendar::{date, is_unix_time};
use upnext_tables::{Compression, Kind, Peek, RowCount};

use super::Finding;
use super::draw::{self, Facts};
use crate::say;

pub(super) fn inspect(path: &Path) -> Result<Finding> {
    let peek = upnext_tables::peek(path)?;
    let command = command(&peek, path);
    let text = format!("{}\n{}\n{}", facts(&peek).text(), rows(&peek), verdict(&peek, &command));
    let json = json!({
        "file": peek.path,
        "files": peek.files,
        "bytes": peek.bytes,
        "compression": peek.compression,
        "format": peek.format,
        "columns": peek.columns,
        "prepare": peek.kind,
        "row_count": peek.row_count,
        "rows": peek.rows,
        "time_unit": peek.time_unit,
        "times": peek.times,
        "bad_rows": peek.bad_rows,
        "first_bad_row": peek.first_bad_row,
        "command": command,
    });
    Ok(Finding { text, json })
}

fn facts(peek: &Peek) -> Facts {
    let mut facts = Facts::default();
    if peek.files > 1 {
        facts.add("files", format!("{}, of which {} is shown", say::count(peek.files), peek.path.display()));
    }
    let packed = match peek.compression {
        Compression::None => String::new(),
        packed => format!(", compressed ({})", format!("{packed:?}").to_lowercase()),
    };
    facts.add("format", format!("{}{packed}", name(peek)));
    facts.add("size", BinaryBytes(peek.bytes).to_string());
    facts.add(
        "rows",
        match peek.row_count {
            RowCount::Exactly(rows) => say::count(rows),
            RowCount::About(rows) => format!("about {}", say::count(rows)),
        },
    );
    for role in ["user", "item", "time"] {
        let column = peek.columns.iter().find(|column| column.role == Some(role));
        let column = column.map(|column| format!("column {:?}", column.name));
        let none = if peek.kind == Kind::Events { "the order of the lines" } else { "no column found" };
        facts.add(role, column.unwrap_or_else(|| none.to_owned()));
    }
    if let Some(unit) = peek.time_unit {
        let span = peek.times.filter(|(_, last)| is_unix_time(*last));
        let span = span.map(|(first, last)| format!(", {} to {} in the rows read", date(first), date(last)));
        facts.add("times", format!("{}{}", unit.name(), span.unwrap_or_default()));
    }
    facts
}

/// The format's name on the command line.
fn name(peek: &Peek) -> String {
    serde_json::to_value(peek.format)
        .ok()
        .and_then(|name| Some(name.as_str()?.to_owned()))
        .unwrap_or_default()
}

fn rows(peek: &Peek) -> String {
    let mut rows = vec![peek.columns.iter().map(|column| column.name.clone()).collect()];
    rows.extend(peek.rows.iter().cloned());
    draw::table(&rows, &[], draw::width())
}

fn verdict(peek: &Peek, command: &str) -> String {
    let mut text = match &peek.kind {
        Kind::Events if peek.bad_rows > 0 => {
            let (bad, first) = (say::count(peek.bad_rows), peek.first_bad_row.as_deref().unwrap_or_default());
            format!(
                "{bad} of the rows read are bad; prepare stops at the first unless --max-bad-rows allows for them:\n  {first}\n"
            )
        }
        Kind::Events => String::new(),
        Kind::Items => {
            "It has items, but neither users nor times: an item file to go with events.\n".to_owned()
        }
        Kind::Refused(reason) => format!("prepare would refuse it:\n  {reason}\n"),
    };
    text.push_str(&format!("next: {command}\n"));
    text
}

/// What to type next; words in capitals are for the reader to fill in.
fn command(peek: &Peek, path: &Path) -> String {
    let path = quoted(&path.to_string_lossy());
    if peek.kind == Kind::Items {
        return format!("upnext prepare EVENTS --items {path} --out DATA");
    }
    let mut command = format!("upnext prepare {path}");
    if let Kind::Refused(_) = peek.kind {
        for role in ["user", "item", "time"] {
            if !peek.columns.iter().any(|column| column.role == Some(role)) {
                command.push_str(&format!(" --{role} COLUMN"));
            }
        }
    }
    command.push_str(" --out DATA");
    command
}

/// A path as a shell takes it for one word, patterns unexpanded.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._/-+=,@:%\\".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted("logs/a-1.csv.gz"), "logs/a-1.csv.gz");
        assert_eq!(quoted("my logs/*.csv"), "'my logs/*.csv'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
