//! What the rows of a list file are, and what they hold of an item.

use std::path::Path;

use crate::error::{Error, Result};

/// What a row of a list file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One item: `user_id`, `rank` from 1, `item_id`, `score`.
    #[default]
    Rows,
    /// One user: `user_id`, the list `items` of its item ids, best first, and the list `scores` beside it.
    Nested,
}

/// What a list file holds: its layout, and what stands beside the scores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// What a row is.
    pub layout: Layout,
    /// Text columns of the items, such as titles, behind the scores and in this order; lists in the nested layout.
    pub columns: Vec<String>,
    /// Whether a last column, `because`, names for each item those of the history that speak for it: a list of ids, in
    /// CSV joined by `|`.
    pub because: bool,
}

impl From<Layout> for Form {
    fn from(layout: Layout) -> Self {
        Self { layout, ..Self::default() }
    }
}

/// Names that columns of items cannot have, in either layout.
const TAKEN: [&str; 7] = ["user_id", "rank", "item_id", "score", "items", "scores", "because"];

impl Form {
    /// Refuses columns that a reader of the file could not tell apart. Query engines pass over the case of names.
    ///
    /// # Errors
    /// By the column.
    pub fn check(&self, path: &Path) -> Result<()> {
        for (index, column) in self.columns.iter().enumerate() {
            let mut others = self.columns[..index].iter().map(String::as_str).chain(TAKEN);
            if others.any(|other| other.eq_ignore_ascii_case(column)) {
                return Err(Error::ListColumn { path: path.into(), column: column.clone() });
            }
        }
        Ok(())
    }
}

/// What is written of an item beside its score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// A text for each of the [`Form::columns`].
    pub texts: &'a [&'a str],
    /// Item ids of the history that speak for it, the strongest first; only where [`Form::because`] is set.
    pub because: &'a [&'a str],
}
