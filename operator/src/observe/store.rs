//! Finished runs and snapshots in the store. Run results are immutable, so each is read once and
//! cached; the cache is used while the store is down.

use kube::ResourceExt;
use recommender_crds::Recommender;
use sidecar_contract::{Digest, RunId, RunResult};

use crate::{
    context::Context,
    error::chain,
    store_access::{self, user_facing_message, with_timeout},
    store_scope::StoreScope,
};

/// Maximum number of newest runs that are read; retention keeps fewer.
const RUNS_MAX: usize = 200;
/// Seconds between two sweeps for orphaned snapshots, which no result references.
const SWEEP_INTERVAL_SECONDS: i64 = 3600;

/// Reads the newest results, or returns why they are unknown. If the store is unreachable, cached
/// results are returned.
pub async fn runs(context: &Context, recommender: &Recommender) -> Result<Vec<RunResult>, String> {
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    match with_timeout(scope, read_runs(context, scope, &uid)).await {
        Ok(results) => {
            context.cache.record_runs(&uid, &results);
            Ok(results)
        }
        Err(problem) => context.cache.runs(&uid).ok_or(problem),
    }
}

async fn read_runs(context: &Context, scope: StoreScope<'_>, uid: &str) -> Result<Vec<RunResult>, String> {
    let store = store_access::open(context, scope).await?;
    let mut runs: Vec<RunId> = store.list_runs().await.map_err(|error| user_facing_message(scope, &error))?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.number));
    runs.truncate(RUNS_MAX);
    let cached = context.cache.runs(uid).unwrap_or_default();
    let mut results = Vec::with_capacity(runs.len());
    for run in runs {
        if let Some(result) = cached.iter().find(|result| result.run == run) {
            results.push(result.clone());
            continue;
        }
        match store.get_run(&run).await {
            Ok(result) => results.push(result),
            Err(error) if error.is_transient() => return Err(user_facing_message(scope, &error)),
            // An unreadable result must not hide the others.
            Err(error) => tracing::warn!(run = %run, error = chain(&error), "cannot read a run result"),
        }
    }
    Ok(results)
}

/// Lists the snapshots, each with the second since 1970 when it was stored, if a sweep for orphans
/// is due. If the store is unreachable, a later pass retries: keeping orphans longer is harmless.
pub async fn snapshots(context: &Context, recommender: &Recommender, now: i64) -> Option<Vec<(Digest, i64)>> {
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    if !context.cache.sweep_is_due(&uid, now, SWEEP_INTERVAL_SECONDS) {
        return None;
    }
    let listed = with_timeout(scope, async {
        let store = store_access::open(context, scope).await?;
        store.list_snapshots().await.map_err(|error| user_facing_message(scope, &error))
    });
    match listed.await {
        Ok(snapshots) => Some(snapshots.into_iter().map(|snapshot| (snapshot.digest, snapshot.stored_at)).collect()),
        Err(error) => {
            let (namespace, name) = (scope.namespace, scope.name);
            tracing::warn!(namespace, name, error, "cannot list snapshots for garbage collection");
            None
        }
    }
}
