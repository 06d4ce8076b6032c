//! A report for the terminal.

use std::fmt::Write;

use upnext_model::Adjustment;

use crate::metric::{Metric, Metrics};
use crate::report::{ColdStart, Report};
use crate::system::System;

/// Columns of the table.
const COLUMNS: [Metric; 4] = [Metric::HitRate(10), Metric::Ndcg(10), Metric::Mrr, Metric::MrrAt(100)];

/// Columns of the tables of cold and warm targets, each with its interval.
const APART: [Metric; 3] = [Metric::HitRate(10), Metric::Ndcg(10), Metric::Mrr];

/// The report as text: a heading that carries protocol, seen policy and catalogue size, a line for
/// each system, the model's intervals, cold and warm targets apart where some are cold, the chosen parameters and the
/// slices.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    let head = format!(
        "{} {}: {} users, full ranking over {} items, ties against the system",
        report.protocol, report.split, report.users, report.items
    );
    line(&mut out, &head);
    if !report.adjustment.is_none() {
        let Adjustment { cold_boost, popularity_penalty } = report.adjustment;
        let by = format!("cold boost {cold_boost}, popularity penalty {popularity_penalty}");
        line(&mut out, &format!("{}'s scores moved by: {by}", report.system));
    }
    let rivals = || report.baselines.iter().map(|rival| (rival.name.as_str(), &rival.system));
    let systems: Vec<(&str, &System)> = rivals().chain([(report.system.as_str(), &report.metrics)]).collect();
    let width = systems.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(12);
    for (policy, pick) in [("seen dropped", dropped as Pick), ("seen kept", kept as Pick)] {
        heading(&mut out, policy, width);
        for &(name, system) in &systems {
            row(&mut out, name, pick(system), width);
        }
        intervals(&mut out, pick(&report.metrics), width);
    }
    if let Some(counts) = &report.cold_start {
        apart(&mut out, counts, &systems, width);
    }
    let chosen: Vec<String> = report
        .baselines
        .iter()
        .filter(|rival| !rival.parameters.is_null())
        .map(|rival| format!("{} {}", rival.name, rival.parameters))
        .collect();
    if !chosen.is_empty() {
        line(&mut out, "\nchosen on validation");
        chosen.iter().for_each(|text| line(&mut out, &format!("  {text}")));
    }
    let kinds = [
        ("target", &report.slices.target),
        ("target popularity (tenths of the catalogue, 10 = most popular)", &report.slices.popularity_decile),
        ("events in the input", &report.slices.history_length),
    ];
    for (kind, slices) in kinds {
        line(&mut out, &format!("\n{} by {kind}, seen dropped", report.system));
        for slice in slices {
            let name = format!("{} ({})", slice.name, slice.questions);
            row(&mut out, &name, &slice.metrics, width);
        }
    }
    out
}

/// Cold targets among all items and among the cold ones, and warm targets: every system with its intervals.
fn apart(out: &mut String, counts: &ColdStart, systems: &[(&str, &System)], width: usize) {
    let ColdStart { items, drawn, questions, ineligible, ineligible_questions } = counts;
    line(
        out,
        &format!(
            "\n{questions} questions ask for cold items: {items} items have no training event, {drawn} of them by the \
             protocol's draw"
        ),
    );
    if *ineligible > 0 {
        let what = format!(
            "{ineligible} items without features are never recommended, a miss in {ineligible_questions} questions"
        );
        line(out, &what);
    }
    let kinds: [(&str, PickSome); 3] = [
        ("cold targets among all items", |system| Some(&system.cold.as_ref()?.dropped)),
        ("cold targets among the cold items", |system| system.cold.as_ref()?.among_cold.as_ref()),
        ("warm targets among all items", |system| Some(&system.warm.as_ref()?.dropped)),
    ];
    for (kind, pick) in kinds {
        let found: Vec<(&str, &Metrics)> =
            systems.iter().filter_map(|&(name, system)| Some((name, pick(system)?))).collect();
        if found.is_empty() {
            continue;
        }
        line(out, &format!("\n  {kind}, seen dropped"));
        let mut head = format!("  {:<width$}", "");
        for metric in APART {
            let _ = write!(head, "  {:<23}", format!("{metric} [95 %]"));
        }
        line(out, head.trim_end());
        for (name, metrics) in found {
            let mut text = format!("  {name:<width$}");
            for metric in APART {
                let value = metrics.get(metric).unwrap_or(0.0);
                let [low, high] = metrics.interval(metric).unwrap_or([value; 2]);
                let _ = write!(text, "  {value:.4} [{low:.4}, {high:.4}]");
            }
            line(out, &text);
        }
    }
}

/// Which metrics of a system a part of the table shows.
type Pick = fn(&System) -> &Metrics;
/// The same where a system may have none.
type PickSome = fn(&System) -> Option<&Metrics>;

fn dropped(system: &System) -> &Metrics {
    &system.dropped
}

fn kept(system: &System) -> &Metrics {
    &system.kept
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn heading(out: &mut String, policy: &str, width: usize) {
    let mut text = format!("\n  {policy:<width$}");
    for metric in COLUMNS {
        // Writing to a string cannot fail.
        let _ = write!(text, "  {:>8}", metric.to_string());
    }
    line(out, &text);
}

fn row(out: &mut String, name: &str, metrics: &Metrics, width: usize) {
    let mut text = format!("  {name:<width$}");
    for metric in COLUMNS {
        let _ = write!(text, "  {:>8.4}", metrics.get(metric).unwrap_or(0.0));
    }
    line(out, &text);
}

/// Two lines below the system: the low and the high ends of its 95 % intervals.
fn intervals(out: &mut String, metrics: &Metrics, width: usize) {
    for (end, name) in ["  95 % from", "  95 % to"].into_iter().enumerate() {
        let mut text = format!("  {name:<width$}");
        for metric in COLUMNS {
            let Some(interval) = metrics.interval(metric) else { return };
            let _ = write!(text, "  {:>8.4}", interval[end]);
        }
        line(out, &text);
    }
}
