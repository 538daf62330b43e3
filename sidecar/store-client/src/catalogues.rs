//! Catalogues: files that are created once for a version and a revision.

use std::path::Path;

use sidecar_contract::{CatalogueRef, CatalogueVersion, Digest, KeyLayout};

use crate::{Store, StoreError};

impl Store {
    /// Stores `file`, whose SHA-256 is `digest`, as the catalogue of a revision. If the store does
    /// not replace objects and an earlier attempt has stored one, that one is returned.
    pub async fn put_catalogue(
        &self,
        version: &CatalogueVersion,
        revision: &Digest,
        file: &Path,
        digest: &Digest,
    ) -> Result<CatalogueRef, StoreError> {
        let key = KeyLayout::relative_catalogue(version, revision);
        let stored = self.keys.below(&key);
        let (digest, bytes) = match self.put_file(&stored, file, Some(digest)).await {
            Ok(bytes) => (digest.clone(), bytes),
            Err(StoreError::AlreadyExists { .. }) => self.stored_digest(&stored).await?,
            Err(error) => return Err(error),
        };
        Ok(CatalogueRef { version: version.to_string(), digest, bytes, key })
    }

    /// Fetches a catalogue to `path` and returns its size. The file is created only after all bytes
    /// are received and match the digest. A file larger than announced is rejected.
    pub async fn fetch_catalogue_to(&self, catalogue: &CatalogueRef, path: &Path) -> Result<u64, StoreError> {
        self.fetch_file_to(&self.keys.below(&catalogue.key), &catalogue.digest, path, catalogue.bytes).await
    }
}
