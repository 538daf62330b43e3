//! Results that short Jobs commit to the store. They are immutable, so each is read once and cached.
//! They are read only if the spec may ask for them. IO.

use std::{fmt::Debug, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt;
use recommender_crds::Recommender;
use store_client::{RUN_RESULT_BYTES_MAX, Store, StoreError};
use tokio::sync::Mutex;

use crate::{
    cache::{Cache, KnownResults, Readable, Remembered},
    context::Context,
    error::chain,
    names::Component,
    observed::{Ended, JobState, PodFacts, TaskFacts},
    store_access::{READ_DEADLINE, RESPONSE_BYTES_MAX, with_store},
    store_gate::StoreProblem,
    store_scope::{StoreKey, StoreScope},
};

/// Seconds after which results are read again although no Job has ended. Only someone who changes
/// the store by hand could have changed them.
pub(super) const REREAD_SECONDS: i64 = 600;

/// Concurrent reads of results in one access. Together they are as large as one page of a listing.
const CONCURRENT_READS_MAX: usize = 4;
const _: () = assert!(CONCURRENT_READS_MAX as u64 * RUN_RESULT_BYTES_MAX <= RESPONSE_BYTES_MAX as u64);

/// The result of one kind of short Job.
pub(super) trait TaskResult: Clone + Readable {
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
    let cached = cached.map(|known| known.ended.newest).unwrap_or_default();
    let continued = Continued::begin(&context.cache, &uid, &store, cached);
    let read = with_store(context, scope, READ_DEADLINE, |store| {
        let known = &continued.known;
        async move { read_from(&store, known).await }
    });
    match read.await {
        Ok(ended) => {
            let ended_jobs = tasks_of::<R>(tasks).filter(|task| task.state != JobState::Running);
            let ended_jobs = ended_jobs.map(|task| task.name.clone()).collect();
            context.cache.record_results(&uid, KnownResults { store, ended: ended.clone(), ended_jobs, read_at: now });
            Results { ended: Ok(ended), retry_after: None }
        }
        Err(StoreProblem { message, retry_after }) => {
            continued.keep(&context.cache, &uid, store);
            Results { ended: usable.map(|known| known.ended).ok_or(message), retry_after: Some(retry_after) }
        }
    }
}

/// The results that a read need not read. It outlives the read, which the deadline may cut.
pub(super) struct Continued<R> {
    /// Those of the cache, then those of this read and of earlier ones that were cut.
    pub known: Mutex<Vec<R>>,
    /// Number of those of the cache.
    cached: usize,
}

impl<R: Readable> Continued<R> {
    /// With the results of the cache, and those of an earlier read of this store that was cut.
    pub fn begin(cache: &Cache, uid: &str, store: &StoreKey, mut results: Vec<R>) -> Self {
        let cached = results.len();
        results.extend(cache.take_unfinished(uid, store));
        Self { known: Mutex::new(results), cached }
    }

    /// Keeps what was read for the next read.
    pub fn keep(self, cache: &Cache, uid: &str, store: StoreKey) {
        cache.keep_unfinished(uid, store, self.known.into_inner().split_off(self.cached));
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

async fn read_from<R: TaskResult>(store: &Store, known: &Mutex<Vec<R>>) -> Result<Ended<R, R::Key>, StoreError> {
    let mut keys = R::list(store).await?;
    keys.sort_by(|a, b| b.cmp(a));
    let older = keys.split_off(keys.len().min(R::RETAINED));
    let newest = read_newest(R::COMPONENT, keys, R::has, known, |key| async move { R::get(store, &key).await }).await?;
    Ok(Ended { newest, older })
}

/// The results with these keys, in their order. Those that are not known are read, some at a time,
/// and are known at once, also if a later one cannot be read.
///
/// # Errors
/// The store cannot be read now.
pub(super) async fn read_newest<Key, R, F>(
    of: impl Debug + Copy,
    keys: Vec<Key>,
    has: impl Fn(&R, &Key) -> bool,
    known: &Mutex<Vec<R>>,
    get: impl Fn(Key) -> F,
) -> Result<Vec<R>, StoreError>
where
    Key: Clone + Debug,
    R: Clone,
    F: Future<Output = Result<R, StoreError>>,
{
    let mut reads = Vec::new();
    for key in &keys {
        if !known.lock().await.iter().any(|result| has(result, key)) {
            let (key, read) = (key.clone(), get(key.clone()));
            reads.push(async move {
                if let Some(result) = if_readable(read.await, of, &key)? {
                    known.lock().await.push(result);
                }
                Ok(())
            });
        }
    }
    stream::iter(reads).buffer_unordered(CONCURRENT_READS_MAX).try_collect::<()>().await?;
    let known = known.lock().await;
    Ok(keys.iter().filter_map(|key| known.iter().find(|result| has(result, key)).cloned()).collect())
}

/// A result that was read; `None` with a warning if it is unreadable, because it must not hide the
/// others.
///
/// # Errors
/// The store cannot be read now.
fn if_readable<T>(read: Result<T, StoreError>, of: impl Debug, key: &impl Debug) -> Result<Option<T>, StoreError> {
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

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_read_that_is_cut_keeps_what_it_has_read_and_the_next_one_reads_the_rest() {
        let (known, reads) = (Mutex::new(vec![3]), Cell::new(0));
        // A store that does not respond after this many reads.
        let read = |responses: u32| {
            let get = |key: u32| {
                reads.set(reads.get() + 1);
                async move { if key < responses { Ok(key) } else { pending().await } }
            };
            read_newest("number", (0..20).collect(), |result, key| result == key, &known, get).now_or_never()
        };
        assert!(read(10).is_none());
        assert_eq!(reads.replace(0), 19, "one was known");
        known.try_lock().unwrap().sort_unstable();
        assert_eq!(*known.try_lock().unwrap(), (0..10).collect::<Vec<_>>());
        assert_eq!(read(20).unwrap().unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(reads.get(), 10, "the rest");
    }

    #[test]
    fn an_unreadable_result_does_not_hide_the_others() {
        let get = |key: u32| async move {
            if key == 1 {
                return Err(StoreError::Malformed { key: "1".to_owned(), message: String::new() });
            }
            Ok(key)
        };
        let known = Mutex::default();
        let read = read_newest("number", vec![2, 1, 0], |result, key| result == key, &known, get);
        assert_eq!(read.now_or_never().unwrap().unwrap(), [2, 0]);
    }
}
