//! Keeps a store that does not respond, refuses, or sends data without end from delaying anyone but
//! the Recommenders that use it.
//!
//! Work on a store waits for a slot of a bulkhead that no other work shares, and has a deadline.
//! After a failure, nobody uses the store until a pause has passed: its circuit is open. The pause
//! grows with each failure, and is long if only a change of the configuration can help. A changed
//! Secret closes the circuit.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use store_client::{Retry, StoreError};
use tokio::time::{Instant, timeout};

use crate::{bulkhead::Bulkhead, pause::Pauses, store_scope::StoreKey};

/// Concurrent work on the embedded store. Its responses are small, and it limits itself.
const EMBEDDED_MAX: usize = 32;
/// … for the Recommenders of one namespace.
const EMBEDDED_NAMESPACE_MAX: usize = 8;
/// Concurrent work on users' buckets. Together with the bounds of a store's client, it limits the
/// memory that buckets can occupy.
const BUCKETS_MAX: usize = 32;
/// … for the Recommenders of one namespace: eight namespaces with slow buckets leave no slot.
const BUCKETS_NAMESPACE_MAX: usize = 4;
/// How long work waits for a slot. If there is none, the slots are occupied by stores that do not
/// respond.
const ENTRY_DEADLINE: Duration = Duration::from_secs(5);
/// Pauses after failures of the embedded store that may pass by themselves.
const EMBEDDED_SOON: Pauses = Pauses { first: Duration::from_secs(2), max: Duration::from_secs(30) };
/// Pauses after such failures of a bucket.
const SOON: Pauses = Pauses { first: Duration::from_secs(5), max: Duration::from_mins(5) };
/// Pauses after failures that only a change of the configuration ends.
const RARELY: Pauses = Pauses { first: Duration::from_secs(30), max: Duration::from_mins(30) };

/// Slots and circuits of all stores.
#[derive(Debug)]
pub struct StoreGate {
    embedded: Bulkhead,
    buckets: Bulkhead,
    circuits: Mutex<HashMap<StoreKey, Circuit>>,
}

/// What is known of a store whose last use failed.
#[derive(Clone, Debug)]
struct Circuit {
    /// Resource version of the Secret that was used; `None` if none was.
    secret_version: Option<String>,
    /// Consecutive failures.
    failures: u32,
    /// When the store may be used again.
    closes_at: Instant,
    message: String,
}

/// Why a store was not used, or why its use failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreProblem {
    /// Message for the user.
    pub message: String,
    /// When another attempt is worthwhile.
    pub retry_after: Duration,
}

/// A failure of work on a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFailure {
    /// Message for the user.
    pub message: String,
    /// How soon the work may succeed if it is repeated.
    pub retry: Retry,
}

impl StoreFailure {
    /// A failure with a message for the user.
    pub fn of(error: &StoreError, message: String) -> Self {
        Self { message, retry: error.retry() }
    }
}

impl Default for StoreGate {
    fn default() -> Self {
        Self {
            embedded: Bulkhead::new(EMBEDDED_MAX, EMBEDDED_NAMESPACE_MAX),
            buckets: Bulkhead::new(BUCKETS_MAX, BUCKETS_NAMESPACE_MAX),
            circuits: Mutex::default(),
        }
    }
}

impl StoreGate {
    /// Runs `work` on a store, unless its circuit is open.
    ///
    /// # Errors
    /// Fails if the circuit is open, if there is no slot, if the work fails, or if it takes longer
    /// than `deadline`.
    pub async fn run<T>(
        &self,
        store: &StoreKey,
        secret_version: Option<&str>,
        deadline: Duration,
        work: impl Future<Output = Result<T, StoreFailure>>,
    ) -> Result<T, StoreProblem> {
        self.check(store, secret_version)?;
        let bulkhead = match store {
            StoreKey::Embedded { .. } => &self.embedded,
            StoreKey::Bucket { .. } => &self.buckets,
        };
        let done = match timeout(ENTRY_DEADLINE, bulkhead.enter(store.namespace())).await {
            // The store may have failed while this work waited for its slot.
            Ok(_entry) => {
                self.check(store, secret_version)?;
                timeout(deadline, work).await.unwrap_or_else(|_| Err(unresponsive(store, deadline)))
            }
            Err(_) => Err(StoreFailure {
                message: format!(
                    "all connections to stores are in use by others of namespace {}, which respond slowly",
                    store.namespace()
                ),
                retry: Retry::Soon,
            }),
        };
        match done {
            Ok(value) => {
                self.circuits().remove(store);
                Ok(value)
            }
            Err(failure) => Err(self.record(store, secret_version, failure)),
        }
    }

    /// Records a failure: opens the circuit, for longer than the last time.
    pub fn record(&self, store: &StoreKey, secret_version: Option<&str>, failure: StoreFailure) -> StoreProblem {
        let StoreFailure { message, retry } = failure;
        let mut circuits = self.circuits();
        let failures = circuits.get(store).map_or(0, |circuit| circuit.failures).saturating_add(1);
        let pauses = match (retry, store) {
            (Retry::Soon, StoreKey::Embedded { .. }) => EMBEDDED_SOON,
            (Retry::Soon, StoreKey::Bucket { .. }) => SOON,
            (Retry::Rarely, _) => RARELY,
        };
        let retry_after = pauses.after(failures);
        let circuit = Circuit {
            secret_version: secret_version.map(str::to_owned),
            failures,
            closes_at: Instant::now() + retry_after,
            message: message.clone(),
        };
        circuits.insert(store.clone(), circuit);
        StoreProblem { message, retry_after }
    }

