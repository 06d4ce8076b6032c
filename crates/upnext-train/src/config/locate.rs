//! Where in a configuration something is wrong, and what it is called there.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::suggest::nearest;
use crate::{Error, Result};

/// A place in a configuration: a line of a file, or an override.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named, or the override as it was given.
    pub source: String,
    /// The line, from 1, where one is known.
    pub line: Option<usize>,
    /// The line's text and the bytes of it to point at.
    shown: Option<(String, Range<usize>)>,
}

impl Place {
    /// An override on the command line.
    pub(super) fn of_override(key: &str, value: &str) -> Self {
        Self { source: format!("{key}={value}"), ..Self::default() }
    }

    fn of_span(path: &Path, text: &str, span: Option<Range<usize>>) -> Self {
        let source = path.display().to_string();
        let Some(span) = span.filter(|span| text.is_char_boundary(span.start.min(text.len()))) else {
            return Self { source, ..Self::default() };
        };
        let at = span.start.min(text.len());
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let end = span.end.saturating_sub(start).min(line.len()).max(at - start);
        let shown = Some((line.to_owned(), at - start..end));
        Self { source, line: Some(text[..start].matches('\n').count() + 1), shown }
    }

    /// The line with a caret under what is wrong, to follow the message; empty where no line is known.
    pub(crate) fn excerpt(&self) -> String {
        let (Some(line), Some((text, columns))) = (self.line, &self.shown) else { return String::new() };
        let gutter = " ".repeat(line.to_string().len());
        let letters = |range: Range<usize>| text.get(range).map_or(0, |part| part.chars().count());
        let (before, under) = (letters(0..columns.start), letters(columns.clone()).max(1));
        let (indent, carets) = (" ".repeat(before), "^".repeat(under));
        format!("\n{gutter} |\n{line} | {text}\n{gutter} | {indent}{carets}")
    }
}

/// `file:line`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => write!(f, "{}", self.source),
        }
    }
}

/// Place and message of an error in a file.
pub(super) fn explain(error: &toml::de::Error, text: &str, path: &Path) -> (Place, String) {
    let keys = keys(text);
    let span = match refused(error.message()) {
        Some(name) => keys.iter().find(|key| key.name == name).map(|key| key.key.start..key.value.end),
        None => error.span(),
    };
    let (_, message) = describe(error, &keys);
    (Place::of_span(path, text, span), message)
}

/// Key and message of an error in a configuration that was put together from overrides.
pub(super) fn explain_override(error: &toml::de::Error, text: &str) -> (Option<String>, String) {
    describe(error, &keys(text))
}

/// The key in a message about a value that its type admits and its meaning does not.
fn refused(message: &str) -> Option<&str> {
    let (name, rest) = message.strip_prefix('`')?.split_once('`')?;
    rest.starts_with(" is ").then_some(name)
}

fn describe(error: &toml::de::Error, keys: &[Key]) -> (Option<String>, String) {
    let message = error.message();
    if let Some(name) = refused(message) {
        return (Some(name.to_owned()), message.to_owned());
    }
    let at = error.span().map_or(usize::MAX, |span| span.start);
    let name = keys.iter().rev().find(|key| key.key.contains(&at) || key.value.contains(&at));
    let name = name.map(|key| key.name.clone());
    let message = match (&name, words(message)) {
        (Some(name), Some(("field", _, known))) => unknown_key(name, &known),
        (Some(name), Some(("variant", found, known))) => {
            format!("`{name}` is \"{found}\", which is unknown: {}", choices(found, &known))
        }
        (Some(name), None) => format!("`{name}`: {}", plain(message)),
        _ => plain(message),
    };
    (name, message)
}

/// A message of the parser without the names of our types.
fn plain(message: &str) -> String {
    let Some((what, expected)) = message.rsplit_once("expected ") else { return message.to_owned() };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i64" | "i32" => "a whole number",
        "f32" | "f64" => "a number",
        other if other.starts_with("struct ") => "a table of keys",
        other => other,
    };
    format!("{what}expected {expected}")
}

/// Serde's `unknown field|variant `x`, expected one of `a`, `b`` in parts.
fn words(message: &str) -> Option<(&str, &str, Vec<&str>)> {
    let (kind, rest) = message.strip_prefix("unknown ")?.split_once(" `")?;
    let (found, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).collect();
    matches!(kind, "field" | "variant").then_some((kind, found, known))
}

fn unknown_key(name: &str, known: &[&str]) -> String {
    let word = name.rsplit('.').next().unwrap_or(name);
    format!("unknown key `{name}`: {}", choices(word, known))
}

fn choices(found: &str, known: &[&str]) -> String {
    match nearest(found, known.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!(
            "known are {}",
            known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// A key of a document: its dotted name and where it and its value stand.
struct Key {
    name: String,
    key: Range<usize>,
    value: Range<usize>,
}

/// All keys of a document, a table before its keys; what can be read of it when it is not whole.
fn keys(text: &str) -> Vec<Key> {
    let (document, _errors) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    collect(document.get_ref(), "", &mut found);
    found
}

fn collect(table: &DeTable<'_>, prefix: &str, found: &mut Vec<Key>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        found.push(Key { name: name.clone(), key: key.span(), value: value.span() });
        if let DeValue::Table(inner) = value.get_ref() {
            collect(inner, &format!("{name}."), found);
        }
    }
}

/// Puts `value` at the dotted `key` of a configuration's table.
///
/// # Errors
/// When the key does not name a value of one of the sections.
pub(super) fn put(table: &mut toml::Table, key: &str, value: &str) -> Result<()> {
    let refuse = |message| Error::Config { place: Place::of_override(key, value), message };
    let Some((section, name)) = key.split_once('.') else {
        return Err(refuse(format!("`{key}` names no value: give it with its section, such as train.lr")));
    };
    let known: Vec<String> = table.keys().cloned().collect();
    let Some(mut keys) = table.get_mut(section).and_then(toml::Value::as_table_mut) else {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(refuse(unknown_key(section, &known)));
    };
    // A table within a section, such as model.tower, begins with its first value.
    let (inner, name) = name.rsplit_once('.').map_or((None, name), |(inner, name)| (Some(inner), name));
    for part in inner.into_iter().flat_map(|inner| inner.split('.')) {
        let table = keys.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        keys = table.as_table_mut().ok_or_else(|| refuse(format!("`{part}` in `{key}` is no table")))?;
    }
    match name {
        "users" => drop(keys.remove("tokens")),
        "tokens" => drop(keys.remove("users")),
        _ => {}
    }
    keys.insert(name.to_owned(), parsed(value));
    Ok(())
}

/// Text as a TOML value, or as a string when it is none.
fn parsed(text: &str) -> toml::Value {
    let table: Option<toml::Table> = toml::from_str(&format!("value = {text}")).ok();
    let value = table.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}
