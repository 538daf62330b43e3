//! What every reconcile may use: clients, settings, the store's root, and what was read before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{Client, runtime::events::Recorder};
use sidecar_contract::{
    RunResult,
    credentials::{AccessKeyId, Role, derive_secret},
};
use tokio::sync::Semaphore;

use crate::{
    args::Settings, desired::StoreSecrets, metrics::Metrics, rollouts::Rollouts, store_root::StoreRoot,
    trainings::Trainings,
};

/// Shared by all reconciles.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Pods' admin ports.
    pub http: reqwest::Client,
    /// What the process was told.
    pub settings: Settings,
    /// The store's root key and installation id.
    pub root: StoreRoot,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Events.
    pub recorder: Recorder,
    /// Places for rollouts.
    pub rollouts: Rollouts,
    /// Places for trainings.
    pub trainings: Trainings,
    /// Reconciles that may run at once.
    pub slots: Semaphore,
    runs: Mutex<HashMap<String, Vec<RunResult>>>,
    sweeps: Mutex<HashMap<String, i64>>,
}

impl Context {
    /// A context that knows nothing yet.
    pub fn new(
        client: Client,
        settings: Settings,
        root: StoreRoot,
        metrics: Arc<Metrics>,
        recorder: Recorder,
        http: reqwest::Client,
    ) -> Self {
        let rollouts = Rollouts::new(settings.rollouts_max);
        let trainings = Trainings::new(settings.trainings_max);
        let slots = Semaphore::new(usize::from(settings.concurrency.max(1)));
        Self {
            client,
            http,
            settings,
            root,
            metrics,
            recorder,
            rollouts,
            trainings,
            slots,
            runs: Mutex::default(),
            sweeps: Mutex::default(),
        }
    }

    /// The embedded store's credentials for a Recommender's pods.
    pub fn store_secrets(&self, namespace: &str, name: &str) -> StoreSecrets {
        let pair = |role: Role| {
            let id = AccessKeyId { namespace: namespace.to_owned(), name: name.to_owned(), role };
            (id.to_string(), derive_secret(&self.root.key, &id))
        };
        StoreSecrets { train: pair(Role::Train), serve: pair(Role::Serve) }
    }

    /// Run results of a Recommender (by uid) that were read before.
    pub fn known_runs(&self, uid: &str) -> Option<Vec<RunResult>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// Keeps results for the time when the store is down.
    pub fn remember_runs(&self, uid: &str, results: &[RunResult]) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), results.to_vec());
    }

    /// Keeps what is known of these Recommenders only.
    pub fn forget_all_but(&self, uids: &dyn Fn(&str) -> bool) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids(uid));
        self.sweeps.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids(uid));
    }

    /// Whether this process has not looked for orphans in a Recommender's part of the store for so many seconds.
    pub fn sweep_is_due(&self, uid: &str, now: i64, seconds: i64) -> bool {
        let sweeps = self.sweeps.lock().unwrap_or_else(PoisonError::into_inner);
        sweeps.get(uid).is_none_or(|at| now.saturating_sub(*at) >= seconds)
    }

    /// Notes such a look.
    pub fn swept(&self, uid: &str, now: i64) {
        self.sweeps.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), now);
    }
}
