//! `upnext prepare`: event and item files to a prepared folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use upnext_tables::{Columns, PrepareOptions, Progress, Summary};

use crate::args::{InputArgs, PrepareArgs};
use crate::say;

pub(crate) fn run(args: &PrepareArgs) -> Result<ExitCode> {
    let options = PrepareOptions {
        items: args.items.clone(),
        all_items: args.all_items,
        overwrite: args.overwrite,
        ..reading(args.events.clone(), &args.input)
    };
    let summary = prepare(&options, &args.out)?;
    if args.json {
        say::json(&as_json(&summary))?;
    } else {
        say::news(&format!(
            "next: upnext train --config configs/tiny.toml --data {} --out RUN",
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
    let bar = if say::is_watched() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {bytes}/{total_bytes} {eta} left")?;
    bar.set_style(style);
    let summary = upnext_tables::prepare(options, out, &mut |progress| show(&bar, &progress));
    bar.finish_and_clear();
    let summary = summary.with_context(|| format!("preparing {}", out.display()))?;
    report(&summary, out, started.elapsed().as_secs_f64());
    Ok(summary)
}

fn show(bar: &ProgressBar, progress: &Progress) {
    match progress {
        Progress::Reading { path, bytes, of, rows } => {
            bar.set_length(*of);
            bar.set_position(*bytes);
            bar.set_message(format!("{}: {} rows", path.display(), say::count(*rows)));
        }
        Progress::Sorting { events } => bar.set_message(format!("sorting {} events", say::count(*events))),
        Progress::Writing => bar.set_message("writing"),
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
    if summary.bad_rows > 0 {
        say::news(&format!("skipped {} bad rows, the first of them:", say::count(summary.bad_rows)));
        for reason in &summary.bad_row_reasons {
            say::news(&format!("  {reason}"));
        }
    }
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

fn as_json(summary: &Summary) -> serde_json::Value {
    json!({
        "users": summary.users,
        "items": summary.items,
        "events": summary.events,
        "bad_rows": summary.bad_rows,
        "bad_row_reasons": summary.bad_row_reasons,
        "items_without_events": summary.items_without_events,
        "items_without_row": summary.items_without_row,
        "data_hash": summary.manifest.data_hash(),
    })
}
