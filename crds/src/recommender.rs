//! The resource itself, and the fields that belong to none of its parts.
#![allow(clippy::duplicated_attributes, reason = "printer columns have the same attributes")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccessSpec, AlgorithmSpec, BatchSpec, ChosenAlgorithm, Compose, DataSpec, EvaluationSpec, NameRef,
    RecommenderStatus, ServingSpec, TrainingSpec,
};

/// Training data, algorithm, evaluation, training and serving. Only `data.source` is required, or
/// `algorithm.compose`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "recmesh.dev",
    version = "v1alpha1",
    kind = "Recommender",
    plural = "recommenders",
    singular = "recommender",
    shortname = "rcmd",
    category = "recmesh",
    namespaced,
    status = "RecommenderStatus",
    derive = "PartialEq",
    doc = "A recommender model that is trained on your interactions and served in your namespace. Example: see `kubectl explain recommender.spec.data.source`.",
    scale(
        spec_replicas_path = ".spec.serving.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "The required replicas are ready and serve a model"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.reason",
        description = "Why it is not ready, or else what needs attention; Serving: nothing"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.model.revision",
        description = "Short name of the model: the first ten digits of its digest"
    ),
    printcolumn(
        name = "Algorithm",
        type_ = "string",
        json_path = ".status.algorithm",
        description = "Algorithm of the spec"
    ),
    printcolumn(
        name = "Metric",
        type_ = "string",
        json_path = ".status.metric",
        description = "The model's metric and its lift over the baseline"
    ),
    printcolumn(
        name = "Run",
        type_ = "string",
        json_path = ".status.lastRun.outcome",
        description = "Outcome of the last run, or Running"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Serving pods that are ready"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "Message of the condition Ready",
        priority = 1
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        description = "URL of the recommendation API inside the cluster",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderSpec {
    /// Training data. Required, unless algorithm.compose is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSpec>,

    /// The algorithm and its parameters: exactly one of the fields. Absent: ALS with its defaults,
    /// as with `als: {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<AlgorithmSpec>,

    /// How a model is evaluated before it serves.
    #[serde(default)]
    pub evaluation: EvaluationSpec,

    /// Schedule, limits and pod settings of training.
    #[serde(default)]
    pub training: TrainingSpec,

    /// Selects a serving model other than the newest one that passed the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,

    /// Whether a model that passed the gate is served automatically (Automatic) or after your
    /// approval (Manual). Default: Automatic.
    #[serde(default)]
    pub promotion: Promotion,

    /// Serving pods.
    #[serde(default)]
    pub serving: ServingSpec,

    /// Who may ask the serving pods, and how. Absent: this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessSpec>,

    /// Lists for all users, written to a bucket of yours by a Job. Absent: no lists are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchSpec>,

    /// Your own bucket for models and run results. Absent: the store that the chart installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,

    /// What happens to models and run results in the store when the Recommender is deleted.
    /// Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Number of models retained in the store in addition to those in use, 1 to 50. Default: 5.
    #[serde(default = "revision_history_limit")]
    #[schemars(range(min = 1, max = 50))]
    pub revision_history_limit: u32,

    /// Stops new training runs and promotions. The current revision keeps serving, and its objects
    /// are still reconciled. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

impl RecommenderSpec {
    /// The rule of a Recommender that is made of others.
    pub fn compose(&self) -> Option<&Compose> {
        self.algorithm.as_ref()?.compose.as_ref()
    }

    /// Returns the chosen algorithm with its defaults, or `None` unless exactly one is set. The API
    /// server rejects the latter.
    pub fn chosen_algorithm(&self) -> Option<ChosenAlgorithm> {
        self.algorithm.clone().unwrap_or_default().chosen()
    }
}

/// Selection of the serving model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// Pins a revision: the ten digits of `status.history[].revision` or the 64 digits of a digest.
    /// The revision serves regardless of the gate; training continues, and no other model is
    /// promoted. Remove the field to unpin. Example: 3f9a1c20be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub revision: Option<String>,
}

/// How a model that passed the gate is promoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Promotion {
    /// The operator promotes it.
    #[default]
    Automatic,
    /// The user promotes it. The message of the condition Ready contains the command.
    Manual,
}

/// What happens to the stored data of a deleted Recommender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The data is retained.
    #[default]
    Retain,
    /// The data is deleted before the Recommender.
    Delete,
}

/// A bucket owned by the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// URL of the bucket (s3://, gs://, az://) with an optional path. Example:
    /// s3://models/recommenders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
    /// Secret in this namespace with the credentials of the bucket; keys as in
    /// data.source.secretRef. Training and serving pods mount it; the operator reads it to read and
    /// delete results. Absent: all three use their workload identity, if the installation allows
    /// the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

fn revision_history_limit() -> u32 {
    5
}
