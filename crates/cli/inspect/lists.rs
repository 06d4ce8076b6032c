//! A file of lists or predictions.

use anyhow::Result;
use upnext_tables::ListStats;

use super::Finding;
use super::draw::{Facts, percent};
use crate::say;

pub(super) fn finding(stats: &ListStats) -> Result<Finding> {
    let mut facts = Facts::default();
    facts.add("rows", say::count(stats.rows));
    facts.add("lists", format!("{} for {} users", say::count(stats.lists), say::count(stats.users)));
    facts.add(
        "length",
        format!("{} at most; {} lists are shorter", say::count(stats.length), say::count(stats.short)),
    );
    facts.add(
        "items",
        format!(
            "{} distinct; the top 1 % of them take {} of the rows, Gini {:.3}",
            say::count(stats.items),
            percent(stats.top_1_percent),
            stats.gini
        ),
    );
    if let (Some(lowest), Some(highest)) = (stats.lowest_score, stats.highest_score) {
        facts.add("scores", format!("{lowest} to {highest}"));
    }
    for (what, count) in [
        ("ranks that do not follow", stats.out_of_order),
        ("scores that rise", stats.rising),
        ("scores that are no numbers", stats.without_score),
    ] {
        if count > 0 {
            facts.add(what, say::count(count));
        }
    }
    Ok(Finding { text: facts.text(), json: serde_json::to_value(stats)? })
}
