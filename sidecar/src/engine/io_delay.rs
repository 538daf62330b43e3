//! How late the I/O threads are: a request that was accepted waits as long until it is read.

use std::{
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Engine;
use crate::limits::IO_DELAY_INTERVAL;

/// Weight of the newest measurement in the mean: about the last five count.
const NEWEST_WEIGHT: u64 = 5;

/// Mean delay of the tasks of the I/O threads.
#[derive(Debug, Default)]
pub struct IoDelay(AtomicU64);

impl IoDelay {
    /// The mean.
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Adds a measurement.
    pub fn record(&self, delay: Duration) {
        let newest = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let mean = self.0.load(Ordering::Relaxed);
        self.0.store(mean - mean / NEWEST_WEIGHT + newest / NEWEST_WEIGHT, Ordering::Relaxed);
    }
}

/// Measures the delay of the runtime that runs this task, until the engine is dropped: how much
/// later than planned a timer of the runtime is handled.
pub async fn measure(engine: Weak<Engine>) {
    loop {
        let planned = Instant::now() + IO_DELAY_INTERVAL;
        tokio::time::sleep_until(planned).await;
        let Some(engine) = engine.upgrade() else { return };
        // Timers have a resolution of 1 ms.
        let late = planned.elapsed().saturating_sub(Duration::from_millis(1));
        engine.io_delay().record(late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_the_last_measurements() {
        let delay = IoDelay::default();
        delay.record(Duration::from_millis(100));
        assert!(delay.get() <= Duration::from_millis(20), "{:?}", delay.get());
        for _ in 0..30 {
            delay.record(Duration::from_millis(100));
        }
        assert!(delay.get() > Duration::from_millis(95), "{:?}", delay.get());
        for _ in 0..60 {
            delay.record(Duration::ZERO);
        }
        assert!(delay.get() < Duration::from_millis(1), "{:?}", delay.get());
    }
}
