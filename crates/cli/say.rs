//! The two voices of the program: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};

/// Writes a result to standard output; a reader that has gone away (`| head`) is no error.
pub(crate) fn result(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

/// Writes one JSON object and a line end to standard output.
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    result(&format!("{value:#}\n"))
}

/// Writes a line of news to standard error; where that is closed there is nobody to tell.
pub(crate) fn news(line: &str) {
    let _closed = writeln!(io::stderr().lock(), "{line}");
}

/// Whether a person is watching standard error.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(value: impl TryInto<u64>) -> String {
    let digits = value.try_into().unwrap_or(u64::MAX).to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Seconds as a person says them: `8 s`, `3 min 05 s`, `2 h 10 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `a text that is far too long` cut to `width` characters, with an ellipsis.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(count(0u64), "0");
        assert_eq!(count(999u64), "999");
        assert_eq!(count(1_000u64), "1,000");
        assert_eq!(count(1_234_567usize), "1,234,567");
    }

    #[test]
    fn durations_read_as_a_person_says_them() {
        assert_eq!(duration(7.6), "8 s");
        assert_eq!(duration(185.0), "3 min 05 s");
        assert_eq!(duration(7_830.0), "2 h 10 min");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis() {
        assert_eq!(shorten("The Silent Harbour", 10), "The Silen…");
        assert_eq!(shorten("Dune", 10), "Dune");
    }
}
