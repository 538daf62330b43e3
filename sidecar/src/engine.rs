//! Holds the serving model and lets computations in through one door: bounded threads, a queue that is bounded by the wait
//! in it, a deadline.

mod admission;
mod pool;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use sidecar_contract::ServingLimits;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use self::pool::Pool;
pub use self::pool::Usage;
use crate::{
    limits::{ANSWER_TIMEOUT, BATCH_SLICE, BATCHES_PER_THREAD_MAX, COMPUTE_THREADS_MAX},
    model::ServingModel,
};

/// The model behind one pointer, and the door to the CPU.
#[derive(Debug)]
pub struct Engine {
    model: ArcSwapOption<ServingModel>,
    limits: ArcSwap<ServingLimits>,
    pool: Pool,
    batches: Arc<Semaphore>,
}

/// Why nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No model yet.
    #[error("no model is loaded yet")]
    NotReady,
    /// The wait would be too long.
    #[error("too many requests are being answered")]
    Overloaded,
    /// The deadline passed.
    #[error("the answer took too long")]
    TooSlow,
    /// The computation panicked.
    #[error("the computation broke off; the log says where")]
    Failed,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Engine {
    /// An engine without a model, with so many threads that compute (1 to [`COMPUTE_THREADS_MAX`]).
    pub fn new(threads: usize) -> Self {
        let threads = threads.clamp(1, COMPUTE_THREADS_MAX);
        Self {
            model: ArcSwapOption::empty(),
            limits: ArcSwap::default(),
            pool: Pool::new(threads),
            batches: Arc::new(Semaphore::new(threads * BATCHES_PER_THREAD_MAX)),
        }
    }

    /// How busy the threads that compute were and are.
    pub fn usage(&self) -> Usage {
        self.pool.usage()
    }

    /// The model that answers now. A request holds it to its end, so all its items come from one revision.
    pub fn model(&self) -> Option<Arc<ServingModel>> {
        self.model.load_full()
    }

    /// What one request may ask for now.
    pub fn limits(&self) -> Arc<ServingLimits> {
        self.limits.load_full()
    }

    /// Takes the limits of a serving config.
    pub fn set_limits(&self, limits: ServingLimits) {
        self.limits.store(Arc::new(limits));
    }

    /// Swaps a model in; requests in flight keep theirs.
    pub fn swap(&self, model: Arc<ServingModel>) {
        self.model.store(Some(model));
    }

    /// Runs a computation on the present model, away from the threads that speak HTTP.
    ///
    /// # Errors
    /// No model, a wait that would be too long, or a passed deadline (the computation then runs to its end, unheard).
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ServingModel) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let model = self.model().ok_or(Refusal::NotReady)?;
        let answer = self.pool.admit(move || work(&model))?;
        deadline(Instant::now() + ANSWER_TIMEOUT, answer).await
    }

    /// Runs a computation for each of `parts` on the present model, one revision for all. After each [`BATCH_SLICE`] others
    /// have their turn.
    ///
    /// # Errors
    /// As [`Engine::compute`], or the first error of `work`.
    pub async fn compute_each<P, T, E>(
        &self,
        parts: Vec<P>,
        work: impl Fn(&ServingModel, P) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<Vec<T>, E>, Refusal>
    where
        P: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let model = self.model().ok_or(Refusal::NotReady)?;
        let place = Arc::clone(&self.batches).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let end = Instant::now() + ANSWER_TIMEOUT;
        let mut batch = Batch { model, work, rest: parts.into_iter(), done: Vec::new(), _place: place };
        // The first slice asks for admission; the batch was let in with it, so the others only queue.
        let mut admitted = false;
        loop {
            let slice = move || {
                let outcome = batch.slice();
                (batch, outcome)
            };
            let queued = if admitted { self.pool.queue(slice) } else { self.pool.admit(slice)? };
            let (returned, outcome) = deadline(end, queued).await?;
            batch = returned;
            admitted = true;
            match outcome {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(batch.done)),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// A batch between two slices.
struct Batch<P, T, F> {
    model: Arc<ServingModel>,
    work: F,
    rest: std::vec::IntoIter<P>,
    done: Vec<T>,
    _place: OwnedSemaphorePermit,
}

impl<P, T, E, F: Fn(&ServingModel, P) -> Result<T, E>> Batch<P, T, F> {
    /// Works for [`BATCH_SLICE`]; true if something is left.
    fn slice(&mut self) -> Result<bool, E> {
        let begin = Instant::now();
        for part in self.rest.by_ref() {
            self.done.push((self.work)(&self.model, part)?);
            if begin.elapsed() >= BATCH_SLICE {
                break;
            }
        }
        Ok(!self.rest.as_slice().is_empty())
    }
}

async fn deadline<T>(end: Instant, answer: pool::Answer<T>) -> Result<T, Refusal> {
    tokio::time::timeout_at(end, answer).await.unwrap_or(Err(Refusal::TooSlow))
}
