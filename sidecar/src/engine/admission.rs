//! Admission to the compute queue, decided by the expected wait, not by the queue length. Pure; the
//! clock is an argument.
//!
//! The expected wait of a request is the time until the I/O threads read it, plus the queue length
//! times the mean time of a computation, divided by the number of threads. A request is admitted
//! unless this exceeds the wait that its caller tolerates: the latency budget, or less if its
//! deadline is earlier. The threads are then busy whenever a request waits, however many clients
//! there are, and no admitted request waits much longer than the budget.
//!
//! The expectation is too low while the threads share their CPUs with others, for example with the
//! I/O threads that refuse requests. So a computation that has waited for longer than is tolerated
//! is refused when a thread dequeues it.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{ANSWERS_QUEUED_MAX, QUEUE_DELAY_MAX};

/// Weight of the newest computation in the mean, once there are enough.
const NEWEST_WEIGHT: f64 = 0.02;
/// Maximum time of a computation that enters the mean, in means. A stalled thread (the node was
/// busy, or the container was throttled) predicts little about the next computations, and must not
/// count as load.
const OUTLIER_MEANS: f64 = 8.0;

/// Number of waiting computations from which one that has waited too long is refused.
const LATE_COMPUTATIONS_MAX: usize = 32;

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
}

impl Admission {
    /// State of an empty queue with `threads` threads.
    pub fn new(threads: usize) -> Self {
        Self { threads, busy: 0, queue_length: 0, mean_seconds: 0.0, counted: 0 }
    }

    /// Whether a request that waited for `read_after` until it was read may queue, if its caller
    /// tolerates `tolerated` in total.
    pub fn admits(&self, read_after: Duration, tolerated: Duration) -> bool {
        if self.queue_length == 0 && self.busy < self.threads {
            return true;
        }
        self.queue_length < ANSWERS_QUEUED_MAX && read_after + self.expected_wait() <= tolerated
    }

    /// Records that a computation was queued.
    pub fn queued(&mut self) {
        self.queue_length += 1;
    }

