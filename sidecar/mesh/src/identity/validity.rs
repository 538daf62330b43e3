//! The period in which a certificate is valid, with the tolerance for clocks that differ.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::refusal::Refusal;
use crate::limits::CLOCK_SKEW;

/// A period in seconds since 1970; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
}

impl Validity {
    /// Whether a certificate is valid at a time of a clock that may be wrong by [`CLOCK_SKEW`].
    pub fn check(self, now: UnixTime) -> Result<(), Refusal> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let skew = i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0);
        if now.saturating_add(skew) < self.not_before {
            return Err(Refusal::NotYetValid);
        }
        if now.saturating_sub(skew) > self.not_after {
            return Err(Refusal::Expired);
        }
        Ok(())
    }

    /// Length.
    pub fn life(self) -> Duration {
        Duration::from_secs(u64::try_from(self.not_after.saturating_sub(self.not_before)).unwrap_or(0))
    }

    /// Time until the end, without tolerance.
    pub fn left(self, now: UnixTime) -> Duration {
        let end = u64::try_from(self.not_after).unwrap_or(0);
        Duration::from_secs(end.saturating_sub(now.as_secs()))
    }

    /// The time nearest to `now` that is within both this period and the tolerance. A check of a
    /// chain at this time accepts certificates that are valid within the tolerance.
    pub fn nearest(self, now: UnixTime) -> UnixTime {
        let [first, last] = [self.not_before, self.not_after].map(|second| u64::try_from(second).unwrap_or(0));
        let skew = CLOCK_SKEW.as_secs();
        let [earliest, latest] = [now.as_secs().saturating_sub(skew), now.as_secs().saturating_add(skew)];
        let nearest = now.as_secs().min(last).max(first).clamp(earliest, latest);
        UnixTime::since_unix_epoch(Duration::from_secs(nearest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Validity = Validity { not_before: 1_000, not_after: 5_000 };

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_minute_before_and_after_is_tolerated() {
        for (now, expected) in [
            (939, Err(Refusal::NotYetValid)),
            (940, Ok(())),
            (1_000, Ok(())),
            (5_060, Ok(())),
            (5_061, Err(Refusal::Expired)),
        ] {
            assert_eq!(PERIOD.check(at(now)), expected, "{now}");
        }
    }

    #[test]
    fn the_nearest_time_moves_by_at_most_a_minute() {
        for (now, expected) in
            [(3_000, 3_000), (990, 1_000), (940, 1_000), (900, 960), (5_010, 5_000), (5_060, 5_000), (5_100, 5_040)]
        {
            assert_eq!(PERIOD.nearest(at(now)), at(expected), "{now}");
        }
    }

    #[test]
    fn the_life_and_the_rest_of_it() {
        assert_eq!((PERIOD.life(), PERIOD.left(at(4_000))), (Duration::from_secs(4_000), Duration::from_secs(1_000)));
        assert_eq!(PERIOD.left(at(6_000)), Duration::ZERO);
    }
}
