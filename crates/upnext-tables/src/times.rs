//! Times in any unit to microseconds since 1970.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Problem};
use crate::fields;
use crate::table::Value;

/// Microseconds of a second.
pub(crate) const MICROS: i64 = 1_000_000;
/// Whole numbers beyond this are not exact as f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// How a file writes its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds since 1970, or any small counter such as a position.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// Nanoseconds since 1970.
    Nanoseconds,
    /// ISO 8601 dates and times, UTC where they name no offset; or a typed column of instants.
    Dates,
}

impl TimeUnit {
    /// The unit in which a whole number of this size lies between the years 1973 and 5138. Below, it is seconds.
    fn of(magnitude: f64) -> Self {
        match magnitude {
            _ if magnitude < 1e11 => Self::Seconds,
            _ if magnitude < 1e14 => Self::Milliseconds,
            _ if magnitude < 1e17 => Self::Microseconds,
            _ => Self::Nanoseconds,
        }
    }

    /// The name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
            Self::Dates => "dates",
        }
    }
}

impl std::str::FromStr for TimeUnit {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let units = [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds, Self::Dates];
        let found = units.into_iter().find(|unit| unit.name() == name);
        found.ok_or_else(|| Error::UnknownTimeUnit { name: name.into() })
    }
}

/// Reads the times of one file, which must all be in one unit: that of its first time other than 0.
pub(crate) struct Clock {
    unit: Option<TimeUnit>,
    told: bool,
}

impl Clock {
    /// Recognises the unit, or takes the one that it is `told`.
    pub(crate) fn new(told: Option<TimeUnit>) -> Self {
        Self { unit: told, told: told.is_some() }
    }

    /// The unit, once there was a time to tell it by.
    pub(crate) fn unit(&self) -> Option<TimeUnit> {
        self.unit
    }

    /// A field's time in microseconds since 1970; finer ones are rounded down.
    pub(crate) fn micros(&mut self, column: &str, value: Value<'_>) -> Result<i64, Problem> {
        match value {
            Value::Missing => Err(Problem::Null { column: column.into() }),
            Value::Instant(micros) => {
                self.check(TimeUnit::Dates, || micros.to_string(), column).map(|()| micros)
            }
            Value::Whole(time) => self.whole(column, time),
            Value::Real(time) => self.real(column, time, || time.to_string()),
            Value::Text(bytes) => self.text(column, bytes),
        }
    }

    fn text(&mut self, column: &str, bytes: &[u8]) -> Result<i64, Problem> {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let text = fields::text(column, bytes)?.trim_ascii();
        let shown = || fields::shorten(bytes);
        match text.parse::<i64>() {
            Ok(time) => return self.whole(column, time),
            Err(error) if matches!(error.kind(), PosOverflow | NegOverflow) => {
                return Err(Problem::TimeRange { column: column.into(), value: shown() });
            }
            Err(_) => {}
        }
        match text.parse::<f64>() {
            Ok(time) if time.is_finite() => self.real(column, time, shown),
            // Digits that overflow are a number; `nan` and `inf` are not.
            Ok(_) if text.bytes().any(|b| b.is_ascii_digit()) => {
                Err(Problem::TimeRange { column: column.into(), value: shown() })
            }
            _ => {
                let bad = || Problem::Time { column: column.into(), value: shown() };
                let micros = date(text).ok_or_else(bad)?;
                self.check(TimeUnit::Dates, shown, column)?;
                Ok(micros)
            }
        }
    }

    fn whole(&mut self, column: &str, time: i64) -> Result<i64, Problem> {
        if time != 0 || self.told {
            self.check(TimeUnit::of(time.unsigned_abs() as f64), || time.to_string(), column)?;
        }
        let range = || Problem::TimeRange { column: column.into(), value: time.to_string() };
        Ok(match self.unit.unwrap_or(TimeUnit::Seconds) {
            TimeUnit::Seconds | TimeUnit::Dates => time.checked_mul(MICROS).ok_or_else(range)?,
            TimeUnit::Milliseconds => time.checked_mul(1_000).ok_or_else(range)?,
            TimeUnit::Microseconds => time,
            TimeUnit::Nanoseconds => time.div_euclid(1_000),
        })
    }

