//! Refreshes of catalogues that have committed a result. IO.

use recommender_crds::{ItemsSpec, Recommender};
use sidecar_contract::{CatalogueResult, CatalogueVersion, Digest};
use store_client::{Store, StoreError};

use super::results::TaskResult;
use crate::{
    decide::{CATALOGUES_RETAINED, is_of_task},
    names::Component,
    observed::TaskFacts,
};

impl TaskResult for CatalogueResult {
    type Key = (CatalogueVersion, Digest);
    const COMPONENT: Component = Component::Catalogue;
    const RETAINED: usize = CATALOGUES_RETAINED;

    fn is_wanted(recommender: &Recommender) -> bool {
        let items = recommender.spec.data.as_ref().and_then(|data| data.items.as_ref());
        items.is_some_and(ItemsSpec::has_catalogue)
    }

    fn is_of(&self, task: &TaskFacts) -> bool {
        is_of_task(self, task)
    }

    fn has(&self, (version, revision): &Self::Key) -> bool {
        self.id == *version && self.revision == *revision
    }

    async fn list(store: &Store) -> Result<Vec<Self::Key>, StoreError> {
        store.list_catalogue_results().await
    }

    async fn get(store: &Store, (version, revision): &Self::Key) -> Result<Self, StoreError> {
        store.get_catalogue_result(version, revision).await
    }
}
