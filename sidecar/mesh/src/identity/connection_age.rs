//! How long a connection may be used. It keeps the identities that it began with, so its age is
//! also the delay with which a certificate that is no longer issued stops to work.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::validity::Validity;
use crate::limits::{CLOCK_SKEW, CONNECTION_AGE_DIVISOR, CONNECTION_AGE_JITTER};

/// Maximum age of a connection: a quarter of the shorter life of both certificates, and not past
/// the end of either. It is shortened by a random part, so that connections that began together do
/// not end together; `random` is from 0 to 1.
pub fn age_max(own: Validity, peer: Validity, now: UnixTime, random: f64) -> Duration {
    let quarter = own.life().min(peer.life()) / CONNECTION_AGE_DIVISOR;
    let left = own.left(now).min(peer.left(now)) + CLOCK_SKEW;
    quarter.min(left).mul_f64(1.0 - CONNECTION_AGE_JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_shorter_life_and_never_past_its_end() {
        let validity = |not_before, not_after| Validity { not_before, not_after };
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let seconds = |own, peer, now, random| age_max(own, peer, at(now), random).as_secs_f64();
        let (day, hour) = (validity(0, 86_400), validity(0, 3_600));
        for (own, peer) in [(day, hour), (hour, day)] {
            assert!((seconds(own, peer, 0, 0.0) - 900.0).abs() < 1e-6);
            assert!((seconds(own, peer, 0, 1.0) - 810.0).abs() < 1e-6);
            // 60 s of tolerance remain.
            assert!((seconds(own, peer, 3_590, 0.0) - 70.0).abs() < 1e-6);
        }
    }
}