    /// Fails if the circuit of a store is open.
    fn check(&self, store: &StoreKey, secret_version: Option<&str>) -> Result<(), StoreProblem> {
        let circuits = self.circuits();
        let Some(circuit) = circuits.get(store) else { return Ok(()) };
        let retry_after = circuit.closes_at.saturating_duration_since(Instant::now());
        if retry_after.is_zero() || circuit.secret_version.as_deref() != secret_version {
            return Ok(());
        }
        Err(StoreProblem { message: circuit.message.clone(), retry_after })
    }

    /// Forgets the stores that no Recommender uses.
    pub fn retain(&self, used: impl FnOnce() -> HashSet<StoreKey>) {
        let mut circuits = self.circuits();
        if !circuits.is_empty() {
            let used = used();
            circuits.retain(|store, _| used.contains(store));
        }
    }

    fn circuits(&self) -> MutexGuard<'_, HashMap<StoreKey, Circuit>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unresponsive(store: &StoreKey, deadline: Duration) -> StoreFailure {
    let seconds = deadline.as_secs();
    let message = match store {
        StoreKey::Embedded { .. } => format!("the embedded store did not respond within {seconds} s"),
        StoreKey::Bucket { url, .. } => {
            format!("{url} did not respond within {seconds} s; check spec.store and the endpoint in its Secret")
        }
    };
    StoreFailure { message, retry: Retry::Soon }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::Arc,
    };

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn bucket(namespace: &str, number: usize) -> StoreKey {
        StoreKey::Bucket { namespace: namespace.to_owned(), url: format!("s3://b{number}"), secret: None }
    }

    fn failure(retry: Retry) -> StoreFailure {
        StoreFailure { message: "down".to_owned(), retry }
    }

    async fn fail(gate: &StoreGate, version: &str, retry: Retry) -> StoreProblem {
        gate.run::<()>(&bucket("a", 1), Some(version), DEADLINE, ready(Err(failure(retry)))).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn buckets_that_do_not_respond_do_not_delay_another_namespace() {
        let gate = Arc::new(StoreGate::default());
        let slow = (0..500).map(|number| {
            let gate = Arc::clone(&gate);
            async move { gate.run::<()>(&bucket("slow", number), None, DEADLINE, pending()).await }
        });
        let slow = tokio::spawn(join_all(slow));
        tokio::task::yield_now().await;
        let begin = Instant::now();
        for store in [bucket("other", 1), StoreKey::Embedded { namespace: "other".into(), name: "movies".into() }] {
            assert_eq!(gate.run(&store, None, DEADLINE, ready(Ok(7))).await, Ok(7));
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let problems = slow.await.unwrap();
        assert!(problems.iter().all(Result::is_err));
        // Nobody waits for longer than for a slot and for one deadline.
        assert!(begin.elapsed() <= ENTRY_DEADLINE + DEADLINE, "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_bucket_of_many_recommenders_is_tried_by_a_few() {
        let gate = StoreGate::default();
        let (tried, store) = (Semaphore::new(0), bucket("a", 1));
        let attempts = (0..100).map(|_| {
            gate.run::<()>(&store, None, Duration::from_secs(1), async {
                tried.add_permits(1);
                pending().await
            })
        });
        join_all(attempts).await;
        assert_eq!(tried.available_permits(), BUCKETS_NAMESPACE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_store_is_left_alone_for_growing_pauses() {
        let gate = StoreGate::default();
        let mut longest = Duration::from_secs(5);
        for _ in 0..4 {
            let problem = fail(&gate, "1", Retry::Soon).await;
            assert!(problem.retry_after >= longest / 2 && problem.retry_after <= longest, "{problem:?}");
            let untouched = gate.run(&bucket("a", 1), Some("1"), DEADLINE, ready(Ok(()))).await.unwrap_err();
            assert_eq!((untouched.message.as_str(), untouched.retry_after), ("down", problem.retry_after));
            tokio::time::advance(problem.retry_after).await;
            longest *= 2;
        }
        assert_eq!(gate.run(&bucket("a", 1), Some("1"), DEADLINE, ready(Ok(()))).await, Ok(()));
        assert!(fail(&gate, "1", Retry::Soon).await.retry_after <= Duration::from_secs(5), "it starts again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_refuses_is_tried_rarely_but_at_once_with_another_secret() {
        let gate = StoreGate::default();
        for _ in 0..10 {
            let problem = fail(&gate, "1", Retry::Rarely).await;
            assert!(problem.retry_after >= Duration::from_secs(15), "{problem:?}");
            tokio::time::advance(problem.retry_after).await;
        }
        assert!(fail(&gate, "1", Retry::Rarely).await.retry_after >= Duration::from_mins(15));
        assert!(gate.run(&bucket("a", 1), Some("1"), DEADLINE, ready(Ok(()))).await.is_err());
        assert_eq!(gate.run(&bucket("a", 1), Some("2"), DEADLINE, ready(Ok(()))).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn unused_stores_are_forgotten() {
        let gate = StoreGate::default();
        gate.record(&bucket("a", 1), None, failure(Retry::Soon));
        gate.record(&bucket("a", 2), None, failure(Retry::Soon));
        gate.retain(|| HashSet::from([bucket("a", 2)]));
        assert_eq!(gate.run(&bucket("a", 1), None, DEADLINE, ready(Ok(()))).await, Ok(()));
        assert!(gate.run(&bucket("a", 2), None, DEADLINE, ready(Ok(()))).await.is_err());
    }
}
