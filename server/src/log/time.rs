//! Times of the log, as in RFC 3339 and in UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Shows a time in whole seconds.
pub(super) struct Seconds(pub(super) SystemTime);

/// Shows a time in microseconds.
pub(super) struct Microseconds(pub(super) SystemTime);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(since_epoch(self.0), f)?;
        f.write_str("Z")
    }
}

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = since_epoch(self.0);
        write_seconds(since, f)?;
        write!(f, ".{:06}Z", since.subsec_micros())
    }
}

/// A clock before 1970 is not set.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn write_seconds(since: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let seconds = since.as_secs();
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day, this many days after the first of January 1970. Years begin in March here,
/// so that the leap day is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (of_month, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    (era * 400 + year + u64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (20_088, (2024, 12, 31)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    #[test]
    fn a_time_has_seconds_or_microseconds() {
        let at = UNIX_EPOCH + Duration::from_micros(1_709_210_096_000_042);
        assert_eq!(Seconds(at).to_string(), "2024-02-29T12:34:56Z");
        assert_eq!(Microseconds(at).to_string(), "2024-02-29T12:34:56.000042Z");
    }
}
