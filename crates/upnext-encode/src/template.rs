//! The text of an item: a template over the columns of its catalogue.
//!
//! `"{title} ({year}). {genres}"`: a column stands between braces, `{{` and `}}` are braces. What stands between two
//! columns has three parts: closing brackets and quotes belong to the column before; then comes the *separator*, up to
//! the first letter, digit or opening bracket; the rest is the *label* of the column behind. An empty column takes its
//! label and its brackets along, and a separator stands only between two columns that are there. What stands before the
//! first column and behind the last stays wherever there is a text. So an item without a year is `Heat. Crime`, one
//! without genres `Heat (1995)`, and one without anything has no text at all.
//!
//! The bars of a list, as in `Crime|Drama`, become commas; a full stop is not put behind another one.

use upnext_data::{Catalog, Strings};

use crate::{Columns, Error, Result};

/// A text with columns in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    /// What stands before and behind wherever there is a text.
    head: String,
    slots: Vec<Slot>,
    tail: String,
}

/// A column and what stands around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// Between the column before and this one, where both are there.
    separator: String,
    label: String,
    column: String,
    /// Brackets that are closed behind the column.
    closing: String,
}

/// A template and the columns of one catalogue.
pub struct Texts<'a> {
    template: &'a Template,
    columns: Vec<&'a Strings>,
}

impl Template {
    /// Takes a template apart.
    ///
    /// # Errors
    /// When a brace has no partner, or no column is named.
    pub fn parse(source: &str) -> Result<Self> {
        let refuse = |problem: String| Error::Template { template: source.to_owned(), problem };
        let (mut head, mut slots, mut literal) = (String::new(), Vec::<Slot>::new(), String::new());
        let mut rest = source.char_indices().peekable();
        while let Some((at, c)) = rest.next() {
            let doubled = matches!(c, '{' | '}') && rest.next_if(|&(_, next)| next == c).is_some();
            match c {
                '{' if !doubled => {
                    let inside = &source[at + 1..];
                    let end = inside.find(['{', '}']).filter(|&end| inside[end..].starts_with('}'));
                    let end = end.ok_or_else(|| {
                        refuse(format!("the brace at character {} is never closed", count(source, at)))
                    })?;
                    let column = inside[..end].trim();
                    if column.is_empty() {
                        return Err(refuse(format!(
                            "no column is named in the braces at character {}",
                            count(source, at)
                        )));
                    }
                    let before = std::mem::take(&mut literal);
                    let mut slot = Slot { column: column.to_owned(), ..Slot::default() };
                    match slots.last_mut() {
                        Some(last) => slot.stand_behind(last, &before),
                        None => (head, slot.label) = opening(&before),
                    }
                    slots.push(slot);
                    while rest.next_if(|&(next, _)| next <= at + 1 + end).is_some() {}
                }
                '}' if !doubled => {
                    let problem = format!(
                        "the brace at character {} closes nothing; a brace of the text is }}}}",
                        count(source, at)
                    );
                    return Err(refuse(problem));
                }
                _ => literal.push(c),
            }
        }
        let Some(last) = slots.last_mut() else {
            return Err(refuse("it names no column; write one such as {title}".to_owned()));
        };
        let (closing, tail) = closing(&literal);
        last.closing = closing.to_owned();
        Ok(Self { source: source.to_owned(), head, tail: tail.to_owned(), slots })
    }

    /// The columns in their order, one sentence each: `"{title}. {genres}"`.
    ///
    /// # Errors
    /// When a column's name holds a brace.
    pub fn of(columns: &Columns) -> Result<Self> {
        let names: Vec<String> = columns.0.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        let template = Self::parse(&names.join(". "))?;
        let read = template.slots.iter().map(|slot| slot.column.as_str());
        if read.eq(columns.0.iter().map(|(name, _)| name.as_str())) {
            Ok(template)
        } else {
            let problem = "a column's name holds a brace or begins with a space; rename it".to_owned();
            Err(Error::Template { template: template.source, problem })
        }
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Looks the columns up in a catalogue.
    ///
    /// # Errors
    /// When one is not there.
    pub fn over<'a>(&'a self, catalog: &'a Catalog) -> Result<Texts<'a>> {
        let find = |slot: &Slot| match catalog.column(&slot.column) {
            Some(column) => Ok(&column.values),
            None => Err(Error::no_column(&slot.column, catalog)),
        };
        Ok(Texts { template: self, columns: self.slots.iter().map(find).collect::<Result<_>>()? })
    }
}

impl Texts<'_> {
    /// The text of an item; empty where all its columns are.
    ///
    /// # Panics
    /// When there is no such item.
    #[must_use]
    pub fn of(&self, item: usize) -> String {
        let mut text = String::new();
        for (slot, values) in self.template.slots.iter().zip(&self.columns) {
            let parts = values.get(item).split('|').map(str::trim).filter(|part| !part.is_empty());
            let value = parts.collect::<Vec<_>>().join(", ");
            if value.is_empty() {
                continue;
            }
            if text.is_empty() {
                text.push_str(&self.template.head);
            } else {
                push_separator(&mut text, &slot.separator);
            }
            text.extend([slot.label.as_str(), &value, &slot.closing]);
        }
        if !text.is_empty() {
            push_separator(&mut text, &self.template.tail);
        }
        text
    }
}

