//! A run folder: its curves, its best step, its speed, how it ended.

use std::path::Path;

use anyhow::{Context, Result};
use indicatif::BinaryBytes;
use serde_json::json;
use upnext_eval::Seen;
use upnext_train::Ended;
use upnext_train::curve;
use upnext_train::record::Record;

use super::Finding;
use super::draw::{self, Facts};
use crate::say;

/// Points of the curves in the JSON object.
const POINTS: usize = 100;

pub(super) fn inspect(path: &Path) -> Result<Finding> {
    let record = Record::read(path).with_context(|| format!("reading run folder {}", path.display()))?;
    let steps = record.steps();
    let json = json!({
        "config": record.config,
        "data_hash": record.data_hash,
        "parameters": record.parameters,
        "steps": steps,
        "best": record.best(),
        "tokens_per_second": speed(&record),
        "loss_curve": curve::columns(&record.losses, 0..steps, POINTS),
        "validations": record.validations,
        "skipped": record.skipped,
        "rollbacks": record.rollbacks,
        "resumed": record.resumed,
        "unreadable_lines": record.unreadable,
        "model": path.join("model").is_dir(),
        "summary": record.summary,
    });
    let text = [
        facts(&record, path).text(),
        curve("Training loss", &record.losses, steps),
        curve("Validation ndcg@10", &record.validation_points(), steps),
    ];
    Ok(Finding { text: text.join(""), json })
}

fn facts(record: &Record, path: &Path) -> Facts {
    let mut facts = Facts::default();
    facts.add("state", state(record));
    let epoch = record.steps_per_epoch.map(|steps| format!(", {} an epoch", say::count(steps)));
    facts.add("steps", format!("{}{}", say::count(record.steps()), epoch.unwrap_or_default()));
    let best = record.best().map(|best| {
        let seen = Seen::kept_if(record.config.train.keep_seen);
        let step = say::count(best.step);
        format!("ndcg@10 {:.4} at step {step}, epoch {}, seen items {seen}", best.ndcg_10, best.epoch)
    });
    facts.add("best validation", best.unwrap_or_else(|| "none yet".to_owned()));
    if let Some(speed) = speed(record) {
        facts.add("speed", format!("{} tokens/s", say::count(speed as u64)));
    }
    if let Some(summary) = &record.summary {
        let memory =
            summary.peak_rss_bytes.map(|bytes| format!(", {} of memory at most", BinaryBytes(bytes)));
        facts.add("took", format!("{}{}", say::duration(summary.seconds), memory.unwrap_or_default()));
    }
    if let Some(parameters) = record.parameters {
        facts.add("parameters", say::count(parameters));
    }
    facts.add("held out by", record.config.train.protocol.to_string());
    facts.add("data hash", record.data_hash.clone().unwrap_or_else(|| "not known yet".to_owned()));
    for (what, count) in [
        ("steps skipped", record.skipped),
        ("rollbacks", record.rollbacks),
        ("resumed", record.resumed),
        ("unreadable lines", record.unreadable),
    ] {
        if count > 0 {
            facts.add(what, say::count(count));
        }
    }
    let model = path.join("model");
    if model.is_dir() {
        facts.add("model", format!("{} (inspect it for its metrics)", model.display()));
    }
    facts
}

fn state(record: &Record) -> String {
    let ended = match record.summary.as_ref().map(|summary| summary.ended) {
        None => "running, or killed: upnext train … --resume goes on",
        Some(Ended::MaxEpochs) => "done: all epochs",
        Some(Ended::MaxSteps) => "done: all steps",
        Some(Ended::Patience) => "done: no better validation any more",
        Some(Ended::Asked) => "interrupted: upnext train … --resume goes on",
    };
    ended.to_owned()
}

/// Tokens a second: of the whole run where it is over, else of the latest steps.
fn speed(record: &Record) -> Option<f64> {
    record.summary.as_ref().map(|summary| summary.tokens_per_second).or(record.tokens_per_second)
}

fn curve(title: &str, points: &[(u64, f64)], steps: u64) -> String {
    // No more columns than points, which would leave gaps between them.
    let room = draw::curve_width().min(points.len());
    let columns = curve::columns(points, 0..steps, room);
    let Some(bounds) = curve::bounds(&columns) else { return String::new() };
    let ends = ["step 1".to_owned(), say::count(steps)];
    format!("\n{title}\n{}", draw::curve(&columns, bounds, [&ends[0], &ends[1]]))
}
