//! Which columns of a catalogue say what an item is like, and how each is read.

use serde::{Deserialize, Serialize};
use upnext_data::Catalog;

use crate::{Error, Result};

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Words and their parts.
    Text,
    /// Whole values, several of them parted by `|`, `;` or `,`.
    Category,
}

/// Columns and their roles, in the order in which they were named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns(pub Vec<(String, Role)>);

/// Columns that are text when nobody says otherwise.
const TEXT: [&str; 8] =
    ["title", "name", "description", "summary", "synopsis", "overview", "text", "original_title"];

impl Columns {
    /// The named columns; without any name all columns, those with usual names of text as text.
    ///
    /// # Errors
    /// When a column is not there or named twice, or there is none at all.
    pub fn choose(catalog: &Catalog, text: &[String], category: &[String]) -> Result<Self> {
        let names: Vec<String> = catalog.columns().iter().map(|column| column.name.clone()).collect();
        let mut chosen: Vec<(String, Role)> = Vec::new();
        if text.is_empty() && category.is_empty() {
            let role = |name: &str| if TEXT.contains(&name) { Role::Text } else { Role::Category };
            chosen = names.iter().map(|name| (name.clone(), role(name))).collect();
        }
        let named = text.iter().map(|name| (name, Role::Text));
        for (name, role) in named.chain(category.iter().map(|name| (name, Role::Category))) {
            if !names.contains(name) {
                return Err(Error::NoColumn { name: name.clone(), known: names });
            }
            if chosen.iter().any(|(other, _)| other == name) {
                return Err(Error::Twice(name.clone()));
            }
            chosen.push((name.clone(), role));
        }
        if chosen.is_empty() { Err(Error::NoColumns) } else { Ok(Self(chosen)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::Column;

    fn catalog() -> Catalog {
        let column = |name: &str| Column { name: name.to_owned(), values: ["x"].iter().collect() };
        Catalog::new(["1"].iter().collect(), ["title", "genres", "year"].map(column).into()).unwrap()
    }

    #[test]
    fn usual_names_are_text_and_others_categories() {
        let Columns(all) = Columns::choose(&catalog(), &[], &[]).unwrap();
        let roles: Vec<_> = all.iter().map(|(name, role)| (name.as_str(), *role)).collect();
        assert_eq!(roles, [("title", Role::Text), ("genres", Role::Category), ("year", Role::Category)]);
        let Columns(named) = Columns::choose(&catalog(), &[], &["genres".into()]).unwrap();
        assert_eq!(named, [("genres".to_owned(), Role::Category)]);
    }

    #[test]
    fn what_is_not_there_or_named_twice_is_refused() {
        let error = Columns::choose(&catalog(), &["plot".into()], &[]).unwrap_err().to_string();
        assert_eq!(error, "the items have no column \"plot\"; they have title, genres, year");
        let twice = Columns::choose(&catalog(), &["title".into()], &["title".into()]).unwrap_err();
        assert!(matches!(twice, Error::Twice(_)));
        let bare = Catalog::new(["1"].iter().collect(), vec![]).unwrap();
        assert!(matches!(Columns::choose(&bare, &[], &[]), Err(Error::NoColumns)));
    }
}
