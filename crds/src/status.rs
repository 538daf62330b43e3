//! The status of a Recommender.
#![allow(rustdoc::bare_urls, reason = "kubectl explain shows plain text")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of entries of `status.history`.
pub const HISTORY_ENTRIES_MAX: usize = 50;
/// Maximum number of entries of `status.model.search.algorithms`: more than there are algorithms.
pub const SEARCHED_ALGORITHMS_MAX: usize = 16;

/// Derived state; the operator can rebuild it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RecommenderStatus {
    /// Generation of the spec that this status describes; -1 until the operator has observed the
    /// resource.
    pub observed_generation: i64,

    /// Conditions by type: Ready, DataReady, Trained, QualityGatePassed, ModelLoaded and
    /// ServingAvailable; and Reconciling, Stalled, Suspended, RolledBack, CapacityInsufficient,
    /// BatchFailed and CatalogueHeld only while they are true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]), length(max = 32))]
    pub conditions: Vec<Condition>,

    /// What needs attention first, as the reason of its condition: why the Recommender is not
    /// ready, or else what the user should look at although it serves. Serving: nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,

    /// Algorithm of the spec, by its name in spec.algorithm.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub algorithm: String,

    /// The model that should serve, or of which only the popularity ranking serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,

    /// The last training run of the current spec, in progress or finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,

    /// Time of the next run or retry. Absent: a run starts when the resource or its data changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_time: Option<Time>,

    /// Last value of the annotation recmesh.dev/retrain-at that was handled; it is not handled
    /// again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_handled_retrain_at: String,

    /// Number of consecutive failed runs of the current attempt.
    pub failures: u32,

    /// The newest lists for all users (spec.batch).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchStatus>,

    /// The newest catalogue of the model (data.items.filters, data.items.refresh).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<CatalogueStatus>,

    /// Retained models, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["run"]),
        length(max = HISTORY_ENTRIES_MAX)
    )]
    pub history: Vec<HistoryEntry>,

    /// Number of serving pods.
    pub replicas: i32,

    /// Number of ready serving pods.
    pub ready_replicas: i32,

    /// Number of serving pods that have loaded `model`.
    pub loaded_replicas: i32,

    /// Label selector of the serving pods, for autoscalers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,

    /// URL of the recommendation API inside the cluster. Example: http://movies.shop.svc:8080.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,

    /// How other pods can ask the serving pods: MutualTLS, Plaintext, MutualTLSOrPlaintext, or None:
    /// spec.access refuses plaintext, and there are no certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessMode>,

    /// The model's metric and its lift over the baseline, human-readable. Example: ndcg@10 0.412
    /// (+23 %), or for explicit data rmse 0.912 (+3 %), which means 3 % smaller.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric: String,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelStatus {
    /// Short name: the first ten digits of the digest.
    pub revision: String,
    /// SHA-256 of the snapshot, in 64 hex digits.
    pub digest: String,
    /// personalized, or popularityOnly: no model may serve yet, so only the popularity ranking of
    /// this one does.
    pub serving_mode: ServingMode,
    /// Algorithm, by its name in spec.algorithm.
    pub algorithm: String,
    /// Parameters of the fit: those of spec.algorithm, or the result of training.tuning. Absent
    /// when the result of its run no longer exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<ModelParameters>,
    /// What the hyperparameter search of its run tried; absent without a search. The run report has
    /// all trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<ModelSearch>,
    /// Number of the run that trained it.
    pub run: u32,
    /// Number of users.
    pub users: u64,
    /// Number of items.
    pub items: u64,
    /// Number of interactions in the fit, after merging duplicates.
    pub interactions: u64,
    /// Size of the snapshot in bytes.
    pub snapshot_bytes: u64,
    /// Evaluation metrics; absent when there was too little data for an evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<ModelMetrics>,
    /// End time of its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_at: Option<Time>,
}

/// How a model serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ServingMode {
    /// Personalized lists.
    #[default]
    Personalized,
    /// The popularity ranking only.
    PopularityOnly,
}

/// How other pods can ask the serving pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// With a certificate only.
    #[serde(rename = "MutualTLS")]
    MutualTls,
    /// With a certificate, and without TLS where the NetworkPolicy admits it.
    #[serde(rename = "MutualTLSOrPlaintext")]
    MutualTlsOrPlaintext,
    /// Without TLS only, where the NetworkPolicy admits it.
    Plaintext,
    /// Not at all.
    None,
}

/// Parameters of a fit, named as in spec.algorithm. Parameters that the algorithm does not have are
/// absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelParameters {
    /// Number of latent factors.
    pub factors: u32,
    /// Number of iterations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u32>,
    /// L2 regularization strength (λ).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularization: Option<f64>,
    /// How regularization scales with the number of a row's interactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularization_exponent: Option<f64>,
    /// Weight of unobserved pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unobserved_weight: Option<f64>,
    /// Number of Gibbs samples in the posterior mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u32>,
    /// Popularity debiasing exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree_exponent: Option<f64>,
    /// Popularity debiasing exponent of users, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_degree_exponent: Option<f64>,
    /// Weight of the two-hop term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub co_occurrence_weight: Option<f64>,
    /// Items with fewer users take no part in the two-hop term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_users_per_item: Option<u32>,
    /// How much of the popularity debiasing is undone at ranking time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub popularity_boost: Option<f64>,
    /// Step size of the gradient descent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
}