    fn real(&mut self, column: &str, time: f64, shown: impl Fn() -> String) -> Result<i64, Problem> {
        if !time.is_finite() {
            return Err(Problem::Time { column: column.into(), value: shown() });
        }
        if time.abs() > EXACT {
            return Err(Problem::TimeRange { column: column.into(), value: shown() });
        }
        if time.fract() == 0.0 {
            return self.whole(column, time as i64);
        }
        self.check(TimeUnit::of(time.abs()), &shown, column)?;
        let factor = match self.unit.unwrap_or(TimeUnit::Seconds) {
            TimeUnit::Seconds | TimeUnit::Dates => 1e6,
            TimeUnit::Milliseconds => 1e3,
            TimeUnit::Microseconds => 1.0,
            TimeUnit::Nanoseconds => 1e-3,
        };
        let micros = (time * factor).floor();
        if micros.abs() > 9.2e18 {
            return Err(Problem::TimeRange { column: column.into(), value: shown() });
        }
        Ok(micros as i64)
    }

    /// Refuses a time in another unit than the file's.
    fn check(&mut self, unit: TimeUnit, shown: impl Fn() -> String, column: &str) -> Result<(), Problem> {
        match self.unit {
            None => self.unit = Some(unit),
            Some(TimeUnit::Dates) if unit == TimeUnit::Dates => {}
            // A unit that was told holds for every number.
            Some(told) if self.told && (told == TimeUnit::Dates) == (unit == TimeUnit::Dates) => {}
            Some(first) if first != unit => {
                return Err(Problem::MixedUnits {
                    column: column.into(),
                    value: shown(),
                    unit: unit.name(),
                    first: first.name(),
                });
            }
            Some(_) => {}
        }
        Ok(())
    }
}

/// An ISO 8601 date or time, with `T` or a space between them, in UTC where there is no offset.
fn date(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            return Some(time.timestamp_micros());
        }
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

/// A moment given by hand: a whole number of Unix seconds, or an ISO 8601 date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment(pub i64);

impl std::str::FromStr for Moment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let seconds = || text.parse().ok();
        let found = seconds().or_else(|| date(text).map(|micros| micros.div_euclid(MICROS)));
        found.map(Self).ok_or_else(|| Error::Moment { text: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Result<i64, Problem> {
        Clock::new(None).micros("t", Value::Text(text.as_bytes()))
    }

    #[test]
    fn every_unit_gives_the_same_instant() {
        let expected = Ok(978_300_760 * MICROS);
        for text in [
            "978300760",
            " 978300760 ",
            "+978300760",
            "978300760.0",
            "9.7830076e8",
            "978300760000",
            "978300760000000",
            "978300760000000000",
            "2000-12-31T22:12:40Z",
            "2000-12-31 22:12:40",
            "2000-12-31T22:12:40.000",
            "2000-12-31T23:12:40+01:00",
            "2000-12-31 22:12:40+00",
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
        for value in
            [Value::Whole(978_300_760), Value::Real(978_300_760.0), Value::Instant(978_300_760 * MICROS)]
        {
            assert_eq!(Clock::new(None).micros("t", value), expected);
        }
        assert_eq!(micros("2000-12-31"), Ok(978_220_800 * MICROS));
        assert_eq!(micros("978300760.25"), Ok(978_300_760 * MICROS + 250_000));
        assert_eq!(micros("-3"), Ok(-3 * MICROS));
        assert_eq!(micros("0"), Ok(0));
    }

    #[test]
    fn a_file_keeps_to_its_first_unit() {
        let mut clock = Clock::new(None);
        let mut read = |text: &str| clock.micros("t", Value::Text(text.as_bytes()));
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("1700000000123"), Ok(1_700_000_000_123_000));
        assert!(matches!(read("1700000000"), Err(Problem::MixedUnits { .. })));
        assert!(matches!(read("2020-01-01"), Err(Problem::MixedUnits { .. })));
        assert_eq!(clock.unit(), Some(TimeUnit::Milliseconds));
        let mut told = Clock::new(Some(TimeUnit::Milliseconds));
        assert_eq!(told.micros("t", Value::Whole(5)), Ok(5_000));
    }

    #[test]
    fn other_times_are_refused() {
        for text in ["", "yesterday", "2020-13-01", "nan", "inf", "0x10", "1 2", "١٢"] {
            assert!(matches!(micros(text), Err(Problem::Time { .. })), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "1e300", "1e999", "9007199254740994.0"] {
            assert!(matches!(micros(text), Err(Problem::TimeRange { .. })), "{text}");
        }
        assert!(matches!(Clock::new(None).micros("t", Value::Text(b"\xff")), Err(Problem::NotUtf8 { .. })));
        assert!(matches!(Clock::new(None).micros("t", Value::Missing), Err(Problem::Null { .. })));
    }
}
