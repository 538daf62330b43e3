//! Admission to the compute queue, decided by the expected wait, not by the queue length. Pure; the
//! clock is an argument.
//!
//! The expected wait is the queue length times the mean time of a computation, divided by the
//! number of threads. The tolerated wait depends on the utilization, which is the arrival rate
//! (including rejected requests) divided by the capacity of the threads. It is smoothed, so that a
//! short stall of the CPU does not count as overload. Below [`UTILIZATION_LOW`] a burst may queue,
//! [`BURST_COMPUTATIONS`] deep. Above [`UTILIZATION_HIGH`] queueing only adds latency, so no more
//! is admitted than keeps the threads busy, and a response takes at most about twice the time of
//! its computation. In between the tolerated wait falls linearly; two modes with a switch between
//! them would oscillate.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{
    ANSWERS_QUEUED_MAX, ARRIVAL_WINDOW, BURST_COMPUTATIONS, BURST_DELAY_MIN, EXCESS_DELAY_MIN, QUEUE_DELAY_MAX,
    UTILIZATION_HIGH, UTILIZATION_LOW, UTILIZATION_SAMPLE_MAX, UTILIZATION_SMOOTHING,
};

/// Weight of the newest computation in the mean, once there are enough.
const NEWEST_WEIGHT: f64 = 0.02;
/// Maximum time of a computation that enters the mean, in means. A stalled thread (the node was
/// busy, or the container was throttled) predicts little about the next computations, and must not
/// count as load.
const OUTLIER_MEANS: f64 = 8.0;

/// State of the admission control.
#[derive(Debug)]
pub struct Admission {
    threads: usize,
    busy: usize,
    queue_length: usize,
    /// Mean time of a computation.
    mean_seconds: f64,
    /// Number of computations in the mean.
    counted: u32,
    /// Arrival rate over about [`ARRIVAL_WINDOW`].
    arrivals_per_second: f64,
    last_arrival: Instant,
    /// Arrival rate divided by capacity, over about [`UTILIZATION_SMOOTHING`]; 1 keeps all threads
    /// busy.
    utilization: f64,
}

impl Admission {
    /// State of an empty queue with `threads` threads.
    pub fn new(threads: usize, now: Instant) -> Self {
        Self {
            threads,
            busy: 0,
            queue_length: 0,
            mean_seconds: 0.0,
            counted: 0,
            arrivals_per_second: 0.0,
            last_arrival: now,
            utilization: 0.0,
        }
    }

    /// Records an arrival, and returns whether it may queue.
    pub fn admits(&mut self, now: Instant) -> bool {
        self.arrived(now);
        if self.queue_length == 0 && self.busy < self.threads {
            return true;
        }
        self.queue_length < ANSWERS_QUEUED_MAX && self.expected_wait() <= self.tolerated_wait()
    }

    /// Records that a computation was queued.
    pub fn queued(&mut self) {
        self.queue_length += 1;
    }

    /// Records that a thread dequeued a computation that was queued at `queued`. Returns false if
    /// it has waited too long and must be refused.
    pub fn dequeued(&mut self, now: Instant, queued: Instant) -> bool {
        self.queue_length = self.queue_length.saturating_sub(1);
        let in_time = now.saturating_duration_since(queued) <= QUEUE_DELAY_MAX;
        if in_time {
            self.busy += 1;
        }
        in_time
    }

    /// Records the end of a dequeued computation and its time; `None` if it was cancelled before it
    /// ran.
    pub fn finished(&mut self, took: Option<Duration>) {
        self.busy = self.busy.saturating_sub(1);
        let Some(took) = took.map(|took| took.as_secs_f64()) else { return };
        let took = if self.counted == 0 { took } else { took.min(self.mean_seconds * OUTLIER_MEANS) };
        self.counted = self.counted.saturating_add(1);
        self.mean_seconds += NEWEST_WEIGHT.max(1.0 / f64::from(self.counted)) * (took - self.mean_seconds);
    }

    #[expect(clippy::cast_precision_loss, reason = "few threads")]
    fn arrived(&mut self, now: Instant) {
        let window = ARRIVAL_WINDOW.as_secs_f64();
        let passed = now.saturating_duration_since(self.last_arrival).as_secs_f64();
        self.last_arrival = self.last_arrival.max(now);
        self.arrivals_per_second = self.arrivals_per_second * (-passed / window).exp() + 1.0 / window;
        let sample = (self.arrivals_per_second * self.mean_seconds / self.threads as f64).min(UTILIZATION_SAMPLE_MAX);
        self.utilization += (1.0 - (-passed / UTILIZATION_SMOOTHING.as_secs_f64()).exp()) * (sample - self.utilization);
    }

    #[expect(clippy::cast_precision_loss, reason = "both are small")]
    fn expected_wait(&self) -> Duration {
        // Running computations have half of their time left on average.
        Duration::from_secs_f64(self.mean_seconds * (self.queue_length as f64 + 0.5) / self.threads as f64)
    }

