//! What the serving pods are to serve: rendered by the operator into a ConfigMap.

use serde::{Deserialize, Serialize};

use crate::{
    hash::{Digest, canonical_json},
    store::StoreConfig,
};

/// The serving config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingConfig {
    /// Namespace of the Recommender.
    pub namespace: String,
    /// Name of the Recommender.
    pub name: String,
    /// The desired revision first, then the last good one. Empty: nothing is trained yet.
    #[serde(default)]
    pub revisions: Vec<RevisionRef>,
    /// The pod that loads the desired revision first, alone; the rest follow when the config no longer names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads_first: Option<String>,
    /// Sources after the model, in order.
    #[serde(default = "popular")]
    pub fallback: Vec<String>,
    /// Where snapshots are.
    pub store: StoreConfig,
    /// Limits of the doors.
    #[serde(default)]
    pub limits: ServingLimits,
}

impl ServingConfig {
    /// The hash that a pod reports once it has taken the config.
    pub fn hash(&self) -> Digest {
        Digest::of(canonical_json(self).as_bytes())
    }
}

/// One revision and its part in serving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionRef {
    /// Content.
    pub digest: Digest,
    /// Length in bytes, checked against the pod's headroom before anything is fetched.
    pub snapshot_bytes: u64,
    /// Part in serving.
    pub role: RevisionRole,
    /// Share of users, in percent; of one revision it is 100.
    #[serde(default = "all")]
    pub weight: u8,
    /// Seconds since 1970 when its run finished.
    #[serde(default)]
    pub trained_at: i64,
    /// Metrics of its run, exported with the revision as label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<crate::run_result::Metrics>,
}

/// Parts in serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevisionRole {
    /// What should serve.
    Desired,
    /// What serves when the desired one cannot be loaded.
    LastGood,
}

/// Limits of the serving doors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServingLimits {
    /// Most items an answer may hold.
    pub items_per_answer_max: u32,
    /// Most rows of history in a request.
    pub history_per_request_max: u32,
    /// Most requests in a batch.
    pub requests_per_batch_max: u32,
}

impl Default for ServingLimits {
    fn default() -> Self {
        Self { items_per_answer_max: 1000, history_per_request_max: 1000, requests_per_batch_max: 100 }
    }
}

fn popular() -> Vec<String> {
    vec!["popular".to_owned()]
}

fn all() -> u8 {
    100
}
