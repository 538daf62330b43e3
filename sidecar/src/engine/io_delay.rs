//! How late the I/O threads are: a request that was accepted waits as long until it is read.
//!
//! A fixed number of tasks, the probes, sleep on the I/O threads and wake in turns, one in each
//! interval. A probe that is due and has not run waits in the same queue as the requests that
//! arrived since then, so the oldest such probe shows the wait of the requests that are read now.

use std::{
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Engine;
use crate::{
    limits::{IO_DELAY_INTERVAL, IO_DELAY_PROBES},
    micros::micros,
};

/// Resolution of the runtime's timers: no probe runs earlier after it is due.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);

/// When each probe is due next.
#[derive(Debug)]
pub struct IoDelay {
    begin: Instant,
    /// Microseconds since the begin. All are in the far future until the probes start.
    due: [AtomicU64; IO_DELAY_PROBES],
}

impl IoDelay {
    /// The delay is zero until probes run.
    pub fn new(begin: Instant) -> Self {
        Self { begin, due: [const { AtomicU64::new(u64::MAX) }; IO_DELAY_PROBES] }
    }

    /// Time since the oldest waiting probe is due. A request that is read now has waited this long,
    /// and at most [`IO_DELAY_INTERVAL`] more.
    pub fn get(&self, now: Instant) -> Duration {
        let oldest = self.due.iter().map(|due| due.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX);
        let late = self.micros(now).saturating_sub(oldest);
        Duration::from_micros(late).saturating_sub(TIMER_RESOLUTION)
    }

    /// Plans the next run of a probe that runs now: in its own interval of each round.
    pub fn plan(&self, probe: usize, now: Instant) -> Instant {
        let (interval, probes) = (micros(IO_DELAY_INTERVAL), IO_DELAY_PROBES as u64);
        let (round, offset) = (interval * probes, interval * (probe as u64 + 1));
        let rounds = (self.micros(now) + round).saturating_sub(offset) / round;
        let due = rounds * round + offset;
        if let Some(slot) = self.due.get(probe) {
            slot.store(due, Ordering::Relaxed);
        }
        self.begin + Duration::from_micros(due)
    }

    fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.begin))
    }
}

/// Starts the probes on the runtime that runs this task; they end when the engine is dropped.
pub fn measure(engine: &Weak<Engine>) {
    for probe in 0..IO_DELAY_PROBES {
        let engine = Weak::clone(engine);
        drop(tokio::spawn(async move {
            loop {
                let due = match engine.upgrade() {
                    Some(engine) => engine.io_delay().plan(probe, Instant::now()),
                    None => return,
                };
                tokio::time::sleep_until(due).await;
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_waiting_probe_is_the_delay() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let delay = IoDelay::new(begin);
        assert_eq!(delay.get(at(1000)), Duration::ZERO);
        let round = u64::try_from(IO_DELAY_PROBES).unwrap() * 10;
        for probe in 0..IO_DELAY_PROBES {
            let due = delay.plan(probe, begin);
            assert_eq!(due, at(10 * (u64::try_from(probe).unwrap() + 1)));
        }
        assert_eq!(delay.get(at(5)), Duration::ZERO);
        assert_eq!(delay.get(at(51)), Duration::from_millis(40));
        // The first probe runs 41 ms late, and the second is the oldest.
        assert_eq!(delay.plan(0, at(51)), at(round + 10));
        assert_eq!(delay.get(at(51)), Duration::from_millis(30));
        // After a long stall the probes still wake in turns.
        let stalled = 1000 * round + 55;
        let due: Vec<Instant> = (0..IO_DELAY_PROBES).map(|probe| delay.plan(probe, at(stalled))).collect();
        assert!(due.iter().all(|due| *due > at(stalled) && *due <= at(stalled + round)), "{due:?}");
        assert!((1..IO_DELAY_PROBES).all(|probe| !due[..probe].contains(&due[probe])), "{due:?}");
    }
}
