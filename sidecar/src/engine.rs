//! Holds what serves and computes answers on bounded threads: the queue is bounded by the expected
//! wait, and every answer has a deadline.

mod admission;
mod io_delay;
mod pool;

use std::{future::Future, sync::Arc};

use answering::{Answer, AnswerError, Answerer, Ask};
use arc_swap::ArcSwap;
use sidecar_contract::ServingLimits;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use self::{
    io_delay::IoDelay,
    pool::{Pending, Pool},
};
pub use self::{io_delay::measure as measure_io_delay, pool::Usage};
use crate::{
    limits::{ANSWER_TIMEOUT, BATCH_SLICE, BATCHES_PER_THREAD_MAX, COMPUTE_THREADS_MAX},
    serving::Serving,
};

/// What serves, behind one pointer, and the threads that compute.
#[derive(Debug)]
pub struct Engine {
    serving: ArcSwap<Serving>,
    pool: Pool,
    batches: Arc<Semaphore>,
    io_delay: IoDelay,
}

/// Why nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No model yet.
    #[error("no model is loaded yet")]
    NotReady,
    /// The expected wait is too long.
    #[error("too many requests are being answered")]
    Overloaded,
    /// The deadline passed.
    #[error("the answer took too long")]
    TooSlow,
    /// The computation panicked.
    #[error("the computation failed; the log has the cause")]
    Failed,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Engine {
    /// An engine that serves nothing yet, with this number of compute threads
    /// (1 to [`COMPUTE_THREADS_MAX`]).
    pub fn new(threads: usize) -> Self {
        let threads = threads.clamp(1, COMPUTE_THREADS_MAX);
        Self {
            serving: ArcSwap::default(),
            pool: Pool::new(threads),
            batches: Arc::new(Semaphore::new(threads * BATCHES_PER_THREAD_MAX)),
            io_delay: IoDelay::default(),
        }
    }

    /// Delay of the I/O threads, which [`measure_io_delay`] updates.
    fn io_delay(&self) -> &IoDelay {
        &self.io_delay
    }

    /// Queues a computation that must end by `end`, unless its expected wait exceeds the latency
    /// budget of these limits.
    fn admit<T: Send + 'static>(
        &self,
        limits: &ServingLimits,
        end: Instant,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Pending<T>, Refusal> {
        let tolerated = limits.latency_budget().min(end.saturating_duration_since(Instant::now()));
        self.pool.admit(self.io_delay.get(), tolerated, compute)
    }

    /// Utilization of the compute threads.
    pub fn usage(&self) -> Usage {
        self.pool.usage()
    }

    /// What serves now.
    pub fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Swaps in what serves from now on. Requests in flight keep what they began with. Not for
    /// concurrent callers: one task decides what serves.
    pub fn publish(&self, serving: Serving) {
        let generation = self.serving.load().generation + 1;
        self.serving.store(Arc::new(Serving { generation, ..serving }));
    }

    /// Answers a question and passes the outcome to `finish`, on the thread that computed it.
    ///
    /// # Errors
    /// No model, an expected wait that is too long, or a passed deadline.
    pub async fn answer<T: Send + 'static>(
        &self,
        ask: Ask,
        finish: impl FnOnce(Result<Answer, AnswerError>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let end = deadline(&ask);
        let serving = self.serving();
        match serving.answerer(&ask).cloned().ok_or(Refusal::NotReady)? {
            Answerer::Local(local) => {
                within(end, self.admit(&serving.limits, end, move || finish(local.answer(&ask)))?).await
            }
            Answerer::Upstream(upstream) => within(end, async { Ok(upstream.answer(ask).await) }).await.map(finish),
        }
    }

    /// Answers each question, all by one generation, and passes each outcome to `finish` with its
    /// index. Other requests are computed after each [`BATCH_SLICE`].
    ///
    /// # Errors
    /// As [`Engine::answer`], or the first error of `finish`.
    pub async fn answer_each<T, E>(
        &self,
        asks: Vec<Ask>,
        finish: impl Fn(usize, Result<Answer, AnswerError>) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<Vec<T>, E>, Refusal>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let serving = self.serving();
        let limits = serving.limits.clone();
        let permit = Arc::clone(&self.batches).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let end = asks.iter().map(deadline).min().unwrap_or_else(|| Instant::now() + ANSWER_TIMEOUT);
        let mut batch =
            Batch { serving, finish, rest: asks.into_iter().enumerate(), finished: Vec::new(), _permit: permit };
        // The first slice passes admission for the whole batch; the others only queue.
        let mut admitted = false;
        loop {
            let slice = move || {
                let outcome = batch.slice();
                (batch, outcome)
            };
            let queued = if admitted { self.pool.queue(slice) } else { self.admit(&limits, end, slice)? };
            let (returned, outcome) = within(end, queued).await?;
            batch = returned;
            admitted = true;
            match outcome {
                Ok(Slice::Yielded) => {}
                Ok(Slice::Finished) => return Ok(Ok(batch.finished)),
                Ok(Slice::NoAnswerer) => return Err(Refusal::NotReady),
                Ok(Slice::NeedsIo(index, ask)) => {
                    let answerer = batch.serving.answerer(&ask).cloned();
                    let Some(Answerer::Upstream(upstream)) = answerer else { return Err(Refusal::NotReady) };
                    let answer = within(end, async { Ok(upstream.answer(*ask).await) }).await?;
                    match (batch.finish)(index, answer) {
                        Ok(finished) => batch.finished.push(finished),
                        Err(error) => return Ok(Err(error)),
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// A batch between two slices.
struct Batch<T, F> {
    serving: Arc<Serving>,
    finish: F,
    rest: std::iter::Enumerate<std::vec::IntoIter<Ask>>,
    finished: Vec<T>,
    _permit: OwnedSemaphorePermit,
}

/// How a slice of a batch ended.
enum Slice {
    /// Its time is over.
    Yielded,
    /// Every question has its outcome.
    Finished,
    /// The next question is answered by another process.
    NeedsIo(usize, Box<Ask>),
    /// Nothing serves yet.
    NoAnswerer,
}

impl<T, E, F: Fn(usize, Result<Answer, AnswerError>) -> Result<T, E>> Batch<T, F> {
    /// Computes for [`BATCH_SLICE`].
    fn slice(&mut self) -> Result<Slice, E> {
        let begin = Instant::now();
        for (index, ask) in self.rest.by_ref() {
            match self.serving.answerer(&ask) {
                None => return Ok(Slice::NoAnswerer),
                Some(Answerer::Upstream(_)) => return Ok(Slice::NeedsIo(index, Box::new(ask))),
                Some(Answerer::Local(local)) => self.finished.push((self.finish)(index, local.answer(&ask))?),
            }
            if begin.elapsed() >= BATCH_SLICE {
                return Ok(Slice::Yielded);
            }
        }
        Ok(Slice::Finished)
    }
}

/// When the answer must be there: at the question's own deadline, and within [`ANSWER_TIMEOUT`].
fn deadline(ask: &Ask) -> Instant {
    let latest = Instant::now() + ANSWER_TIMEOUT;
    ask.deadline.map_or(latest, |deadline| latest.min(Instant::from_std(deadline)))
}

async fn within<T>(end: Instant, answer: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::time::timeout_at(end, answer).await.unwrap_or(Err(Refusal::TooSlow))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn the_limits_state_the_longest_expected_wait() {
        let engine = Engine::new(1);
        let end = Instant::now() + Duration::from_hours(1);
        let budget = |latency_budget_milliseconds| ServingLimits { latency_budget_milliseconds, ..Default::default() };
        let (short, long) = (budget(1), budget(u32::MAX));
        // The mean of computations is then at least 20 ms.
        let sleep = || std::thread::sleep(Duration::from_millis(20));
        engine.admit(&short, end, sleep).unwrap().await.unwrap();
        let (finish, running) = mpsc::channel::<()>();
        let first = engine.admit(&short, end, move || running.recv().unwrap()).unwrap();
        // Whether or not the thread has dequeued the first one, the second one waits for it.
        let second = engine.admit(&long, end, || ()).unwrap();
        assert_eq!(engine.admit(&short, end, || ()).err(), Some(Refusal::Overloaded));
        let third = engine.admit(&long, end, || ()).unwrap();
        finish.send(()).unwrap();
        for answer in [first, second, third] {
            answer.await.unwrap();
        }
    }
}
