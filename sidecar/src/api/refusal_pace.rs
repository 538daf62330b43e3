//! Paces refusals, so that clients that repeat a refused request at once do not take the CPU time
//! of those that are served. One refusal after another is sent at a minimum interval; a few are
//! sent at once.
//!
//! A delayed refusal keeps its connection. If requests come from more clients than are delayed, they
//! do not depend on the refusals, and the others are refused at once: otherwise delayed refusals
//! would take all connections.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use crate::limits::{REFUSAL_DELAY_MAX, REFUSAL_DELAY_ONE_IN, REFUSAL_INTERVAL, REFUSALS_DELAYED_MAX};

/// When the next refusal may be sent.
#[derive(Debug)]
pub struct RefusalPace {
    next: Mutex<Instant>,
    delayed: Semaphore,
}

impl Default for RefusalPace {
    fn default() -> Self {
        Self { next: Mutex::new(Instant::now()), delayed: Semaphore::new(REFUSALS_DELAYED_MAX) }
    }
}

impl RefusalPace {
    /// Waits until the next refusal may be sent, for a small part of the time for which the client
    /// waits, so that it can ask another pod.
    pub async fn wait(&self, timeout: Option<Duration>) {
        if let Ok(_delayed) = self.delayed.try_acquire() {
            let now = Instant::now();
            let end = timeout.map_or(now + REFUSAL_DELAY_MAX, |timeout| now + timeout / REFUSAL_DELAY_ONE_IN);
            tokio::time::sleep_until(self.reserve(now).min(end)).await;
        }
    }

    /// The time of the next refusal, at most [`REFUSAL_DELAY_MAX`] from now.
    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let time = (*next).clamp(now, now + REFUSAL_DELAY_MAX);
        *next = time + REFUSAL_INTERVAL;
        time
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test(start_paused = true)]
    async fn refusals_beyond_those_that_are_delayed_are_sent_at_once() {
        let pace = std::sync::Arc::new(RefusalPace::default());
        let begin = Instant::now();
        let waits: Vec<_> = (0..2 * REFUSALS_DELAYED_MAX)
            .map(|_| {
                let pace = std::sync::Arc::clone(&pace);
                tokio::spawn(async move {
                    pace.wait(None).await;
                    begin.elapsed()
                })
            })
            .collect();
        let mut at_once = 0;
        for wait in waits {
            at_once += usize::from(wait.await.unwrap() < REFUSAL_INTERVAL);
        }
        // The first of the delayed ones may be sent at once, too.
        assert!((REFUSALS_DELAYED_MAX..=REFUSALS_DELAYED_MAX + 1).contains(&at_once), "{at_once}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_delayed_for_a_small_part_of_the_time_of_its_client() {
        let pace = RefusalPace::default();
        for _ in 0..1000 {
            pace.reserve(Instant::now());
        }
        let begin = Instant::now();
        pace.wait(Some(Duration::from_millis(200))).await;
        assert!(begin.elapsed() <= Duration::from_millis(11), "{:?}", begin.elapsed());
        pace.wait(None).await;
        assert!(begin.elapsed() >= REFUSAL_DELAY_MAX);
    }
}
