//! What this process remembers of each Recommender between passes, by uid. Everything in it can be
//! lost: it saves requests, and bridges an outage of the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sidecar_contract::{Digest, RunResult};

use crate::{child_kind::ChildKind, store_scope::StoreKey};

/// Remembered state of all Recommenders.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<String, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    runs: Option<KnownRuns>,
    /// Store that was swept last for orphans, and the second since 1970.
    swept: Option<(StoreKey, i64)>,
    applied: BTreeMap<(ChildKind, String), AppliedVersion>,
    /// Consecutive passes that failed.
    failures: u32,
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
