//! Deletes from the store what retention lets go. IO. Results go before the snapshots that they name, so that no result
//! ever names a snapshot that is gone; a crash in between leaves an orphan, which a later sweep finds.

use kube::Api;
use recommender_crds::Recommender;
use sidecar_contract::{RunId, RunResult};
use store_client::{Store, StoreError};

use crate::{
    context::Context,
    decide::{self, Named},
    error::{Error, chain},
    names::Component,
    observe::Observed,
    validate::Plan,
};

/// Seconds between two looks for snapshots that no result names.
const SWEEP_SECONDS: i64 = 3600;

/// Collects, and says which results are gone. A store that does not answer is tried again at a later reconcile: what is kept too
/// long does no harm.
///
/// # Errors
/// The API server.
pub async fn collect(
    context: &Context,
    plan: &Plan,
    observed: &Observed,
    named: Named<'_>,
    now: i64,
) -> Result<Vec<RunId>, Error> {
    let none = Vec::new();
    let Ok(results) = &observed.runs else { return Ok(none) };
    let serving = observed.pods.iter().filter(|pod| pod.component == Some(Component::Serving) && pod.running);
    if serving.count() > observed.reports.len() {
        return Ok(none); // A silent pod may name a revision.
    }
    let garbage = decide::garbage(plan, results, named);
    let sweep = context.sweep_is_due(&plan.uid, now, SWEEP_SECONDS);
    if garbage.runs.is_empty() && !sweep {
        return Ok(none);
    }
    // A pin that was written since this reconcile read the Recommender must count.
    if !is_current(context, plan).await? {
        return Ok(none);
    }
    let store = match plan.store_owner().open(context).await {
        Ok(store) => store,
        Err(error) => {
            tracing::warn!(namespace = plan.namespace, name = plan.name, error, "no store to tidy");
            return Ok(none);
        }
    };
    let mut gone = Vec::new();
    match delete(&store, &garbage, &mut gone).await {
        Ok(()) if sweep => match delete_orphans(&store, plan, results, named, now).await {
            Ok(()) => context.swept(&plan.uid, now),
            Err(error) => later(plan, &error),
        },
        Ok(()) => {}
        Err(error) => later(plan, &error),
    }
    if !gone.is_empty() {
        let (runs, revisions) = (gone.len(), garbage.snapshots.len());
        tracing::info!(
            namespace = plan.namespace,
            name = plan.name,
            runs,
            revisions,
            "retention deleted from the store"
        );
    }
    Ok(gone)
}

fn later(plan: &Plan, error: &StoreError) {
    tracing::warn!(namespace = plan.namespace, name = plan.name, error = chain(error), "retention comes later");
}

async fn delete(store: &Store, garbage: &decide::Garbage, gone: &mut Vec<RunId>) -> Result<(), StoreError> {
    for run in &garbage.runs {
        store.delete_run(run).await?;
        gone.push(run.clone());
    }
    for digest in &garbage.snapshots {
        store.delete_snapshot(digest).await?;
    }
    Ok(())
}

async fn delete_orphans(
    store: &Store,
    plan: &Plan,
    results: &[RunResult],
    named: Named<'_>,
    now: i64,
) -> Result<(), StoreError> {
    let stored: Vec<_> = store.list_snapshots().await?.into_iter().map(|s| (s.digest, s.stored_at)).collect();
    for digest in decide::orphans(plan, results, named, &stored, now) {
        store.delete_snapshot(&digest).await?;
        tracing::info!(namespace = plan.namespace, name = plan.name, %digest, "deleted a snapshot that no run names");
    }
    Ok(())
}

/// Whether the API server's own copy is the one that was decided on.
async fn is_current(context: &Context, plan: &Plan) -> Result<bool, Error> {
    let api: Api<Recommender> = Api::namespaced(context.client.clone(), &plan.namespace);
    let action = format!("cannot read Recommender {}/{}", plan.namespace, plan.name);
    let found = api.get_metadata_opt(&plan.name).await.map_err(Error::api(action))?;
    Ok(found.is_some_and(|found| {
        let meta = &found.metadata;
        let promote = meta.annotations.as_ref().and_then(|a| a.get(crate::names::PROMOTE_ANNOTATION));
        meta.uid.as_deref() == Some(plan.uid.as_str())
            && meta.generation == Some(plan.generation)
            && meta.deletion_timestamp.is_none()
            && promote == plan.promote.as_ref()
    }))
}
