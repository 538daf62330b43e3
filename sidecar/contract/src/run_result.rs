//! What a run ended with: `runs/<run>.json`, put last and create-only. The run commits by it.

use serde::{Deserialize, Serialize};

use crate::{
    hash::Digest,
    keys::RunId,
    training::{Algorithm, SplitKind},
};

/// The version of the result's form that this build writes.
pub const RUN_RESULT_VERSION: u32 = 1;

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// Form of this document; a reader refuses one that it does not know.
    pub version: u32,
    /// Which run.
    pub run: RunId,
    /// What was to be trained, but for the data: [`crate::TrainingConfig::config_hash`].
    pub config_hash: Digest,
    /// What was trained, data included: [`crate::TrainingConfig::fingerprint`]. Absent in results of older versions, and
    /// when the run failed before it saw the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    /// What the source was when it was read; empty if the run failed before.
    pub data_version: String,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Rows read, kept and dropped.
    #[serde(default)]
    pub rows: RowCounts,
    /// The request that the run honoured; see [`crate::TrainingConfig::retrain_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain_at: Option<String>,
    /// See [`crate::TrainingConfig::decided_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<i64>,
    /// Seconds since 1970 at the start of the run.
    pub started_at: i64,
    /// Seconds since 1970 at the end of the run.
    pub finished_at: i64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
#[expect(clippy::large_enum_variant, reason = "read once a run, never kept in numbers")]
pub enum RunOutcome {
    /// A snapshot is in the store.
    #[serde(rename_all = "camelCase")]
    Trained {
        /// Its content.
        digest: Digest,
        /// Its length in bytes.
        snapshot_bytes: u64,
        /// als, svd, bpr.
        algorithm: String,
        /// Its parameters; absent in results of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parameters: Option<Algorithm>,
        /// Users in the model.
        users: u64,
        /// Items in the model.
        items: u64,
        /// Interactions after merging duplicates.
        interactions: u64,
        /// What was measured; absent when nothing could be kept for measuring.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metrics: Option<Metrics>,
        /// The objective after each sweep of the refit.
        #[serde(default)]
        objective: Vec<f64>,
        /// What was tried before, best first; empty without tuning.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        trials: Vec<Trial>,
    },
    /// The source is what it was at the last run: nothing was trained.
    Unchanged,
    /// Nothing was trained, and trying the same again cannot help.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// A CamelCase word from a closed set, fit for a condition: `DataInvalid`, `SourceNotFound`, `TooFewInteractions`,
        /// `TrainingDiverged`, `CapacityInsufficient`, `NotSupported`, `ConfigInvalid`.
        reason: String,
        /// What is wrong, what was expected, what to try. No user id.
        message: String,
    },
}

/// One set of parameters that tuning tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// What was tried, with as many sweeps as were best.
    pub parameters: Algorithm,
    /// Sweeps of its longest fit: only the best are fitted to the end.
    pub sweeps: u32,
    /// The best [`Metrics::metric`] of its fits, on a part of the training part. Absent when the fit failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

impl Trial {
    /// The value for people, in four digits; or why there is none.
    pub fn value_text(&self) -> String {
        match self.value {
            Some(value) => format!("{value:.4}"),
            None if self.sweeps == 0 => "not tried".to_owned(),
            None => "failed".to_owned(),
        }
    }
}

/// Rows of the source and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RowCounts {
    /// Data rows seen.
    pub read: u64,
    /// Rows that became interactions (before duplicates merge).
    pub kept: u64,
    /// Rows left out, by reason (a closed set, sorted): `emptyUser`, `notANumber`, ….
    pub dropped: std::collections::BTreeMap<String, u64>,
    /// Kept rows that merged into an earlier one of the same (user, item).
    pub merged: u64,
}

/// The model beside the baseline, on the part that the fit did not see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// `ndcg` for implicit data, `rmse` for explicit.
    pub metric: String,
    /// Length of the lists that recall and ndcg are of.
    pub k: u32,
    /// Which part was kept for measuring; absent in results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitKind>,
    /// Users that were measured.
    pub test_users: u64,
    /// The fitted model.
    pub model: Measurement,
    /// Popularity (implicit) or global + user + item bias (explicit).
    pub baseline: Measurement,
    /// Relative lift of `metric` over the baseline, by how much an error is smaller: 95 % interval of a paired bootstrap over
    /// users. Absent when the baseline is zero or nobody could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift: Option<Interval>,
    /// The same against the model that served when the run began; absent when nobody asked or nothing served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incumbent: Option<Against>,
    /// Tenths of the measured users by activity, the least active first; for people, so not part of the serving config.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_activity: Vec<ActivityGroup>,
    /// How good the factors by attributes are; absent without attributes, or with too few items that have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_items: Option<ColdItems>,
}

/// Lists of items that were taken out of a fit of their own and got their factors by attributes, against who met them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdItems {
    /// How many were taken out.
    pub items: u64,
    /// Users who met one of them, and something else.
    pub users: u64,
    /// Their mean NDCG@k of lists of these items alone.
    pub ndcg: f64,
    /// The same in random order.
    pub baseline: f64,
}

/// A comparison with the parameters of an earlier model, fitted to the same part and measured on the same users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Against {
    /// The earlier model.
    pub digest: Digest,
    /// Relative lift over it, as [`Metrics::lift`] is over the baseline.
    pub lift: Interval,
}

/// Means over the measured users, errors over all their kept ratings; what does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measurement {
    /// recall@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// NDCG@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ndcg: Option<f64>,
    /// Root mean squared error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// Mean absolute error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
    /// precision@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// MAP@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<f64>,
    /// MRR@k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mrr: Option<f64>,
    /// Share of the items that stand in at least one measured user's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Gini coefficient of how often each item stands in a list: 0 if all do as often, near 1 if few take all places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gini: Option<f64>,
}

/// NDCG@k of measured users who had met about as many items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityGroup {
    /// Fewest items that one of them had met in the training part.
    pub rows_min: u64,
    /// Most.
    pub rows_max: u64,
    /// Users in the group.
    pub users: u64,
    /// Of the model.
    pub model: f64,
    /// Of the baseline.
    pub baseline: f64,
}

/// A point with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// The estimate itself.
    pub estimate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// The pod's termination message: a hint that saves a read of the store, never the truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminationHint {
    /// As in [`RunOutcome::Failed`], or `Trained`, `Unchanged`, `Retry`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Longest termination message, in bytes, so that Kubernetes never cuts it (its own limit is 4096).
pub const TERMINATION_MESSAGE_BYTES_MAX: usize = 2048;
