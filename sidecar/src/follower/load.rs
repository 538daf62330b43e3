//! Loads one revision: headroom ► fetch ► marker ► verify and open ► warm up.

use std::{path::PathBuf, sync::Arc};

use answering::Model;
use sidecar_contract::{RevisionRef, StoreConfig};
use store_client::{Store, StoreCredentials};

use super::{cache::Cache, load_error::LoadError};
use crate::{
    headroom,
    loading::{self, Verification},
};

/// Where a revision is loaded from.
#[derive(Clone, Debug)]
pub struct Origin {
    pub cache: Cache,
    pub store: StoreConfig,
    pub credentials_dir: PathBuf,
}

/// Loads a revision; `earlier_crashes` is the number of loads of it during which the process ended.
pub async fn load(origin: Origin, revision: RevisionRef, earlier_crashes: u32) -> Result<Arc<Model>, LoadError> {
    let Origin { cache, store, credentials_dir } = origin;
    if let Some(mode) = revision.serving_mode.unknown() {
        return Err(LoadError::ServingMode { mode: mode.to_owned() });
    }
    let digest = revision.digest;
    if let Some(missing) = headroom::missing_bytes(revision.snapshot_bytes, headroom::headroom_bytes()) {
        return Err(LoadError::Capacity { missing });
    }
    let file = cache.prepare(&digest)?;
    let is_new = !cache.has(&digest);
    if is_new {
        let credentials = StoreCredentials::read(&credentials_dir)?;
        let store = Store::open(&store, credentials.as_ref())?;
        // The file appears only when all of its bytes have arrived and hash to the digest.
        store.fetch_snapshot_to(&digest, file.path(), revision.snapshot_bytes).await?;
    }
    cache.mark(&digest, earlier_crashes)?;
    let opened = tokio::task::spawn_blocking(move || {
        let was_opened = cache.was_opened(&digest);
        let verification = match (is_new, was_opened) {
            (true, _) => Verification::Fetched(&digest),
            (false, true) => Verification::Opened(&digest),
            (false, false) => Verification::Hash(&digest),
        };
        let opened = loading::open_private(&file, verification);
        // Here, and not after the await: a shutdown stops waiting, which is not a crash.
        cache.unmark(&digest);
        match &opened {
            Ok(_) if !was_opened => cache.note_opened(&digest),
            Ok(_) => {}
            Err(error) => {
                // A copy that does not verify is useless; the next attempt fetches a new one.
                tracing::warn!(revision = digest.revision(), %error, "discarded a cached snapshot");
                cache.discard(&digest);
            }
        }
        opened
    });
    opened.await.map_err(|_| LoadError::Panicked)?.map_err(LoadError::from)
}
