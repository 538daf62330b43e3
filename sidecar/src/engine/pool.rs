//! Threads that compute, before one queue. What nobody waits for any more is not computed.

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

/// The threads; they end when this is dropped.
pub struct Pool {
    shared: Arc<Shared>,
    threads: usize,
}

struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

struct State {
    queue: VecDeque<Job>,
    admission: Admission,
    /// Time of all computations, added up.
    computed: Duration,
    closed: bool,
}

/// How busy the threads were and are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Threads that compute.
    pub threads: usize,
    /// Computations that wait.
    pub queued: usize,
    /// Time of all computations so far, added up.
    pub computed: Duration,
}

struct Job {
    queued: Instant,
    task: Box<dyn Task>,
}

trait Task: Send {
    /// Whether somebody still waits for the result.
    fn is_wanted(&self) -> bool;
    /// Computes, and hands the result over.
    fn compute(self: Box<Self>);
    /// Hands a refusal over.
    fn refuse(self: Box<Self>);
}

struct Computation<T, F> {
    compute: F,
    sender: oneshot::Sender<Result<T, Refusal>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Task for Computation<T, F> {
    fn is_wanted(&self) -> bool {
        !self.sender.is_closed()
    }

    // Whoever stopped waiting meanwhile needs no result.
    fn compute(self: Box<Self>) {
        let _ = self.sender.send(Ok((self.compute)()));
    }

    fn refuse(self: Box<Self>) {
        let _ = self.sender.send(Err(Refusal::Overloaded));
    }
}

/// A result to come.
pub struct Answer<T>(oneshot::Receiver<Result<T, Refusal>>);

impl<T> Future for Answer<T> {
    type Output = Result<T, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender that is gone without a word went with a panic.
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(Refusal::Failed)))
    }
}

impl Pool {
    /// Starts the threads.
    pub fn new(threads: usize) -> Self {
        let admission = Admission::new(threads, Instant::now());
        let state = State { queue: VecDeque::new(), admission, computed: Duration::ZERO, closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), news: Condvar::new() });
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            let spawned = std::thread::Builder::new().name(format!("compute-{number}")).spawn(move || work(&shared));
            if let Err(error) = spawned {
                tracing::error!(%error, number, "a thread cannot be started; the others compute");
            }
        }
        Self { shared, threads }
    }

    /// How busy the threads were and are.
    pub fn usage(&self) -> Usage {
        let state = self.shared.lock();
        Usage { threads: self.threads, queued: state.queue.len(), computed: state.computed }
    }

    /// Queues a computation if its wait is expected to be short enough.
    pub fn admit<T: Send + 'static>(&self, compute: impl FnOnce() -> T + Send + 'static) -> Result<Answer<T>, Refusal> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        if !state.admission.admits(now) {
            return Err(Refusal::Overloaded);
        }
        let answer = state.push(now, compute);
        drop(state);
        self.shared.news.notify_one();
        Ok(answer)
    }

    /// Queues a computation that belongs to what was let in already; the caller bounds how many there are.
    pub fn queue<T: Send + 'static>(&self, compute: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let answer = self.shared.lock().push(Instant::now(), compute);
        self.shared.news.notify_one();
        answer
    }
}

impl State {
    fn push<T: Send + 'static>(&mut self, now: Instant, compute: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
        let (sender, receiver) = oneshot::channel();
        self.admission.queued();
        self.queue.push_back(Job { queued: now, task: Box::new(Computation { compute, sender }) });
        Answer(receiver)
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
        self.shared.news.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("admission", &self.shared.lock().admission).finish_non_exhaustive()
    }
}

/// One thread's life.
fn work(shared: &Shared) {
    let mut state = shared.lock();
    while !state.closed {
        let Some(job) = state.queue.pop_front() else {
            state = shared.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let begin = Instant::now();
        let in_time = state.admission.taken(begin, job.queued);
        drop(state);
        let mut took = None;
        if !in_time {
            job.task.refuse();
        } else if job.task.is_wanted() {
            // A computation that panics is answered 500, and the thread goes on; the panic hook has logged it.
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

    #[tokio::test]
    async fn a_panic_is_one_answer_and_not_the_end_of_the_thread() {
        let pool = Pool::new(1);
        let broken: Result<(), Refusal> = pool.admit(|| panic!("for the test")).unwrap().await;
        assert_eq!(broken, Err(Refusal::Failed));
        assert_eq!(pool.admit(|| 7).unwrap().await, Ok(7));
    }

    #[tokio::test]
    async fn the_time_of_computations_adds_up_and_waiting_is_counted() {
        let pool = Pool::new(1);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = pool.queue(move || wait.recv().is_ok());
        let second = pool.queue(|| std::thread::sleep(Duration::from_millis(20)));
        while pool.usage().queued > 1 {
            tokio::task::yield_now().await; // until the thread has taken the first
        }
        assert_eq!(pool.usage(), Usage { threads: 1, queued: 1, computed: Duration::ZERO });
        go.send(()).unwrap();
        assert_eq!((first.await, second.await), (Ok(true), Ok(())));
        // A third one's answer comes after the second's time was added.
        assert_eq!(pool.queue(|| ()).await, Ok(()));
        let usage = pool.usage();
        assert!(usage.queued == 0 && usage.computed >= Duration::from_millis(20), "{usage:?}");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_computed_and_what_is_too_much_is_refused() {
        let pool = Pool::new(1);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = pool.admit(move || wait.recv()).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        drop(pool.admit(move || tell.send(())).unwrap());
        let mut kept = Vec::new();
        // No computation has ended yet, so nothing is known of the wait: the length bounds it.
        let refused = loop {
            match pool.admit(|| ()) {
                Ok(answer) => kept.push(answer),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refused, Refusal::Overloaded);
        assert!(kept.len() < ANSWERS_QUEUED_MAX);
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        for answer in kept {
            // Computed, or refused after too long a wait on a slow machine.
            assert!(matches!(answer.await, Ok(()) | Err(Refusal::Overloaded)));
        }
        assert!(told.recv_timeout(Duration::from_mins(1)).is_err());
    }
}
