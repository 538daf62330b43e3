//! Min transfer rate of a client: how long the store waits for its bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{TRANSFER_BYTES_PER_SECOND_MIN, TRANSFER_PAUSE_MAX};

/// Time that a client may keep the store waiting: at first [`TRANSFER_PAUSE_MAX`]. Waiting uses it
/// up, and each transferred byte restores `1 / TRANSFER_BYTES_PER_SECOND_MIN` seconds. So a client
/// may pause, but not transfer slowly for long. The time that the store itself needs is not
/// counted.
#[derive(Default)]
pub struct Pace {
    used: Duration,
    wait: Option<Wait>,
}

struct Wait {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl Pace {
    /// Counts bytes that the client sent or received, and ends the wait for them.
    pub fn transferred(&mut self, bytes: usize) {
        let waited = self.wait.take().map_or(Duration::ZERO, |wait| wait.since.elapsed());
        let micros = (bytes as u64).saturating_mul(1_000_000) / TRANSFER_BYTES_PER_SECOND_MIN;
        self.used = (self.used + waited).saturating_sub(Duration::from_micros(micros));
    }

    /// Waits for the client; ready when it has used up its time.
    pub fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wait = self.wait.get_or_insert_with(|| {
            let since = Instant::now();
            Wait { since, end: Box::pin(sleep_until(since + TRANSFER_PAUSE_MAX.saturating_sub(self.used))) }
        });
        wait.end.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Transfers `bytes` after each pause of one second; returns the number of transfers before the
    /// client has used up its time, at most `transfers_max`.
    async fn transfers(bytes: usize, transfers_max: u32) -> u32 {
        let mut pace = Pace::default();
        for transfer in 0..transfers_max {
            let exhausted = poll_fn(|cx| pace.poll_exhausted(cx));
            if tokio::time::timeout(Duration::from_secs(1), exhausted).await.is_ok() {
                return transfer;
            }
            pace.transferred(bytes);
        }
        transfers_max
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_uses_up_its_time_and_a_fast_one_may_pause() {
        let rate = usize::try_from(TRANSFER_BYTES_PER_SECOND_MIN).unwrap();
        let pause = u32::try_from(TRANSFER_PAUSE_MAX.as_secs()).unwrap();
        // The last pause may end early, and timers have a resolution of a millisecond.
        let near = |found: u32, expected: u32| assert!(found.abs_diff(expected) <= 2, "{found}, expected {expected}");
        near(transfers(0, 1000).await, pause);
        near(transfers(1, 1000).await, pause);
        near(transfers(rate / 2, 1000).await, 2 * pause);
        assert_eq!(transfers(rate + rate / 10, 1000).await, 1000);

        let mut pace = Pace::default();
        pace.transferred(1000 * rate);
        let begin = Instant::now();
        poll_fn(|cx| pace.poll_exhausted(cx)).await;
        near(u32::try_from(begin.elapsed().as_secs()).unwrap(), pause);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_store_does_not_wait_is_not_counted() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            tokio::time::sleep(TRANSFER_PAUSE_MAX).await;
            let exhausted = poll_fn(|cx| pace.poll_exhausted(cx));
            assert!(tokio::time::timeout(Duration::from_secs(1), exhausted).await.is_err());
            pace.transferred(0);
        }
    }
}
