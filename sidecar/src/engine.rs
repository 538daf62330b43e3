//! Holds what serves and computes answers on bounded threads: the queue is bounded by the expected
//! wait, and every answer has a deadline.

mod admission;
#[cfg(test)]
mod arrivals;
mod inline_admission;
mod io_delay;
mod pace;
mod pool;

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use answering::{Answer, AnswerError, Answerer, Ask, ListCache, Local, Lookups, Upstream};
use arc_swap::ArcSwap;
use sidecar_contract::ServingLimits;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use self::{
    inline_admission::InlineAdmission,
    io_delay::IoDelay,
    pace::Pace,
    pool::{Pending, Pool},
};
pub use self::{io_delay::measure as measure_io_delay, pool::Usage};
use crate::{
    cpus::available_cpus,
    limits::{
        ANSWER_TIMEOUT, BATCH_SLICE, BATCHES_PER_THREAD_MAX, CACHE_BYTES_DEFAULT, COMPUTE_THREADS_MAX, INLINE_TIME_MAX,
    },
    micros::micros,
    serving::{Serving, Variant},
};

/// What serves, behind one pointer, and the threads that compute.
#[derive(Debug)]
pub struct Engine {
    serving: ArcSwap<Serving>,
    pool: Pool,
    batches: Arc<Semaphore>,
    io_delay: IoDelay,
    inline_admission: InlineAdmission,
    pace: Arc<Pace>,
    /// Microseconds that the I/O threads computed.
    inline_micros: AtomicU64,
    cache_bytes: usize,
    lookups: Arc<Lookups>,
}

/// Usage of the caches of lists and of the items of filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Lists that were found so far.
    pub hits: u64,
    /// Lists that were looked up and not found so far.
    pub misses: u64,
    /// Memory of the lists and the items of filters that are kept now.
    pub bytes: u64,
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
        Self::new(available_cpus(), CACHE_BYTES_DEFAULT)
    }
}

