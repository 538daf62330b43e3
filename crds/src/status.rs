//! The status: what the operator reports. It can be wiped; it is rebuilt from the store and the children.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is the case.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecommenderStatus {
    /// Generation of the spec that this status is of; -1 before the first.
    pub observed_generation: i64,
    /// Ready, DataReady, Trained, QualityGatePassed, ModelLoaded, ServingAvailable; and, only while they hold,
    /// Reconciling, Stalled, Suspended, CapacityInsufficient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The revision that should serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,
    /// The revision before it, which serves where the other cannot be loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<ModelStatus>,
    /// The newest finished run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<RunStatus>,
    /// Value of the annotation recmesh.dev/retrain-at that the newest run honoured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrain_at: Option<String>,
    /// The spec's algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The model's metric beside its baseline, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Pods that exist.
    pub replicas: i32,
    /// Ready pods and wanted pods, for people: 2/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas_text: Option<String>,
    /// Label selector of the serving pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Where the cluster finds the application port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A revision.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelStatus {
    /// First ten hex digits of the digest.
    pub revision: String,
    /// SHA-256 of the snapshot.
    pub digest: String,
    /// als, svd or bpr.
    pub algorithm: String,
    /// Bytes of the snapshot.
    pub snapshot_bytes: i64,
    /// Users in the model.
    pub users: i64,
    /// Items in the model.
    pub items: i64,
    /// Interactions it was trained on.
    pub interactions: i64,
    /// End of its run, RFC 3339.
    pub trained_at: String,
    /// Number of its run.
    pub run: u32,
    /// What was measured on the kept part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsStatus>,
}

/// What was measured.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsStatus {
    /// Length of the lists.
    pub k: u32,
    /// Users that were measured.
    pub test_users: i64,
    /// NDCG@k of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ndcg: Option<f64>,
    /// NDCG@k of popularity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_ndcg: Option<f64>,
    /// recall@k of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// recall@k of popularity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_recall: Option<f64>,
    /// Relative lift of ndcg over popularity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift: Option<f64>,
    /// Lower end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift_low: Option<f64>,
    /// Upper end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift_high: Option<f64>,
}

/// A finished run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunStatus {
    /// Counts up from 1.
    pub number: u32,
    /// Trained, Unchanged or Failed.
    pub outcome: String,
    /// Why it failed, one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it failed, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// End, RFC 3339.
    pub finished_at: String,
    /// Seconds it took.
    pub seconds: i64,
    /// Rows that were read.
    pub rows_read: i64,
    /// Rows that became interactions.
    pub rows_kept: i64,
    /// Rows left out, and why.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub rows_dropped: std::collections::BTreeMap<String, i64>,
}
