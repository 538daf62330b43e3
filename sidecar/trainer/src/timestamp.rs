//! The two forms of a timestamp, converted to microseconds since 1970.

const MICROS_PER_SECOND: f64 = 1e6;
/// Maximum number of seconds whose microseconds fit into 64 bits.
const SECONDS_ABS_MAX: f64 = 9.0e12;
const WHOLE_SECONDS_ABS_MAX: u64 = 9_000_000_000_000;

/// Seconds since 1970 (fraction allowed) or RFC 3339; `None` for anything else.
pub(crate) fn parse_micros(text: &str) -> Option<i64> {
    let text = text.trim();
    // Integer seconds are the common case and must be exact.
    if let Ok(seconds) = text.parse::<i64>() {
        return micros_of_seconds(seconds);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return micros_of_fraction(seconds);
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

/// The date of a timestamp, as `2000-12-31`; empty if it is outside the calendar's range.
pub fn day(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros)
        .map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
        .unwrap_or_default()
}

/// Microseconds of integer seconds since 1970; `None` if out of range.
pub(crate) fn micros_of_seconds(seconds: i64) -> Option<i64> {
    (seconds.unsigned_abs() <= WHOLE_SECONDS_ABS_MAX).then(|| seconds * 1_000_000)
}

/// Microseconds of fractional seconds since 1970; `None` if out of range.
pub(crate) fn micros_of_fraction(seconds: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "the range was checked")]
    (seconds.abs() <= SECONDS_ABS_MAX).then(|| (seconds * MICROS_PER_SECOND).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_parse_to_the_same_microseconds() {
        for (text, micros) in [
            ("0", Some(0)),
            (" 978300760 ", Some(978_300_760_000_000)),
            ("978300760.25", Some(978_300_760_250_000)),
            ("-1.5", Some(-1_500_000)),
            ("9.783e8", Some(978_300_000_000_000)),
            ("2000-12-31T22:12:40Z", Some(978_300_760_000_000)),
            ("2000-12-31 22:12:40Z", Some(978_300_760_000_000)),
            ("2000-12-31T23:12:40.5+01:00", Some(978_300_760_500_000)),
            ("", None),
            ("2000-12-31", None),
            ("yesterday", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("9223372036854775807", None),
        ] {
            assert_eq!(parse_micros(text), micros, "{text:?}");
        }
    }
}
