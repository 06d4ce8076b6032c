//! `upnext prepare`: event and item files to a prepared folder.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_tables::{Columns, PrepareOptions, Progress, Summary};
use upnext_train::memory;

use crate::args::{InputArgs, PrepareArgs};
use crate::{interrupt, say};

pub(crate) fn run(args: &PrepareArgs) -> Result<ExitCode> {
    let options = PrepareOptions {
        items: args.items.clone(),
        all_items: args.all_items,
        overwrite: args.overwrite,
        event_columns: args.event_columns.clone(),
        item_columns: args.item_columns.clone(),
        keep: args.keep.clone(),
        from: args.from,
        to: args.to,
        min_user_events: args.min_user_events,
        min_item_events: args.min_item_events,
        memory_limit: args.memory_limit.map(|size| size.0),
        spill: args.spill.clone(),
        ..reading(args.events.clone(), &args.input)
    };
    interrupt::catch("stopping; nothing will be written")?;
    let summary = prepare(&options, &args.out)?;
    if args.json {
        say::json(&as_json(&summary))?;
    } else {
        say::news(&format!(
            "next: upnext train --config configs/ml-1m/small.toml --data {} --out RUN",
            args.out.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// How event files are to be read.
pub(crate) fn reading(events: Vec<PathBuf>, args: &InputArgs) -> PrepareOptions {
    PrepareOptions {
        events,
        columns: Columns { user: args.user.clone(), item: args.item.clone(), time: args.time.clone() },
        format: args.format,
        time_unit: args.time_unit,
        max_bad_rows: args.max_bad_rows,
        ..PrepareOptions::default()
    }
}

/// Prepares with a progress bar where somebody watches, and says what came of it.
pub(crate) fn prepare(options: &PrepareOptions, out: &Path) -> Result<Summary> {
    let started = Instant::now();
    let summary = watched(options, out).with_context(|| format!("preparing {}", out.display()))?;
    report(&summary, out, started.elapsed().as_secs_f64());
    Ok(summary)
}

/// Prepares with a progress bar where somebody watches.
pub(crate) fn watched(options: &PrepareOptions, out: &Path) -> Result<Summary> {
    let bar = if say::is_watched() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {percent} % {eta} left")?;
    bar.set_style(style);
    let options =
        PrepareOptions { memory_limit: options.memory_limit.or_else(half_of_memory), ..options.clone() };
    let summary = upnext_tables::prepare(&options, out, &mut |progress| {
        show(&bar, &progress);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    Ok(summary?)
}

/// What a preparation uses where it is not told: the other half is for everybody else.
fn half_of_memory() -> Option<u64> {
    memory::available_bytes().map(|bytes| (bytes / 2).max(upnext_tables::LEAST_MEMORY))
}

fn show(bar: &ProgressBar, progress: &Progress) {
    let at = |position: u64, of: u64, message: String| {
        bar.set_length(of);
        bar.set_position(position);
        bar.set_message(message);
    };
    match progress {
        Progress::Reading { path, bytes, of, rows } => {
            at(*bytes, *of, format!("{}: {} rows", path.display(), say::count(*rows)));
        }
        Progress::Sorting { events, of } => at(*events, *of, "sorting".into()),
        Progress::Thinning { round } => bar.set_message(format!("thinning, round {round}")),
        Progress::Writing { events, of } => at(*events, *of, "writing".into()),
        _ => {}
    }
}

fn report(summary: &Summary, out: &Path, seconds: f64) {
    let Summary { users, items, events, .. } = *summary;
    let bytes: u64 = summary.manifest.files.values().map(|file| file.bytes).sum();
    say::news(&format!(
        "{}: {} users, {} items, {} events, {} in {seconds:.1} s",
        out.display(),
        say::count(users),
        say::count(items),
        say::count(events),
        HumanBytes(bytes)
    ));
    for file in &summary.files {
        say::news(&format!("  {}", read_as(file)));
    }
    if summary.filtered > 0 {
        say::news(&format!("left out {} events by --keep, --from or --to", say::count(summary.filtered)));
    }
    if summary.thinned > 0 {
        say::news(&format!("left out {} events of users or items with too few", say::count(summary.thinned)));
    }
    if summary.spilled > 0 {
        say::news(&format!("{} did not fit into memory and went to disk", HumanBytes(summary.spilled)));
    }
    report_bad_rows(summary);
    if summary.items_without_events > 0 {
        say::news(&format!(
            "{} rows of the item file have no event",
            say::count(summary.items_without_events)
        ));
    }
    if summary.items_without_row > 0 {
        say::news(&format!("{} items have no row in the item file", say::count(summary.items_without_row)));
    }
}

/// Says which rows were skipped, if any.
pub(crate) fn report_bad_rows(summary: &Summary) {
    if summary.bad_rows > 0 {
        say::news(&format!("skipped {} bad rows, the first of them:", say::count(summary.bad_rows)));
        for reason in &summary.bad_row_reasons {
            say::news(&format!("  {reason}"));
        }
    }
}

/// `ratings.dat: movielens, columns user_id, item_id, timestamp, times in seconds`.
fn read_as(file: &serde_json::Value) -> String {
    let text = |key: &str| file[key].as_str().unwrap_or_default();
    let compressed = Some(text("compression")).filter(|name| *name != "none");
    let columns = file["columns"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let times = match file["time_unit"].as_str() {
        Some(unit) => format!("times in {unit}"),
        None => "order as time".to_owned(),
    };
    format!(
        "{}: {}{}, columns {}, {times}",
        text("file"),
        text("format"),
        compressed.map(|name| format!(" in {name}")).unwrap_or_default(),
        columns.collect::<Vec<_>>().join(", ")
    )
}

fn as_json(summary: &Summary) -> serde_json::Value {
    json!({
        "users": summary.users,
        "items": summary.items,
        "events": summary.events,
        "files": summary.files,
        "filtered": summary.filtered,
        "thinned": summary.thinned,
        "spilled_bytes": summary.spilled,
        "bad_rows": summary.bad_rows,
        "bad_row_reasons": summary.bad_row_reasons,
        "items_without_events": summary.items_without_events,
        "items_without_row": summary.items_without_row,
        "data_hash": summary.manifest.data_hash(),
    })
}
