//! Finished runs and snapshots in the store. Run results are immutable, so each is read once and
//! cached; the cache also bridges an outage of the store.

use std::time::Duration;

use kube::ResourceExt;
use recommender_crds::Recommender;
use sidecar_contract::{Digest, RunId, RunResult};
use store_client::{Store, StoreError};
use tokio::sync::Mutex;

use super::results::{Continued, REREAD_SECONDS, read_newest};
use crate::{
    cache::KnownRuns,
    context::Context,
    observed::{JobFacts, PodFacts, may_have_result},
    store_access::{READ_DEADLINE, with_store},
    store_gate::StoreProblem,
    store_scope::StoreScope,
};

/// Maximum number of newest runs that are read; retention keeps fewer.
const RUNS_MAX: usize = 200;
/// Seconds between two sweeps for orphaned snapshots, which no result references.
const SWEEP_INTERVAL_SECONDS: i64 = 3600;

/// What a pass knows of the finished runs.
#[derive(Clone, Debug)]
pub struct Runs {
    /// The newest results, or why they are unknown.
    pub results: Result<Vec<RunResult>, String>,
    /// When another attempt to read them is worthwhile; `None` if they are known.
    pub retry_after: Option<Duration>,
}

/// Reads the newest results. Cached ones are used if they are recent or if the store is down, but
/// only if they have the result of each run that has ended: `jobs` were listed before.
pub async fn runs(
    context: &Context,
    recommender: &Recommender,
    jobs: &[JobFacts],
    pods: &[PodFacts],
    now: i64,
) -> Runs {
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    let cached = context.cache.runs(&uid, &scope.key()).filter(|known| !is_awaited(jobs, pods, &known.results));
    if let Some(known) = cached.as_ref().filter(|known| now.saturating_sub(known.read_at) < REREAD_SECONDS) {
        return Runs { results: Ok(known.results.clone()), retry_after: None };
    }
    match read(context, recommender, now).await {
        Ok(results) => Runs { results: Ok(results), retry_after: None },
        Err(StoreProblem { message, retry_after }) => {
            Runs { results: cached.map(|known| known.results).ok_or(message), retry_after: Some(retry_after) }
        }
    }
}

/// Reads the newest results, to find out whether a store that failed is back.
///
/// # Errors
/// Fails if it is not, and states when to try again.
pub async fn probe(context: &Context, recommender: &Recommender, now: i64) -> Result<(), StoreProblem> {
    read(context, recommender, now).await.map(drop)
}

/// Whether a run may have committed a result that is not among these.
fn is_awaited(jobs: &[JobFacts], pods: &[PodFacts], results: &[RunResult]) -> bool {
    let is_known = |job: &JobFacts| results.iter().any(|result| result.run.number == job.run);
    jobs.iter().any(|job| may_have_result(job, pods) && !is_known(job))
}

/// Reads the newest results from the store.
async fn read(context: &Context, recommender: &Recommender, now: i64) -> Result<Vec<RunResult>, StoreProblem> {
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    let store = scope.key();
    let cached = context.cache.runs(&uid, &store).map(|known| known.results).unwrap_or_default();
    let continued = Continued::begin(&context.cache, &uid, &store, cached);
    let read = with_store(context, scope, READ_DEADLINE, |store| {
        let known = &continued.known;
        async move { read_from(&store, known).await }
    });
    let read = read.await;
    match &read {
        Ok(results) => context.cache.record_runs(&uid, KnownRuns { store, results: results.clone(), read_at: now }),
        Err(_) => continued.keep(&context.cache, &uid, store),
    }
    read
}

async fn read_from(store: &Store, known: &Mutex<Vec<RunResult>>) -> Result<Vec<RunResult>, StoreError> {
    let mut runs: Vec<RunId> = store.list_runs().await?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.number));
    runs.truncate(RUNS_MAX);
    let is_of = |result: &RunResult, run: &RunId| result.run == *run;
    read_newest("run", runs, is_of, known, |run| async move { store.get_run(&run).await }).await
}

/// Lists the snapshots, each with the second since 1970 when it was stored, if a sweep for orphans
/// is due. If the store is unreachable, a later pass retries: keeping orphans longer is harmless.
pub async fn snapshots(context: &Context, recommender: &Recommender, now: i64) -> Option<Vec<(Digest, i64)>> {
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    if !context.cache.sweep_is_due(&uid, &scope.key(), now, SWEEP_INTERVAL_SECONDS) {
        return None;
    }
    match with_store(context, scope, READ_DEADLINE, |store| async move { store.list_snapshots().await }).await {
        Ok(snapshots) => Some(snapshots.into_iter().map(|snapshot| (snapshot.digest, snapshot.stored_at)).collect()),
        Err(StoreProblem { message, .. }) => {
            let (namespace, name) = (scope.namespace, scope.name);
            tracing::warn!(namespace, name, error = message, "cannot list snapshots for garbage collection");
            None
        }
    }
}
