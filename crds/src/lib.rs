//! The public API of Recmesh: the `Recommender` resource, its schema, its admission rules and its conditions.
//!
//! Types carry what `kubectl explain` shows; [`rules`] what the API server refuses; [`not_yet`] what a later version
//! builds; [`crd()`] puts them together into what `crds/recommenders.yaml` holds.

mod algorithm;
mod column;
pub mod condition;
mod crd;
mod data;
mod duration;
mod evaluation;
pub mod not_yet;
mod pod;
mod recommender;
pub mod rules;
mod serving;
mod status;
mod training;

pub use algorithm::{AlgorithmSpec, Als, Bpr, ChosenAlgorithm, Svd};
pub use column::Column;
pub use condition::{ConditionType, Reason};
pub use crd::{CRD_BYTES_MAX, crd, crd_yaml};
pub use data::{
    Columns, ConfigMapKey, Csv, DataSpec, Format, ItemColumns, ItemsSpec, NameRef, Signal, SourceSpec, VolumeFile,
    Weighting,
};
pub use duration::{DurationError, parse_seconds};
pub use evaluation::{EvaluationSpec, Gate, Split};
pub use pod::{Amount, PodSettings, Resources};
pub use recommender::{DeletionPolicy, ModelSpec, Promotion, Recommender, RecommenderSpec, StoreSpec};
pub use serving::{POPULAR, ServingLimits, ServingSpec};
pub use status::{
    HISTORY_ENTRIES_MAX, HistoryEntry, Interval, LastRun, Measurement, ModelMetrics, ModelParameters, ModelStatus,
    RecommenderStatus, Rows, RunOutcome,
};
pub use training::{TrainingSpec, Tuning};

/// API group.
pub const GROUP: &str = "recmesh.dev";
/// Version of the API.
pub const VERSION: &str = "v1alpha1";
/// Plural name.
pub const PLURAL: &str = "recommenders";
/// Longest name of a Recommender: the names of its children still fit into 63 characters.
pub const NAME_CHARS_MAX: usize = 40;