    fn tolerated_wait(&self) -> Duration {
        let burst_fraction =
            ((UTILIZATION_HIGH - self.utilization) / (UTILIZATION_HIGH - UTILIZATION_LOW)).clamp(0.0, 1.0);
        let between = |excess: f64, burst: f64| excess + burst_fraction * (burst - excess);
        let computations = between(1.0, BURST_COMPUTATIONS);
        let floor = between(EXCESS_DELAY_MIN.as_secs_f64(), BURST_DELAY_MIN.as_secs_f64());
        Duration::from_secs_f64((self.mean_seconds * computations).max(floor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    struct Simulated {
        answered: usize,
        refused: usize,
        /// Waits in the second half of the simulation, ascending.
        waits: Vec<Duration>,
        throughput: f64,
    }

    impl Simulated {
        fn wait_at(&self, quantile: f64) -> Duration {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let index = ((self.waits.len() - 1) as f64 * quantile) as usize;
            self.waits[index]
        }
    }

    /// Ten seconds of Poisson arrivals at `load` times the capacity of the threads, in simulated
    /// time.
    fn simulate(threads: usize, service: Duration, load: f64) -> Simulated {
        let begin = Instant::now();
        let (end, half) = (begin + Duration::from_secs(10), begin + Duration::from_secs(5));
        let mean_interval = service.as_secs_f64() / load / f64::from(u32::try_from(threads).unwrap());
        let mut random: u64 = 88_172_645_463_325_252;
        let mut next = || {
            // xorshift64 (Marsaglia 2003); its high bits give a number in (0, 1].
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let uniform = (f64::from(u32::try_from(random >> 32).unwrap()) + 1.0) / 4_294_967_296.0;
            Duration::from_secs_f64(-uniform.ln() * mean_interval)
        };
        let mut admission = Admission::new(threads, begin);
        let mut free_at: Vec<Option<Instant>> = vec![None; threads];
        let mut queue = VecDeque::new();
        let mut simulated = Simulated { answered: 0, refused: 0, waits: Vec::new(), throughput: 0.0 };
        let mut arrival = begin;
        loop {
            let finishing = (0..threads).filter_map(|t| free_at[t].map(|at| (at, t))).min();
            let now = finishing.map_or(arrival, |(at, _)| at.min(arrival));
            if now > end {
                break;
            }
            if let Some((_, thread)) = finishing.filter(|(at, _)| *at == now) {
                free_at[thread] = None;
                admission.finished(Some(service));
                simulated.answered += 1;
            } else {
                arrival = now + next();
                if admission.admits(now) {
                    admission.queued();
                    queue.push_back(now);
                } else {
                    simulated.refused += 1;
                }
            }
            while let Some(thread) = (0..threads).find(|t| free_at[*t].is_none()) {
                let Some(queued) = queue.pop_front() else { break };
                if now > half {
                    simulated.waits.push(now - queued);
                }
                assert!(admission.dequeued(now, queued));
                free_at[thread] = Some(now + service);
            }
        }
        simulated.waits.sort_unstable();
        let capacity = 10.0 / service.as_secs_f64() * f64::from(u32::try_from(threads).unwrap());
        simulated.throughput = f64::from(u32::try_from(simulated.answered).unwrap()) / capacity;
        simulated
    }

    #[test]
    fn bursts_below_capacity_are_admitted() {
        for (threads, service) in [(1, 5), (2, 5), (4, 1), (8, 20)] {
            let simulated = simulate(threads, Duration::from_millis(service), 0.7);
            let refused_fraction = f64::from(u32::try_from(simulated.refused).unwrap())
                / f64::from(u32::try_from(simulated.answered).unwrap());
            assert!(
                refused_fraction < 0.002,
                "{threads} threads, {service} ms: {} of {} refused",
                simulated.refused,
                simulated.answered
            );
        }
    }

    #[test]
    fn in_overload_latency_is_about_twice_the_computation_and_threads_stay_busy() {
        for (threads, service, load) in [(1, 5, 2.0), (2, 5, 2.0), (2, 5, 5.0), (4, 20, 5.0), (8, 2, 20.0)] {
            let service = Duration::from_millis(service);
            let simulated = simulate(threads, service, load);
            let (median, p99) = (simulated.wait_at(0.5), simulated.wait_at(0.99));
            assert!(
                median <= service && p99 <= service * 3 / 2,
                "{threads} threads, load {load}: median {median:?}, p99 {p99:?}"
            );
            assert!(
                simulated.throughput > 0.9,
                "{threads} threads, load {load}: throughput is {} of the capacity",
                simulated.throughput
            );
        }
    }

    #[test]
    fn occasional_stalls_do_not_count_as_load() {
        let begin = Instant::now();
        let mut admission = Admission::new(2, begin);
        // 100 arrivals per second. The first computation is cold, and every tenth stalls: it takes
        // 100 times longer.
        for number in 0..500_u32 {
            let now = begin + Duration::from_millis(10) * number;
            admission.arrived(now);
            let stalled = number % 10 == 0;
            admission.finished(Some(Duration::from_micros(if stalled { 50_000 } else { 500 })));
            assert!(admission.utilization < UTILIZATION_LOW / 2.0, "after {number}: {}", admission.utilization);
        }
        // If all computations get slower, the utilization rises within seconds.
        for number in 500..900_u32 {
            admission.arrived(begin + Duration::from_millis(10) * number);
            admission.finished(Some(Duration::from_millis(50)));
        }
        assert!(admission.utilization > UTILIZATION_HIGH, "{}", admission.utilization);
    }

    #[test]
    fn computations_that_waited_too_long_are_refused() {
        let begin = Instant::now();
        let mut admission = Admission::new(1, begin);
        admission.queued();
        assert!(!admission.dequeued(begin + QUEUE_DELAY_MAX + Duration::from_millis(1), begin));
        admission.queued();
        assert!(admission.dequeued(begin + QUEUE_DELAY_MAX, begin));
    }
}
