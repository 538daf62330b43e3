//! Deletes garbage from the store. Results are deleted before the snapshots that they reference, so
//! that no result references a deleted snapshot. A crash between the two leaves an orphan, which a
//! later sweep deletes. If the store is unreachable, a later pass retries: keeping garbage longer
//! is harmless.

use kube::Api;
use recommender_crds::Recommender;
use sidecar_contract::RunId;
use store_client::{Store, StoreError};

use super::Pass;
use crate::{
    context::Context,
    decide::Garbage,
    error::Error,
    names::PROMOTE_ANNOTATION,
    store_access::{self, user_facing_message, with_timeout},
    validate::Plan,
};

/// Deletes garbage and returns the runs whose results were deleted.
///
/// # Errors
/// Fails if an API request fails.
pub async fn delete(pass: Pass<'_>, garbage: &Garbage) -> Result<Vec<RunId>, Error> {
    let Pass { context, plan, now, .. } = pass;
    let mut deleted = Vec::new();
    if garbage.runs.is_empty() && garbage.orphans.is_none() {
        return Ok(deleted);
    }
    // The Recommender may have been pinned since this pass read it.
    if !is_current(context, plan).await? {
        return Ok(deleted);
    }
    let (namespace, name, scope) = (&plan.namespace, &plan.name, plan.store_scope());
    let outcome = with_timeout(scope, async {
        let store = store_access::open(context, scope).await?;
        delete_from(&store, plan, garbage, &mut deleted).await.map_err(|error| user_facing_message(scope, &error))
    });
    match outcome.await {
        Ok(()) if garbage.orphans.is_some() => context.cache.record_sweep(&plan.uid, now),
        Ok(()) => {}
        Err(error) => tracing::warn!(namespace, name, error, "garbage collection deferred"),
    }
    if !deleted.is_empty() {
        let (runs, revisions) = (deleted.len(), garbage.snapshots.len());
        tracing::info!(namespace, name, runs, revisions, "deleted old runs from the store");
    }
    Ok(deleted)
}

async fn delete_from(
    store: &Store,
    plan: &Plan,
    garbage: &Garbage,
    deleted: &mut Vec<RunId>,
) -> Result<(), StoreError> {
    let Garbage { runs, snapshots, orphans } = garbage;
    for run in runs {
        store.delete_run(run).await?;
        deleted.push(run.clone());
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
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), &plan.namespace);
    let action = format!("cannot read Recommender {}/{}", plan.namespace, plan.name);
    let found = api.get_metadata_opt(&plan.name).await.map_err(Error::api(action))?;
    Ok(found.is_some_and(|found| {
        let meta = &found.metadata;
        let promote = meta.annotations.as_ref().and_then(|a| a.get(PROMOTE_ANNOTATION));
        meta.uid.as_deref() == Some(plan.uid.as_str())
            && meta.generation == Some(plan.generation)
            && meta.deletion_timestamp.is_none()
            && promote == plan.promote.as_ref()
    }))
}