impl Slot {
    /// Takes its share of what stands between it and the slot before.
    fn stand_behind(&mut self, before: &mut Self, literal: &str) {
        let (brackets, rest) = closing(literal);
        let at = rest.find(|c: char| c.is_alphanumeric() || c == '#' || OPENING.contains(&c));
        let (separator, label) = rest.split_at(at.unwrap_or(rest.len()));
        before.closing = brackets.to_owned();
        (self.separator, self.label) = (separator.to_owned(), label.to_owned());
    }
}

const OPENING: [char; 7] = ['(', '[', '{', '<', '"', '«', '“'];
const CLOSING: [char; 7] = [')', ']', '}', '>', '"', '»', '”'];

/// A literal, and the opening brackets that it ends with.
fn opening(literal: &str) -> (String, String) {
    let head = literal.trim_end_matches(OPENING);
    (head.to_owned(), literal[head.len()..].to_owned())
}

/// The closing brackets that a literal begins with, and the rest.
fn closing(literal: &str) -> (&str, &str) {
    literal.split_at(literal.len() - literal.trim_start_matches(CLOSING).len())
}

/// Adds what parts two columns; a sentence that has ended does not end again.
fn push_separator(text: &mut String, separator: &str) {
    let ended = text.ends_with(['.', '!', '?', '…']);
    text.push_str(separator.strip_prefix('.').filter(|_| ended).unwrap_or(separator));
}

/// The number of the character at a byte, from 1.
fn count(text: &str, at: usize) -> usize {
    text[..at].chars().count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Column;

    fn catalog(rows: &[[&str; 3]]) -> Catalog {
        let column = |(place, name): (usize, &str)| Column {
            name: name.to_owned(),
            values: rows.iter().map(|row| row[place]).collect(),
        };
        let columns = ["title", "year", "genres"].into_iter().enumerate().map(column).collect();
        Catalog::new((0..rows.len()).map(|item| item.to_string()).collect(), columns).unwrap()
    }

    fn check(template: &str, row: [&str; 3], expected: &str) {
        let (template, catalog) = (Template::parse(template).unwrap(), catalog(&[row]));
        assert_eq!(template.over(&catalog).unwrap().of(0), expected, "{template:?}");
    }

    #[test]
    fn an_empty_column_goes_with_its_separator_label_and_brackets() {
        let template = "{title} ({year}). Genres: {genres}.";
        check(template, ["Heat", "1995", "Crime|Drama"], "Heat (1995). Genres: Crime, Drama.");
        check(template, ["Heat", "", "Crime"], "Heat. Genres: Crime.");
        check(template, ["Heat", "1995", ""], "Heat (1995).");
        check(template, ["", "1995", "Crime"], "(1995). Genres: Crime.");
        check(template, ["", " ", "Crime"], "Genres: Crime.");
        check(template, ["", "", "|"], "");
        check(template, ["", "", ""], "");
        check("passage: {title}, {year}", ["", "1995", ""], "passage: 1995");
        check("A ({year}) {title}", ["Heat", "", ""], "A Heat");
        check("{title}. {genres}", ["Who?", "", "Drama"], "Who? Drama");
        check("{title}. {genres}.", ["The end.", "", ""], "The end.");
    }

    #[test]
    fn braces_can_be_written_and_names_may_have_spaces_around_them() {
        check("{{{title}}} { year }", ["Heat", "1995", ""], "{Heat} 1995");
        check("{title}{genres}", ["Heat", "", "Crime"], "HeatCrime");
    }

    #[test]
    fn a_wrong_template_says_where() {
        let refused = |template: &str| Template::parse(template).unwrap_err().to_string();
        assert!(refused("{title").ends_with("the brace at character 1 is never closed"));
        assert!(refused("a {title {year}").ends_with("the brace at character 3 is never closed"));
        assert!(refused("é} {title}").contains("the brace at character 2 closes nothing"));
        assert!(refused("{} {title}").contains("no column is named in the braces at character 1"));
        assert!(refused("only text").contains("names no column"));
        let template = Template::parse("{plot}").unwrap();
        let catalog = catalog(&[["a", "b", "c"]]);
        let error = template.over(&catalog).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "the items have no column \"plot\"; they have title, year, genres");
    }

    #[test]
    fn columns_make_a_template_of_sentences() {
        let columns = Columns::choose(&catalog(&[["a", "b", "c"]]), &["title".into()], &["genres".into()]);
        assert_eq!(Template::of(&columns.unwrap()).unwrap().as_str(), "{title}. {genres}");
        let odd = Columns(vec![("a}{b".into(), crate::Role::Text)]);
        assert!(Template::of(&odd).unwrap_err().to_string().contains("holds a brace"));
    }
}
