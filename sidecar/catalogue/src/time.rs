//! Times in filters.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Microseconds of a second.
const SECOND: f64 = 1e6;

/// Parses a time: seconds since 1970, a date (`2024-05-01`), or a date and time with or without a
/// time zone; without one it is UTC. Returns seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "a time in f64 seconds is exact to a microsecond")]
pub fn parse_time(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then_some(seconds);
    }
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(time.as_microsecond() as f64 / SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_seconds_are_read() {
        for (text, seconds) in [
            ("0", 0.0),
            ("-1.5", -1.5),
            ("1970-01-02", 86_400.0),
            ("2024-05-01T00:00:00Z", 1_714_521_600.0),
            ("2024-05-01 02:00:00", 1_714_528_800.0),
            ("2024-05-01T02:00:00.25+02:00", 1_714_521_600.25),
        ] {
            assert_eq!(parse_time(text), Some(seconds), "{text}");
        }
        for text in ["", "yesterday", "nan", "inf", "2024-13-01"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
