//! Paces refusals, so that clients that repeat a refused request at once do not take the CPU time
//! of those that are served. One refusal after another is sent at a minimum interval; a few are
//! sent at once.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits::{REFUSAL_DELAY_MAX, REFUSAL_INTERVAL};

/// When the next refusal may be sent.
#[derive(Debug)]
pub struct RefusalPace(Mutex<Instant>);

impl Default for RefusalPace {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl RefusalPace {
    /// Waits until the next refusal may be sent.
    pub async fn wait(&self) {
        tokio::time::sleep_until(self.reserve(Instant::now())).await;
    }

    /// The time of the next refusal, at most [`REFUSAL_DELAY_MAX`] from now.
    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let time = (*next).clamp(now, now + REFUSAL_DELAY_MAX);
        *next = time + REFUSAL_INTERVAL;
        time
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_follow_each_other_at_the_interval_with_a_bounded_delay() {
        let (begin, pace) = (Instant::now(), RefusalPace::default());
        let delays = |now: Instant, count: usize| -> Vec<Duration> {
            (0..count).map(|_| pace.reserve(now).duration_since(now)).collect()
        };
        assert_eq!(delays(begin, 3), [Duration::ZERO, REFUSAL_INTERVAL, 2 * REFUSAL_INTERVAL]);
        // At a lower rate none is delayed.
        for second in 1..10 {
            assert_eq!(delays(begin + Duration::from_secs(second), 1), [Duration::ZERO]);
        }
        let late = begin + Duration::from_secs(20);
        assert!(delays(late, 100_000).iter().all(|delay| *delay <= REFUSAL_DELAY_MAX));
    }
}
