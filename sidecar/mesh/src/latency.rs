//! Estimate of a pod's latency: it rises at once, and decays with time. A pod that became slow is
//! avoided after one request, and is tried again although nothing was measured since.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{LATENCY_DECAY, LATENCY_MIN};

/// An exponentially weighted average that is sensitive to peaks.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    seconds: f64,
    at: Instant,
}

impl Latency {
    /// An estimate without measurements.
    pub fn seeded(latency: Duration, now: Instant) -> Self {
        Self { seconds: latency.as_secs_f64(), at: now }
    }

    /// Takes a measurement into account.
    pub fn observe(&mut self, measured: Duration, now: Instant) {
        let (weight, measured) = (self.weight(now), measured.as_secs_f64());
        self.seconds =
            if measured > self.seconds { measured } else { self.seconds * weight + measured * (1.0 - weight) };
        self.at = self.at.max(now);
    }

    /// The estimate in seconds; at least [`LATENCY_MIN`].
    pub fn seconds(&self, now: Instant) -> f64 {
        (self.seconds * self.weight(now)).max(LATENCY_MIN.as_secs_f64())
    }

    /// Weight of what was measured before.
    fn weight(&self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / LATENCY_DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_decays_with_the_time_constant() {
        let begin = Instant::now();
        let mut latency = Latency::seeded(Duration::from_millis(2), begin);
        latency.observe(Duration::from_secs(1), begin);
        assert!((latency.seconds(begin) - 1.0).abs() < 1e-12);
        let later = begin + LATENCY_DECAY;
        assert!((latency.seconds(later) - 0.367_879_441_171).abs() < 1e-9, "{}", latency.seconds(later));
        // A lower measurement is averaged with the weight e⁻¹ of what was before.
        latency.observe(Duration::from_millis(100), later);
        assert!((latency.seconds(later) - (0.367_879_441_171 + 0.1 * 0.632_120_558_829)).abs() < 1e-9);
    }

    #[test]
    fn a_time_in_the_past_changes_nothing_but_the_estimate() {
        let begin = Instant::now();
        let mut latency = Latency::seeded(Duration::from_millis(5), begin + Duration::from_secs(1));
        latency.observe(Duration::from_millis(9), begin);
        assert!((latency.seconds(begin) - 0.009).abs() < 1e-12);
        assert!((latency.seconds(begin + Duration::from_secs(1000)) - LATENCY_MIN.as_secs_f64()).abs() < 1e-12);
    }
}
