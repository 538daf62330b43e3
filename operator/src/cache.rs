//! What this process remembers of each Recommender between passes, by uid. Everything in it can be
//! lost: it saves requests, and bridges an outage of the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sidecar_contract::{Digest, RunResult};

use crate::child_kind::ChildKind;

/// Remembered state of all Recommenders.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<String, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    runs: Option<Vec<RunResult>>,
    swept_at: Option<i64>,
    applied: BTreeMap<(ChildKind, String), AppliedVersion>,
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

    /// The run results that were read last.
    pub fn runs(&self, uid: &str) -> Option<Vec<RunResult>> {
        self.entries().get(uid)?.runs.clone()
    }

    /// Remembers run results, for use while the store is down.
    pub fn record_runs(&self, uid: &str, results: &[RunResult]) {
        self.entries().entry(uid.to_owned()).or_default().runs = Some(results.to_vec());
    }

    /// Whether this process last swept a Recommender's store prefix for orphans `seconds` or more
    /// ago, or never.
    pub fn sweep_is_due(&self, uid: &str, now: i64, seconds: i64) -> bool {
        let swept_at = self.entries().get(uid).and_then(|entry| entry.swept_at);
        swept_at.is_none_or(|at| now.saturating_sub(at) >= seconds)
    }

    /// Records an orphan sweep.
    pub fn record_sweep(&self, uid: &str, now: i64) {
        self.entries().entry(uid.to_owned()).or_default().swept_at = Some(now);
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
