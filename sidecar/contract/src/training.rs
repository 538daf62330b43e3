//! Configuration of a training run; rendered by the operator, or by the command
//! `recmesh-sidecar train`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{algorithm::Algorithm, hash::Digest, keys::RunId, open::Open, signal::Signal, store::StoreConfig};

/// Configuration of a training run.
///
/// Its words are closed sets, except for the name of the algorithm: only the trainer reads the
/// config, and it must not train a model from inputs that it does not understand. A config with an
/// unknown word is refused with the error of [`crate::read`], which names the field, the word and
/// the known ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingConfig {
    /// Id of this run.
    pub run: RunId,
    /// Location of the interactions.
    pub source: Source,
    /// File format; if absent, inferred from the name of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Parsing of delimited text.
    #[serde(default)]
    pub csv: Csv,
    /// Mapping of columns.
    #[serde(default)]
    pub columns: Columns,
    /// Meaning of a row.
    #[serde(default)]
    pub signal: Signal,
    /// Weights of implicit interactions; does not apply to explicit ratings.
    #[serde(default)]
    pub weights: WeightsConfig,
    /// Titles, availability and features of items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
    /// Algorithm with its parameters.
    pub algorithm: Algorithm,
    /// Hyperparameter search before the fit; if absent, the parameters of `algorithm` are used
    /// unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningConfig>,
    /// Evaluation of the model.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// Seed of every random choice.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Starts the fit on all rows from an earlier model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<WarmStartConfig>,
    /// Store of snapshots and results.
    pub store: StoreConfig,
    /// Hash of the inputs, as the operator computes it. A trainer that computes another one does
    /// not know an input, because it ignores unknown fields; it refuses the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_hash: Option<Digest>,
    /// Data version of the newest model with this config. If the source still has it, the trainer
    /// ends with [`crate::RunOutcome::Unchanged`] at once, because equal fingerprints yield equal
    /// models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_data_version: Option<String>,
    /// Value of the annotation that requested this run, if any. The result repeats it, so that each
    /// request is handled once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain_at: Option<String>,
    /// Unix time in seconds of the decision to train, by the operator's clock. The result repeats
    /// it, so that the next due time depends on a single clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<i64>,
    /// Currently serving model, for comparison with the new one; does not affect the trained model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incumbent: Option<Incumbent>,
}

/// Earlier model that a fit starts from. A different start yields a different model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WarmStartConfig {
    /// Digest of the earlier model's snapshot.
    pub digest: Digest,
    /// Iterations of the warm-started fit; fewer than for a start from the seed.
    pub iterations: u32,
}

/// Serving model that a run compares its result with: the model itself if the split is by time and
/// held-out rows are newer than those of the model, else its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incumbent {
    /// Digest of its snapshot.
    pub digest: Digest,
    /// Algorithm with its parameters.
    pub algorithm: Algorithm,
    /// Its snapshot; absent if the time of its newest row is not known. Its parameters are compared
    /// then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<IncumbentSnapshot>,
}

/// Snapshot of an incumbent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncumbentSnapshot {
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the newest row of its data in Unix microseconds: the model itself is compared on
    /// newer rows only.
    pub newest_row_micros: i64,
}

/// Location of a table. A ConfigMap or PersistentVolumeClaim is a `file://` URL below
/// [`crate::paths::DATA_DIR`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// `file:///path` or `s3://bucket/key`; with a trailing slash, every object with that prefix.
    pub url: String,
    /// Description for messages, in the terms of the resource:
    /// `configMap shop/ratings key ratings.csv`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub described_as: String,
}

/// Item table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Items {
    /// Location of the item table.
    pub source: Source,
    /// File format; if absent, inferred from the name of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Parsing of delimited text.
    #[serde(default)]
    pub csv: Csv,
    /// Column of the item id.
    pub id: Column,
    /// Column of the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Column>,
    /// Column with the availability: a word such as `false` or `out_of_stock`, or a stock. Items
    /// that are not available are not recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Column>,
    /// Item feature columns; the factors of cold-start items are computed from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Column>,
}

impl Items {
    /// The part of the table that a model depends on: ids and attributes. `None` if the table has
    /// no attributes: then it is read for catalogues alone.
    pub fn of_model(&self) -> Option<Self> {
        (!self.attributes.is_empty()).then(|| Self { title: None, available: None, ..self.clone() })
    }
}