    /// Records that a thread dequeued a computation that was queued at `queued` and may wait for
    /// `tolerated`. Returns false if it has waited too long and must be refused. If few others wait,
    /// only [`QUEUE_DELAY_MAX`] is too long: the process has got too little CPU time, and a refusal
    /// would not let others begin earlier.
    pub fn dequeued(&mut self, now: Instant, queued: Instant, tolerated: Duration) -> bool {
        self.queue_length = self.queue_length.saturating_sub(1);
        let waited = now.saturating_duration_since(queued);
        let in_time = waited <= QUEUE_DELAY_MAX && (waited <= tolerated || self.queue_length < LATE_COMPUTATIONS_MAX);
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

    #[expect(clippy::cast_precision_loss, reason = "both are small")]
    fn expected_wait(&self) -> Duration {
        // Running computations have half of their time left on average.
        Duration::from_secs_f64(self.mean_seconds * (self.queue_length as f64 + 0.5) / self.threads as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::engine::arrivals::poisson_intervals;

    const BUDGET: Duration = Duration::from_millis(100);

    struct Simulated {
        answered: usize,
        /// Waits that the refused requests would have had.
        refused_waits: Vec<Duration>,
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
        let mut next = poisson_intervals(mean_interval);
        let mut admission = Admission::new(threads);
        let mut free_at: Vec<Option<Instant>> = vec![None; threads];
        let mut queue = VecDeque::new();
        let mut simulated = Simulated { answered: 0, refused_waits: Vec::new(), waits: Vec::new(), throughput: 0.0 };
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
                if admission.admits(Duration::ZERO, BUDGET) {
                    admission.queued();
                    queue.push_back(now);
                } else {
                    // The wait that it would have had.
                    let left = free_at.iter().flatten().map(|at| *at - now).sum::<Duration>();
                    let wait = (left + service * u32::try_from(queue.len()).unwrap()) / u32::try_from(threads).unwrap();
                    simulated.refused_waits.push(wait);
                }
            }
            while let Some(thread) = (0..threads).find(|t| free_at[*t].is_none()) {
                let Some(queued) = queue.pop_front() else { break };
                if now > half {
                    simulated.waits.push(now - queued);
                }
                assert!(admission.dequeued(now, queued, QUEUE_DELAY_MAX));
                free_at[thread] = Some(now + service);
            }
        }
        simulated.waits.sort_unstable();
        let capacity = 10.0 / service.as_secs_f64() * f64::from(u32::try_from(threads).unwrap());
        simulated.throughput = f64::from(u32::try_from(simulated.answered).unwrap()) / capacity;
        simulated
    }

    #[test]
    fn requests_below_capacity_are_admitted() {
        for (threads, service) in [(1, 5), (2, 5), (4, 1), (8, 20)] {
            let simulated = simulate(threads, Duration::from_millis(service), 0.7);
            assert!(simulated.refused_waits.is_empty(), "{threads} threads, {service} ms");
        }
    }

    #[test]
    fn in_overload_waits_are_within_the_budget_and_threads_stay_busy() {
        for (threads, service, load) in [(1, 5, 2.0), (2, 5, 2.0), (2, 1, 5.0), (4, 20, 5.0), (8, 2, 20.0)] {
            let service = Duration::from_millis(service);
            let simulated = simulate(threads, service, load);
            let last = simulated.wait_at(1.0);
            // Running computations count as half done, so the wait is off by up to one computation.
            assert!(last <= BUDGET + service, "{threads} threads, load {load}: {last:?}");
            let shortest = *simulated.refused_waits.iter().min().unwrap();
            assert!(shortest + service >= BUDGET, "{threads} threads, load {load}: refused at {shortest:?}");
            assert!(
                simulated.throughput > 0.99,
                "{threads} threads, load {load}: throughput is {} of the capacity",
                simulated.throughput
            );
        }
    }

    #[test]
    fn the_time_until_a_request_is_read_is_part_of_its_wait() {
        let mut admission = Admission::new(1);
        for _ in 0..3 {
            admission.queued();
            assert!(admission.dequeued(Instant::now(), Instant::now(), BUDGET));
            admission.finished(Some(Duration::from_millis(10)));
        }
        // A free thread takes any request, however late it was read.
        assert!(admission.admits(Duration::from_secs(1), BUDGET));
        // One runs, which is half done, and five wait: 55 ms.
        admission.busy = 1;
        admission.queue_length = 5;
        assert!(admission.admits(Duration::from_millis(44), BUDGET));
        assert!(!admission.admits(Duration::from_millis(46), BUDGET));
        assert!(!admission.admits(Duration::ZERO, Duration::from_millis(54)), "a deadline is earlier than the budget");
    }

    #[test]
    fn occasional_stalls_do_not_count_as_load() {
        let mut admission = Admission::new(2);
        // The first computation is cold, and every tenth stalls: it takes 100 times longer.
        for number in 0..500_u32 {
            admission.finished(Some(Duration::from_micros(if number % 10 == 0 { 50_000 } else { 500 })));
        }
        // The plain mean is 5.45 ms, so the expected wait would be 138 ms.
        admission.queue_length = 50;
        assert!(admission.expected_wait() < BUDGET, "{:?}", admission.expected_wait());
        // If all computations get slower, the expected wait follows.
        for _ in 0..400 {
            admission.finished(Some(Duration::from_millis(50)));
        }
        assert!(admission.expected_wait() > Duration::from_secs(1), "{:?}", admission.expected_wait());
    }

    #[test]
    fn computations_that_waited_too_long_are_refused() {
        let begin = Instant::now();
        let mut admission = Admission::new(1);
        admission.queued();
        assert!(!admission.dequeued(begin + QUEUE_DELAY_MAX + Duration::from_millis(1), begin, QUEUE_DELAY_MAX));
        admission.queued();
        assert!(admission.dequeued(begin + QUEUE_DELAY_MAX, begin, BUDGET), "no other waits");
        for _ in 0..=LATE_COMPUTATIONS_MAX {
            admission.queued();
        }
        assert!(!admission.dequeued(begin + BUDGET + Duration::from_millis(1), begin, BUDGET));
        assert!(admission.dequeued(begin + BUDGET + Duration::from_millis(1), begin, BUDGET), "fewer wait");
    }
}
