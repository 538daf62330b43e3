//! Models and catalogues that no longer serve. Requests in flight may still use them. Unmapping a
//! large file takes long, so it must not happen on the thread of the last request.

use std::sync::Arc;

/// Mapped files that wait for their last request.
#[derive(Debug)]
pub struct Retired<T>(Vec<Arc<T>>);

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Send + Sync + 'static> Retired<T> {
    /// Takes one that was swapped out.
    pub fn push(&mut self, file: Arc<T>) {
        self.0.push(file);
    }

    /// Unmaps those that no request uses, on a thread for blocking work.
    pub fn release(&mut self) {
        // It does not serve, so no new reference to it can be obtained.
        let unused: Vec<Arc<T>> = self.0.extract_if(.., |file| Arc::strong_count(file) == 1).collect();
        if !unused.is_empty() {
            tokio::task::spawn_blocking(move || drop(unused));
        }
    }
}
