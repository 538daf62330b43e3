//! Run results: small documents that are created once and never changed.

use bytes::Bytes;
use object_store::{GetResult, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use serde::{Serialize, de::DeserializeOwned};
use sidecar_contract::{RunId, RunResult, canonical_json, run_result::RUN_RESULT_VERSION};

use crate::{
    Store, StoreError,
    limits::{LISTED_KEYS_MAX, RUN_RESULT_BYTES_MAX},
    path_of,
};

/// Outcome of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The object exists with exactly these bytes, from this request or from an earlier attempt
    /// whose response was lost.
    Created,
    /// An object with other bytes exists and is not changed.
    AlreadyExists,
}

impl Store {
    /// Commits a run: creates `runs/<run>.json` and never overwrites it.
    pub async fn create_run(&self, result: &RunResult) -> Result<Creation, StoreError> {
        self.create_document(self.keys.run(&result.run), result).await
    }

    /// Creates a JSON document and never overwrites it.
    pub(crate) async fn create_document<T: Serialize>(
        &self,
        key: String,
        document: &T,
    ) -> Result<Creation, StoreError> {
        let body = Bytes::from(canonical_json(document));
        if body.len() as u64 > RUN_RESULT_BYTES_MAX {
            return Err(StoreError::TooLarge { key, bytes: body.len() as u64, bytes_max: RUN_RESULT_BYTES_MAX });
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.object_store.put_opts(&path_of(&key)?, PutPayload::from_bytes(body.clone()), options).await;
        match put {
            Ok(_) => Ok(Creation::Created),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                // A retry after a lost response finds its own object.
                let is_equal = self.read_bounded(&key).await? == body;
                Ok(if is_equal { Creation::Created } else { Creation::AlreadyExists })
            }
            Err(error) => Err(self.failed("create", &key, error)),
        }
    }

    /// Result of a run; [`StoreError::NotFound`] if the run has not committed.
    pub async fn get_run(&self, run: &RunId) -> Result<RunResult, StoreError> {
        self.read_document(self.keys.run(run), |result: &RunResult| (result.version, RUN_RESULT_VERSION)).await
    }

    /// Reads a document; `versions` are the one that it has and the one that this build reads.
    pub(crate) async fn read_document<T: DeserializeOwned>(
        &self,
        key: String,
        versions: impl FnOnce(&T) -> (u32, u32),
    ) -> Result<T, StoreError> {
        let body = self.read_bounded(&key).await?;
        let document: T = serde_json::from_slice(&body)
            .map_err(|error| StoreError::Malformed { key: key.clone(), message: error.to_string() })?;
        let (found, expected) = versions(&document);
        if found != expected {
            let message = format!("version is {found}; expected {expected}");
            return Err(StoreError::Malformed { key, message });
        }
        Ok(document)
    }

    /// Lists the committed runs, oldest first. Other keys are skipped.
    pub async fn list_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let objects = self.list(&self.keys.runs(), LISTED_KEYS_MAX).await?;
        Ok(objects.iter().filter_map(|object| self.keys.parse_run_key(object.location.as_ref())).collect())
    }

    /// Deletes the result of a run. Succeeds if it does not exist.
    pub async fn delete_run(&self, run: &RunId) -> Result<(), StoreError> {
        self.delete(&self.keys.run(run)).await
    }

    async fn read_bounded(&self, key: &str) -> Result<Bytes, StoreError> {
        let found: GetResult =
            self.object_store.get(&path_of(key)?).await.map_err(|error| self.failed("read", key, error))?;
        if found.meta.size > RUN_RESULT_BYTES_MAX {
            let (bytes, bytes_max) = (found.meta.size, RUN_RESULT_BYTES_MAX);
            return Err(StoreError::TooLarge { key: key.to_owned(), bytes, bytes_max });
        }
        found.bytes().await.map_err(|error| self.failed("read", key, error))
    }
}
