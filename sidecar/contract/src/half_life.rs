//! Half-lives such as `30d`, `12h` or `1d12h`.

use crate::duration::{DAYS_AND_HOURS, DurationError, parse_duration};

/// Invalid half-life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HalfLifeError {
    /// It is not a duration in days and hours.
    #[error(transparent)]
    Form(#[from] DurationError),
    /// It is zero.
    #[error("expected more than 0, such as 30d")]
    Zero,
    /// It is longer than 99,999 days.
    #[error("expected at most 99999d")]
    TooLong,
}

/// Longest half-life: 99,999 days. The CRD schema limits each number to 5 digits.
const SECONDS_MAX: u64 = 99_999 * 24 * 3600;

/// Parses a half-life and returns it in seconds.
///
/// # Errors
/// The text is not a duration in days and hours, or its length is 0 or above 99,999 days.
pub fn parse_half_life(text: &str) -> Result<u64, HalfLifeError> {
    match parse_duration(text, DAYS_AND_HOURS)? {
        0 => Err(HalfLifeError::Zero),
        seconds if seconds > SECONDS_MAX => Err(HalfLifeError::TooLong),
        seconds => Ok(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_too_long_half_lives_are_rejected() {
        assert_eq!(parse_half_life("1d12h"), Ok(36 * 3600));
        assert_eq!(parse_half_life("99999d"), Ok(SECONDS_MAX));
        assert_eq!(parse_half_life("0d"), Err(HalfLifeError::Zero));
        assert_eq!(parse_half_life("100000d"), Err(HalfLifeError::TooLong));
        assert!(matches!(parse_half_life("30m"), Err(HalfLifeError::Form(_))));
    }
}
