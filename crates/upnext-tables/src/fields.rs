//! From bytes to keys, text and times, or the reason why not.

use crate::error::Problem;

/// Bytes that a user's or an item's key may have.
pub(crate) const KEY_LIMIT: usize = 4096;
/// Characters of a value that an error shows.
const SHOWN: usize = 40;
/// Whole numbers beyond this are not exact as f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A user's or an item's key: any text that is neither empty, nor over-long, nor with a zero byte.
/// Spaces count: `" 7"` and `"7"` are two keys.
pub(crate) fn key<'a>(column: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    if bytes.is_empty() {
        return Err(Problem::EmptyKey { column: column.into() });
    }
    if bytes.len() > KEY_LIMIT {
        let value = shorten(&bytes[..SHOWN]);
        return Err(Problem::LongKey { column: column.into(), bytes: bytes.len(), value, limit: KEY_LIMIT });
    }
    if bytes.contains(&0) {
        return Err(Problem::Nul { column: column.into(), value: shorten(bytes) });
    }
    text(column, bytes)
}

/// Text of any length.
pub(crate) fn text<'a>(column: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| Problem::NotUtf8 { column: column.into(), value: shorten(bytes) })
}

/// A time: a whole number as it is written, in digits or as a float without a fraction (`978300760.0`).
pub(crate) fn time(column: &str, bytes: &[u8]) -> Result<i64, Problem> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let value = text(column, bytes)?.trim_ascii();
    let out_of_range = || Problem::TimeRange { column: column.into(), value: shorten(bytes) };
    match value.parse::<i64>() {
        Ok(time) => return Ok(time),
        Err(error) if matches!(error.kind(), PosOverflow | NegOverflow) => return Err(out_of_range()),
        Err(_) => {}
    }
    match value.parse::<f64>() {
        Ok(time) if !time.is_finite() && value.bytes().any(|b| b.is_ascii_digit()) => Err(out_of_range()),
        Ok(time) if time.abs() > EXACT && time.is_finite() => Err(out_of_range()),
        Ok(time) if time.fract() == 0.0 => Ok(time as i64),
        _ => Err(Problem::Time { column: column.into(), value: shorten(bytes) }),
    }
}

/// The beginning of a value, as far as an error should show it.
pub(crate) fn shorten(bytes: &[u8]) -> String {
    let beginning = &bytes[..bytes.len().min(4 * SHOWN)];
    let text = String::from_utf8_lossy(beginning);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() || beginning.len() < bytes.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_kept_as_they_are_written() {
        for (text, expected) in [
            ("978300760", 978_300_760),
            (" 5 ", 5),
            ("-3", -3),
            ("+4", 4),
            ("978300760.0", 978_300_760),
            ("9.78e8", 978_000_000),
            ("1700000000123", 1_700_000_000_123),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(time("t", text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_times_are_refused() {
        for text in ["", "yesterday", "2020-01-01", "1.5", "nan", "inf", "0x10", "1 2", "١٢"] {
            assert!(matches!(time("t", text.as_bytes()), Err(Problem::Time { .. })), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "1e300", "1e999", "9007199254740994.0"] {
            assert!(matches!(time("t", text.as_bytes()), Err(Problem::TimeRange { .. })), "{text}");
        }
        assert!(matches!(time("t", b"\xff"), Err(Problem::NotUtf8 { .. })));
    }

    #[test]
    fn shown_values_are_short() {
        assert_eq!(shorten(b"abc"), "abc");
        assert_eq!(shorten(&[b'x'; 41]), format!("{}…", "x".repeat(40)));
        assert_eq!(shorten("é".repeat(50).as_bytes()), format!("{}…", "é".repeat(40)));
        assert!(shorten(&[0xff; 1000]).chars().count() <= 41);
    }
}
