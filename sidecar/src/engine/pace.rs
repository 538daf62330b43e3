//! How long an answer will take: its work, estimated from the question and the model, times the
//! measured time of a unit of work.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Weight of the newest computation in the mean.
const NEWEST_WEIGHT: f64 = 0.02;
/// Maximum time of a computation that enters the mean, in means: a stalled thread predicts little
/// about the next computations.
const OUTLIER_MEANS: f64 = 8.0;

/// Mean time of a unit of work. Concurrent updates may lose a measurement, which changes little.
#[derive(Debug, Default)]
pub struct Pace(AtomicU64);

impl Pace {
    /// Expected time of a computation; `None` until one was measured.
    pub fn estimate(&self, work: u64) -> Option<Duration> {
        let seconds = self.seconds_per_unit()? * units(work);
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    /// Does the work and adds its measurement.
    pub fn measure<T>(&self, work: u64, compute: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let computed = compute();
        self.record(work, begin.elapsed());
        computed
    }

    /// Adds a measurement.
    pub fn record(&self, work: u64, took: Duration) {
        let newest = took.as_secs_f64() / units(work);
        let mean = match self.seconds_per_unit() {
            None => newest,
            Some(mean) => mean + NEWEST_WEIGHT * (newest.min(mean * OUTLIER_MEANS) - mean),
        };
        self.0.store(mean.to_bits(), Ordering::Relaxed);
    }

    fn seconds_per_unit(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|seconds| *seconds > 0.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn units(work: u64) -> f64 {
    work.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_proportional_to_the_work_and_follows_the_measurements() {
        let pace = Pace::default();
        assert_eq!(pace.estimate(1000), None);
        pace.record(1000, Duration::from_micros(100));
        assert_eq!(pace.estimate(500), Some(Duration::from_micros(50)));
        // A stall hardly counts, and a change does.
        pace.record(1000, Duration::from_secs(1));
        assert!(pace.estimate(1000).unwrap() < Duration::from_micros(115), "{pace:?}");
        for _ in 0..400 {
            pace.record(1000, Duration::from_micros(500));
        }
        assert!(pace.estimate(1000).unwrap() > Duration::from_micros(480), "{pace:?}");
    }
}
