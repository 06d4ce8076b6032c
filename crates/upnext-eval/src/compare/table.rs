//! A comparison for the terminal.

use super::{Comparison, Difference};
use crate::rank::Seen;

/// The comparison as text: what was compared on what, a block for each metric, and how the intervals came about.
pub(super) fn table(comparison: &Comparison) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    let seen = match comparison.seen {
        Seen::Dropped => "dropped",
        Seen::Kept => "kept",
    };
    line(&format!(
        "{}: {}, seen {seen}, catalogue of {} items\n{} questions of {} users",
        distinct(&comparison.protocols).join(" + "),
        comparison.on.name(),
        comparison.items,
        comparison.questions,
        comparison.users
    ));
    line(&format!("  A  {}", comparison.reference));
    let letters: Vec<String> = (0..comparison.comparisons.len()).map(letter).collect();
    for (letter, compared) in letters.iter().zip(&comparison.comparisons) {
        line(&format!("  {letter}  {}", compared.name));
    }
    let several = comparison.comparisons.len() > 1;
    let metrics = comparison.comparisons.first().map_or(0, |first| first.differences.len());
    for metric in 0..metrics {
        for (place, (letter, compared)) in letters.iter().zip(&comparison.comparisons).enumerate() {
            let difference = &compared.differences[metric];
            if place == 0 {
                line(&heading(&difference.metric.to_string(), several));
            }
            line(&row(letter, difference, several));
        }
    }
    let holm = if several { "; Holm: corrected for all comparisons of the metric" } else { "" };
    line(&format!(
        "\npaired bootstrap over users, {} resamples, seed {}; p two-sided{holm}",
        comparison.resamples, comparison.seed
    ));
    out
}

/// B, C, … Z, then by number.
fn letter(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place) if place < 25 => char::from(b'B' + place).to_string(),
        _ => format!("#{}", place + 1),
    }
}

/// Each text once, in order.
fn distinct(texts: &[String]) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::new();
    for text in texts {
        if !kept.contains(&text.as_str()) {
            kept.push(text);
        }
    }
    kept
}

fn heading(metric: &str, several: bool) -> String {
    let corrected = if several { "    Holm" } else { "" };
    format!(
        "\n  {metric:<9}{:>8}{:>9}{:>12}  {:<18}{:>11}  {:<22}{:>8}{corrected}",
        "A", "other", "difference", "[95 %]", "relative", "[95 %]", "p"
    )
    .trim_end()
    .to_owned()
}

fn row(letter: &str, difference: &Difference, several: bool) -> String {
    let [low, high] = difference.ci95;
    let percent = |share: f64| format!("{:+.1} %", 100.0 * share);
    let relative = difference.relative.map_or_else(|| "-".to_owned(), percent);
    let ends = difference
        .relative_ci95
        .map_or_else(|| "-".to_owned(), |[low, high]| format!("[{}, {}]", percent(low), percent(high)));
    let corrected = if several { format!("{:>8.4}", difference.p_holm) } else { String::new() };
    format!(
        "  {:<9}{:>8.4}{:>9.4}{:>+12.4}  {:<18}{relative:>11}  {ends:<22}{:>8.4}{corrected}",
        format!("{letter} - A"),
        difference.reference,
        difference.other,
        difference.difference,
        format!("[{low:+.4}, {high:+.4}]"),
        difference.p
    )
}
