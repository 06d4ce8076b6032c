//! What event files say of their items: the newest word on each.

use upnext_data::Strings;

use crate::event_columns::Kept;

/// Of each item of the events, its text in some columns of the event files.
pub(crate) struct Descriptions {
    /// Per column and item the time of its text, and the text.
    columns: Vec<Vec<(i64, Box<str>)>>,
}

impl Descriptions {
    /// None yet, in so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns: vec![Vec::new(); columns] }
    }

    /// Takes an event's word on its item. The newest text stays, of several at once the greatest, so that the order of
    /// rows does not matter; nothing is no text.
    pub(crate) fn push(&mut self, item: u32, time: Option<i64>, values: &[Kept<'_>]) {
        let time = time.unwrap_or(0);
        for (column, value) in self.columns.iter_mut().zip(values) {
            let Kept::Category(text) = value else { continue };
            if column.len() <= item as usize {
                column.resize_with(item as usize + 1, || (i64::MIN, "".into()));
            }
            let known = &mut column[item as usize];
            if (time, *text) > (known.0, &*known.1) {
                *known = (time, (*text).into());
            }
        }
    }

    /// The texts of one column for items in this order; empty where nothing was said.
    pub(crate) fn column(&self, column: usize, order: &[u32]) -> Strings {
        let known = &self.columns[column];
        order.iter().map(|&item| known.get(item as usize).map_or("", |(_, text)| text)).collect()
    }
}
