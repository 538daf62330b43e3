//! Batches of lists that have ended. IO.

use recommender_crds::Recommender;
use sidecar_contract::{BatchId, BatchResult};
use store_client::{Store, StoreError};

use super::results::TaskResult;
use crate::{decide::BATCHES_RETAINED, names::Component, observed::TaskFacts};

impl TaskResult for BatchResult {
    type Key = BatchId;
    const COMPONENT: Component = Component::Batch;
    const RETAINED: usize = BATCHES_RETAINED;

    fn is_wanted(recommender: &Recommender) -> bool {
        recommender.spec.batch.is_some()
    }

    fn is_of(&self, task: &TaskFacts) -> bool {
        self.id == task.id
    }

    fn has(&self, id: &BatchId) -> bool {
        self.id == *id
    }

    async fn list(store: &Store) -> Result<Vec<BatchId>, StoreError> {
        store.list_batches().await
    }

    async fn get(store: &Store, id: &BatchId) -> Result<Self, StoreError> {
        store.get_batch(id).await
    }
}
