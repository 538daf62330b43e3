//! A limit of log lines about peers, of which a hostile one could cause any number. Metrics count
//! all of them.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits::{LOG_LINES_MAX, LOG_WINDOW};

/// Allows [`LOG_LINES_MAX`] lines in each [`LOG_WINDOW`].
#[derive(Debug, Default)]
pub struct LogPace(Mutex<Option<(Instant, u32)>>);

impl LogPace {
    /// Whether a line may be written now.
    pub fn allows(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (begin, lines) = window.get_or_insert((now, 0));
        if now.saturating_duration_since(*begin) >= LOG_WINDOW {
            (*begin, *lines) = (now, 0);
        }
        *lines = lines.saturating_add(1);
        *lines <= LOG_LINES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_beyond_the_limit_wait_for_the_next_window() {
        let pace = LogPace::default();
        let allowed = || (0..100).filter(|_| pace.allows(Instant::now())).count();
        assert_eq!(allowed(), usize::try_from(LOG_LINES_MAX).unwrap());
        assert_eq!(allowed(), 0);
        tokio::time::advance(LOG_WINDOW).await;
        assert_eq!(allowed(), usize::try_from(LOG_LINES_MAX).unwrap());
    }
}
