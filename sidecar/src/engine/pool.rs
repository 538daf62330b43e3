//! Compute threads with one queue. Computations whose result is no longer awaited are skipped.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::{Refusal, admission::Admission};
use crate::limits::QUEUE_DELAY_MAX;

/// The compute threads; they exit when this is dropped.
pub struct Pool {
    shared: Arc<Shared>,
    threads: usize,
}

struct Shared {
    state: Mutex<State>,
    work_available: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    admission: Admission,
    /// Total time of all computations.
    computed: Duration,
    closed: bool,
}

/// Usage of the compute threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Number of compute threads.
    pub threads: usize,
    /// Number of queued computations.
    pub queued: usize,
    /// Total time of all computations so far.
    pub computed: Duration,
}

struct Job {
    queued: Instant,
    /// Longest wait that is tolerated.
    tolerated: Duration,
    task: Box<dyn Task>,
}

trait Task: Send {
    /// Whether the result is still awaited.
    fn is_awaited(&self) -> bool;
    /// Computes and sends the result.
    fn compute(self: Box<Self>);
    /// Sends a refusal.
    fn refuse(self: Box<Self>);
}

struct Computation<T, F> {
    compute: F,
    sender: oneshot::Sender<Result<T, Refusal>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Task for Computation<T, F> {
    fn is_awaited(&self) -> bool {
        !self.sender.is_closed()
    }

    // The send fails if the receiver was dropped meanwhile, and the result is then discarded.
    fn compute(self: Box<Self>) {
        let _ = self.sender.send(Ok((self.compute)()));
    }

    fn refuse(self: Box<Self>) {
        let _ = self.sender.send(Err(Refusal::Overloaded));
    }
}

/// Future of a computation's result.
pub struct Pending<T>(oneshot::Receiver<Result<T, Refusal>>);

impl<T> Future for Pending<T> {
    type Output = Result<T, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender that is dropped before it sent a result was dropped by a panic.
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or(Err(Refusal::Failed)))
    }
}

impl Pool {
    /// Starts the threads.
    pub fn new(threads: usize) -> Self {
        let admission = Admission::new(threads);
        let state = State { queue: VecDeque::new(), admission, computed: Duration::ZERO, closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), work_available: Condvar::new() });
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            let spawned = std::thread::Builder::new().name(format!("compute-{number}")).spawn(move || work(&shared));
            if let Err(error) = spawned {
                tracing::error!(%error, number, "cannot start a compute thread; continuing with the others");
            }
        }
        Self { shared, threads }
    }

    /// Current usage of the threads.
    pub fn usage(&self) -> Usage {
        let state = self.shared.lock();
        Usage { threads: self.threads, queued: state.queue.len(), computed: state.computed }
    }

    /// Queues a computation for a request that was read after `read_after`, unless its expected
    /// wait exceeds `tolerated`.
    pub fn admit<T: Send + 'static>(
        &self,
        read_after: Duration,
        tolerated: Duration,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Refusal> {
        let mut state = self.shared.lock();
        if !state.admission.admits(read_after, tolerated) {
            return Err(Refusal::Overloaded);
        }
        let pending = state.push(Instant::now(), tolerated.saturating_sub(read_after), compute);
        drop(state);
        self.shared.work_available.notify_one();
        Ok(pending)
    }

    /// Queues a computation that continues an admitted one; the caller bounds their number.
    pub fn queue<T: Send + 'static>(&self, compute: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let pending = self.shared.lock().push(Instant::now(), QUEUE_DELAY_MAX, compute);
        self.shared.work_available.notify_one();
        pending
    }
}

impl State {
    fn push<T: Send + 'static>(
        &mut self,
        now: Instant,
        tolerated: Duration,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = oneshot::channel();
        self.admission.queued();
        self.queue.push_back(Job { queued: now, tolerated, task: Box::new(Computation { compute, sender }) });
        Pending(receiver)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work_available.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("admission", &self.shared.lock().admission).finish_non_exhaustive()
    }
}

/// Main loop of a compute thread.
fn work(shared: &Shared) {
    let mut state = shared.lock();
    while !state.closed {
        let Some(job) = state.queue.pop_front() else {
            state = shared.work_available.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let begin = Instant::now();
        let in_time = state.admission.dequeued(begin, job.queued, job.tolerated);
        drop(state);
        let mut took = None;
        if !in_time {
            job.task.refuse();
        } else if job.task.is_awaited() {
            // The response to a computation that panics is 500, and the thread continues; the panic
            // hook logs the panic.
            let _ = catch_unwind(AssertUnwindSafe(|| job.task.compute()));
            took = Some(begin.elapsed());
        }
        state = shared.lock();
        state.computed += took.unwrap_or_default();
        if in_time {
            state.admission.finished(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ANSWERS_QUEUED_MAX;

    const LATENCY_BUDGET: Duration = Duration::from_millis(100);

    fn admit<T: Send + 'static>(
        pool: &Pool,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Refusal> {
        pool.admit(Duration::ZERO, LATENCY_BUDGET, compute)
    }

    #[tokio::test]
    async fn a_panic_fails_one_computation_and_the_thread_continues() {
        let pool = Pool::new(1);
        let broken: Result<(), Refusal> = admit(&pool, || panic!("for the test")).unwrap().await;
        assert_eq!(broken, Err(Refusal::Failed));
        assert_eq!(admit(&pool, || 7).unwrap().await, Ok(7));
    }

    #[tokio::test]
    async fn usage_counts_compute_time_and_queued_computations() {
        let pool = Pool::new(1);
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let first = pool.queue(move || blocked.recv().is_ok());
        let second = pool.queue(|| std::thread::sleep(Duration::from_millis(20)));
        while pool.usage().queued > 1 {
            tokio::task::yield_now().await; // until the thread has dequeued the first
        }
        assert_eq!(pool.usage(), Usage { threads: 1, queued: 1, computed: Duration::ZERO });
        release.send(()).unwrap();
        assert_eq!((first.await, second.await), (Ok(true), Ok(())));
        // The result of a third computation arrives after the time of the second was added.
        assert_eq!(pool.queue(|| ()).await, Ok(()));
        let usage = pool.usage();
        assert!(usage.queued == 0 && usage.computed >= Duration::from_millis(20), "{usage:?}");
    }

    #[tokio::test]
    async fn cancelled_computations_are_skipped_and_excess_ones_are_refused() {
        let pool = Pool::new(1);
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let first = admit(&pool, move || blocked.recv()).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        drop(admit(&pool, move || sender.send(())).unwrap());
        let mut admitted = Vec::new();
        // No computation has finished yet, so the expected wait is unknown and only the queue
        // length is bounded.
        let refused = loop {
            match admit(&pool, || ()) {
                Ok(pending) => admitted.push(pending),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refused, Refusal::Overloaded);
        assert!(admitted.len() < ANSWERS_QUEUED_MAX);
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        for pending in admitted {
            // Computed, or refused because of a long wait on a slow machine.
            assert!(matches!(pending.await, Ok(()) | Err(Refusal::Overloaded)));
        }
        assert!(receiver.recv_timeout(Duration::from_mins(1)).is_err());
    }
}
