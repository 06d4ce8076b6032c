//! Files of lists or predictions.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use upnext_tables::{ListStats, is_finished};

use super::Finding;
use super::draw::{Facts, percent};
use crate::say;

/// A folder that a job writes its parts into.
pub(super) fn parts(folder: &Path) -> Result<Finding> {
    let reading = || format!("reading {}", folder.display());
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("part-") {
            parts.push(path);
        }
    }
    parts.sort();
    let is_done = is_finished(folder)?;
    let mut facts = Facts::default();
    facts.add("parts", say::count(parts.len()));
    facts.add(
        "job",
        if is_done { "done" } else { "under way, or killed: the same command goes on" }.to_owned(),
    );
    let mut json = json!({ "parts": parts.len(), "done": is_done });
    // Nested lists have no rows to count.
    let filled = |part: &PathBuf| std::fs::metadata(part).is_ok_and(|part| part.len() > 0);
    let filled: Vec<PathBuf> = parts.into_iter().filter(filled).collect();
    let stats = if filled.is_empty() { None } else { ListStats::read_all(&filled)? };
    let Some(stats) = stats else { return Ok(Finding { text: facts.text(), json }) };
    let found = finding(&stats)?;
    if let (Some(json), Value::Object(counted)) = (json.as_object_mut(), found.json) {
        json.extend(counted);
    }
    Ok(Finding { text: facts.text() + &found.text, json })
}

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
