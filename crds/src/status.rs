//! What the operator reports.
#![allow(rustdoc::bare_urls, reason = "kubectl explain shows plain text")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most entries of `status.history`.
pub const HISTORY_ENTRIES_MAX: usize = 50;

/// What the operator reports. It can be wiped: everything in it is found again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RecommenderStatus {
    /// The generation of the spec that this status is about; -1 until the operator has seen the resource.
    pub observed_generation: i64,

    /// What holds now, by type: Ready, DataReady, Trained, QualityGatePassed, ModelLoaded, ServingAvailable, and, only
    /// while they are true, Reconciling, Stalled, Suspended, RolledBack, CapacityInsufficient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]), length(max = 32))]
    pub conditions: Vec<Condition>,

    /// The model that should serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,

    /// The last training run, ended or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,

    /// When the next run starts, or a failed one is tried again. Absent: when the resource or its data changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_time: Option<Time>,

    /// The value of the annotation recmesh.dev/retrain-at that was honoured last; it is not honoured again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_handled_retrain_at: String,

    /// Runs of the present attempt that failed one after another.
    pub failures: u32,

    /// Models that are kept, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["run"]),
        length(max = HISTORY_ENTRIES_MAX)
    )]
    pub history: Vec<HistoryEntry>,

    /// Serving pods that exist.
    pub replicas: i32,

    /// Serving pods that are ready.
    pub ready_replicas: i32,

    /// Serving pods that have loaded `model`.
    pub loaded_replicas: i32,

    /// Label selector of the serving pods, for autoscalers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,

    /// Where recommendations are answered inside the cluster. Example: http://movies.shop.svc:8080.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,

    /// The model's metric and its lift over the baseline, for people. Example: ndcg@10 0.412 (+23 %), or for
    /// explicit data rmse 0.912 (+3 %): that much smaller.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric: String,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelStatus {
    /// Its short name: the first ten digits of the digest.
    pub revision: String,
    /// SHA-256 of the snapshot, in 64 hex digits.
    pub digest: String,
    /// What it was fitted with: als, svd or bpr.
    pub algorithm: String,
    /// With which of its parameters: those of spec.algorithm, or what training.tuning found. Absent when nothing is known of its
    /// run any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<ModelParameters>,
    /// Number of the run that trained it.
    pub run: u32,
    /// Users that it knows.
    pub users: u64,
    /// Items that it knows.
    pub items: u64,
    /// Interactions that it was fitted to, after duplicates merged.
    pub interactions: u64,
    /// Length of the snapshot in bytes.
    pub snapshot_bytes: u64,
    /// What was measured; absent when there was too little to measure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<ModelMetrics>,
    /// When its run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_at: Option<Time>,
}

/// What a model was fitted with, by the names of spec.algorithm; what the algorithm does not have is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelParameters {
    /// Numbers that describe a user or an item.
    pub factors: u32,
    /// Passes over the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u32>,
    /// How strongly factors are pulled to zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularization: Option<f64>,
    /// How regularization grows with the number of a row's interactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularization_exponent: Option<f64>,
    /// Weight of pairs that were not observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unobserved_weight: Option<f64>,
    /// Samples whose mean serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u32>,
    /// How much less what busy users and popular items do counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree_exponent: Option<f64>,
    /// How much of it popular items have back in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree_return: Option<f64>,
    /// Step length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
}

/// The model beside the baseline, on the part that the fit did not see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelMetrics {
    /// What the gate looks at: ndcg for implicit data, rmse for explicit.
    pub metric: String,
    /// Length of the lists that recall and ndcg are of.
    pub k: u32,
    /// Users that were measured.
    pub test_users: u64,
    /// What the model reaches.
    pub model: Measurement,
    /// What is popular (implicit), or averages of users and items (explicit).
    pub baseline: Measurement,
    /// Relative lift over the baseline: 0.05 is 5 % better. Absent when nothing can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift: Option<Interval>,
}

/// Means over the measured users; what does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Measurement {
    /// Share of the kept items that the first k hold, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Normalized discounted cumulative gain of the first k, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ndcg: Option<f64>,
    /// Root mean squared error, in units of the rating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// Mean absolute error, in units of the rating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Interval {
    /// The estimate itself.
    pub estimate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// A training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastRun {
    /// Runs count up from 1.
    pub number: u32,
    /// What was tried, as the first digits of its hash.
    pub attempt: String,
    /// Running, Trained, Unchanged or Failed.
    pub outcome: RunOutcome,
    /// Why it failed, as one word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What to know or to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What the data was, as a hash.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_version: String,
    /// Path of the page about the run, on the admin port (9090) of each serving pod. See docs/training.md.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub report: String,
    /// Rows of the data and what became of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
}

/// How a run ended, or that it has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunOutcome {
    /// It has not ended.
    #[default]
    Running,
    /// There is a new model.
    Trained,
    /// The data is what it was: nothing was trained.
    Unchanged,
    /// There is no new model.
    Failed,
}

/// Rows of the data and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rows {
    /// Rows that were seen.
    pub read: u64,
    /// Rows that became interactions, before duplicates merged.
    pub kept: u64,
    /// Rows left out, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// Kept rows that merged into an earlier one of the same user and item.
    pub merged: u64,
}

/// A model that is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryEntry {
    /// Number of the run that trained it.
    pub run: u32,
    /// Its short name, as `model.revision` takes it.
    pub revision: String,
    /// SHA-256 of the snapshot, in 64 hex digits.
    pub digest: String,
    /// When its run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_at: Option<Time>,
    /// Its metric and lift, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric: String,
}
