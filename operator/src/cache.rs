//! What this process remembers of each Recommender between passes, by uid. Everything in it can be
//! lost: it saves requests, and bridges an outage of the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sidecar_contract::{BatchResult, CatalogueResult, Digest, RunResult};

use tokio::time::Instant;

use crate::{
    child_kind::ChildKind,
    observed::{EndedBatches, EndedCatalogues},
    rest::Rest,
    store_scope::StoreKey,
};

/// Remembered state of all Recommenders.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<String, Entry>>);

/// What is remembered of a Recommender.
#[derive(Debug, Default)]
pub struct Entry {
    runs: Option<KnownRuns>,
    batches: Option<KnownResults<EndedBatches>>,
    catalogues: Option<KnownResults<EndedCatalogues>>,
    unfinished_runs: Unfinished<RunResult>,
    unfinished_batches: Unfinished<BatchResult>,
    unfinished_catalogues: Unfinished<CatalogueResult>,
    /// Store that was swept last for orphans, and the second since 1970.
    swept: Option<(StoreKey, i64)>,
    applied: BTreeMap<(ChildKind, String), AppliedVersion>,
    /// Consecutive passes that failed.
    failures: u32,
    rest: Option<Resting>,
    /// Consecutive passes that changed nothing and did not find the Recommender settled.
    polls: u32,
}

/// Run results that were read from a store.
#[derive(Clone, Debug)]
pub struct KnownRuns {
    /// The store.
    pub store: StoreKey,
    /// Finished runs.
    pub results: Vec<RunResult>,
    /// Second since 1970 when they were read.
    pub read_at: i64,
}

/// Results of short Jobs that were read from a store.
#[derive(Clone, Debug)]
pub struct KnownResults<Ended> {
    /// The store.
    pub store: StoreKey,
    /// The results.
    pub ended: Ended,
    /// Names of the Jobs that had ended before they were read. One without a result has failed, or
    /// had nothing to do.
    pub ended_jobs: Vec<String>,
    /// Second since 1970 when they were read.
    pub read_at: i64,
}

/// Results that are remembered: one value of each type.
pub trait Remembered: Clone {
    /// Where they are in an entry.
    fn slot(entry: &mut Entry) -> &mut Option<KnownResults<Self>>;
}

impl Remembered for EndedBatches {
    fn slot(entry: &mut Entry) -> &mut Option<KnownResults<Self>> {
        &mut entry.batches
    }
}

impl Remembered for EndedCatalogues {
    fn slot(entry: &mut Entry) -> &mut Option<KnownResults<Self>> {
        &mut entry.catalogues
    }
}

/// Results that a read which failed, or met its deadline, has read from a store.
type Unfinished<R> = Option<(StoreKey, Vec<R>)>;

/// Results that are read one by one from a store.
pub trait Readable: Sized {
    /// Where those of an unfinished read are in an entry.
    fn slot(entry: &mut Entry) -> &mut Option<(StoreKey, Vec<Self>)>;
}

impl Readable for RunResult {
    fn slot(entry: &mut Entry) -> &mut Unfinished<Self> {
        &mut entry.unfinished_runs
    }
}

impl Readable for BatchResult {
    fn slot(entry: &mut Entry) -> &mut Unfinished<Self> {
        &mut entry.unfinished_batches
    }
}

impl Readable for CatalogueResult {
    fn slot(entry: &mut Entry) -> &mut Unfinished<Self> {
        &mut entry.unfinished_catalogues
    }
}

/// A Recommender at rest.
#[derive(Clone, Debug)]
pub struct Resting {
    /// What the last pass was based on.
    pub rest: Rest,
    /// When the last pass was.
    pub passed_at: Instant,
    /// When the Recommender was last read from the API server.
    pub checked_at: Instant,
    /// When the store is tried again, if it failed.
    pub store_retry_at: Option<Instant>,
}

/// A manifest that was applied, and the resource version of the object after that.
#[derive(Debug)]
struct AppliedVersion {
    hash: Digest,
    version: String,
}

impl Cache {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run results that were read last from this store.
    pub fn runs(&self, uid: &str, store: &StoreKey) -> Option<KnownRuns> {
        self.entries().get(uid)?.runs.clone().filter(|known| known.store == *store)
    }

    /// Remembers run results, to save reads, and for use while the store is down.
    pub fn record_runs(&self, uid: &str, known: KnownRuns) {
        self.entries().entry(uid.to_owned()).or_default().runs = Some(known);
    }

    /// Forgets the run results, which have changed in the store.
    pub fn forget_runs(&self, uid: &str) {
        if let Some(entry) = self.entries().get_mut(uid) {
            entry.runs = None;
        }
    }

    /// The results that were read last from this store.
    pub fn results<Ended: Remembered>(&self, uid: &str, store: &StoreKey) -> Option<KnownResults<Ended>> {
        Ended::slot(self.entries().get_mut(uid)?).clone().filter(|known| known.store == *store)
    }

