//! Durations in the notation `90s`, `15m`, `1h30m`.

/// The text is not a valid duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationError;

impl std::fmt::Display for DurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected whole numbers with h, m or s, such as 90s, 15m or 1h30m")
    }
}

impl std::error::Error for DurationError {}

/// Parses a duration into seconds: one or more whole numbers, each with the unit `h`, `m` or `s`,
/// as in the pattern of the schema.
pub fn parse_seconds(text: &str) -> Result<u64, DurationError> {
    let mut seconds = 0_u64;
    let mut rest = text;
    if rest.is_empty() {
        return Err(DurationError);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| DurationError)?;
        let mut letters = tail.chars();
        let unit = match letters.next() {
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            _ => return Err(DurationError),
        };
        seconds = number.checked_mul(unit).and_then(|part| seconds.checked_add(part)).ok_or(DurationError)?;
        rest = letters.as_str();
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_valid_durations_and_rejects_others() {
        for (text, seconds) in [("10s", 10), ("90m", 5400), ("1h", 3600), ("1h30m", 5400), ("1h1m1s", 3661)] {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
        for text in ["", "1", "h", "1d", "1.5h", "-1h", "1h ", "99999999999999999999h", "18446744073709551615h"] {
            assert_eq!(parse_seconds(text), Err(DurationError), "{text}");
        }
    }
}
