//! The spec: what a user writes. The documentation of the fields is what `kubectl explain` shows.

#![allow(clippy::duplicated_attributes)] // Printer columns repeat their keys.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{LocalObjectReference, ResourceRequirements, Toleration},
        networking::v1::NetworkPolicyPeer,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::RecommenderStatus;

/// A recommender: interactions in, a trained, measured and served model out. Only `data.source` is required.
#[derive(CustomResource, Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
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
    scale(
        spec_replicas_path = ".spec.serving.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.model.revision"),
    printcolumn(name = "Algorithm", type_ = "string", json_path = ".status.algorithm"),
    printcolumn(name = "Metric", type_ = "string", json_path = ".status.metric"),
    printcolumn(name = "Replicas", type_ = "string", json_path = ".status.replicasText"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderSpec {
    /// Where the interactions are and what they mean.
    pub data: DataSpec,
    /// What is fitted: exactly one algorithm. Default: als with its defaults.
    #[serde(default)]
    pub algorithm: AlgorithmSpec,
    /// How a run is measured, and what a model must reach before it serves.
    #[serde(default)]
    pub evaluation: EvaluationSpec,
    /// When and where training runs.
    #[serde(default)]
    pub training: TrainingSpec,
    /// Which revision serves. Default: the newest that passed the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,
    /// Whether a revision that passed the gate serves at once.
    #[serde(default)]
    pub promotion: Promotion,
    /// The pods that answer.
    #[serde(default)]
    pub serving: ServingSpec,
    /// A bucket of your own for models and results. Default: the store of the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
    /// What becomes of stored models when the Recommender is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Stops new runs and promotions. Serving goes on and is repaired.
    #[serde(default)]
    pub suspend: bool,
}

/// Interactions.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSpec {
    /// Exactly one of url, configMap and persistentVolumeClaim.
    pub source: SourceSpec,
    /// csv or tsv (jsonl and parquet come with a later version). Default: guessed from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How delimited text is cut.
    #[serde(default)]
    pub csv: CsvSpec,
    /// Which column is what.
    #[serde(default)]
    pub columns: ColumnsSpec,
    /// implicit: something happened, the rating is its weight. explicit (later version): an opinion on a scale.
    #[serde(default)]
    pub signal: Signal,
    /// Titles in answers, and items that are never recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemsSpec>,
}

/// A place with rows: exactly one of the three.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// Object in a bucket: `s3://bucket/key.csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub url: Option<String>,
    /// Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for services other than AWS, AWS_ENDPOINT_URL and
    /// AWS_REGION. Goes with url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// A key of a ConfigMap in the Recommender's namespace (at most 1 MiB of data).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,
    /// A file on a PersistentVolumeClaim in the Recommender's namespace; mounted read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimSource>,
}

/// Names a Secret in the Recommender's namespace.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key whose text is read, e.g. `ratings.csv`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A file on a PersistentVolumeClaim.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSource {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// Path of the file within the volume, e.g. `ratings/all.csv`.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// File formats.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Format {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
}

/// How delimited text is cut.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CsvSpec {
    /// Whether the first line names the columns. Without it, columns are given as indexes from 0.
    #[serde(default = "yes")]
    pub header: bool,
    /// One ASCII character. Default: a comma for csv, a tab for tsv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1))]
    pub delimiter: Option<String>,
}

impl Default for CsvSpec {
    fn default() -> Self {
        Self { header: true, delimiter: None }
    }
}

/// Which column is what: names, or indexes from 0 without a header.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnsSpec {
    /// Column of the user id.
    #[serde(default = "user_id")]
    pub user: IntOrString,
    /// Column of the item id.
    #[serde(default = "item_id")]
    pub item: IntOrString,
    /// Column of the weight. Default: `rating` where the header has it, else every row weighs 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<IntOrString>,
    /// Column of the time, in seconds since 1970 or RFC 3339. Default: `timestamp` where the header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<IntOrString>,
}

impl Default for ColumnsSpec {
    fn default() -> Self {
        Self { user: user_id(), item: item_id(), rating: None, timestamp: None }
    }
}

/// What a row means.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Signal {
    #[default]
    Implicit,
    Explicit,
}

/// Attributes of items.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemsSpec {
    /// Exactly one of url, configMap and persistentVolumeClaim; with the same claim or Secret as the interactions.
    pub source: SourceSpec,
    /// Which column is what.
    #[serde(default)]
    pub columns: ItemColumnsSpec,
}

/// Columns of the item table.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemColumnsSpec {
    /// Column of the item id.
    #[serde(default = "item_id")]
    pub id: IntOrString,
    /// Column of the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<IntOrString>,
    /// Column that is false, 0 or no for items that are never recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<IntOrString>,
}

impl Default for ItemColumnsSpec {
    fn default() -> Self {
        Self { id: item_id(), title: None, available: None }
    }
}

/// Exactly one algorithm.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlgorithmSpec {
    /// Alternating least squares (Hu 2008, Rendle 2022): implicit data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub als: Option<AlsSpec>,
    /// Truncated singular value decomposition (later version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub svd: Option<SvdSpec>,
    /// Bayesian personalized ranking (later version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bpr: Option<BprSpec>,
}

impl Default for AlgorithmSpec {
    fn default() -> Self {
        Self { als: Some(AlsSpec::default()), svd: None, bpr: None }
    }
}

