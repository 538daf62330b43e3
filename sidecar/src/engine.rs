//! Holds the serving model and lets computations in through one door: a bounded queue, bounded concurrency, a deadline.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use sidecar_contract::ServingLimits;
use tokio::sync::Semaphore;

use crate::{
    limits::{ANSWER_TIMEOUT, ANSWERS_AT_ONCE_MAX, ANSWERS_QUEUED_MAX},
    model::ServingModel,
};

/// The model behind one pointer, and the door to the CPU.
#[derive(Debug)]
pub struct Engine {
    model: ArcSwapOption<ServingModel>,
    limits: ArcSwap<ServingLimits>,
    queue: Semaphore,
    running: Arc<Semaphore>,
}

/// Why nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No model yet.
    #[error("no model is loaded yet")]
    NotReady,
    /// The queue is full.
    #[error("too many requests are being answered")]
    Overloaded,
    /// The deadline passed.
    #[error("the answer took too long")]
    TooSlow,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            model: ArcSwapOption::empty(),
            limits: ArcSwap::default(),
            queue: Semaphore::new(ANSWERS_QUEUED_MAX),
            running: Arc::new(Semaphore::new(ANSWERS_AT_ONCE_MAX)),
        }
    }
}

impl Engine {
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
    /// No model, a full queue, or a passed deadline (the computation then runs to its end, unheard).
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ServingModel) -> T + Send + 'static,
    ) -> Result<(Arc<ServingModel>, T), Refusal> {
        let model = self.model().ok_or(Refusal::NotReady)?;
        let _place = self.queue.try_acquire().map_err(|_| Refusal::Overloaded)?;
        let held = Arc::clone(&model);
        let running = Arc::clone(&self.running);
        let computed = tokio::time::timeout(ANSWER_TIMEOUT, async move {
            // The permit travels with the work, so that an unheard computation still counts.
            let permit = running.acquire_owned().await.map_err(|_| Refusal::Overloaded)?;
            tokio::task::spawn_blocking(move || {
                let result = work(&held);
                drop(permit);
                result
            })
            .await
            .map_err(|_| Refusal::Overloaded)
        });
        match computed.await {
            Ok(result) => Ok((model, result?)),
            Err(_) => Err(Refusal::TooSlow),
        }
    }
}
