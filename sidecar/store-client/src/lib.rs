//! Store client of trainer, sidecar and operator: snapshots and run results below the prefix of one
//! Recommender.
//!
//! [`Store::open`] takes the [`StoreConfig`] of the contract and, for S3, [`StoreCredentials`].
//! This crate is the only writer of the layout in [`KeyLayout`]. Bytes read, keys listed and wait
//! times are limited. [`connect`] is the lower layer; it also opens other buckets, such as the data
//! source of a Recommender.

mod connect;
mod credentials;
mod error;
mod limits;
mod runs;
mod secret;
mod snapshots;

use std::{fmt, sync::Arc};

use futures::TryStreamExt as _;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use sidecar_contract::{KeyLayout, StoreConfig};

pub use connect::{Location, connect, install_tls_provider};
pub use credentials::StoreCredentials;
pub use error::{Rejection, StoreError};
pub use limits::{LISTED_KEYS_MAX, RUN_RESULT_BYTES_MAX};
pub use runs::Creation;
pub use secret::{BucketSecret, Scheme};
pub use snapshots::StoredSnapshot;

/// Access to the objects of one Recommender in a store.
#[derive(Clone)]
pub struct Store {
    /// The bucket or directory.
    pub object_store: Arc<dyn ObjectStore>,
    /// Key layout below the prefix of the Recommender.
    pub keys: KeyLayout,
    prefix: String,
    /// Endpoint and URL, for messages.
    address: String,
}

impl Store {
    /// Opens the store without sending a request. Without `credentials`, S3 uses those of the
    /// environment (`AWS_*`, web identity, instance metadata). A directory needs none.
    pub fn open(config: &StoreConfig, credentials: Option<&StoreCredentials>) -> Result<Self, StoreError> {
        let location = connect(&config.url, config.endpoint.as_deref(), &config.region, credentials)?;
        let prefix = format!("{}{}", location.key_prefix, config.prefix);
        if !prefix.is_empty() && !prefix.ends_with('/') {
            return Err(StoreError::Config(format!("prefix {prefix:?}: expected a trailing slash")));
        }
        let address = config.endpoint.as_ref().map_or_else(|| config.url.clone(), |e| format!("{e} ({})", config.url));
        let keys = KeyLayout::new(prefix.clone());
        Ok(Self { object_store: location.object_store, keys, prefix, address })
    }

    /// Deletes an object. Succeeds if it does not exist.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.object_store.delete(&path_of(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", key, error)),
        }
    }

    /// Deletes all objects below the prefix of the Recommender and returns their number.
    pub async fn delete_all(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let objects = self.list(&self.prefix, LISTED_KEYS_MAX).await?;
            if objects.is_empty() {
                return Ok(deleted);
            }
            for object in &objects {
                self.delete(object.location.as_ref()).await?;
                deleted += 1;
            }
        }
    }

    /// Up to `keys_max` objects below `prefix`, sorted by key.
    async fn list(&self, prefix: &str, keys_max: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        use futures::StreamExt as _;
        let path = path_of(prefix.trim_end_matches('/'))?;
        let mut objects: Vec<ObjectMeta> = self
            .object_store
            .list(Some(&path))
            .take(keys_max)
            .try_collect()
            .await
            .map_err(|error| self.failed("list", prefix, error))?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    fn failed(&self, operation: &'static str, key: &str, source: object_store::Error) -> StoreError {
        StoreError::classify(operation, key, &self.address, source)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("address", &self.address).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn path_of(key: &str) -> Result<Path, StoreError> {
    Path::parse(key).map_err(|error| StoreError::Config(format!("key {key:?}: {error}")))
}