/// Parameters of implicit ALS: Σ_observed (a·ŷ² − 2b·ŷ) + unobservedWeight Σ_all ŷ² + regularization Σ_rows
/// (n + unobservedWeight·N)^regularizationExponent ‖row‖².
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AlsSpec {
    /// Numbers a user or item is described by. More fit finer taste, and take memory: 4 bytes each a user and an item.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Sweeps over users and items.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: u32,
    /// Strength of the pull towards 0; raise it when the model fits noise.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub regularization: f64,
    /// How the pull grows with the evidence of a row: 0 not at all, 1 in proportion.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub regularization_exponent: f64,
    /// Weight of a pair that was not observed, against 1 for an observed one.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub unobserved_weight: f64,
}

impl Default for AlsSpec {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 15,
            regularization: 0.003,
            regularization_exponent: 1.0,
            unobserved_weight: 0.1,
        }
    }
}

/// Parameters of truncated SVD.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SvdSpec {
    /// Singular values kept.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
}

impl Default for SvdSpec {
    fn default() -> Self {
        Self { factors: 64 }
    }
}

/// Parameters of BPR.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BprSpec {
    /// Numbers a user or item is described by.
    #[schemars(range(min = 1, max = 1024))]
    pub factors: u32,
    /// Passes over the interactions.
    #[schemars(range(min = 1, max = 10_000))]
    pub iterations: u32,
    /// Step length.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub learning_rate: f64,
    /// Strength of the pull towards 0.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub regularization: f64,
}

impl Default for BprSpec {
    fn default() -> Self {
        Self { factors: 64, iterations: 50, learning_rate: 0.05, regularization: 0.01 }
    }
}

/// How a run is measured.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationSpec {
    /// time: the newest rows are kept for measuring. random: a seeded share of the pairs. Default: time where there is a
    /// timestamp, else random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Share of the rows that is kept for measuring, above 0, at most 0.5.
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.001, max = 0.5))]
    pub holdout: f64,
    /// Length of the measured lists.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    pub k: u32,
    /// What a model must reach before it serves. Default: every model that trains serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateSpec>,
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self { split: None, holdout: tenth(), k: ten(), gate: None }
    }
}

/// Ways to split.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Split {
    Time,
    Random,
}

/// Conditions on a new revision.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateSpec {
    /// Least relative lift of ndcg@k over popularity, e.g. 0.05 for 5 %; the lower end of the 95 % interval must reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1.0, max = 1000.0))]
    pub min_lift_over_baseline: Option<f64>,
    /// Largest relative loss against the revision that serves (later version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_regression: Option<f64>,
}

/// When and where training runs.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingSpec {
    /// Cron expression of five fields, e.g. `0 3 * * *` (later version). Until then annotate
    /// recmesh.dev/retrain-at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 100))]
    pub schedule: Option<String>,
    /// Time zone of the schedule, e.g. Europe/Berlin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Seed of every random choice: equal data and seed give an equal model, byte for byte.
    #[serde(default = "forty_two")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
    /// Stops new runs.
    #[serde(default)]
    pub suspend: bool,
    /// Longest time of a run: a number with h, m or s, e.g. 90m.
    #[serde(default = "an_hour")]
    #[schemars(length(min = 2, max = 9), regex(pattern = r"^[1-9][0-9]{0,6}[smh]$"))]
    pub deadline: String,
    /// Settings of the training pod.
    #[serde(flatten)]
    pub pod: PodSpec,
}

impl Default for TrainingSpec {
    fn default() -> Self {
        Self {
            schedule: None,
            time_zone: None,
            seed: forty_two(),
            suspend: false,
            deadline: an_hour(),
            pod: PodSpec::default(),
        }
    }
}

/// The few pod settings that people set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// CPU and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// A ServiceAccount of your own, e.g. for workload identity. Default: one without rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// More labels on the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// More annotations on the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Secrets for a private registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// Which revision serves.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// A pin (later version): 10 or 64 hex digits of a revision in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9a-f]{10}|[0-9a-f]{64})$"))]
    pub revision: Option<String>,
}

/// Whether a revision that passed the gate serves at once.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Promotion {
    #[default]
    Automatic,
    Manual,
}

/// The pods that answer.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServingSpec {
    /// Pods. 0 is fine: Ready, reason ScaledToZero.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Where items come from when the model names too few.
    #[serde(default = "popular")]
    #[schemars(length(min = 1, max = 8))]
    pub fallback: Vec<Fallback>,
    /// Who else may call the application port, beside pods of the Recommender's own namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<NetworkPolicyPeer>,
    /// Settings of the serving pods.
    #[serde(flatten)]
    pub pod: PodSpec,
}

impl Default for ServingSpec {
    fn default() -> Self {
        Self { replicas: two(), fallback: popular(), allow_from: Vec::new(), pod: PodSpec::default() }
    }
}

/// Sources of items after the model.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// What most users chose.
    Popular,
}

/// A bucket of your own.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// Secret with the bucket's url and credentials (later version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// What becomes of stored models.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}

fn yes() -> bool {
    true
}

fn user_id() -> IntOrString {
    IntOrString::String("user_id".to_owned())
}

fn item_id() -> IntOrString {
    IntOrString::String("item_id".to_owned())
}

fn tenth() -> f64 {
    0.1
}

fn ten() -> u32 {
    10
}

fn two() -> i32 {
    2
}

fn forty_two() -> i64 {
    42
}

fn an_hour() -> String {
    "1h".to_owned()
}

fn popular() -> Vec<Fallback> {
    vec![Fallback::Popular]
}
