//! Models that no longer serve. Requests in flight may still use them. Unmapping a large file takes
//! long, so it must not happen on the thread of the last request.

use std::sync::Arc;

use answering::Model;

/// Models that wait for their last request.
#[derive(Debug, Default)]
pub struct Retired(Vec<Arc<Model>>);

impl Retired {
    /// Takes a model that was swapped out.
    pub fn push(&mut self, model: Arc<Model>) {
        self.0.push(model);
    }

    /// Unmaps the models that no request uses, on a thread for blocking work.
    pub fn release(&mut self) {
        // The model does not serve, so no new reference to it can be obtained.
        let unused: Vec<Arc<Model>> = self.0.extract_if(.., |model| Arc::strong_count(model) == 1).collect();
        if !unused.is_empty() {
            tokio::task::spawn_blocking(move || drop(unused));
        }
    }
}
