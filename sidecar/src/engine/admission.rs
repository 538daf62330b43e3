//! Who is let into the queue: decided by how long the wait will be, not by how many wait. Pure; the clock is an argument.
//!
//! The expected wait is what stands in the queue times the mean time of a computation, shared by the threads. How much of it
//! is tolerated depends on the load, which is what arrives (also what is refused) against what the threads can do, smoothed so
//! that a moment without a processor is no overload: below
//! [`LOAD_CALM`] a burst may queue, [`BURST_COMPUTATIONS`] deep; above [`LOAD_EXCESSIVE`] waiting helps nobody, and no more
//! is let in than keeps the threads busy, so that an answer takes about twice the time of its computation at most. In
//! between the tolerance falls evenly; two modes with a switch between them would swing.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{
    ANSWERS_QUEUED_MAX, BURST_COMPUTATIONS, BURST_DELAY_MIN, EXCESS_DELAY_MIN, LOAD_CALM, LOAD_COUNTED_MAX,
    LOAD_EXCESSIVE, LOAD_SMOOTHING, LOAD_WINDOW, QUEUE_DELAY_MAX,
};

/// Share of the newest computation in the mean, once there are enough.
const NEWEST_SHARE: f64 = 0.02;
/// A computation counts as this many means at most: a thread that was held up (the system was busy, or the container had used
/// up its share of a processor) says little of the next ones, and must not look like load.
const OUTLIER_MEANS: f64 = 8.0;

/// The state of the door.
#[derive(Debug)]
pub struct Admission {
    threads: usize,
    busy: usize,
    waiting: usize,
    /// Mean time of a computation.
    mean_seconds: f64,
    /// Computations in the mean.
    counted: u32,
    /// Arrivals a second, over about [`LOAD_WINDOW`].
    arrivals_per_second: f64,
    last_arrival: Instant,
    /// What arrives against what the threads can do, over about [`LOAD_SMOOTHING`]: 1 keeps them just busy.
    load: f64,
}

impl Admission {
    /// An empty queue before so many threads.
    pub fn new(threads: usize, now: Instant) -> Self {
        Self {
            threads,
            busy: 0,
            waiting: 0,
            mean_seconds: 0.0,
            counted: 0,
            arrivals_per_second: 0.0,
            last_arrival: now,
            load: 0.0,
        }
    }

    /// One more arrives; whether it may queue.
    pub fn admits(&mut self, now: Instant) -> bool {
        self.arrived(now);
        if self.waiting == 0 && self.busy < self.threads {
            return true;
        }
        self.waiting < ANSWERS_QUEUED_MAX && self.expected_wait() <= self.tolerated_wait()
    }

    /// One more queues.
    pub fn queued(&mut self) {
        self.waiting += 1;
    }

