//! The resource itself: what belongs to no part of it.
#![allow(clippy::duplicated_attributes, reason = "printer columns have the same attributes")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AlgorithmSpec, ChosenAlgorithm, DataSpec, EvaluationSpec, NameRef, RecommenderStatus, ServingSpec, TrainingSpec,
};

/// What to learn from, how, and how to serve it. Only `data.source` is required.
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
    doc = "A recommender that is trained from your interactions and served in your namespace. Example: see `kubectl explain recommender.spec.data.source`.",
    scale(
        spec_replicas_path = ".spec.serving.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "True while recommendations are answered"
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
        json_path = ".status.model.algorithm",
        description = "What the model was fitted with"
    ),
    printcolumn(
        name = "Metric",
        type_ = "string",
        json_path = ".status.metric",
        description = "The model's metric and its lift over the baseline"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "Serving pods that are ready"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not",
        priority = 1
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        description = "Where recommendations are answered inside the cluster",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderSpec {
    /// What to learn from.
    pub data: DataSpec,

    /// What is fitted: exactly one of the fields. Absent: implicit ALS with its defaults, as `als: {}` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<AlgorithmSpec>,

    /// How a model is measured before it serves.
    #[serde(default)]
    pub evaluation: EvaluationSpec,

    /// When and with what training runs.
    #[serde(default)]
    pub training: TrainingSpec,

    /// Which model serves, where that is not the newest that passed the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,

    /// Whether a model that passed the gate serves by itself (Automatic) or waits for you (Manual). Default: Automatic.
    #[serde(default)]
    pub promotion: Promotion,

    /// The pods that answer.
    #[serde(default)]
    pub serving: ServingSpec,

    /// A bucket of yours for models and run results. Absent: the store that the chart installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,

    /// What happens to models and run results in the store when the Recommender is deleted. Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// How many models stay in the store besides the ones in use, 1 to 50. Default: 5.
    #[serde(default = "revision_history_limit")]
    #[schemars(range(min = 1, max = 50))]
    pub revision_history_limit: u32,

    /// Stops new training runs and promotions; what serves goes on serving and is repaired. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

impl RecommenderSpec {
    /// The one algorithm that is chosen, with defaults filled in; `None` when not exactly one is (which the API server
    /// refuses).
    pub fn chosen_algorithm(&self) -> Option<ChosenAlgorithm> {
        self.algorithm.clone().unwrap_or_default().chosen()
    }
}

/// Which model serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// Pins a revision: the ten digits of `status.history[].revision` or all 64 of a digest. It serves whatever the gate
    /// says; training goes on, nothing is promoted. Remove the field to go back. Example: 3f9a1c20be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub revision: Option<String>,
}

/// Who promotes a model that passed the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Promotion {
    /// It serves by itself.
    #[default]
    Automatic,
    /// It waits; the message of the condition Ready holds the command that promotes it.
    Manual,
}

/// What happens to a deleted Recommender's part of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted first.
    Delete,
}

/// A bucket of the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// The bucket, with a path if you like (s3://, gs://, az://). Example: s3://models/recommenders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
    /// Secret in this namespace with the bucket's credentials, its keys as for data.source.secretRef. Trainer and serving
    /// pods mount it; the operator reads it to read and delete results. Absent: workload identity of all three, where the
    /// installation allows the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

fn revision_history_limit() -> u32 {
    5
}
