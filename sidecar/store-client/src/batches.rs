//! Results of batches: small documents that are created once and never changed.

use sidecar_contract::{BatchId, BatchResult, batch::BATCH_RESULT_VERSION};

use crate::{Creation, Store, StoreError, limits::LISTED_KEYS_MAX};

impl Store {
    /// Creates `batches/<id>.json` and never overwrites it.
    pub async fn create_batch(&self, result: &BatchResult) -> Result<Creation, StoreError> {
        self.create_document(self.keys.batch(&result.id), result).await
    }

    /// Result of a batch; [`StoreError::NotFound`] if the batch has not ended.
    pub async fn get_batch(&self, id: &BatchId) -> Result<BatchResult, StoreError> {
        self.read_document(self.keys.batch(id), |result: &BatchResult| (result.version, BATCH_RESULT_VERSION)).await
    }

    /// Lists the batches that have ended, oldest first. Other keys are skipped.
    pub async fn list_batches(&self) -> Result<Vec<BatchId>, StoreError> {
        let objects = self.list(&self.keys.batches(), LISTED_KEYS_MAX).await?;
        Ok(objects.iter().filter_map(|object| self.keys.parse_batch_key(object.location.as_ref())).collect())
    }

    /// Deletes the result of a batch. Succeeds if it does not exist.
    pub async fn delete_batch(&self, id: &BatchId) -> Result<(), StoreError> {
        self.delete(&self.keys.batch(id)).await
    }
}
