//! State shared by all reconciles: clients, the installation, slots and the cache.

use std::sync::Arc;

use kube::Client;

use crate::{
    args::Settings,
    bulkhead::{self, Bulkhead},
    cache::Cache,
    events::Recorder,
    installation::{Installation, StoreRoot},
    metrics::Metrics,
    slots::Slots,
    store_gate::StoreGate,
    versions::Versions,
};

/// Shared by all reconciles.
pub struct Context {
    /// Kubernetes client.
    pub client: Client,
    /// HTTP client for the admin ports of pods.
    pub http: reqwest::Client,
    /// Settings and store root.
    pub installation: Installation,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Recorder of Events.
    pub recorder: Recorder,
    /// Slots of trainings and rollouts.
    pub slots: Slots,
    /// Remembered state by Recommender.
    pub cache: Cache,
    /// Versions of the objects of all Recommenders, as watches report them.
    pub versions: Versions,
    /// Access to stores.
    pub store_gate: StoreGate,
    /// Limits the Recommenders that send requests to the API server concurrently.
    turns: Bulkhead,
}

impl Context {
    /// Creates a context with free slots and an empty cache.
    pub fn new(
        client: Client,
        settings: Settings,
        root: StoreRoot,
        metrics: Arc<Metrics>,
        recorder: Recorder,
        http: reqwest::Client,
    ) -> Self {
        let slots = Slots::new(&settings);
        // Half of the turns are for other namespaces: the API server can be slow for one, for
        // example because of an admission webhook.
        let concurrency = usize::from(settings.concurrency);
        let turns = Bulkhead::new(concurrency, concurrency.div_ceil(2));
        let installation = Installation { settings, root };
        Self {
            client,
            http,
            installation,
            metrics,
            recorder,
            slots,
            cache: Cache::default(),
            versions: Versions::default(),
            store_gate: StoreGate::default(),
            turns,
        }
    }

    /// Waits for the turn of a namespace to send requests to the API server. While it holds the
    /// turn, a pass must not wait for anything else, such as a store or a pod.
    pub async fn turn(&self, namespace: &str) -> Turn {
        Turn(self.turns.enter(namespace).await)
    }
}

/// Permission to send requests to the API server, until it is dropped.
#[must_use = "it ends when it is dropped"]
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "its drop ends the turn")] Option<bulkhead::Entry>);
