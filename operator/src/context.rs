//! State shared by all reconciles: clients, the installation, slots and the cache.

use std::sync::Arc;

use kube::Client;
use tokio::sync::Semaphore;

use crate::{
    args::Settings,
    cache::Cache,
    events::Recorder,
    installation::{Installation, StoreRoot},
    metrics::Metrics,
    slots::Slots,
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
    /// Limits concurrent reconciles.
    pub reconcile_permits: Semaphore,
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
        let reconcile_permits = Semaphore::new(usize::from(settings.concurrency.max(1)));
        let installation = Installation { settings, root };
        Self { client, http, installation, metrics, recorder, slots, cache: Cache::default(), reconcile_permits }
    }
}
