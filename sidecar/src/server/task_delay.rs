//! How long tasks wait for an I/O thread. A task that does nothing else measures it, so the measure
//! does not depend on what the tasks of connections do.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The delay of tasks, as measured last.
#[derive(Debug, Default)]
pub struct TaskDelay(Mutex<Measurements>);

#[derive(Debug, Default)]
struct Measurements {
    last: Duration,
    /// Start of the measurement that is running.
    running: Option<Instant>,
}

impl TaskDelay {
    /// Starts a measurement, unless one is running. Must be called in a runtime.
    pub fn measure(self: &Arc<Self>) {
        let begin = Instant::now();
        if self.with(|measurements| {
            measurements.running.is_some() || {
                measurements.running = Some(begin);
                false
            }
        }) {
            return;
        }
        let delay = Arc::clone(self);
        drop(tokio::spawn(async move {
            // A thread runs the task that it has spawned last before those that wait, and a task that
            // has yielded after them.
            tokio::task::yield_now().await;
            delay.with(|measurements| *measurements = Measurements { last: begin.elapsed(), running: None });
        }));
    }

    /// The delay that was measured last, or the time since a running measurement began if that is
    /// longer already.
    pub fn at(&self, now: Instant) -> Duration {
        self.with(|Measurements { last, running }| {
            running.map_or(*last, |begin| now.saturating_duration_since(begin).max(*last))
        })
    }

    fn with<T>(&self, run: impl FnOnce(&mut Measurements) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_delay_is_that_of_tasks_that_wait_and_is_measured_again() {
        let delay = Arc::<TaskDelay>::default();
        let after = |seconds| Duration::from_secs(seconds);
        delay.measure();
        // No other task runs meanwhile.
        tokio::time::advance(Duration::ZERO).await;
        assert_eq!(delay.at(Instant::now()), Duration::ZERO);
        // The task waits while this one does not yield.
        let begin = Instant::now();
        delay.measure();
        assert_eq!(delay.at(begin + after(3)), after(3));
        delay.measure();
        assert_eq!(delay.at(begin + after(4)), after(4), "a measurement in progress is not restarted");
        tokio::time::advance(after(5)).await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(delay.at(begin + after(60)), after(5));
        // What a stall has measured does not last.
        delay.measure();
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(delay.at(begin + after(60)), Duration::ZERO);
    }
}
