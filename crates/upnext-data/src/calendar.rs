//! Times as a person reads them.

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// From here on, in March 1973, a time is taken for Unix seconds; below, it may as well be a position in a file.
const FIRST_UNIX: i64 = 100_000_000;
/// From here on, in the year 5138, a time is in a finer unit than seconds.
const END_OF_UNIX: i64 = 100_000_000_000;

/// Whether a log that ends at this time has Unix seconds and not just an order.
///
/// ```
/// use upnext_data::calendar::is_unix_time;
/// assert!(is_unix_time(978_300_760) && !is_unix_time(2_314) && !is_unix_time(978_300_760_000));
/// ```
#[must_use]
pub fn is_unix_time(last: i64) -> bool {
    (FIRST_UNIX..END_OF_UNIX).contains(&last)
}

/// The day of a Unix time, as `2022-01-31` (days to dates after Hinnant 2013, "chrono-compatible low-level date
/// algorithms").
#[must_use]
pub fn date(time: i64) -> String {
    let days = time.div_euclid(DAY) + 719_468;
    let (cycle, of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_cycle = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_640_995_200), "2022-01-01");
        assert_eq!(date(1_640_995_199), "2021-12-31");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(951_782_400 + DAY), "2000-03-01");
        assert_eq!(date(-1), "1969-12-31");
    }

    #[test]
    fn no_time_is_too_far_away() {
        assert_eq!((date(i64::MAX).len(), date(i64::MIN).len()), (18, 19));
    }
}
