//! Durations such as `90s`, `1h30m` or `30d`: whole numbers, each with a unit.

/// Units that a field accepts.
#[derive(Debug, PartialEq, Eq)]
pub struct Units {
    /// Letter and seconds of each unit.
    seconds: &'static [(char, u64)],
    /// What a valid text is.
    expected: &'static str,
}

const DAY: (char, u64) = ('d', 24 * 3600);
const HOUR: (char, u64) = ('h', 3600);
const MINUTE: (char, u64) = ('m', 60);
const SECOND: (char, u64) = ('s', 1);

/// Units of the durations of a spec.
pub const HOURS_TO_SECONDS: &Units = &Units {
    seconds: &[HOUR, MINUTE, SECOND],
    expected: "expected whole numbers with h, m or s, such as 90s, 15m or 1h30m",
};

/// Units of a half-life.
pub const DAYS_AND_HOURS: &Units =
    &Units { seconds: &[DAY, HOUR], expected: "expected whole numbers with d or h, such as 30d, 12h or 1d12h" };

/// The text is not a valid duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.expected)]
pub struct DurationError(&'static Units);

/// Parses a duration into seconds: one or more whole numbers, each with one of `units`.
///
/// # Errors
/// The text has another form, or its seconds do not fit into 64 bits.
pub fn parse_duration(text: &str, units: &'static Units) -> Result<u64, DurationError> {
    seconds(text, units.seconds).ok_or(DurationError(units))
}

fn seconds(text: &str, units: &[(char, u64)]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let (mut sum, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let number: u64 = number.parse().ok()?;
        let mut letters = tail.chars();
        let letter = letters.next()?;
        let (_, unit) = units.iter().find(|(known, _)| *known == letter)?;
        sum = number.checked_mul(*unit)?.checked_add(sum)?;
        rest = letters.as_str();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hms(text: &str) -> Option<u64> {
        parse_duration(text, HOURS_TO_SECONDS).ok()
    }

    fn dh(text: &str) -> Option<u64> {
        parse_duration(text, DAYS_AND_HOURS).ok()
    }

    #[test]
    fn parses_valid_durations_and_rejects_others() {
        for (text, seconds) in [("10s", 10), ("90m", 5400), ("1h", 3600), ("1h30m", 5400), ("1h1m1s", 3661)] {
            assert_eq!(hms(text), Some(seconds), "{text}");
        }
        for text in ["", "1", "h", "1d", "1.5h", "-1h", "1h ", "+1h", "99999999999999999999h", "18446744073709551615h"]
        {
            assert_eq!(hms(text), None, "{text}");
        }
    }

    #[test]
    fn units_are_those_of_the_caller() {
        for (text, hours) in [("30d", 720), ("12h", 12), ("1d12h", 36), ("99999d", 2_399_976), ("0d1h", 1)] {
            assert_eq!(dh(text), Some(hours * 3600), "{text}");
        }
        for text in ["", "30", "d", "1m", "1.5d", "-1d", "1d ", "+1d", "1d2"] {
            assert_eq!(dh(text), None, "{text}");
        }
    }

    #[test]
    fn error_names_the_units() {
        let error = |units| parse_duration("x", units).unwrap_err().to_string();
        assert_eq!(error(HOURS_TO_SECONDS), "expected whole numbers with h, m or s, such as 90s, 15m or 1h30m");
        assert_eq!(error(DAYS_AND_HOURS), "expected whole numbers with d or h, such as 30d, 12h or 1d12h");
    }
}