/// A hyperparameter search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelSearch {
    /// Number of fits.
    pub fits: u32,
    /// Whether the time budget ended the search: the same run on another machine may then find
    /// other parameters.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped_by_time: bool,
    /// The algorithms that were tried, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]),
        length(max = SEARCHED_ALGORITHMS_MAX)
    )]
    pub algorithms: Vec<SearchedAlgorithm>,
}

/// An algorithm of a hyperparameter search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchedAlgorithm {
    /// Its name in spec.algorithm.
    // The key of a list must be required or have a default.
    pub name: String,
    /// Number of sets of its parameters that were fitted.
    pub trials: u32,
    /// Metric of its best trial (status.model.metrics.metric) on the validation set, which is
    /// separate from the held-out set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How much worse its best trial is than the best of all, in standard errors of the difference
    /// over the same users. Absent for the best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_errors_below_best: Option<f64>,
    /// Why the algorithm was not tried, or only with fewer factors than factorsMax. Absent if it
    /// was not limited.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub limited: String,
}

/// Metrics of the model and the baseline on the held-out set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelMetrics {
    /// Metric of the gate: ndcg for implicit data, rmse for explicit data.
    pub metric: String,
    /// Length of the lists of recall and ndcg.
    pub k: u32,
    /// Number of test users.
    pub test_users: u64,
    /// Metrics of the model.
    pub model: Measurement,
    /// Popularity baseline (implicit) or bias baseline (explicit).
    pub baseline: Measurement,
    /// Relative lift over the baseline: 0.05 is 5 % better. Absent when it cannot be estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift: Option<Interval>,
}

/// Means over the test users. Metrics that do not apply are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Measurement {
    /// Recall@k on the held-out items, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// NDCG@k (normalized discounted cumulative gain), 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ndcg: Option<f64>,
    /// Root mean squared error, in units of the rating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// Mean absolute error, in units of the rating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
}

/// An estimate with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Interval {
    /// Point estimate.
    pub estimate: f64,
    /// Lower bound of the interval.
    pub low: f64,
    /// Upper bound of the interval.
    pub high: f64,
}

/// A training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastRun {
    /// Number of the run, counted from 1.
    pub number: u32,
    /// Leading digits of the hash of the attempt's inputs.
    pub attempt: String,
    /// Running, Trained, Unchanged or Failed.
    pub outcome: RunOutcome,
    /// Machine-readable reason of a failure.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Human-readable details, and what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Time at which the run started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Time at which the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Hash of the data version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_version: String,
    /// Path of the run report on the admin port (9090) of each serving pod. See docs/training.md.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub report: String,
    /// Numbers of rows that were read, kept, dropped, merged and reinterpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
}

/// Outcome of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunOutcome {
    /// The run is in progress.
    #[default]
    Running,
    /// The run produced a new model.
    Trained,
    /// The data has not changed: no model was trained.
    Unchanged,
    /// The run failed and produced no model.
    Failed,
}

/// Numbers of rows that were read, kept, dropped, merged and reinterpreted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rows {
    /// Rows that were read.
    pub read: u64,
    /// Rows that became interactions, before merging duplicates.
    pub kept: u64,
    /// Dropped rows by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// Kept rows that were merged into an earlier row of the same user and item.
    pub merged: u64,
    /// Rows with a value that is read in another form than it is written, by form. See
    /// docs/data.md.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reinterpreted: BTreeMap<String, u64>,
}

/// A retained model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryEntry {
    /// Number of the run that trained it.
    pub run: u32,
    /// Short name, as accepted by `model.revision`.
    pub revision: String,
    /// SHA-256 of the snapshot, in 64 hex digits.
    pub digest: String,
    /// End time of its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_at: Option<Time>,
    /// Metric and lift, human-readable.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metric: String,
}

/// The newest lists for all users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BatchStatus {
    /// Time at which the newest lists were complete. Absent: no lists have been written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_at: Option<Time>,
    /// Short name of the model that computed them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// URL of the file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Number of users with a list.
    pub users: u64,
    /// Number of rows: one for each user and item.
    pub rows: u64,
    /// Number of consecutive failed batches since then.
    pub failures: u32,
    /// Time of the next batch or retry. Absent: a batch starts when another model is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_time: Option<Time>,
}

/// The newest catalogue of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CatalogueStatus {
    /// Its version, as in responses. Absent: the model has no catalogue yet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Time at which it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Time>,
    /// Time at which the item table was last checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,
    /// Items of the model.
    pub items: u64,
    /// Items of the model that are available.
    pub available: u64,
    /// Items of the model that the table does not have. They have no title and are available.
    pub missing: u64,
    /// Rows of the table whose items the model does not have.
    pub unknown: u64,
    /// Number of consecutive failed refreshes.
    pub failures: u32,
    /// Last value of the annotation recmesh.dev/refresh-catalogue that was handled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_handled_refresh: String,
}
