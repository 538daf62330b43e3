//! Results of catalogues. They are immutable, so each is read once and cached. They are read only
//! if the spec may ask for catalogues. IO.

use std::time::Duration;

use kube::ResourceExt;
use recommender_crds::Recommender;
use sidecar_contract::CatalogueResult;
use store_client::{Store, StoreError};

use super::results::{REREAD_SECONDS, if_readable};
use crate::{
    cache::KnownCatalogues,
    context::Context,
    decide::{CATALOGUES_RETAINED, is_of_task},
    names::Component,
    observed::{EndedCatalogues, JobState, PodFacts, TaskFacts},
    store_access::{READ_DEADLINE, with_store},
    store_gate::StoreProblem,
    store_scope::StoreScope,
};

/// What a pass knows of the catalogues.
#[derive(Clone, Debug)]
pub struct Catalogues {
    /// The results, or why they are unknown.
    pub ended: Result<EndedCatalogues, String>,
    /// When another attempt to read them is worthwhile; `None` if they are known.
    pub retry_after: Option<Duration>,
}

/// Reads the results. Cached ones are used if they are recent or if the store is down, but only if
/// no Job has ended since: `tasks` were listed before.
pub async fn catalogues(
    context: &Context,
    recommender: &Recommender,
    tasks: &[TaskFacts],
    pods: &[PodFacts],
    now: i64,
) -> Catalogues {
    if recommender.spec.data.items.as_ref().is_none_or(|items| !items.has_catalogue()) {
        return Catalogues { ended: Ok(EndedCatalogues::default()), retry_after: None };
    }
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    let store = scope.key();
    let cached = context.cache.catalogues(&uid, &store);
    let usable = cached.clone().filter(|known| !is_awaited(tasks, pods, known));
    if let Some(known) = usable.as_ref().filter(|known| now.saturating_sub(known.read_at) < REREAD_SECONDS) {
        return Catalogues { ended: Ok(known.ended.clone()), retry_after: None };
    }
    let known = cached.map(|known| known.ended.newest).unwrap_or_default();
    match with_store(context, scope, READ_DEADLINE, |store| read_from(store, known)).await {
        Ok(ended) => {
            let ended_jobs = of_catalogues(tasks).filter(|task| task.state != JobState::Running);
            let ended_jobs = ended_jobs.map(|task| task.name.clone()).collect();
            let known = KnownCatalogues { store, ended: ended.clone(), ended_jobs, read_at: now };
            context.cache.record_catalogues(&uid, known);
            Catalogues { ended: Ok(ended), retry_after: None }
        }
        Err(StoreProblem { message, retry_after }) => {
            Catalogues { ended: usable.map(|known| known.ended).ok_or(message), retry_after: Some(retry_after) }
        }
    }
}

/// Whether a Job may have committed a result that is not known: it has ended since the last read,
/// or its container has.
fn is_awaited(tasks: &[TaskFacts], pods: &[PodFacts], known: &KnownCatalogues) -> bool {
    let has_exited = |task: &TaskFacts| match task.state {
        JobState::Running => pods.iter().any(|pod| pod.task.as_ref() == Some(&task.id) && pod.exit_code.is_some()),
        JobState::Succeeded | JobState::Failed => !known.ended_jobs.contains(&task.name),
    };
    let is_known = |task: &TaskFacts| known.ended.newest.iter().any(|result| is_of_task(result, task));
    of_catalogues(tasks).any(|task| has_exited(task) && !is_known(task))
}

fn of_catalogues(tasks: &[TaskFacts]) -> impl Iterator<Item = &TaskFacts> {
    tasks.iter().filter(|task| task.component == Component::Catalogue)
}

async fn read_from(store: Store, known: Vec<CatalogueResult>) -> Result<EndedCatalogues, StoreError> {
    let mut keys = store.list_catalogue_results().await?;
    keys.sort_by(|a, b| b.cmp(a));
    let older = keys.split_off(keys.len().min(CATALOGUES_RETAINED));
    let mut newest = Vec::with_capacity(keys.len());
    for (version, revision) in keys {
        if let Some(result) = known.iter().find(|result| result.id == version && result.revision == revision) {
            newest.push(result.clone());
            continue;
        }
        let read = store.get_catalogue_result(&version, &revision).await;
        newest.extend(if_readable(read, "catalogue", &version)?);
    }
    Ok(EndedCatalogues { newest, older })
}
