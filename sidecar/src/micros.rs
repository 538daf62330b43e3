//! Times as whole microseconds, which fit into an atomic integer.

use std::time::Duration;

/// Whole microseconds, at most [`u64::MAX`].
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
