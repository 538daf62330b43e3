//! Parses half-lives such as `30d`, `12h` or `1d12h`.

/// Invalid half-life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfLifeError;

impl std::fmt::Display for HalfLifeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected whole numbers with d or h and a sum above 0, such as 30d, 12h or 1d12h")
    }
}

impl std::error::Error for HalfLifeError {}

/// Max digits of one number, as in the pattern of the CRD schema; the limit also prevents overflow.
const DIGITS_MAX: usize = 5;

/// Parses a half-life and returns it in seconds.
///
/// # Errors
/// If the text is not one or more numbers, each followed by `d` or `h`, or if their sum is 0.
pub fn parse_half_life(text: &str) -> Result<u64, HalfLifeError> {
    let mut seconds = 0_u64;
    let mut rest = text;
    while let Some(end) = rest.find(['d', 'h']) {
        let (number, tail) = rest.split_at(end);
        if number.len() > DIGITS_MAX || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HalfLifeError);
        }
        let number: u64 = number.parse().map_err(|_| HalfLifeError)?;
        let unit = if tail.starts_with('d') { 24 * 3600 } else { 3600 };
        seconds = seconds.checked_add(number * unit).ok_or(HalfLifeError)?;
        rest = tail.get(1..).unwrap_or_default();
    }
    if rest.is_empty() && seconds > 0 { Ok(seconds) } else { Err(HalfLifeError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_lives_parse_to_seconds() {
        for (text, hours) in [("30d", 720), ("12h", 12), ("1d12h", 36), ("99999d", 2_399_976), ("0d1h", 1)] {
            assert_eq!(parse_half_life(text), Ok(hours * 3600), "{text}");
        }
        for text in ["", "0d", "30", "d", "1m", "1.5d", "-1d", "1d ", "+1d", "100000d", "1d2"] {
            assert_eq!(parse_half_life(text), Err(HalfLifeError), "{text}");
        }
    }
}
