//! Snapshots: large files named by their SHA-256.

use std::{ops::Range, path::Path};

use bytes::Bytes;
use object_store::GetOptions;
use sidecar_contract::Digest;

use crate::{
    Store, StoreError,
    limits::{LISTED_KEYS_MAX, SNAPSHOT_RANGE_BYTES_MAX},
    path_of,
};

/// Snapshot in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Digest of its content.
    pub digest: Digest,
    /// Size of its content.
    pub bytes: u64,
    /// Unix time in seconds when it was stored.
    pub stored_at: i64,
}

impl Store {
    /// Stores `file`, whose SHA-256 is `digest`, and returns its size. The operation is idempotent,
    /// because the key identifies the content. A file with a different hash is rejected before it
    /// becomes visible.
    pub async fn put_snapshot(&self, file: &Path, digest: &Digest) -> Result<u64, StoreError> {
        self.put_file(&self.keys.snapshot(digest), file, Some(digest)).await
    }

    /// Fetches a snapshot to `path` and returns its size. The file is created only after all bytes
    /// are received and match `digest`. A snapshot larger than `bytes_max` is rejected before the
    /// first byte is written.
    pub async fn fetch_snapshot_to(&self, digest: &Digest, path: &Path, bytes_max: u64) -> Result<u64, StoreError> {
        self.fetch_file_to(&self.keys.snapshot(digest), digest, path, bytes_max).await
    }

    /// Reads a range of a snapshot, which ends at the end of the snapshot at the latest; returns it
    /// with the size of the snapshot. Nothing is verified.
    ///
    /// # Errors
    /// A range beyond the end or larger than [`SNAPSHOT_RANGE_BYTES_MAX`], or a request that fails.
    pub async fn snapshot_range(&self, digest: &Digest, range: Range<u64>) -> Result<(Bytes, u64), StoreError> {
        let key = self.keys.snapshot(digest);
        let (bytes, bytes_max) = (range.end.saturating_sub(range.start), SNAPSHOT_RANGE_BYTES_MAX);
        if bytes > bytes_max {
            return Err(StoreError::TooLarge { key, bytes, bytes_max });
        }
        let failed = |error| self.failed("read", &key, error);
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let found = self.object_store.get_opts(&path_of(&key)?, options).await.map_err(failed)?;
        let size = found.meta.size;
        Ok((found.bytes().await.map_err(failed)?, size))
    }

    /// Deletes a snapshot. Succeeds if it does not exist.
    pub async fn delete_snapshot(&self, digest: &Digest) -> Result<(), StoreError> {
        self.delete(&self.keys.snapshot(digest)).await
    }

    /// Lists the stored snapshots. Other keys are skipped.
    pub async fn list_snapshots(&self) -> Result<Vec<StoredSnapshot>, StoreError> {
        let prefix = self.keys.snapshots();
        let objects = self.list(&prefix, LISTED_KEYS_MAX).await?;
        let snapshot = |object: &object_store::ObjectMeta| {
            let name = object.location.as_ref().strip_prefix(&prefix)?.strip_suffix(".safetensors")?;
            let digest = Digest::try_from(name.to_owned()).ok()?;
            Some(StoredSnapshot { digest, bytes: object.size, stored_at: object.last_modified.timestamp() })
        };
        Ok(objects.iter().filter_map(snapshot).collect())
    }
}
