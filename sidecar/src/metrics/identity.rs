//! Metrics of the identity files and of refused peers.

use mesh::identity::{IdentityFile, IdentityObserver, Refusal, Reload};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// The metrics.
#[derive(Debug)]
pub struct IdentityMetrics {
    reloads: IntCounterVec,
    expiry: IntGauge,
    refusals: IntCounterVec,
}

impl IdentityMetrics {
    /// Creates and registers the metrics. All series begin at 0, so that their first increase is
    /// seen.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reloads = IntCounterVec::new(
            Opts::new("recommender_identity_reloads_total", "Reads of changed identity files, by file and result."),
            &["file", "result"],
        )?;
        let expiry = IntGauge::new(
            "recommender_identity_certificate_expiry_timestamp_seconds",
            "Last second of the own certificate, in seconds since 1970; 0 without one.",
        )?;
        let refusals = IntCounterVec::new(
            Opts::new("recommender_mesh_refusals_total", "Connections with mutual TLS that were refused, by reason."),
            &["reason"],
        )?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(expiry.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        for file in IdentityFile::ALL {
            for result in Reload::ALL {
                reloads.with_label_values(&[file.as_str(), result.as_str()]);
            }
        }
        for reason in Refusal::ALL {
            refusals.with_label_values(&[reason.as_str()]);
        }
        Ok(Self { reloads, expiry, refusals })
    }

    /// Counts a refused connection.
    pub fn count_refusal(&self, reason: Refusal) {
        self.refusals.with_label_values(&[reason.as_str()]).inc();
    }
}

impl IdentityObserver for IdentityMetrics {
    fn reloaded(&self, file: IdentityFile, result: Reload) {
        self.reloads.with_label_values(&[file.as_str(), result.as_str()]).inc();
    }

    fn certificate_loaded(&self, not_after: i64) {
        self.expiry.set(not_after);
    }
}
