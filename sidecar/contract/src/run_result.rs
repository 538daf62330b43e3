//! Result of a run: `runs/<run>.json`. It is written last and create-only, which commits the run.

use serde::{Deserialize, Serialize};

use crate::{
    algorithm::Algorithm, hash::Digest, keys::RunId, metrics::Metrics, run_outcome::RunOutcome, unknown::UnknownValues,
};

/// Version of the result's format that this build writes.
pub const RUN_RESULT_VERSION: u32 = 1;

/// Result of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// Format version of this document; readers reject unknown versions.
    pub version: u32,
    /// Id of the run.
    pub run: RunId,
    /// Hash of the inputs except the data: [`crate::TrainingConfig::config_hash`].
    pub config_hash: Digest,
    /// Hash of all inputs, including the data: [`crate::TrainingConfig::fingerprint`]. Absent in
    /// results of older versions, and if the run failed before it read the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    /// Version of the source when it was read; empty if the run failed before.
    pub data_version: String,
    /// Outcome of the run.
    pub outcome: RunOutcome,
    /// Rows read, kept and dropped.
    #[serde(default)]
    pub rows: RowCounts,
    /// Retrain request that this run handled; see [`crate::TrainingConfig::retrain_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain_at: Option<String>,
    /// See [`crate::TrainingConfig::decided_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<i64>,
    /// Unix time in seconds at the start of the run.
    pub started_at: i64,
    /// Unix time in seconds at the end of the run.
    pub finished_at: i64,
}

impl RunResult {
    /// Values of a newer trainer that this build does not know, for reports. Empty if there are
    /// none.
    pub fn unknown_values(&self) -> Vec<String> {
        let mut unknown = UnknownValues::default();
        unknown.add("outcome.kind", self.outcome.unknown());
        if let RunOutcome::Trained { parameters, metrics, trials, .. } = &self.outcome {
            unknown.add("outcome.parameters", parameters.as_ref().and_then(Algorithm::unknown));
            unknown.add("outcome.metrics.split", metrics.as_ref().and_then(Metrics::unknown_split));
            unknown.add("outcome.metrics.incumbent.reference", metrics.as_ref().and_then(Metrics::unknown_comparison));
            let trial = trials.iter().find_map(|trial| trial.parameters.unknown());
            unknown.add("outcome.trials", trial);
        }
        unknown.into_list()
    }
}

/// Counts of the source's rows, by how they were handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RowCounts {
    /// Data rows read.
    pub read: u64,
    /// Rows that became interactions, before duplicates are merged.
    pub kept: u64,
    /// Dropped rows by reason (a closed set, sorted): `emptyUser`, `notANumber`, ….
    pub dropped: std::collections::BTreeMap<String, u64>,
    /// Kept rows that were merged into an earlier row of the same (user, item) pair.
    pub merged: u64,
    /// Rows with a value that is read in another form than it is written, by form (a closed set,
    /// sorted): `paddedId`, `timeWithoutZone`, …. They are not dropped.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub reinterpreted: std::collections::BTreeMap<String, u64>,
}

/// Termination message of the pod. It saves a read of the store; the run result in the store is
/// authoritative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminationMessage {
    /// Reason of [`RunOutcome::Failed`], or `Trained`, `Unchanged`, `SourceUnreachable` or `Retry`.
    pub reason: String,
    /// Human-readable message.
    pub message: String,
}

/// Max size of a termination message in bytes; below the limit of Kubernetes (4096), so that it is
/// never truncated.
pub const TERMINATION_MESSAGE_BYTES_MAX: usize = 2048;
