//! Every metric name and label of the operator. Labels are namespaces, names and words from closed sets.

use std::{collections::BTreeSet, time::Duration};

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};
use recommender_crds::RecommenderStatus;

/// Seconds.
const DURATION_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The operator's metrics on a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    durations: Histogram,
    conditions: IntGaugeVec,
    info: IntGaugeVec,
    leader: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Only if two names here are equal.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reconciles = IntCounterVec::new(
            Opts::new("recommender_operator_reconcile_total", "Reconciles by result: ok, or the reason of the error."),
            &["result"],
        )?;
        let durations = Histogram::with_opts(
            HistogramOpts::new("recommender_operator_reconcile_duration_seconds", "Time of a reconcile.")
                .buckets(DURATION_BUCKETS.to_vec()),
        )?;
        let conditions = IntGaugeVec::new(
            Opts::new("recommender_resource_condition", "1 if the condition holds, 0 if not, -1 if unknown."),
            &["namespace", "name", "type"],
        )?;
        let info = IntGaugeVec::new(
            Opts::new("recommender_resource_info", "The revision that a Recommender should serve."),
            &["namespace", "name", "revision", "algorithm"],
        )?;
        let leader = IntGauge::new("recommender_operator_leader", "1 if this operator acts.")?;
        let build =
            IntGaugeVec::new(Opts::new("recommender_operator_build_info", "Version of the operator."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(conditions.clone()))?;
        registry.register(Box::new(info.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(build))?;
        Ok(Self { registry, reconciles, durations, conditions, info, leader })
    }

    /// One reconcile; `error` is its reason.
    pub fn observe_reconcile(&self, error: Option<&str>, took: Duration) {
        self.reconciles.with_label_values(&[error.unwrap_or("ok")]).inc();
        self.durations.observe(took.as_secs_f64());
    }

    /// Whether this process acts.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A Recommender's conditions and revision.
    pub fn set_conditions(&self, namespace: &str, name: &str, status: &RecommenderStatus) {
        self.forget(&|ns, n| (ns, n) == (namespace, name));
        for condition in &status.conditions {
            let value = match condition.status.as_str() {
                "True" => 1,
                "False" => 0,
                _ => -1,
            };
            self.conditions.with_label_values(&[namespace, name, &condition.type_]).set(value);
        }
        if let Some(model) = &status.model {
            self.info.with_label_values(&[namespace, name, &model.revision, &model.algorithm]).set(1);
        }
    }

    /// Removes the series of Recommenders that are gone.
    pub fn keep_only(&self, names: &BTreeSet<(String, String)>) {
        self.forget(&|namespace, name| !names.contains(&(namespace.to_owned(), name.to_owned())));
    }

    fn forget(&self, gone: &dyn Fn(&str, &str) -> bool) {
        for gauge in [&self.conditions, &self.info] {
            for family in gauge.collect() {
                for series in family.get_metric() {
                    let labels: std::collections::HashMap<&str, &str> =
                        series.get_label().iter().map(|l| (l.name(), l.value())).collect();
                    let label = |key: &str| labels.get(key).copied().unwrap_or_default();
                    if gone(label("namespace"), label("name")) {
                        // Gone already is as good as removed.
                        let _ = gauge.remove(&labels);
                    }
                }
            }
        }
    }

    /// The text format.
    ///
    /// # Errors
    /// A metric that cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
