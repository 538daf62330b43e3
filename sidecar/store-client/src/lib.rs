//! The store as trainer, server and operator see it: snapshots and run results below one Recommender's prefix.
//!
//! [`Store::open`] takes the contract's [`StoreConfig`] and, for S3, a [`StoreCredentials`]. The helpers here are the
//! only writers of the layout in [`KeyLayout`]; everything is bounded: bytes read, keys listed, time waited.
//! [`connect`] is the part below, for other buckets (a Recommender's data source).

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
pub use error::{Refusal, StoreError};
pub use limits::{LISTED_KEYS_MAX, RUN_RESULT_BYTES_MAX};
pub use runs::Creation;
pub use secret::{BucketSecret, Scheme};
pub use snapshots::StoredSnapshot;

/// One Recommender's part of a store.
#[derive(Clone)]
pub struct Store {
    /// The bucket, or the directory.
    pub object_store: Arc<dyn ObjectStore>,
    /// Keys below the Recommender's prefix.
    pub keys: KeyLayout,
    prefix: String,
    /// Where this is, for messages.
    place: String,
}

impl Store {
    /// Opens the store; nothing is sent yet. Without credentials, S3 takes them from the environment (`AWS_*`,
    /// web identity, instance metadata); a directory needs none.
    pub fn open(config: &StoreConfig, credentials: Option<&StoreCredentials>) -> Result<Self, StoreError> {
        let location = connect(&config.url, config.endpoint.as_deref(), &config.region, credentials)?;
        let prefix = format!("{}{}", location.key_prefix, config.prefix);
        if !prefix.is_empty() && !prefix.ends_with('/') {
            return Err(StoreError::Config(format!("prefix {prefix:?}: expected a trailing slash")));
        }
        let place = config.endpoint.as_ref().map_or_else(|| config.url.clone(), |e| format!("{e} ({})", config.url));
        let keys = KeyLayout::new(prefix.clone());
        Ok(Self { object_store: location.object_store, keys, prefix, place })
    }

    /// Deletes an object; deleting what is not there succeeds.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.object_store.delete(&path_of(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", key, error)),
        }
    }

    /// Deletes everything below the Recommender's prefix and says how many objects that were.
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

    /// Objects below `prefix`, sorted by key, at most `keys_max` of them.
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
        StoreError::classify(operation, key, &self.place, source)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("place", &self.place).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn path_of(key: &str) -> Result<Path, StoreError> {
    Path::parse(key).map_err(|error| StoreError::Config(format!("key {key:?}: {error}")))
}
