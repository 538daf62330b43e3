//! Metric names and labels of the operator; those of Recommenders are in `resources`, and those
//! of identity in `identity`. Label values
//! are namespaces, names and words from closed sets.

mod identity;
mod resources;

use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use recommender_crds::RecommenderStatus;

use self::{identity::IdentityMetrics, resources::Resources};

/// Upper bounds in seconds.
const DURATION_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Metrics of the operator, with their own registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    durations: Histogram,
    resources: Resources,
    identity: IdentityMetrics,
    missed_pods: IntGaugeVec,
    leader: IntGauge,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// Fails only if two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reconciles = IntCounterVec::new(
            Opts::new("recommender_operator_reconcile_total", "Reconciles by result: ok, or the reason of the error."),
            &["result"],
        )?;
        let durations = Histogram::with_opts(
            HistogramOpts::new("recommender_operator_reconcile_duration_seconds", "Duration of a reconcile.")
                .buckets(DURATION_BUCKETS.to_vec()),
        )?;
        let resources = Resources::new()?;
        let identity = IdentityMetrics::new(&registry)?;
        let missed_pods = IntGaugeVec::new(
            Opts::new(
                "recommender_operator_pods_without_sidecar",
                "Pods of apps that ask for a sidecar and have none, by namespace and reason.",
            ),
            &["namespace", "reason"],
        )?;
        let leader = IntGauge::new("recommender_operator_leader", "1 if this operator is the leader.")?;
        let build =
            IntGaugeVec::new(Opts::new("recommender_operator_build_info", "Version of the operator."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(resources.clone()))?;
        registry.register(Box::new(missed_pods.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(build))?;
        Ok(Self { registry, reconciles, durations, resources, identity, missed_pods, leader })
    }

    /// Records a reconcile; `error` is the reason if it failed.
    pub fn observe_reconcile(&self, error: Option<&str>, duration: Duration) {
        self.reconciles.with_label_values(&[error.unwrap_or("ok")]).inc();
        self.durations.observe(duration.as_secs_f64());
    }

    /// Records the number of pods without a sidecar; the series of none is removed.
    pub fn set_missed_pods(&self, namespace: &str, reason: &str, pods: usize) {
        if pods == 0 {
            // A series that does not exist need not be removed.
            let _ = self.missed_pods.remove_label_values(&[namespace, reason]);
        } else {
            let pods = i64::try_from(pods).unwrap_or(i64::MAX);
            self.missed_pods.with_label_values(&[namespace, reason]).set(pods);
        }
    }

    /// Records whether this process is the leader.
    pub fn set_leader(&self, is_leader: bool) {
        self.leader.set(i64::from(is_leader));
    }

    /// Counts a decision on a request for a certificate: a word of [`crate::identity`].
    pub fn count_identity_answer(&self, decision: &'static str) {
        self.identity.decisions.with_label_values(&[decision]).inc();
    }

    /// Records the number of requests without an answer, and the age of the oldest.
    pub fn set_identity_pending(&self, number: usize, oldest: Duration) {
        self.identity.set_pending(number, oldest);
    }

    /// Records the number of pods that a rotation waits for.
    pub fn set_identity_unconfirmed(&self, pods: usize) {
        self.identity.unconfirmed.set(pods.try_into().unwrap_or(i64::MAX));
    }

    /// Records that identity is on, or why it is off.
    pub fn set_identity_off(&self, reason: Option<&'static str>) {
        self.identity.set_off(reason);
    }

    /// Records what is wrong with the CA of the issuer of identity.
    pub fn set_identity_issuer_problem(&self, reason: Option<&'static str>) {
        self.identity.set_issuer_problem(reason);
    }

    /// Records when the root that signs expires.
    pub fn set_identity_root(&self, not_after: i64) {
        self.identity.root_not_after.set(not_after);
    }

    /// Records the status of a Recommender.
    pub fn set_status(&self, namespace: &str, name: &str, status: &RecommenderStatus) {
        self.resources.set(namespace, name, status);
    }

    /// Removes the series of Recommenders whose namespace and name do not match.
    pub fn retain(&self, exists: &dyn Fn(&(String, String)) -> bool) {
        self.resources.retain(exists);
    }

    /// Encodes the metrics in the text format.
    ///
    /// # Errors
    /// Fails if a metric cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
