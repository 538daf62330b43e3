//! Metrics of the copy of the model that an app's sidecar holds in local mode.

use catalogue::Catalogue;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use sidecar_contract::{LoadedModel, RevisionRef};

use crate::model_observer::ModelObserver;

/// The metrics; there are no series in proxy mode.
#[derive(Debug)]
pub struct LocalMetrics {
    info: IntGaugeVec,
    trained_at: IntGaugeVec,
    load_failures: IntCounterVec,
}

impl LocalMetrics {
    /// Creates and registers the metrics.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let load_failures = IntCounterVec::new(
            Opts::new(
                "recommender_proxy_model_load_failures_total",
                "Failed attempts of an app's sidecar to load its own copy of a model or of a catalogue, by reason.",
            ),
            &["file", "reason"],
        )?;
        registry.register(Box::new(load_failures.clone()))?;
        Ok(Self {
            info: gauge(
                "recommender_proxy_model_info",
                "The revision from which an app's sidecar answers itself.",
                &["revision"],
            )?,
            trained_at: gauge(
                "recommender_proxy_model_trained_timestamp_seconds",
                "End of the training run of this revision, in seconds since 1970.",
                &[],
            )?,
            load_failures,
        })
    }
}

impl ModelObserver for LocalMetrics {
    fn serves(&self, model: Option<&LoadedModel>, _catalogue: Option<&Catalogue>, revisions: &[RevisionRef]) {
        self.info.reset();
        self.trained_at.reset();
        let Some(model) = model else { return };
        self.info.with_label_values(&[model.digest.revision()]).set(1);
        if let Some(revision) = revisions.iter().find(|revision| revision.digest == model.digest) {
            self.trained_at.with_label_values::<&str>(&[]).set(revision.trained_at);
        }
    }

    fn load_failed(&self, reason: &'static str) {
        self.load_failures.with_label_values(&["snapshot", reason]).inc();
    }

    fn catalogue_swapped(&self) {}

    fn catalogue_load_failed(&self, reason: &'static str) {
        self.load_failures.with_label_values(&["catalogue", reason]).inc();
    }
}
