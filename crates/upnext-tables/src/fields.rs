//! From values to keys and text, or the reason why not.

use crate::error::Problem;
use crate::table::Value;

/// Bytes that a user's or an item's key may have.
pub(crate) const KEY_LIMIT: usize = 4096;
/// Characters of a value that an error shows.
const SHOWN: usize = 40;

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

/// A key out of a field; a whole number is written out in `digits`.
pub(crate) fn key_of<'a>(
    column: &str,
    value: Value<'a>,
    digits: &'a mut itoa::Buffer,
) -> Result<&'a str, Problem> {
    let refuse = |value: String| Problem::KeyType { column: column.into(), value };
    match value {
        Value::Text(bytes) => key(column, bytes),
        Value::Whole(number) => Ok(digits.format(number)),
        Value::Missing => Err(Problem::Null { column: column.into() }),
        Value::Real(number) => Err(refuse(format!("the number {number:?}"))),
        Value::Instant(_) => Err(refuse("a date".into())),
    }
}

/// Text to display; empty where there is nothing.
pub(crate) fn display_of<'a>(
    column: &str,
    value: Value<'a>,
    digits: &'a mut itoa::Buffer,
    number: &'a mut String,
) -> Result<&'a str, Problem> {
    match value {
        Value::Missing => Ok(""),
        Value::Text(bytes) => text(column, bytes),
        Value::Whole(whole) => Ok(digits.format(whole)),
        Value::Real(real) => {
            *number = real.to_string();
            Ok(number)
        }
        Value::Instant(micros) => {
            let time = chrono::DateTime::from_timestamp_micros(micros);
            *number = time.map_or_else(|| micros.to_string(), |time| time.format("%FT%T%.fZ").to_string());
            Ok(number)
        }
    }
}

/// Text of any length.
pub(crate) fn text<'a>(column: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| Problem::NotUtf8 { column: column.into(), value: shorten(bytes) })
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
    fn shown_values_are_short() {
        assert_eq!(shorten(b"abc"), "abc");
        assert_eq!(shorten(&[b'x'; 41]), format!("{}…", "x".repeat(40)));
        assert_eq!(shorten("é".repeat(50).as_bytes()), format!("{}…", "é".repeat(40)));
        assert!(shorten(&[0xff; 1000]).chars().count() <= 41);
    }
}