    /// Remembers results, to save reads, and for use while the store is down.
    pub fn record_results<Ended: Remembered>(&self, uid: &str, known: KnownResults<Ended>) {
        *Ended::slot(self.entries().entry(uid.to_owned()).or_default()) = Some(known);
    }

    /// Forgets results, which have changed in the store.
    pub fn forget_results<Ended: Remembered>(&self, uid: &str) {
        if let Some(entry) = self.entries().get_mut(uid) {
            *Ended::slot(entry) = None;
        }
    }

    /// Takes the results that an unfinished read has read from this store.
    pub fn take_unfinished<R: Readable>(&self, uid: &str, store: &StoreKey) -> Vec<R> {
        let taken = self.entries().get_mut(uid).and_then(|entry| R::slot(entry).take());
        taken.filter(|(read_from, _)| read_from == store).map(|(_, results)| results).unwrap_or_default()
    }

    /// Keeps the results of an unfinished read for the next one, so that it continues.
    pub fn keep_unfinished<R: Readable>(&self, uid: &str, store: StoreKey, results: Vec<R>) {
        *R::slot(self.entries().entry(uid.to_owned()).or_default()) = Some((store, results));
    }

    /// Whether this process last swept a Recommender's prefix of this store for orphans `seconds`
    /// or more ago, or never.
    pub fn sweep_is_due(&self, uid: &str, store: &StoreKey, now: i64, seconds: i64) -> bool {
        let entries = self.entries();
        let swept = entries.get(uid).and_then(|entry| entry.swept.as_ref()).filter(|(swept, _)| swept == store);
        swept.is_none_or(|(_, at)| now.saturating_sub(*at) >= seconds)
    }

    /// Records an orphan sweep.
    pub fn record_sweep(&self, uid: &str, store: StoreKey, now: i64) {
        self.entries().entry(uid.to_owned()).or_default().swept = Some((store, now));
    }

    /// Records whether a pass failed.
    pub fn record_pass(&self, uid: &str, has_failed: bool) {
        let mut entries = self.entries();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.failures = if has_failed { entry.failures.saturating_add(1) } else { 0 };
    }

    /// What is known of a Recommender at rest.
    pub fn resting(&self, uid: &str) -> Option<Resting> {
        self.entries().get(uid)?.rest.clone()
    }

    /// Records whether a Recommender is at rest after a pass, and when its store is tried again.
    pub fn record_rest(&self, uid: &str, rest: Option<Rest>, store_retry_after: Option<Duration>) {
        let now = Instant::now();
        let store_retry_at = store_retry_after.map(|after| now + after);
        let resting = rest.map(|rest| Resting { rest, passed_at: now, checked_at: now, store_retry_at });
        self.entries().entry(uid.to_owned()).or_default().rest = resting;
    }

    /// Records that the API server's copy of a Recommender at rest has not changed.
    pub fn record_check(&self, uid: &str) {
        if let Some(resting) = self.entries().get_mut(uid).and_then(|entry| entry.rest.as_mut()) {
            resting.checked_at = Instant::now();
        }
    }

    /// Records when the store of a Recommender at rest is tried again.
    pub fn record_store_retry(&self, uid: &str, after: Duration) {
        if let Some(resting) = self.entries().get_mut(uid).and_then(|entry| entry.rest.as_mut()) {
            resting.store_retry_at = Some(Instant::now() + after);
        }
    }

    /// Counts the passes that only wait for pods; returns their number so far.
    pub fn count_poll(&self, uid: &str, is_poll: bool) -> u32 {
        let mut entries = self.entries();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.polls = if is_poll { entry.polls.saturating_add(1) } else { 0 };
        entry.polls
    }

    /// Number of consecutive passes that failed.
    pub fn failures(&self, uid: &str) -> u32 {
        self.entries().get(uid).map_or(0, |entry| entry.failures)
    }

    /// Whether applying a manifest would change nothing: this process has applied the same one, and
    /// the object still has the resource version that it had after that.
    pub fn is_in_force(&self, uid: &str, child: &(ChildKind, String), hash: &Digest, version: Option<&str>) -> bool {
        let entries = self.entries();
        let applied = entries.get(uid).and_then(|entry| entry.applied.get(child));
        applied.is_some_and(|applied| applied.hash == *hash && Some(applied.version.as_str()) == version)
    }

    /// Records an applied manifest and the resource version that the API server returned.
    pub fn record_applied(&self, uid: &str, child: (ChildKind, String), hash: Digest, version: String) {
        let mut entries = self.entries();
        entries.entry(uid.to_owned()).or_default().applied.insert(child, AppliedVersion { hash, version });
    }

    /// Forgets all Recommenders whose uid does not match.
    pub fn retain(&self, uids: &dyn Fn(&str) -> bool) {
        self.entries().retain(|uid, _| uids(uid));
    }
}
