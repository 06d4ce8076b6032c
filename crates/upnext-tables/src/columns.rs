//! Which column is the user, the item, the time: as told, or by the names that logs commonly use.

use std::path::Path;

use crate::error::{Error, Problem, Result};
use crate::fields;
use crate::table::Table;

/// Column names that an error shows.
const SHOWN_COLUMNS: usize = 20;

/// What a column can be, with the flag that names it and the names it commonly has, best first, in lower case and
/// without `_`, `-`, `.` and spaces.
pub(crate) struct Role {
    pub(crate) standard: &'static str,
    pub(crate) flag: &'static str,
    common: &'static [&'static str],
}

pub(crate) const USER: Role = Role {
    standard: "user_id",
    flag: "--user",
    common: &[
        "userid",
        "user",
        "uid",
        "profileid",
        "accountid",
        "memberid",
        "customerid",
        "visitorid",
        "viewerid",
        "reviewerid",
        "householdid",
    ],
};
pub(crate) const ITEM: Role = Role {
    standard: "item_id",
    flag: "--item",
    common: &[
        "itemid",
        "item",
        "iid",
        "movieid",
        "showid",
        "titleid",
        "videoid",
        "contentid",
        "trackid",
        "songid",
        "bookid",
        "articleid",
        "productid",
        "parentasin",
        "asin",
        "sku",
        "stockcode",
    ],
};
/// The item in a table of vectors.
pub(crate) const KEY: Role = Role { flag: "--key-column", ..ITEM };
pub(crate) const TIME: Role = Role {
    standard: "timestamp",
    flag: "--time",
    common: &[
        "timestamp",
        "time",
        "ts",
        "datetime",
        "eventtime",
        "unixtime",
        "unixtimestamp",
        "unixreviewtime",
        "watchedat",
        "createdat",
        "date",
        "when",
    ],
};

impl Role {
    /// Whether a column of this name is commonly this.
    pub(crate) fn is_common(&self, column: &str) -> bool {
        self.common.contains(&plain(column).as_str())
    }

    /// Index of the role's column: the one named `told`, or else the one with the best common name.
    ///
    /// # Errors
    /// When there is none, or two of equal right.
    pub(crate) fn find(&self, table: &dyn Table, path: &Path, told: Option<&str>) -> Result<usize> {
        let columns = table.columns();
        if let Some(name) = told {
            return Self::named(table, path, name, self.flag);
        }
        let in_header = |problem| Error::Header { path: path.into(), place: table.header(), problem };
        for common in self.common {
            let mut found = (0..columns.len()).filter(|&index| plain(&columns[index]) == *common);
            match (found.next(), found.next()) {
                (None, _) => {}
                (Some(index), None) => return Ok(index),
                (Some(index), Some(other)) if columns[index] == columns[other] => {
                    return Err(in_header(Problem::DuplicateColumn { name: columns[index].clone() }));
                }
                (Some(first), Some(second)) => {
                    let [first, second] = [first, second].map(|index| columns[index].clone());
                    return Err(in_header(Problem::Ambiguous { first, second, flag: self.flag }));
                }
            }
        }
        Err(missing(table, path, self.standard, self.flag))
    }

    /// Index of the column of this name, which `flag` gave.
    ///
    /// # Errors
    /// When there is none, or two.
    pub(crate) fn named(table: &dyn Table, path: &Path, name: &str, flag: &'static str) -> Result<usize> {
        let columns = table.columns();
        let mut found = (0..columns.len()).filter(|&index| columns[index] == name);
        match (found.next(), found.next()) {
            (Some(index), None) => Ok(index),
            (Some(_), Some(_)) => {
                let problem = Problem::DuplicateColumn { name: name.into() };
                Err(Error::Header { path: path.into(), place: table.header(), problem })
            }
            (None, _) => Err(missing(table, path, name, flag)),
        }
    }
}

fn missing(table: &dyn Table, path: &Path, column: &str, flag: &'static str) -> Error {
    Error::MissingColumn {
        path: path.into(),
        place: table.header(),
        column: column.into(),
        found: shown(table.columns()),
        flag,
    }
}

fn shown(columns: &[String]) -> Vec<String> {
    let first = columns.iter().take(SHOWN_COLUMNS);
    let mut shown: Vec<_> = first.map(|name| format!("{:?}", fields::shorten(name.as_bytes()))).collect();
    if columns.len() > SHOWN_COLUMNS {
        shown.push(format!("and {} more", columns.len() - SHOWN_COLUMNS));
    }
    shown
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ' | '.')).flat_map(char::to_lowercase).collect()
}
