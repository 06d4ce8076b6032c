//! A prepared folder: counts, time, lengths, popularity, and what each protocol makes of it.

use std::path::Path;

use anyhow::{Context, Result};
use indicatif::BinaryBytes;
use serde_json::json;
use upnext_data::calendar::{DAY, date};
use upnext_data::profile::Times;
use upnext_data::spread::Spread;
use upnext_data::{EventColumn, EventValues, Prepared, Profile, Protocol};

use super::Finding;
use super::draw::{self, Facts, percent};
use crate::say;

pub(super) fn inspect(path: &Path) -> Result<Finding> {
    let data = Prepared::open(path).with_context(|| format!("opening prepared folder {}", path.display()))?;
    let profile = Profile::of(&data.histories, data.catalog.len())?;
    let columns: Vec<&str> = data.catalog.columns().iter().map(|column| column.name.as_str()).collect();
    let bytes: u64 = data.manifest.files.values().map(|file| file.bytes).sum();
    let mut json = serde_json::to_value(&profile)?;
    json["columns"] = json!(columns);
    json["event_columns"] = json!(data.manifest.event_columns);
    json["bytes"] = json!(bytes);
    json["data_hash"] = json!(data.manifest.data_hash());
    json["origin"] = data.manifest.origin.clone();

    let mut facts = Facts::default();
    facts.add("users", say::count(profile.users));
    facts.add("items", say::count(profile.items));
    facts.add("events", say::count(profile.events));
    facts.add("time", profile.times.map_or_else(|| "no events".to_owned(), span));
    facts.add("columns", if columns.is_empty() { "none".to_owned() } else { columns.join(", ") });
    let kept: Vec<String> = data.histories.columns().iter().map(kept).collect();
    if !kept.is_empty() {
        facts.add("events have", kept.join(", "));
    }
    facts.add("made from", sources(&data.manifest.origin));
    facts.add("size", BinaryBytes(bytes).to_string());
    facts.add("data hash", data.manifest.data_hash());
    facts.add(
        "equal times",
        format!("{} of events have the time of the one before", percent(profile.equal_time_share)),
    );
    facts.add("repeats", format!("{} of events are of an item had before", percent(profile.repeat_share)));
    let text = [facts.text(), lengths(&profile.lengths), popularity(&profile), splits(&profile)].join("\n");
    Ok(Finding { text, json })
}

/// `rating (numbers)` or `device (3 categories)`; the category of nothing is not counted.
fn kept(column: &EventColumn) -> String {
    match &column.values {
        EventValues::Numbers(_) => format!("{} (numbers)", column.name),
        EventValues::Categories { vocabulary, .. } => {
            format!("{} ({} categories)", column.name, say::count(vocabulary.len().saturating_sub(1)))
        }
    }
}

fn span(times: Times) -> String {
    let Times { first, last, unix } = times;
    if unix {
        let days = say::count(last.abs_diff(first) / DAY.unsigned_abs());
        format!("{} to {}, {days} days", date(first), date(last))
    } else {
        format!("order only ({first} to {last})")
    }
}

/// Names of the files that the folder was made from, as far as its origin says them.
fn sources(origin: &serde_json::Value) -> String {
    let files = origin["events"].as_array().into_iter().flatten().chain([&origin["items"]]);
    let names: Vec<&str> = files.filter_map(|file| file["file"].as_str()).collect();
    match names[..] {
        [] => "an unnamed source".to_owned(),
        [first, .., last] if names.len() > 4 => format!("{} files, {first} to {last}", names.len()),
        _ => names.join(", "),
    }
}

fn lengths(spread: &Spread) -> String {
    format!("History lengths: {:.1} events on average\n{}", spread.mean, histogram(spread))
}

fn popularity(profile: &Profile) -> String {
    let popularity = &profile.popularity;
    let mut head = format!(
        "Popularity: {:.1} events an item on average, Gini {:.3}; the top 1 % of items have {} of the events, the \
         top 10 % {}",
        popularity.events.mean,
        popularity.gini,
        percent(popularity.top_1_percent),
        percent(popularity.top_10_percent)
    );
    if popularity.without_events > 0 {
        head.push_str(&format!("; {} items have none", say::count(popularity.without_events)));
    }
    format!("{head}\n{}", histogram(&popularity.events))
}

/// The percentiles on a line, then a bar for each power of two.
fn histogram(spread: &Spread) -> String {
    let cuts: Vec<String> = spread
        .percentiles
        .iter()
        .map(|cut| format!("{} % ≤ {}", cut.percent, say::count(cut.at_most)))
        .collect();
    let label = |from: u64, to: u64| match from == to {
        true => say::count(from),
        false => format!("{}–{}", say::count(from), say::count(to)),
    };
    let bars: Vec<(String, usize)> =
        spread.histogram.iter().map(|bin| (label(bin.from, bin.to), bin.count)).collect();
    format!("  {}\n{}", cuts.join(" · "), draw::bars(&bars, draw::width()))
}

fn splits(profile: &Profile) -> String {
    let head = ["protocol", "training events", "users", "validation", "test"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut hint = "";
    for split in &profile.splits {
        if let Protocol::Time { .. } = split.protocol {
            hint = "The cuts of time: leave 80 % of the events before validation and 90 % before the test.\n";
        }
        let counts = [split.train_events, split.train_users, split.validation, split.test];
        rows.push(std::iter::once(split.protocol.to_string()).chain(counts.map(say::count)).collect());
    }
    let table = draw::table(&rows, &[1, 2, 3, 4], draw::width());
    format!("Splits: what trains, and how many questions are asked\n{table}{hint}")
}
