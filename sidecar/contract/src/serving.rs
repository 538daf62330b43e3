//! Configuration of the serving pods; rendered by the operator into a ConfigMap.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    access::Access,
    catalogue::CatalogueRef,
    gate::Gate,
    hash::{Digest, canonical_json},
    metrics::Metrics,
    open::Open,
    store::StoreConfig,
    unknown::UnknownValues,
};

/// Configuration of the serving pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingConfig {
    /// Namespace of the Recommender.
    pub namespace: String,
    /// Name of the Recommender.
    pub name: String,
    /// The desired revision first, then the last good one. Empty if no model exists yet.
    #[serde(default)]
    pub revisions: Vec<RevisionRef>,
    /// Name of the one pod that may load the desired revision. If absent, all pods load it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads_first: Option<String>,
    /// Second since 1970 since which one pod is to load that revision first; for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads_first_since: Option<i64>,
    /// Fallback sources after the model, in order. Unknown names are ignored. Popularity is always
    /// the last source, also if it is not listed, so that an unknown user never gets an empty list.
    #[serde(default = "default_fallback")]
    pub fallback: Vec<String>,
    /// Location of the snapshots.
    pub store: StoreConfig,
    /// Request limits.
    #[serde(default)]
    pub limits: ServingLimits,
    /// The quality gate, for run reports; absent in configs of older operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Who may ask the serving pods.
    #[serde(default, skip_serializing_if = "Access::is_default")]
    pub access: Access,
}

impl ServingConfig {
    /// Hash that a pod reports once it has applied the config. A pod takes it from
    /// [`crate::Reading::hash`], because the config of a newer operator may have more fields.
    pub fn hash(&self) -> Digest {
        Digest::of(canonical_json(self).as_bytes())
    }

    /// Revision with this role, if any.
    pub fn revision(&self, role: RevisionRole) -> Option<&RevisionRef> {
        self.revisions.iter().find(|revision| revision.role == role)
    }

    /// Values of a newer operator that this build does not know, for [`crate::ModelReport`]. Empty
    /// if there are none.
    pub fn unknown_values(&self) -> Vec<String> {
        let mut unknown = UnknownValues::default();
        for (index, RevisionRef { role, serving_mode, metrics, .. }) in self.revisions.iter().enumerate() {
            unknown.add(&format!("revisions[{index}].role"), role.unknown());
            unknown.add(&format!("revisions[{index}].servingMode"), serving_mode.unknown());
            let split = metrics.as_ref().and_then(Metrics::unknown_split);
            unknown.add(&format!("revisions[{index}].metrics.split"), split);
        }
        self.access.add_unknown(&mut unknown);
        unknown.into_list()
    }
}

/// Revision and its role in serving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRef {
    /// Digest of its snapshot.
    pub digest: Digest,
    /// Size of the snapshot in bytes; compared with the available memory before the fetch.
    pub snapshot_bytes: u64,
    /// Role in serving. A pod ignores a revision with an unknown role.
    pub role: Open<RevisionRole>,
    /// Percentage of the users; 100 if there is one revision.
    #[serde(default = "default_weight")]
    pub weight: u8,
    /// Unix time in seconds when its run finished.
    #[serde(default)]
    pub trained_at: i64,
    /// Whether it serves personalized lists. A pod does not load a revision with an unknown mode
    /// and reports the failure `FormatUnknown`; the current revision keeps serving.
    #[serde(default, skip_serializing_if = "Open::is_default")]
    pub serving_mode: Open<ServingMode>,
    /// Evaluation metrics of its run; exported with the revision as label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Its newest catalogue. A pod serves the revision only with it. Absent: the revision has none,
    /// and the titles and the availability in the snapshot are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<CatalogueRef>,
}

/// Role of a revision in serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevisionRole {
    /// The revision to serve.
    Desired,
    /// The revision that serves if the desired one cannot be loaded.
    LastGood,
}

/// Whether a revision serves personalized lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServingMode {
    /// The model's factors, then the fallback.
    #[default]
    Personalized,
    /// The model's popularity ranking only; used for a first model that did not pass the gate.
    PopularityOnly,
}

impl ServingMode {
    /// Whether the factors answer.
    pub fn is_personalized(&self) -> bool {
        *self == Self::Personalized
    }
}

/// Default of the latency budget: below it a burst is worth queueing; above it a client is better
/// served by another pod.
const LATENCY_BUDGET_MILLISECONDS: u32 = 100;

/// Limits of serving requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServingLimits {
    /// Max items in a response.
    pub items_per_answer_max: u32,
    /// Max history rows in a request.
    pub history_per_request_max: u32,
    /// Max requests in a batch.
    pub requests_per_batch_max: u32,
    /// Max expected wait of a request, in milliseconds; 503 beyond it. The default is omitted, so
    /// that hashes of configs without it do not change.
    #[serde(skip_serializing_if = "is_default_latency_budget")]
    pub latency_budget_milliseconds: u32,
}

impl Default for ServingLimits {
    fn default() -> Self {
        Self {
            items_per_answer_max: 1000,
            history_per_request_max: 1000,
            requests_per_batch_max: 100,
            latency_budget_milliseconds: LATENCY_BUDGET_MILLISECONDS,
        }
    }
}

impl ServingLimits {
    /// Maximum of a request's expected wait.
    pub fn latency_budget(&self) -> Duration {
        Duration::from_millis(self.latency_budget_milliseconds.into())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature of serde")]
fn is_default_latency_budget(milliseconds: &u32) -> bool {
    *milliseconds == LATENCY_BUDGET_MILLISECONDS
}

fn default_fallback() -> Vec<String> {
    vec!["popular".to_owned()]
}

fn default_weight() -> u8 {
    100
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT_MODE: &str = r#"{"digest":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","role":"desired","snapshotBytes":7,"trainedAt":0,"weight":100}"#;

    #[test]
    fn the_default_mode_is_omitted_and_hashes_do_not_change() {
        let mut revision: RevisionRef = serde_json::from_str(DEFAULT_MODE).unwrap();
        assert_eq!(revision.serving_mode, ServingMode::Personalized);
        assert_eq!(canonical_json(&revision), DEFAULT_MODE);
        revision.serving_mode = ServingMode::PopularityOnly.into();
        assert!(canonical_json(&revision).contains(r#""servingMode":"popularityOnly""#));
    }
}
