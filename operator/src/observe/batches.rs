//! Batches of lists that have ended. Results are immutable, so each is read once and cached. They
//! are read only if the spec asks for lists. IO.

use std::time::Duration;

use kube::ResourceExt;
use recommender_crds::Recommender;
use sidecar_contract::BatchResult;
use store_client::{Store, StoreError};

use super::results::{REREAD_SECONDS, if_readable};
use crate::{
    cache::KnownBatches,
    context::Context,
    decide::BATCHES_RETAINED,
    names::Component,
    observed::{EndedBatches, JobState, PodFacts, TaskFacts},
    store_access::{READ_DEADLINE, with_store},
    store_gate::StoreProblem,
    store_scope::StoreScope,
};

/// What a pass knows of the batches that have ended.
#[derive(Clone, Debug)]
pub struct Batches {
    /// The batches, or why they are unknown.
    pub ended: Result<EndedBatches, String>,
    /// When another attempt to read them is worthwhile; `None` if they are known.
    pub retry_after: Option<Duration>,
}

/// Reads the batches that have ended. Cached ones are used if they are recent or if the store is
/// down, but only if they have the result of each Job that has ended: `tasks` were listed before.
pub async fn batches(
    context: &Context,
    recommender: &Recommender,
    tasks: &[TaskFacts],
    pods: &[PodFacts],
    now: i64,
) -> Batches {
    if recommender.spec.batch.is_none() {
        return Batches { ended: Ok(EndedBatches::default()), retry_after: None };
    }
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    let store = scope.key();
    let cached = context.cache.batches(&uid, &store);
    let usable = cached.clone().filter(|known| !is_awaited(tasks, pods, &known.ended.newest));
    if let Some(known) = usable.as_ref().filter(|known| now.saturating_sub(known.read_at) < REREAD_SECONDS) {
        return Batches { ended: Ok(known.ended.clone()), retry_after: None };
    }
    let known = cached.map(|known| known.ended.newest).unwrap_or_default();
    match with_store(context, scope, READ_DEADLINE, |store| read_from(store, known)).await {
        Ok(ended) => {
            context.cache.record_batches(&uid, KnownBatches { store, ended: ended.clone(), read_at: now });
            Batches { ended: Ok(ended), retry_after: None }
        }
        Err(StoreProblem { message, retry_after }) => {
            Batches { ended: usable.map(|known| known.ended).ok_or(message), retry_after: Some(retry_after) }
        }
    }
}

/// Whether a Job may have committed a result that is not among these: the Job or its container has
/// ended.
fn is_awaited(tasks: &[TaskFacts], pods: &[PodFacts], results: &[BatchResult]) -> bool {
    let has_exited = |task: &TaskFacts| {
        task.state != JobState::Running
            || pods.iter().any(|pod| pod.task.as_ref() == Some(&task.id) && pod.exit_code.is_some())
    };
    let is_known = |task: &TaskFacts| results.iter().any(|result| result.id == task.id);
    tasks.iter().any(|task| task.component == Component::Batch && has_exited(task) && !is_known(task))
}

async fn read_from(store: Store, known: Vec<BatchResult>) -> Result<EndedBatches, StoreError> {
    let mut ids = store.list_batches().await?;
    ids.sort_by(|a, b| b.cmp(a));
    let older = ids.split_off(ids.len().min(BATCHES_RETAINED));
    let mut newest = Vec::with_capacity(ids.len());
    for id in ids {
        match known.iter().find(|result| result.id == id) {
            Some(result) => newest.push(result.clone()),
            None => newest.extend(if_readable(store.get_batch(&id).await, "batch", &id)?),
        }
    }
    Ok(EndedBatches { newest, older })
}
