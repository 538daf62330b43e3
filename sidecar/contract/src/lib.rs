//! What operator and sidecar say to each other, and nothing else.
//!
//! The operator renders [`TrainingConfig`] and [`ServingConfig`]; the sidecar parses them, and answers with a
//! [`RunResult`] in the store and a [`ModelReport`] on its admin port. Ports, mount points, key layout and exit codes
//! stand here once, for both sides.
//!
//! Rollouts mix versions: a field is added with a serde default and removed a release later, and unknown fields are
//! ignored. `fixtures/` keeps every released form; a test parses them all.

pub mod credentials;
pub mod exit_code;
mod fingerprint;
mod half_life;
pub mod hash;
pub mod keys;
pub mod model_report;
pub mod paths;
pub mod ports;
pub mod run_result;
pub mod serving;
pub mod store;
pub mod training;

pub use exit_code::ExitCode;
pub use half_life::{HalfLifeError, parse_half_life};
pub use hash::{Digest, canonical_json};
pub use keys::{KeyLayout, RunId};
pub use model_report::{LoadFailure, LoadedModel, ModelReport};
pub use run_result::{
    ActivityGroup, Against, ColdItems, Interval, Measurement, Metrics, RowCounts, RunOutcome, RunResult,
    TerminationHint, Trial,
};
pub use serving::{Answers, RevisionRef, RevisionRole, ServingConfig, ServingLimits};
pub use store::StoreConfig;
pub use training::{
    Algorithm, AlsConfig, BprConfig, Column, Columns, Csv, EvaluationConfig, Format, Incumbent, Items, Signal, Source,
    SplitKind, SvdConfig, TrainingConfig, TuningConfig, WarmStart, Weighting, WeightsConfig,
};