    /// A thread has taken one that has waited since `queued`; false: too long, it is to be refused.
    pub fn taken(&mut self, now: Instant, queued: Instant) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        let in_time = now.saturating_duration_since(queued) <= QUEUE_DELAY_MAX;
        if in_time {
            self.busy += 1;
        }
        in_time
    }

    /// It is done and took so long; `None` if nobody wanted it any more.
    pub fn finished(&mut self, took: Option<Duration>) {
        self.busy = self.busy.saturating_sub(1);
        let Some(took) = took.map(|took| took.as_secs_f64()) else { return };
        let took = if self.counted == 0 { took } else { took.min(self.mean_seconds * OUTLIER_MEANS) };
        self.counted = self.counted.saturating_add(1);
        self.mean_seconds += NEWEST_SHARE.max(1.0 / f64::from(self.counted)) * (took - self.mean_seconds);
    }

    #[expect(clippy::cast_precision_loss, reason = "few threads")]
    fn arrived(&mut self, now: Instant) {
        let window = LOAD_WINDOW.as_secs_f64();
        let passed = now.saturating_duration_since(self.last_arrival).as_secs_f64();
        self.last_arrival = self.last_arrival.max(now);
        self.arrivals_per_second = self.arrivals_per_second * (-passed / window).exp() + 1.0 / window;
        let now = (self.arrivals_per_second * self.mean_seconds / self.threads as f64).min(LOAD_COUNTED_MAX);
        self.load += (1.0 - (-passed / LOAD_SMOOTHING.as_secs_f64()).exp()) * (now - self.load);
    }

    #[expect(clippy::cast_precision_loss, reason = "both are small")]
    fn expected_wait(&self) -> Duration {
        // Half of a computation is left, on average, of those that run.
        Duration::from_secs_f64(self.mean_seconds * (self.waiting as f64 + 0.5) / self.threads as f64)
    }

    fn tolerated_wait(&self) -> Duration {
        let calm = ((LOAD_EXCESSIVE - self.load) / (LOAD_EXCESSIVE - LOAD_CALM)).clamp(0.0, 1.0);
        let between = |excess: f64, burst: f64| excess + calm * (burst - excess);
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
        /// In the second half, ascending.
        waits: Vec<Duration>,
        used: f64,
    }

    impl Simulated {
        fn wait_at(&self, share: f64) -> Duration {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let place = ((self.waits.len() - 1) as f64 * share) as usize;
            self.waits[place]
        }
    }

    /// Ten seconds of random (Poisson) arrivals at `load` times what the threads can do, in simulated time.
    fn simulate(threads: usize, service: Duration, load: f64) -> Simulated {
        let begin = Instant::now();
        let (end, half) = (begin + Duration::from_secs(10), begin + Duration::from_secs(5));
        let between = service.as_secs_f64() / load / f64::from(u32::try_from(threads).unwrap());
        let mut random: u64 = 88_172_645_463_325_252;
        let mut next = || {
            // xorshift64 (Marsaglia 2003); its high bits as a number in (0, 1].
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let uniform = (f64::from(u32::try_from(random >> 32).unwrap()) + 1.0) / 4_294_967_296.0;
            Duration::from_secs_f64(-uniform.ln() * between)
        };
        let mut admission = Admission::new(threads, begin);
        let mut free_at: Vec<Option<Instant>> = vec![None; threads];
        let mut queue = VecDeque::new();
        let mut found = Simulated { answered: 0, refused: 0, waits: Vec::new(), used: 0.0 };
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
                found.answered += 1;
            } else {
                arrival = now + next();
                if admission.admits(now) {
                    admission.queued();
                    queue.push_back(now);
                } else {
                    found.refused += 1;
                }
            }
            while let Some(thread) = (0..threads).find(|t| free_at[*t].is_none()) {
                let Some(queued) = queue.pop_front() else { break };
                if now > half {
                    found.waits.push(now - queued);
                }
                assert!(admission.taken(now, queued));
                free_at[thread] = Some(now + service);
            }
        }
        found.waits.sort_unstable();
        let capacity = 10.0 / service.as_secs_f64() * f64::from(u32::try_from(threads).unwrap());
        found.used = f64::from(u32::try_from(found.answered).unwrap()) / capacity;
        found
    }

    #[test]
    fn bursts_below_capacity_are_let_in() {
        for (threads, service) in [(1, 5), (2, 5), (4, 1), (8, 20)] {
            let found = simulate(threads, Duration::from_millis(service), 0.7);
            let share =
                f64::from(u32::try_from(found.refused).unwrap()) / f64::from(u32::try_from(found.answered).unwrap());
            assert!(share < 0.002, "{threads} threads, {service} ms: {} of {} refused", found.refused, found.answered);
        }
    }

    #[test]
    fn above_capacity_answers_take_about_twice_their_computation_and_threads_stay_busy() {
        for (threads, service, load) in [(1, 5, 2.0), (2, 5, 2.0), (2, 5, 5.0), (4, 20, 5.0), (8, 2, 20.0)] {
            let service = Duration::from_millis(service);
            let found = simulate(threads, service, load);
            let (middle, high) = (found.wait_at(0.5), found.wait_at(0.99));
            assert!(middle <= service && high <= service * 3 / 2, "{threads} threads, {load}×: {middle:?}, {high:?}");
            assert!(found.used > 0.9, "{threads} threads, {load}×: {} of the capacity is used", found.used);
        }
    }

    #[test]
    fn a_thread_that_was_held_up_now_and_then_is_no_load() {
        let begin = Instant::now();
        let mut admission = Admission::new(2, begin);
        // The first one is cold, and of the others every tenth is held up for a hundred times as long; 100 come a second.
        for number in 0..500_u32 {
            let now = begin + Duration::from_millis(10) * number;
            admission.arrived(now);
            let held_up = number % 10 == 0;
            admission.finished(Some(Duration::from_micros(if held_up { 50_000 } else { 500 })));
            assert!(admission.load < LOAD_CALM / 2.0, "after {number}: {}", admission.load);
        }
        // All of them slower is another matter, and is noticed within seconds.
        for number in 500..900_u32 {
            admission.arrived(begin + Duration::from_millis(10) * number);
            admission.finished(Some(Duration::from_millis(50)));
        }
        assert!(admission.load > LOAD_EXCESSIVE, "{}", admission.load);
    }

    #[test]
    fn who_waited_too_long_is_not_computed_for() {
        let begin = Instant::now();
        let mut admission = Admission::new(1, begin);
        admission.queued();
        assert!(!admission.taken(begin + QUEUE_DELAY_MAX + Duration::from_millis(1), begin));
        admission.queued();
        assert!(admission.taken(begin + QUEUE_DELAY_MAX, begin));
    }
}
