//! The public API of Recmesh: the `Recommender` resource, its schema, admission rules and
//! conditions.
//!
//! The doc comments of the types are the text of `kubectl explain`. [`rules`] are the CEL rules of
//! the API server, and [`unsupported`] those for values that this version does not support.
//! [`crd()`] combines them into the definition in `crds/recommenders.yaml`.

mod access;
mod algorithm;
mod batch;
mod column;
mod compose;
pub mod condition;
mod crd;
mod data;
mod evaluation;
mod pod;
mod recommender;
pub mod rules;
mod serving;
mod status;
mod training;
pub mod unsupported;

pub use access::{AccessSpec, AllowedCaller, Identity, Plaintext};
pub use algorithm::*;
pub use batch::{BatchDestination, BatchSpec};
pub use column::Column;
pub use compose::{
    Blend, Cascade, Compose, Normalize, SharedPart, SplitParts, Switch, SwitchCase, SwitchField, WeightedPart,
};
pub use condition::{ConditionType, Reason};
pub use crd::{CRD_BYTES_MAX, crd, crd_yaml};
pub use data::{
    Columns, ConfigMapKey, Csv, DataSpec, FilterType, Format, ItemColumns, ItemFilter, ItemsSpec, NameRef, Signal,
    SourceSpec, VolumeFile, Weighting,
};
pub use evaluation::{EvaluationSpec, Gate, Split};
pub use pod::{PodSettings, QuantityOrInt, Resources};
pub use recommender::{DeletionPolicy, ModelSpec, Promotion, Recommender, RecommenderSpec, StoreSpec};
pub use serving::{POPULAR, ServingLimits, ServingSpec};
pub use status::{
    AccessMode, BatchStatus, CatalogueStatus, HISTORY_ENTRIES_MAX, HistoryEntry, Interval, LastRun, Measurement,
    ModelMetrics, ModelParameters, ModelSearch, ModelStatus, RecommenderStatus, Rows, RunOutcome,
    SEARCHED_ALGORITHMS_MAX, SearchedAlgorithm, ServingMode,
};
pub use training::{TrainingSpec, Tuning};

/// API group.
pub const GROUP: &str = "recmesh.dev";
/// Version of the API.
pub const VERSION: &str = "v1alpha1";
/// Plural name.
pub const PLURAL: &str = "recommenders";
/// Maximum length of a Recommender's name. The names of its children then fit into 63 characters.
pub const NAME_CHARS_MAX: usize = 40;
