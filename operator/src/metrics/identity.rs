//! Metrics of identity: of the signer of this replica.

use std::time::Duration;

use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Metrics of identity.
#[derive(Debug)]
pub struct IdentityMetrics {
    /// Decisions on requests.
    pub decisions: IntCounterVec,
    /// Second since 1970 at which the root expires.
    pub root_not_after: IntGauge,
    pending: IntGauge,
    oldest_pending: Gauge,
    off: IntGaugeVec,
    issuer_problem: IntGaugeVec,
    /// Pods that a rotation waits for.
    pub unconfirmed: IntGauge,
}

impl IdentityMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// Fails only if two metrics have the same name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let decisions = IntCounterVec::new(
            Opts::new(
                "recommender_identity_decisions_total",
                "Decisions on requests for certificates: signed, why denied, or why left pending.",
            ),
            &["decision"],
        )?;
        let root_not_after = IntGauge::new(
            "recommender_identity_root_expiry_timestamp_seconds",
            "When the root that signs certificates expires; 0 if there is none.",
        )?;
        let pending = IntGauge::new(
            "recommender_identity_pending_requests",
            "Requests for certificates without an answer. Their pods do not start, or do not renew.",
        )?;
        let oldest_pending =
            Gauge::new("recommender_identity_oldest_pending_seconds", "Age of the oldest request without an answer.")?;
        let off = IntGaugeVec::new(
            Opts::new("recommender_identity_off", "1 if no certificates are signed, by reason."),
            &["reason"],
        )?;
        let issuer_problem = IntGaugeVec::new(
            Opts::new(
                "recommender_identity_issuer_problem",
                "1 if the CA of the issuer is not used or not renewed, by reason. The last usable one signs.",
            ),
            &["reason"],
        )?;
        let unconfirmed = IntGauge::new(
            "recommender_identity_unconfirmed_pods",
            "Pods that have not confirmed the trust anchors of a rotation, which waits for them.",
        )?;
        registry.register(Box::new(unconfirmed.clone()))?;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(root_not_after.clone()))?;
        registry.register(Box::new(pending.clone()))?;
        registry.register(Box::new(oldest_pending.clone()))?;
        registry.register(Box::new(off.clone()))?;
        registry.register(Box::new(issuer_problem.clone()))?;
        Ok(Self { decisions, root_not_after, pending, oldest_pending, off, issuer_problem, unconfirmed })
    }

    /// Records the number of requests without an answer, and the age of the oldest.
    pub fn set_pending(&self, number: usize, oldest: Duration) {
        self.pending.set(number.try_into().unwrap_or(i64::MAX));
        self.oldest_pending.set(oldest.as_secs_f64());
    }

    /// Records why identity is off; `None`: it is on.
    pub fn set_off(&self, reason: Option<&'static str>) {
        set_reason(&self.off, reason);
    }

    /// Records what is wrong with the CA of the issuer; `None`: nothing, or there is no issuer.
    pub fn set_issuer_problem(&self, reason: Option<&'static str>) {
        set_reason(&self.issuer_problem, reason);
    }
}

/// Leaves the series of one reason, or none.
fn set_reason(gauge: &IntGaugeVec, reason: Option<&'static str>) {
    gauge.reset();
    if let Some(reason) = reason {
        gauge.with_label_values(&[reason]).set(1);
    }
}
