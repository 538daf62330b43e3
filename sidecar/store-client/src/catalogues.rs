//! Catalogues: files that are created once for a version and a revision.

use std::path::Path;

use sidecar_contract::{
    CatalogueRef, CatalogueResult, CatalogueVersion, Digest, KeyLayout, catalogue::CATALOGUE_RESULT_VERSION,
};

use crate::{Creation, Store, StoreError, limits::LISTED_KEYS_MAX};

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

    /// Commits a catalogue: creates the document beside it and never overwrites it.
    pub async fn create_catalogue_result(&self, result: &CatalogueResult) -> Result<Creation, StoreError> {
        self.create_document(self.keys.catalogue_result(&result.id, &result.revision), result).await
    }

    /// Result of a refresh; [`StoreError::NotFound`] if it has not been committed.
    pub async fn get_catalogue_result(
        &self,
        version: &CatalogueVersion,
        revision: &Digest,
    ) -> Result<CatalogueResult, StoreError> {
        let key = self.keys.catalogue_result(version, revision);
        self.read_document(key, |result: &CatalogueResult| (result.version, CATALOGUE_RESULT_VERSION)).await
    }

    /// Lists the committed results, oldest first. Other keys are skipped.
    pub async fn list_catalogue_results(&self) -> Result<Vec<(CatalogueVersion, Digest)>, StoreError> {
        let objects = self.list(&self.keys.catalogues(), LISTED_KEYS_MAX).await?;
        Ok(objects.iter().filter_map(|object| self.keys.parse_catalogue_result_key(object.location.as_ref())).collect())
    }

    /// Deletes a catalogue and before it its result, so that no result references a deleted
    /// catalogue. Succeeds if they do not exist.
    pub async fn delete_catalogue(&self, version: &CatalogueVersion, revision: &Digest) -> Result<(), StoreError> {
        self.delete(&self.keys.catalogue_result(version, revision)).await?;
        self.delete(&self.keys.catalogue(version, revision)).await
    }

    /// Fetches a catalogue to `path` and returns its size. The file is created only after all bytes
    /// are received and match the digest. A file larger than announced is rejected.
    pub async fn fetch_catalogue_to(&self, catalogue: &CatalogueRef, path: &Path) -> Result<u64, StoreError> {
        self.fetch_file_to(&self.keys.below(&catalogue.key), &catalogue.digest, path, catalogue.bytes).await
    }
}
