//! How long a request may take, and how long each of its tries.

use std::time::Duration;

use crate::limits::TIMEOUT_MILLISECONDS_MAX;

/// Header with the time that a client waits for the answer, in milliseconds. It is sent on with the
/// time that is left.
pub const TIMEOUT_HEADER: &str = "x-request-timeout-ms";

/// Value of [`TIMEOUT_HEADER`].
///
/// # Errors
/// A sentence for a value that is not a whole number above 0.
pub fn parse_timeout(value: &[u8]) -> Result<Duration, String> {
    let text = std::str::from_utf8(value).ok().map(str::trim);
    let milliseconds = text.and_then(|text| text.parse::<u64>().ok()).filter(|milliseconds| *milliseconds > 0);
    let milliseconds = milliseconds.ok_or_else(|| {
        format!("header {TIMEOUT_HEADER}: expected a whole number of milliseconds from 1 to {TIMEOUT_MILLISECONDS_MAX}")
    })?;
    Ok(Duration::from_millis(milliseconds.min(TIMEOUT_MILLISECONDS_MAX)))
}

/// Time for a try. A try that may be followed by another one leaves at least half of the time to
/// it.
pub fn try_timeout(left: Duration, may_retry: bool) -> Duration {
    if may_retry { left / 2 } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_whole_number_of_milliseconds_and_bounded() {
        for (text, expected) in [("1", 1), (" 250 ", 250), ("60000", 60_000), ("99999999", 60_000)] {
            assert_eq!(parse_timeout(text.as_bytes()), Ok(Duration::from_millis(expected)), "{text}");
        }
        for bad in [b"0".as_slice(), b"", b"-1", b"1.5", b"1s", b"\xff", b"99999999999999999999999"] {
            assert!(parse_timeout(bad).unwrap_err().contains("whole number of milliseconds"), "{bad:?}");
        }
    }

    #[test]
    fn three_tries_take_at_most_the_whole_time() {
        let mut left = Duration::from_secs(1);
        let tries = [true, true, false].map(|may_retry| {
            let time = try_timeout(left, may_retry);
            left = left.saturating_sub(time);
            time.as_millis()
        });
        assert_eq!(tries, [500, 250, 250]);
    }
}