/// File formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated, or separated by `csv.delimiter`.
    Csv,
    /// Tab-separated.
    Tsv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Parsing of delimited text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Csv {
    /// Whether the first line is a header.
    #[serde(default = "default_header")]
    pub header: bool,
    /// One ASCII character; if absent, the default of the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { header: true, delimiter: None }
    }
}

/// Column by name, or by zero-based index if there is no header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Zero-based index.
    Index(u32),
    /// Name in the header.
    Name(String),
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(f, "number {index} (from 0)"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// Mapping of the interaction table's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// User id; default `user_id`.
    #[serde(default = "user_id")]
    pub user: Column,
    /// Item id; default `item_id`.
    #[serde(default = "item_id")]
    pub item: Column,
    /// Rating, or interaction strength. If absent: the column `rating` if the header has it, else
    /// every row counts 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Column>,
    /// A number since 1970 in seconds, milliseconds, microseconds or nanoseconds, or a date. If
    /// absent: the column `timestamp` if the header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Column>,
    /// Event type; requires [`WeightsConfig::events`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Column>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { user: user_id(), item: item_id(), rating: None, timestamp: None, event: None }
    }
}

/// Weights of implicit interactions. The weight of a row is its rating (or 1) times the weight of
/// its event, halved for each half-life of its age. The weights of all rows of a (user, item) pair
/// are summed, and the sums are transformed by `weighting`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightsConfig {
    /// Weight of each event type; rows of other types are dropped. Empty: the data has no event
    /// types.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, f64>,
    /// Half-life of a row's weight in seconds; the age is relative to the newest row. Absent: no
    /// time decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_life_seconds: Option<u64>,
    /// Transformation of the summed weights; `factorization` has the formulas.
    pub weighting: Weighting,
}

/// Transformation of interaction weights before a fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weighting {
    /// Unchanged.
    #[default]
    None,
    /// Logarithm.
    Log,
    /// BM25.
    Bm25,
}

/// Budget of the hyperparameter search. The search starts from the given parameters and returns
/// them if no trial is better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TuningConfig {
    /// Number of trials, including the given parameters.
    pub trials: u32,
    /// Seconds after which no new fit starts. A search that reaches this limit may yield different
    /// parameters when repeated.
    pub budget_seconds: u64,
    /// Maximum number of factors of a trial. If absent, all trials have the given number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors_max: Option<u32>,
}

impl Default for TuningConfig {
    fn default() -> Self {
        Self { trials: 16, budget_seconds: 1200, factors_max: None }
    }
}

/// Evaluation of a run. The quality gate is not part of it: the trainer measures, the operator
/// decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EvaluationConfig {
    /// How the held-out set is chosen. If absent: by time if there is a timestamp, else at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitKind>,
    /// Fraction of the interactions, or of the users, in the held-out set, in (0, 0.5]. Does not
    /// apply to leave-last-out.
    pub holdout: f64,
    /// Length of the evaluated lists.
    pub k: u32,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { split: None, holdout: 0.1, k: 10 }
    }
}

/// Methods to choose the held-out set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SplitKind {
    /// The newest rows.
    Time,
    /// Chosen by a seeded hash of (user, item), so that a pair is always in the same set.
    Random,
    /// The newest row of each user.
    LeaveLastOut,
    /// A fraction of the users is excluded from the fit. Their factors are folded in from most of
    /// their rows; the remaining rows are the test set.
    UserHoldout,
}

impl SplitKind {
    /// Human-readable description of the test set.
    pub fn description(self) -> &'static str {
        match self {
            Self::Time => "the newest rows",
            Self::Random => "a random sample of the rows",
            Self::LeaveLastOut => "the newest row of each user",
            Self::UserHoldout => "a fifth of the rows of held-out users",
        }
    }
}

impl Open<SplitKind> {
    /// Human-readable description of the test set; for an unknown split, its word.
    pub fn description(&self) -> &str {
        match self {
            Self::Known(kind) => kind.description(),
            Self::Unknown(word) => word,
        }
    }
}

fn default_seed() -> u64 {
    42
}

fn default_header() -> bool {
    true
}

fn user_id() -> Column {
    Column::Name("user_id".to_owned())
}

fn item_id() -> Column {
    Column::Name("item_id".to_owned())
}
