//! Sizes as people write them.

use crate::error::Error;

/// A number of bytes, written as `512MB`, `2GiB` or `1000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 11] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("b", 1),
];

impl std::str::FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let lower = text.trim().to_ascii_lowercase();
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((lower.strip_suffix(unit)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((&lower, 1));
        let number = number.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let size = number.map(|number| number * bytes as f64).filter(|size| *size <= u64::MAX as f64);
        size.map(|size| Self(size as u64)).ok_or_else(|| Error::Size { text: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("512MB", 512_000_000),
            ("512 MiB", 512 << 20),
            ("1.5g", 1_500_000_000),
            ("7", 7),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(text.parse::<Size>().ok(), Some(Size(expected)), "{text}");
        }
        for bad in ["", "MB", "-1", "lots", "1e999", "nan"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
