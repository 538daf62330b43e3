//! Deletes garbage from the store. Results are deleted before the snapshots that they reference, so
//! that no result references a deleted snapshot. A crash between the two leaves an orphan, which a
//! later sweep deletes. If the store is unreachable, a later pass retries: keeping garbage longer
//! is harmless.

use kube::{Api, core::ApiResource};
use recommender_crds::Recommender;
use sidecar_contract::RunId;
use store_client::{Store, StoreError};
use tokio::sync::Mutex;

use super::Pass;
use crate::{
    context::Context,
    decide::Garbage,
    error::Error,
    names::PROMOTE_ANNOTATION,
    observed::{EndedBatches, EndedCatalogues},
    received::Meta,
    store_access::{DELETION_DEADLINE, with_store},
    store_gate::StoreProblem,
    validate::Plan,
};

/// Deletes garbage and returns the runs whose results were deleted.
///
/// # Errors
/// Fails if an API request fails.
pub async fn delete(pass: Pass<'_>, plan: &Plan, garbage: &Garbage) -> Result<Vec<RunId>, Error> {
    let Pass { context, now, .. } = pass;
    let Garbage { runs, orphans, batches, catalogues, .. } = garbage;
    if runs.is_empty() && orphans.is_none() && batches.is_empty() && catalogues.is_empty() {
        return Ok(Vec::new());
    }
    // The Recommender may have been pinned since this pass read it.
    if !is_current(context, plan).await? {
        return Ok(Vec::new());
    }
    let (namespace, name, scope) = (&plan.namespace, &plan.name, plan.store_scope());
    // Outlives the work, which the deadline may cut.
    let deleted = Mutex::default();
    let outcome = with_store(context, scope, DELETION_DEADLINE, |store| {
        let deleted = &deleted;
        async move { delete_from(&store, plan, garbage, deleted).await }
    });
    match outcome.await {
        Ok(()) if garbage.orphans.is_some() => context.cache.record_sweep(&plan.uid, scope.key(), now),
        Ok(()) => {}
        Err(StoreProblem { message, .. }) => {
            tracing::warn!(namespace, name, error = message, "garbage collection deferred");
        }
    }
    if !garbage.batches.is_empty() {
        context.cache.forget_results::<EndedBatches>(&plan.uid);
    }
    if !garbage.catalogues.is_empty() {
        context.cache.forget_results::<EndedCatalogues>(&plan.uid);
    }
    let deleted: Vec<RunId> = deleted.into_inner();
    if !deleted.is_empty() {
        context.cache.forget_runs(&plan.uid);
        let (runs, revisions) = (deleted.len(), garbage.snapshots.len());
        tracing::info!(namespace, name, runs, revisions, "deleted old runs from the store");
    }
    Ok(deleted)
}

async fn delete_from(
    store: &Store,
    plan: &Plan,
    garbage: &Garbage,
    deleted: &Mutex<Vec<RunId>>,
) -> Result<(), StoreError> {
    let Garbage { runs, snapshots, orphans, batches, catalogues } = garbage;
    for run in runs {
        store.delete_run(run).await?;
        deleted.lock().await.push(run.clone());
    }
    for id in batches {
        store.delete_batch(id).await?;
    }
    for (version, revision) in catalogues {
        store.delete_catalogue(version, revision).await?;
    }
    for digest in snapshots {
        store.delete_snapshot(digest).await?;
    }
    for digest in orphans.iter().flatten() {
        store.delete_snapshot(digest).await?;
        tracing::info!(namespace = plan.namespace, name = plan.name, %digest, "deleted an orphaned snapshot");
    }
    Ok(())
}

/// Whether the API server's copy is still the one that the decisions are based on.
async fn is_current(context: &Context, plan: &Plan) -> Result<bool, Error> {
    let resource = ApiResource::erase::<Recommender>(&());
    let api: Api<Meta> = Api::namespaced_with(context.client.clone(), &plan.namespace, &resource);
    let action = format!("cannot read Recommender {}/{}", plan.namespace, plan.name);
    let found = api.get_opt(&plan.name).await.map_err(Error::api(action))?;
    Ok(found.is_some_and(|found| {
        let meta = &found.metadata;
        let promote = meta.annotations.as_ref().and_then(|a| a.get(PROMOTE_ANNOTATION));
        meta.uid.as_deref() == Some(plan.uid.as_str())
            && meta.generation == Some(plan.generation)
            && meta.deletion_timestamp.is_none()
            && promote == plan.promote.as_ref()
    }))
}
