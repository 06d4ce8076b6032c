//! Tables, bars and curves in plain Unicode, as wide as the terminal or 80 columns.

use std::io::IsTerminal;

/// Columns where nobody says how many there are.
const WIDTH: usize = 80;
/// Eighths of a character, from the left and from below.
const LEFT: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const BELOW: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Lines of a curve.
const HEIGHT: usize = 8;

/// Columns that a drawing on standard output may take.
pub(super) fn width() -> usize {
    let size = if std::io::stdout().is_terminal() { terminal_size::terminal_size() } else { None };
    size.map_or(WIDTH, |(width, _)| usize::from(width.0)).clamp(40, 160)
}

/// Text of others, without what would move the cursor or colour the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Named values, one a line, the values in one column.
#[derive(Default)]
pub(crate) struct Facts(Vec<(String, String)>);

impl Facts {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    pub(crate) fn text(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.0.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
        table(&rows, &[], usize::MAX)
    }
}

/// Rows of fields, aligned; the fields of the columns `right` end under each other. Lines are cut to `width`.
pub(super) fn table(rows: &[Vec<String>], right: &[usize], width: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|field| length(field)).max();
    let widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, field) in row.iter().enumerate() {
            let room = " ".repeat(widths[column] - length(field));
            let (before, after) =
                if right.contains(&column) { (room.as_str(), "") } else { ("", room.as_str()) };
            line.push_str("  ");
            line.push_str(&format!("{before}{}{after}", plain(field)));
        }
        text.push_str(&crate::say::shorten(line.trim_end(), width));
        text.push('\n');
    }
    text
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Labelled counts with a bar each, the longest as long as `width` allows.
pub(super) fn bars(counts: &[(String, usize)], width: usize) -> String {
    let most = counts.iter().map(|&(_, count)| count).max().unwrap_or(0);
    let shown: Vec<String> = counts.iter().map(|&(_, count)| crate::say::count(count)).collect();
    let taken = widest(counts.iter().map(|(label, _)| label)) + widest(shown.iter()) + 6;
    let room = width.saturating_sub(taken).max(8);
    let rows: Vec<Vec<String>> = counts
        .iter()
        .zip(shown)
        .map(|((label, count), shown)| vec![label.clone(), shown, bar(*count, most, room)])
        .collect();
    table(&rows, &[0, 1], usize::MAX)
}

fn widest<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(|text| length(text)).max().unwrap_or(0)
}

/// A bar of up to `width` characters; what is not nothing is at least an eighth of one.
fn bar(count: usize, most: usize, width: usize) -> String {
    if count == 0 || most == 0 {
        return String::new();
    }
    let eighths = ((count as f64 / most as f64 * (8 * width) as f64).round() as usize).max(1);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(eighths.checked_rem(8).filter(|&rest| rest > 0).map(|rest| LEFT[rest - 1]));
    bar
}

/// A curve over its columns, filled from its lowest value up; gaps stay empty.
pub(super) fn curve(columns: &[Option<f64>], (low, high): (f64, f64), ends: [&str; 2]) -> String {
    let levels = 8 * HEIGHT;
    let level = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 1.0 };
        1 + (share * (levels - 1) as f64).round() as usize
    };
    let heights: Vec<usize> = columns.iter().map(|column| column.map_or(0, level)).collect();
    let (top, bottom) = (format!("{high:.4}"), format!("{low:.4}"));
    let margin = length(&top).max(length(&bottom));
    let mut text = String::new();
    for line in (0..HEIGHT).rev() {
        let label = match line {
            0 => bottom.as_str(),
            line if line == HEIGHT - 1 => top.as_str(),
            _ => "",
        };
        let cells: String = heights.iter().map(|&height| cell(height, line)).collect();
        text.push_str(format!("  {label:>margin$} {cells}").trim_end());
        text.push('\n');
    }
    let gap = columns.len().saturating_sub(length(ends[0]));
    text.push_str(&format!("  {:margin$} {}{:>gap$}\n", "", ends[0], ends[1]));
    text
}

/// How much of a line a column of so many eighths fills.
fn cell(height: usize, line: usize) -> char {
    match height.saturating_sub(8 * line) {
        0 => ' ',
        eighths => BELOW[eighths.min(8) - 1],
    }
}

/// Columns that a curve may have beside its labels.
pub(super) fn curve_width() -> usize {
    width() - 14
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_counts() {
        assert_eq!(bar(0, 8, 4), "");
        assert_eq!(bar(8, 8, 4), "████");
        assert_eq!(bar(4, 8, 4), "██");
        assert_eq!(bar(5, 8, 4), "██▌");
        assert_eq!(bar(1, 1_000_000, 4), "▏");
        let text = bars(&[("1".into(), 1_000), ("2-3".into(), 0)], 40);
        assert_eq!(text.lines().map(length).max(), Some(40));
        assert_eq!(text.lines().nth(1), Some("  2-3      0"));
    }

    #[test]
    fn a_curve_spans_its_bounds_and_leaves_gaps_empty() {
        let text = curve(&[Some(1.0), None, Some(3.0)], (1.0, 3.0), ["1", "9"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), HEIGHT + 1);
        assert_eq!(lines[0], "  3.0000   █");
        assert_eq!(lines[HEIGHT - 1], "  1.0000 ▁ █");
        assert_eq!(lines[HEIGHT], "         1 9");
        assert!(curve(&[Some(2.0)], (2.0, 2.0), ["1", "1"]).starts_with("  2.0000 █"));
    }

    #[test]
    fn fields_stand_under_each_other_and_cannot_move_the_cursor() {
        let rows = [["a", "1"], ["bbb", "\u{1b}[2J22"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, &[1], 80), "  a         1\n  bbb  ·[2J22\n");
        assert_eq!(table(&rows, &[1], 8), "  a    …\n  bbb  …\n");
    }
}
