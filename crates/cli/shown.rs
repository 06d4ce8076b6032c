//! Lists as a person reads them: what was watched last beside what to watch next.

use upnext_data::{Catalog, ItemId};
use upnext_generate::Slate;

use crate::say;

/// Characters of a title.
const WIDTH: usize = 42;

/// One user's list as text. `history` are items of `past`, oldest first; the slate's are of `next`.
pub(crate) fn list(user: &str, history: &[ItemId], past: &Catalog, slate: &Slate, next: &Catalog) -> String {
    let mut shown = format!("\nuser {user}\n  {:<WIDTH$}  next\n", "latest");
    let titles = |catalog: &Catalog, item: ItemId| {
        let title =
            catalog.title(item).filter(|title| !title.is_empty()).unwrap_or_else(|| catalog.key(item));
        say::shorten(title, WIDTH)
    };
    // What a file of events calls an item by its key alone, the model may have a title for.
    let known = |item: &ItemId| match next.find(past.key(*item)) {
        Some(found) => titles(next, found),
        None => titles(past, *item),
    };
    let rows = slate.items.len().max(history.len().min(slate.requested));
    for row in 0..rows {
        let latest = history.iter().rev().nth(row).map(known).unwrap_or_default();
        let place = slate.items.get(row).map(|place| titles(next, place.item)).unwrap_or_default();
        shown.push_str(&format!("  {latest:<WIDTH$}  {place}\n"));
    }
    shown
}
