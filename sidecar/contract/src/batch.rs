//! Lists for all users: the configuration of a Job that writes them to a user's bucket, and its
//! result, `batches/<id>.json`. The lists are one object, which appears when it is complete; the
//! result is created after it, exactly once.

use serde::{Deserialize, Serialize};

use crate::{catalogue::CatalogueRef, hash::Digest, store::StoreConfig, timed_id::TimedId};

/// Version of the result's format that this build writes.
pub const BATCH_RESULT_VERSION: u32 = 1;

/// Identity of a batch: the time of the decision, and the revision.
pub type BatchId = TimedId;

/// What a Job writes, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchConfig {
    /// Identity of the batch; the name of the object contains it.
    pub id: BatchId,
    /// Name of the Recommender; the name of the object starts with it.
    pub name: String,
    /// Digest of the revision's snapshot.
    pub revision: Digest,
    /// Size of the snapshot in bytes.
    pub snapshot_bytes: u64,
    /// Catalogue of the revision; its items that are not available are in no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<CatalogueRef>,
    /// Items for each user.
    pub n: u32,
    /// URL of the bucket, with an optional path.
    pub destination: String,
    /// Hash of what the spec asks for: [`Self::spec_hash_of`]. The result repeats it.
    pub spec_hash: Digest,
    /// Store of the snapshot and of the result.
    pub store: StoreConfig,
}

impl BatchConfig {
    /// Hash of what a spec asks for. Lists of another hash do not satisfy the spec.
    pub fn spec_hash_of(n: u32, destination: &str) -> Digest {
        Digest::of(crate::canonical_json(&serde_json::json!([n, destination])).as_bytes())
    }

    /// Name of the object at the destination.
    pub fn object_name(&self) -> String {
        format!("{}-{}.parquet", self.name, self.id)
    }
}

/// How a batch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResult {
    /// Format version of this document; readers reject unknown versions.
    pub version: u32,
    /// Identity of the batch.
    pub id: BatchId,
    /// [`BatchConfig::spec_hash`].
    pub spec_hash: Digest,
    /// Digest of the revision that computed the lists.
    pub revision: Digest,
    /// The lists that were written; absent if the batch failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<WrittenLists>,
    /// Why the batch failed; empty if it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
    /// Unix time in seconds at the start.
    pub started_at: i64,
    /// Unix time in seconds at the end.
    pub finished_at: i64,
}

/// Lists in a user's bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenLists {
    /// URL of the object.
    pub url: String,
    /// Size of the object in bytes.
    pub bytes: u64,
    /// Users with a list.
    pub users: u64,
    /// Rows: one for each user and item.
    pub rows: u64,
}
