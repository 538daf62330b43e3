//! Results that short Jobs commit to the store. They are immutable, so each is read once and cached.
//! They are read only if the spec may ask for them. IO.

use std::{fmt::Debug, time::Duration};

use kube::ResourceExt;
use recommender_crds::Recommender;
use store_client::{Store, StoreError};

use crate::{
    cache::{KnownResults, Remembered},
    context::Context,
    error::chain,
    names::Component,
    observed::{Ended, JobState, PodFacts, TaskFacts},
    store_access::{READ_DEADLINE, with_store},
    store_gate::StoreProblem,
    store_scope::StoreScope,
};

/// Seconds after which results are read again although no Job has ended. Only someone who changes
/// the store by hand could have changed them.
pub(super) const REREAD_SECONDS: i64 = 600;

/// The result of one kind of short Job.
pub(super) trait TaskResult: Clone + Sized {
    /// What names a result in the store, in the order of time.
    type Key: Clone + Ord + Debug + Send;
    /// What makes them.
    const COMPONENT: Component;
    /// Maximum number of newest results that are read.
    const RETAINED: usize;

    /// Whether a Recommender may have results.
    fn is_wanted(recommender: &Recommender) -> bool;
    /// Whether the Job has committed this result.
    fn is_of(&self, task: &TaskFacts) -> bool;
    /// Whether this is the name of the result.
    fn has(&self, key: &Self::Key) -> bool;
    /// The names of all results.
    fn list(store: &Store) -> impl Future<Output = Result<Vec<Self::Key>, StoreError>> + Send;
    /// One result.
    fn get(store: &Store, key: &Self::Key) -> impl Future<Output = Result<Self, StoreError>> + Send;
}

/// What a pass knows of results.
#[derive(Clone, Debug)]
pub struct Results<Ended> {
    /// The results, or why they are unknown.
    pub ended: Result<Ended, String>,
    /// When another attempt to read them is worthwhile; `None` if they are known.
    pub retry_after: Option<Duration>,
}

/// Reads the results. Cached ones are used if they are recent or if the store is down, but only if
/// no Job has ended since: `tasks` were listed before.
pub(super) async fn read<R: TaskResult>(
    context: &Context,
    recommender: &Recommender,
    tasks: &[TaskFacts],
    pods: &[PodFacts],
    now: i64,
) -> Results<Ended<R, R::Key>>
where
    Ended<R, R::Key>: Remembered,
{
    if !R::is_wanted(recommender) {
        return Results { ended: Ok(Ended::default()), retry_after: None };
    }
    let (scope, uid) = (StoreScope::of(recommender), recommender.uid().unwrap_or_default());
    let store = scope.key();
    let cached = context.cache.results::<Ended<R, R::Key>>(&uid, &store);
    let usable = cached.clone().filter(|known| !is_awaited(tasks, pods, known));
    if let Some(known) = usable.as_ref().filter(|known| now.saturating_sub(known.read_at) < REREAD_SECONDS) {
        return Results { ended: Ok(known.ended.clone()), retry_after: None };
    }
    let known = cached.map(|known| known.ended.newest).unwrap_or_default();
    match with_store(context, scope, READ_DEADLINE, |store| read_from(store, known)).await {
        Ok(ended) => {
            let ended_jobs = tasks_of::<R>(tasks).filter(|task| task.state != JobState::Running);
            let ended_jobs = ended_jobs.map(|task| task.name.clone()).collect();
            context.cache.record_results(&uid, KnownResults { store, ended: ended.clone(), ended_jobs, read_at: now });
            Results { ended: Ok(ended), retry_after: None }
        }
        Err(StoreProblem { message, retry_after }) => {
            Results { ended: usable.map(|known| known.ended).ok_or(message), retry_after: Some(retry_after) }
        }
    }
}

/// Whether a Job may have committed a result that is not known: it has ended since the last read,
/// or its container has.
fn is_awaited<R: TaskResult>(tasks: &[TaskFacts], pods: &[PodFacts], known: &KnownResults<Ended<R, R::Key>>) -> bool {
    let has_exited = |task: &TaskFacts| match task.state {
        JobState::Running => pods.iter().any(|pod| pod.task.as_ref() == Some(&task.id) && pod.exit_code.is_some()),
        JobState::Succeeded | JobState::Failed => !known.ended_jobs.contains(&task.name),
    };
    let is_known = |task: &TaskFacts| known.ended.newest.iter().any(|result| result.is_of(task));
    tasks_of::<R>(tasks).any(|task| has_exited(task) && !is_known(task))
}

fn tasks_of<R: TaskResult>(tasks: &[TaskFacts]) -> impl Iterator<Item = &TaskFacts> {
    tasks.iter().filter(|task| task.component == R::COMPONENT)
}

async fn read_from<R: TaskResult>(store: Store, known: Vec<R>) -> Result<Ended<R, R::Key>, StoreError> {
    let mut keys = R::list(&store).await?;
    keys.sort_by(|a, b| b.cmp(a));
    let older = keys.split_off(keys.len().min(R::RETAINED));
    let mut newest = Vec::with_capacity(keys.len());
    for key in keys {
        match known.iter().find(|result| result.has(&key)) {
            Some(result) => newest.push(result.clone()),
            None => newest.extend(if_readable(R::get(&store, &key).await, R::COMPONENT, &key)?),
        }
    }
    Ok(Ended { newest, older })
}

/// A result that was read; `None` with a warning if it is unreadable, because it must not hide the
/// others.
///
/// # Errors
/// The store cannot be read now.
pub(super) fn if_readable<T>(
    read: Result<T, StoreError>,
    of: impl Debug,
    key: &impl Debug,
) -> Result<Option<T>, StoreError> {
    match read {
        Ok(result) => Ok(Some(result)),
        Err(
            error @ (StoreError::Malformed { .. }
            | StoreError::TooLarge { .. }
            | StoreError::NotFound { .. }
            | StoreError::Corrupt { .. }),
        ) => {
            tracing::warn!(?of, ?key, error = chain(&error), "cannot read a result");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
