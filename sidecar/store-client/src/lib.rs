//! Store client of trainer, sidecar and operator: snapshots and run results below the prefix of one
//! Recommender.
//!
//! [`Store::open`] takes the [`StoreConfig`] of the contract and, for S3, [`StoreCredentials`].
//! This crate is the only writer of the layout in [`KeyLayout`]. Bytes read, keys listed and wait
//! times are limited. [`connect`] is the lower layer; it also opens other buckets, such as the data
//! source of a Recommender.

mod batches;
mod catalogues;
mod connect;
mod credentials;
mod destination;
mod error;
mod files;
mod http_client;
mod limits;
mod runs;
mod secret;
mod snapshots;
mod transport;

use std::{fmt, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use sidecar_contract::{KeyLayout, StoreConfig};

use connect::connect_bounded;
pub use connect::{Location, connect, install_tls_provider};
pub use credentials::StoreCredentials;
pub use destination::Destination;
pub use error::{Rejection, Retry, StoreError};
pub use http_client::Bounds;
use limits::{CONCURRENT_DELETIONS_MAX, DELETION_ROUNDS_MAX};
pub use limits::{LISTED_KEYS_MAX, RUN_RESULT_BYTES_MAX, SNAPSHOT_RANGE_BYTES_MAX};
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
        Self::at(connect(&config.url, config.endpoint.as_deref(), &config.region, credentials)?, config)
    }

    /// [`Self::open`] for a process that reads the stores of many users: responses and their number
    /// are bounded, and redirects are not followed.
    pub fn open_bounded(
        config: &StoreConfig,
        credentials: Option<&StoreCredentials>,
        bounds: Bounds,
    ) -> Result<Self, StoreError> {
        let (endpoint, region) = (config.endpoint.as_deref(), &config.region);
        Self::at(connect_bounded(&config.url, endpoint, region, credentials, Some(bounds))?, config)
    }

    fn at(location: Location, config: &StoreConfig) -> Result<Self, StoreError> {
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
    ///
    /// # Errors
    /// Fails if a request fails, or if the store lists objects again and again. What was deleted
    /// until then stays deleted, so that a repetition continues.
    pub async fn delete_all(&self) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for _ in 0..DELETION_ROUNDS_MAX {
            let objects = self.list(&self.prefix, LISTED_KEYS_MAX).await?;
            if objects.is_empty() {
                return Ok(deleted);
            }
            deleted += objects.len() as u64;
            let deletions =
                stream::iter(objects).map(|object| async move { self.delete(object.location.as_ref()).await });
            deletions.buffer_unordered(CONCURRENT_DELETIONS_MAX).try_collect::<()>().await?;
        }
        let (prefix, address) = (self.prefix.clone(), self.address.clone());
        Err(StoreError::NotEmptied { prefix, address, deleted })
    }

    /// Up to `keys_max` objects below `prefix`, sorted by key.
    async fn list(&self, prefix: &str, keys_max: usize) -> Result<Vec<ObjectMeta>, StoreError> {
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
