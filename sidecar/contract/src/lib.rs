//! Interface between operator and sidecar: the documents that they exchange, and shared constants.
//!
//! The operator renders [`TrainingConfig`] and [`ServingConfig`]. The sidecar parses them, writes a
//! [`RunResult`] to the store, and serves a [`ModelReport`] and an [`AnchorsReport`] on its admin port. Ports, mount points,
//! key layout and exit codes are defined here once for both sides.
//!
//! Rollouts mix versions, so documents can grow:
//!
//! - A field is added with a serde default and removed one release later. Unknown fields are
//!   ignored; [`read`] lists them.
//! - An unknown word ([`Open`]), algorithm or outcome is kept and reported. The document is still
//!   read, and the type says what its reader does with it.
//! - `fixtures/` contains every released form of every document; a test reads them all.

mod access;
mod algorithm;
pub mod anchors_report;
mod auto;
pub mod batch;
pub mod catalogue;
pub mod composition;
pub mod credentials;
mod duration;
pub mod exit_code;
mod fingerprint;
mod gate;
mod half_life;
pub mod hash;
pub mod keys;
mod metrics;
pub mod model_report;
mod open;
pub mod paths;
pub mod ports;
mod reading;
mod run_outcome;
pub mod run_result;
mod search;
pub mod services;
pub mod serving;
pub mod serving_memory;
mod signal;
pub mod store;
mod timed_id;
pub mod training;
mod unknown;

pub use access::{Access, AllowedCaller, PlaintextAccess};
pub use algorithm::{Algorithm, AlsConfig, BprConfig, SvdConfig};
pub use anchors_report::{AnchorsReport, CallerAnchors, anchors_digest};
pub use auto::AutoConfig;
pub use batch::{BatchConfig, BatchId, BatchResult, WrittenLists};
pub use catalogue::{
    CatalogueConfig, CatalogueRef, CatalogueResult, CatalogueVersion, FilterColumn, FilterKind, ItemCounts,
    KnownCatalogue,
};
pub use composition::{CompositionConfig, PartConfig, Rule};
pub use duration::{DurationError, HOURS_TO_SECONDS, parse_duration};
pub use exit_code::ExitCode;
pub use gate::{Gate, GateVerdict, patch_command};
pub use half_life::{HalfLifeError, parse_half_life};
pub use hash::{Digest, canonical_json};
pub use keys::{KeyLayout, RunId};
pub use metrics::{
    ActivityGroup, ColdItems, Comparison, ComparisonReference, Interval, Measurement, Metrics, RecentBaseline,
    TwoHopMetrics,
};
pub use model_report::{LoadFailure, LoadedModel, ModelReport};
pub use open::Open;
pub use reading::{ReadError, Reading, read};
pub use run_outcome::RunOutcome;
pub use run_result::{RowCounts, RunResult, TerminationMessage};
pub use search::{LimitedAlgorithm, SearchSummary, Trial};
pub use services::pods_service;
pub use serving::{RevisionRef, RevisionRole, ServingConfig, ServingLimits, ServingMode};
pub use signal::Signal;
pub use store::StoreConfig;
pub use timed_id::TimedId;
pub use training::{
    Column, Columns, Csv, EvaluationConfig, Format, Incumbent, IncumbentSnapshot, Items, Source, SplitKind,
    TrainingConfig, TuningConfig, WarmStartConfig, Weighting, WeightsConfig,
};