impl Engine {
    /// An engine that serves nothing yet, with this number of compute threads
    /// (1 to [`COMPUTE_THREADS_MAX`]), and a cache of this size; 0 turns it off.
    pub fn new(threads: usize, cache_bytes: usize) -> Self {
        let begin = Instant::now();
        let threads = threads.clamp(1, COMPUTE_THREADS_MAX);
        Self {
            serving: ArcSwap::default(),
            pool: Pool::new(threads),
            batches: Arc::new(Semaphore::new(threads * BATCHES_PER_THREAD_MAX)),
            io_delay: IoDelay::new(begin),
            inline_admission: InlineAdmission::new(begin),
            pace: Arc::default(),
            inline_micros: AtomicU64::new(0),
            cache_bytes,
            lookups: Arc::default(),
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
        let now = Instant::now();
        let tolerated = limits.latency_budget().min(end.saturating_duration_since(now));
        self.pool.admit(self.io_delay.get(now), tolerated, compute)
    }

    /// Computes on this thread, unless the request has waited too long until it was read.
    fn compute_inline<T>(
        &self,
        limits: &ServingLimits,
        end: Instant,
        compute: impl FnOnce() -> T,
    ) -> Result<T, Refusal> {
        let begin = Instant::now();
        let tolerated = limits.latency_budget().min(end.saturating_duration_since(begin));
        if !self.inline_admission.admits(begin, self.io_delay.get(begin), tolerated) {
            return Err(Refusal::Overloaded);
        }
        // As on a compute thread: the response to a computation that panics is 500.
        let computed = catch_unwind(AssertUnwindSafe(compute)).map_err(|_| Refusal::Failed);
        self.inline_micros.fetch_add(micros(begin.elapsed()), Ordering::Relaxed);
        computed
    }

    /// Utilization of the compute threads, with the computations of the I/O threads.
    pub fn usage(&self) -> Usage {
        let usage = self.pool.usage();
        let inline = Duration::from_micros(self.inline_micros.load(Ordering::Relaxed));
        Usage { computed: usage.computed + inline, ..usage }
    }

    /// Usage of the cache of lists.
    pub fn cache_usage(&self) -> CacheUsage {
        let serving = self.serving.load();
        let locals = serving.variants.iter().filter_map(|variant| variant.answerer.local());
        let bytes = locals.map(|local| local.cached_bytes()).sum();
        CacheUsage { hits: self.lookups.hits(), misses: self.lookups.misses(), bytes }
    }

    /// What one request may ask for now.
    pub fn with_limits<T>(&self, read: impl FnOnce(&ServingLimits) -> T) -> T {
        read(&self.serving.load().limits)
    }

    /// What serves now.
    pub fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Swaps in what serves from now on. Requests in flight keep what they began with. Not for
    /// concurrent callers: one task decides what serves.
    ///
    /// Each generation begins with an empty cache, so no list of an earlier one is in an answer.
    pub fn publish(&self, serving: Serving) {
        let generation = self.serving.load().generation + 1;
        let bytes = self.cache_bytes / serving.variants.len().max(1);
        let with_cache = |local: &Local| Arc::new(local.with_cache(ListCache::new(bytes, Arc::clone(&self.lookups))));
        let variants = serving.variants.into_iter().map(|Variant { name, answerer }| match answerer {
            Answerer::Local(local) => Variant { name, answerer: Answerer::Local(with_cache(&local)) },
            Answerer::Upstream(upstream) => Variant { name, answerer: Answerer::Upstream(upstream) },
        });
        let variants = variants.collect();
        self.serving.store(Arc::new(Serving { generation, variants, ..serving }));
    }

    /// Answers a question and passes the outcome to `finish`, on the thread that computed it: this
    /// one if the list is in the cache or the computation is short, else a compute thread.
    ///
    /// # Errors
    /// No model, an expected wait that is too long, or a passed deadline.
    pub async fn answer<T: Send + 'static>(
        &self,
        ask: Ask,
        finish: impl FnOnce(Result<Answer<'_>, AnswerError>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let end = deadline(&ask);
        match self.begin(ask, end, finish)? {
            Begun::Finished(finished) => Ok(finished),
            Begun::Queued(pending) => within(end, pending).await,
            Begun::Upstream { upstream, ask, finish } => {
                within(end, async { Ok(upstream.answer(*ask).await) }).await.map(finish)
            }
        }
    }

    /// Answers a question that needs no wait. A lock-free look at what serves is enough for it.
    fn begin<T, F>(&self, ask: Ask, end: Instant, finish: F) -> Result<Begun<T, F>, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(Result<Answer<'_>, AnswerError>) -> T + Send + 'static,
    {
        let serving = self.serving.load();
        let local = match serving.answerer(&ask).ok_or(Refusal::NotReady)? {
            Answerer::Local(local) => local,
            Answerer::Upstream(upstream) => {
                return Ok(Begun::Upstream { upstream: Arc::clone(upstream), ask: Box::new(ask), finish });
            }
        };
        let key = local.list_key(&ask);
        if let Some(answer) = local.recall(&ask, key) {
            return self.compute_inline(&serving.limits, end, || finish(Ok(answer))).map(Begun::Finished);
        }
        let work = local.work(&ask);
        if self.pace.estimate(work).is_some_and(|expected| expected <= INLINE_TIME_MAX) {
            let compute = || self.pace.measure(work, || finish(local.compute(&ask, key)));
            return self.compute_inline(&serving.limits, end, compute).map(Begun::Finished);
        }
        let (local, pace) = (Arc::clone(local), Arc::clone(&self.pace));
        let compute = move || pace.measure(work, || finish(local.compute(&ask, key)));
        self.admit(&serving.limits, end, compute).map(Begun::Queued)
    }

    /// Answers each question, all by one generation, and passes each outcome to `finish` with its
    /// index. Other requests are computed after each [`BATCH_SLICE`].
    ///
    /// # Errors
    /// As [`Engine::answer`], or the first error of `finish`.
    pub async fn answer_each<T, E>(
        &self,
        asks: Vec<Ask>,
        finish: impl Fn(usize, Result<Answer<'_>, AnswerError>) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<Vec<T>, E>, Refusal>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let serving = self.serving();
        let limits = serving.limits.clone();
        let end = asks.iter().map(deadline).min().unwrap_or_else(|| Instant::now() + ANSWER_TIMEOUT);
        if let Some(Answerer::Upstream(upstream)) = asks.first().and_then(|ask| serving.answerer(ask)) {
            let answers = within(end, async { Ok(upstream.answer_each(asks).await) }).await?;
            return Ok(answers.into_iter().enumerate().map(|(index, answer)| finish(index, answer)).collect());
        }
        let permit = Arc::clone(&self.batches).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
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
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// An answer that was begun.
enum Begun<T, F> {
    /// It was computed.
    Finished(T),
    /// A compute thread will compute it.
    Queued(Pending<T>),
    /// Another process is to be asked.
    Upstream { upstream: Arc<dyn Upstream>, ask: Box<Ask>, finish: F },
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
    /// No revision is loaded.
    NoAnswerer,
}

impl<T, E, F: Fn(usize, Result<Answer<'_>, AnswerError>) -> Result<T, E>> Batch<T, F> {
    /// Computes for [`BATCH_SLICE`].
    fn slice(&mut self) -> Result<Slice, E> {
        let begin = Instant::now();
        for (index, ask) in self.rest.by_ref() {
            match self.serving.answerer(&ask) {
                None | Some(Answerer::Upstream(_)) => return Ok(Slice::NoAnswerer),
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
        let engine = Engine::new(1, 0);
        let end = Instant::now() + Duration::from_hours(1);
        let budget = |latency_budget_milliseconds| ServingLimits { latency_budget_milliseconds, ..Default::default() };
        let (short, long) = (budget(1), budget(u32::MAX));
        // The mean of computations is then at least 20 ms.
        let sleep = || std::thread::sleep(Duration::from_millis(20));
        engine.admit(&short, end, sleep).unwrap().await.unwrap();
        // The answer arrives before its time is added to the mean.
        while engine.usage().computed.is_zero() {
            tokio::task::yield_now().await;
        }
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

    #[tokio::test]
    async fn inline_computations_have_the_outcomes_of_those_in_the_pool_and_count_as_used_time() {
        let engine = Engine::new(1, 0);
        let end = Instant::now() + Duration::from_hours(1);
        let limits = ServingLimits::default();
        let sleep = || std::thread::sleep(Duration::from_millis(2));
        assert_eq!(engine.compute_inline(&limits, end, sleep), Ok(()));
        assert!(engine.usage().computed >= Duration::from_millis(2));
        let broken: Result<(), Refusal> = engine.compute_inline(&limits, end, || panic!("for the test"));
        assert_eq!(broken, Err(Refusal::Failed));
        assert_eq!(engine.compute_inline(&limits, end, || 7), Ok(7));
    }
}
