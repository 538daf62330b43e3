//! Run results: small documents, created once, never changed.

use bytes::Bytes;
use object_store::{GetResult, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use sidecar_contract::{RunId, RunResult, canonical_json, run_result::RUN_RESULT_VERSION};

use crate::{
    Store, StoreError,
    limits::{LISTED_KEYS_MAX, RUN_RESULT_BYTES_MAX},
    path_of,
};

/// What became of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The object is there with exactly these bytes, now or from a first try whose answer got lost.
    Created,
    /// Another one is there, and stays.
    AlreadyExists,
}

impl Store {
    /// Commits a run: creates `runs/<run>.json`, never overwrites.
    pub async fn create_run(&self, result: &RunResult) -> Result<Creation, StoreError> {
        let key = self.keys.run(&result.run);
        let body = Bytes::from(canonical_json(result));
        if body.len() as u64 > RUN_RESULT_BYTES_MAX {
            return Err(StoreError::TooLarge { key, bytes: body.len() as u64, bytes_max: RUN_RESULT_BYTES_MAX });
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.object_store.put_opts(&path_of(&key)?, PutPayload::from_bytes(body.clone()), options).await;
        match put {
            Ok(_) => Ok(Creation::Created),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                // A request that is sent again after a lost answer meets its own object.
                let same = self.read_small(&key).await? == body;
                Ok(if same { Creation::Created } else { Creation::AlreadyExists })
            }
            Err(error) => Err(self.failed("create", &key, error)),
        }
    }

    /// A run's result; [`StoreError::NotFound`] as long as the run has not committed.
    pub async fn get_run(&self, run: &RunId) -> Result<RunResult, StoreError> {
        let key = self.keys.run(run);
        let body = self.read_small(&key).await?;
        let result: RunResult = serde_json::from_slice(&body)
            .map_err(|error| StoreError::Malformed { key: key.clone(), message: error.to_string() })?;
        if result.version != RUN_RESULT_VERSION {
            let message = format!("version {}; expected {RUN_RESULT_VERSION}", result.version);
            return Err(StoreError::Malformed { key, message });
        }
        Ok(result)
    }

    /// The runs that have committed, oldest first. Keys of another form are skipped.
    pub async fn list_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let objects = self.list(&self.keys.runs(), LISTED_KEYS_MAX).await?;
        Ok(objects.iter().filter_map(|object| self.keys.parse_run_key(object.location.as_ref())).collect())
    }

    /// Deletes a run's result; one that is gone is no error.
    pub async fn delete_run(&self, run: &RunId) -> Result<(), StoreError> {
        self.delete(&self.keys.run(run)).await
    }

    async fn read_small(&self, key: &str) -> Result<Bytes, StoreError> {
        let found: GetResult =
            self.object_store.get(&path_of(key)?).await.map_err(|error| self.failed("read", key, error))?;
        if found.meta.size > RUN_RESULT_BYTES_MAX {
            let (bytes, bytes_max) = (found.meta.size, RUN_RESULT_BYTES_MAX);
            return Err(StoreError::TooLarge { key: key.to_owned(), bytes, bytes_max });
        }
        found.bytes().await.map_err(|error| self.failed("read", key, error))
    }
}
