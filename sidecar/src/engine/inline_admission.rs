//! Admission of answers that the I/O threads compute themselves. Their queue is what was accepted
//! and not yet read, so a request has waited when it is admitted: it is refused if it waited for
//! most of what its caller tolerates. The clock is an argument.
//!
//! A process that does not get its CPU time (the node is busy, or the container is throttled) also
//! makes requests wait. Refusing the few that wait then would not let others be answered earlier, so
//! only a delay that lasts, and of many requests, is overload.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{limits::IO_DELAY_INTERVAL, micros::micros};

/// Part of the tolerated wait from which requests are refused. The rest is for the error of the
/// measured delay, for the time until the delay counts as lasting, and for the answer itself.
const REFUSED_FROM: f64 = 0.75;
/// Minimum time for which the delay must be too long, before requests are refused.
const LASTING: Duration = IO_DELAY_INTERVAL;
/// Minimum number of late requests in a row, before requests are refused.
const LATE_REQUESTS_MIN: u32 = 32;
/// The delay is not too long.
const IN_TIME: u64 = u64::MAX;

/// Since when the delay is too long, and for how many requests.
#[derive(Debug)]
pub struct InlineAdmission {
    begin: Instant,
    /// Microseconds since the begin, or [`IN_TIME`].
    late_since: AtomicU64,
    late_requests: AtomicU32,
}

impl InlineAdmission {
    /// No request was late yet.
    pub fn new(begin: Instant) -> Self {
        Self { begin, late_since: AtomicU64::new(IN_TIME), late_requests: AtomicU32::new(0) }
    }

    /// Whether a request that has waited for `waited` is answered, if its caller tolerates
    /// `tolerated` in total.
    pub fn admits(&self, now: Instant, waited: Duration, tolerated: Duration) -> bool {
        if waited <= tolerated.mul_f64(REFUSED_FROM) {
            self.late_since.store(IN_TIME, Ordering::Relaxed);
            self.late_requests.store(0, Ordering::Relaxed);
            return true;
        }
        let now = micros(now.saturating_duration_since(self.begin)).min(IN_TIME - 1);
        let since = self.late_since.load(Ordering::Relaxed);
        if since == IN_TIME {
            self.late_since.store(now, Ordering::Relaxed);
            self.late_requests.store(1, Ordering::Relaxed);
            return true;
        }
        let late_requests = self.late_requests.fetch_add(1, Ordering::Relaxed);
        late_requests < LATE_REQUESTS_MIN || Duration::from_micros(now.saturating_sub(since)) < LASTING
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::{
        engine::{arrivals::poisson_intervals, io_delay::IoDelay},
        limits::IO_DELAY_PROBES,
    };

    const BUDGET: Duration = Duration::from_millis(100);
    const COMPUTING: Duration = Duration::from_micros(50);
    /// Reading a request and writing its response.
    const HTTP: Duration = Duration::from_micros(20);

    enum Task {
        Request { arrived: Instant },
        Probe(usize),
    }

    #[derive(Default)]
    struct Simulated {
        refused: usize,
        /// Times from the arrival to the answer, in the second half of the simulation.
        latencies: Vec<Duration>,
    }

    impl Simulated {
        fn latency_at(&mut self, quantile: f64) -> Duration {
            self.latencies.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let index = ((self.latencies.len() - 1) as f64 * quantile) as usize;
            self.latencies[index]
        }
    }

    /// Ten seconds of Poisson arrivals at `load` times the capacity of one I/O thread, which runs
    /// requests and probes in the order in which they are due. It stalls `stall` long each second.
    fn simulate(load: f64, stall: Duration) -> Simulated {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(10);
        let mean_interval = (COMPUTING + HTTP).as_secs_f64() / load;
        let mut next = poisson_intervals(mean_interval);
        let (delay, admission) = (IoDelay::new(begin), InlineAdmission::new(begin));
        let mut sleeping: Vec<Option<Instant>> =
            (0..IO_DELAY_PROBES).map(|probe| Some(delay.plan(probe, begin))).collect();
        let (mut arrival, mut queue) = (begin + next(), VecDeque::new());
        let (mut now, mut stalls) = (begin, 0);
        let mut simulated = Simulated::default();
        while now < end {
            if now > begin + Duration::from_secs(stalls + 1) {
                stalls += 1;
                now += stall;
            }
            // What has become due joins the queue in its order.
            loop {
                let probe = (0..IO_DELAY_PROBES).filter_map(|probe| Some((sleeping[probe]?, probe))).min();
                match probe {
                    Some((due, probe)) if due <= arrival && due <= now => {
                        sleeping[probe] = None;
                        queue.push_back(Task::Probe(probe));
                    }
                    _ if arrival <= now => {
                        queue.push_back(Task::Request { arrived: arrival });
                        arrival += next();
                    }
                    _ => break,
                }
            }
            match queue.pop_front() {
                None => now += Duration::from_micros(1),
                Some(Task::Probe(probe)) => sleeping[probe] = Some(delay.plan(probe, now)),
                Some(Task::Request { arrived }) => {
                    now += HTTP;
                    if !admission.admits(now, delay.get(now), BUDGET) {
                        simulated.refused += 1;
                        continue;
                    }
                    now += COMPUTING;
                    if now > begin + Duration::from_secs(5) {
                        simulated.latencies.push(now - arrived);
                    }
                }
            }
        }
        simulated
    }

    #[test]
    fn at_three_times_the_capacity_answers_are_within_the_budget_and_the_rest_is_refused() {
        for load in [1.5, 2.0, 3.0] {
            let mut simulated = simulate(load, Duration::ZERO);
            let (high, median) = (simulated.latency_at(0.99), simulated.latency_at(0.5));
            assert!(high <= BUDGET, "load {load}: {high:?}");
            // The thread is never idle: requests wait for most of the budget.
            assert!(median >= BUDGET / 2, "load {load}: {median:?}");
            assert!(simulated.refused > 10_000, "load {load}: {} refused", simulated.refused);
        }
    }

    #[test]
    fn below_the_capacity_nothing_is_refused_even_after_stalls() {
        for (load, stall) in [(0.9, 0), (0.5, 90), (0.01, 500)] {
            let simulated = simulate(load, Duration::from_millis(stall));
            assert_eq!(simulated.refused, 0, "load {load}, stalls of {stall} ms");
        }
    }

    /// A client that sends one request after another to a process without CPU time.
    #[test]
    fn a_few_late_requests_are_answered() {
        let begin = Instant::now();
        let admission = InlineAdmission::new(begin);
        let late = |number: u32| admission.admits(begin + LASTING * number, BUDGET, BUDGET);
        assert!((0..LATE_REQUESTS_MIN).all(late));
        assert!(!late(LATE_REQUESTS_MIN + 1), "so many are overload");
        assert!(admission.admits(begin, Duration::ZERO, BUDGET));
        assert!((0..LATE_REQUESTS_MIN).all(late));
    }
}
