//! What one run is to train: rendered by the operator, or by the command line of `recmesh-sidecar train`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{hash::Digest, keys::RunId, store::StoreConfig};

/// One run's instructions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingConfig {
    /// The run that this is.
    pub run: RunId,
    /// Where the interactions are.
    pub source: Source,
    /// Guessed from the source's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How delimited text is cut.
    #[serde(default)]
    pub csv: Csv,
    /// Which column is what.
    #[serde(default)]
    pub columns: Columns,
    /// What a row means.
    #[serde(default)]
    pub signal: Signal,
    /// What rows of implicit data weigh; nothing of it goes with ratings.
    #[serde(default)]
    pub weights: WeightsConfig,
    /// Titles and availability of items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
    /// What is fitted.
    pub algorithm: Algorithm,
    /// Searches for better parameters before the fit; absent: those of the algorithm are taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningConfig>,
    /// How it is measured.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
    /// Seed of every random choice.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Starts the fit on all rows from an earlier model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<WarmStart>,
    /// Where snapshot and result go.
    pub store: StoreConfig,
    /// Data version of the newest model of this very config: the trainer that stats the same one ends with
    /// [`crate::RunOutcome::Unchanged`] at once, since the same fingerprint makes the same model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_data_version: Option<String>,
    /// Value of the annotation that asked for this run, if one did; the result repeats it, so that it is honoured once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain_at: Option<String>,
    /// Seconds since 1970 when it was decided to run, by the clock of who decides; the result repeats it, so that no other
    /// clock has a say in what is due next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<i64>,
    /// The model that serves, to measure the new one against; it says nothing of what is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incumbent: Option<Incumbent>,
}

/// Where a fit starts. Another start makes another model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WarmStart {
    /// Content of the earlier model.
    pub digest: Digest,
    /// Sweeps from there: fewer than from the seed.
    pub iterations: u32,
}

/// A model that a run is measured against: its parameters are fitted to the part that the new ones are fitted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incumbent {
    /// Its content.
    pub digest: Digest,
    /// Its parameters.
    pub algorithm: Algorithm,
}

/// Where rows come from. Paths of a ConfigMap or a PersistentVolumeClaim arrive as `file://` below
/// [`crate::paths::DATA_DIR`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// `file:///path` or `s3://bucket/key`; a trailing slash means every object below a prefix.
    pub url: String,
    /// What to call it in messages, in the user's own terms: `configMap shop/ratings key ratings.csv`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub described_as: String,
}

/// Item attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Items {
    /// Where the item table is.
    pub source: Source,
    /// Guessed from the source's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How delimited text is cut.
    #[serde(default)]
    pub csv: Csv,
    /// Column of the item id.
    pub id: Column,
    /// Column of the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Column>,
    /// Column that is `false`, `0` or `no` for items that are never recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Column>,
    /// Columns that say what kind of item it is: items that nobody has met get factors by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Column>,
}

/// File formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated (or `csv.delimiter`).
    Csv,
    /// Tab-separated.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// How delimited text is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Csv {
    /// Whether the first line names the columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// One ASCII character; the format's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { header: true, delimiter: None }
    }
}

/// A column by name, or by index (from 0) where there is no header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// From 0.
    Index(u32),
    /// As in the header.
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

/// Which column is what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// Default `user_id`.
    #[serde(default = "user_id")]
    pub user: Column,
    /// Default `item_id`.
    #[serde(default = "item_id")]
    pub item: Column,
    /// Strength or stars. Absent: the column `rating` if the header has it, else 1 a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Column>,
    /// Seconds since 1970 (fraction allowed) or RFC 3339. Absent: the column `timestamp` if the header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Column>,
    /// What happened; goes with [`WeightsConfig::events`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Column>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { user: user_id(), item: item_id(), rating: None, timestamp: None, event: None }
    }
}

/// What a row means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Something happened; the rating is its weight (0 or less: a dislike).
    #[default]
    Implicit,
    /// The rating is an opinion on a scale.
    Explicit,
}

/// What a row weighs: its rating (or 1) times the weight of its event, halved with each half-life of its age. What rows of the
/// same user and item come to is then weighed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightsConfig {
    /// Of each event that counts; rows of others are dropped. Empty: there are no events.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, f64>,
    /// Age in seconds at which a row weighs half, from the newest row on. Absent: age does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_life_seconds: Option<u64>,
    /// What becomes of what rows come to; `factorization` has the formulas.
    pub weighting: Weighting,
}

/// What becomes of weights before a fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weighting {
    /// They stay.
    #[default]
    None,
    /// By a logarithm.
    Log,
    /// By BM25.
    Bm25,
}

/// Exactly one algorithm with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    /// Alternating least squares.
    Als(AlsConfig),
    /// Truncated singular value decomposition.
    Svd(SvdConfig),
    /// Bayesian personalized ranking.
    Bpr(BprConfig),
}

impl Algorithm {
    /// The name in the resource, in metrics and in `kubectl get`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Als(_) => "als",
            Self::Svd(_) => "svd",
            Self::Bpr(_) => "bpr",
        }
    }
}

/// Parameters of ALS; `factorization` states the objectives and the bounds. Explicit data has no use for `unobserved_weight`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AlsConfig {
    /// Factors a row.
    pub factors: u32,
    /// Sweeps over users and items.
    pub iterations: u32,
    /// λ. `None` in what is asked for: the one that suits the data. What was fitted has a number.
    pub regularization: Option<f64>,
    /// ν.
    pub regularization_exponent: f64,
    /// α₀.
    pub unobserved_weight: f64,
    /// η; 0 for explicit data. Left out when it is 0, as models of before it was there have it.
    #[serde(skip_serializing_if = "is_default")]
    pub degree_exponent: f64,
    /// ρ; 0, which is left out, where η is.
    #[serde(skip_serializing_if = "is_default")]
    pub degree_return: f64,
    /// Samples whose mean is served, for explicit data; 0, which is left out, for none.
    #[serde(skip_serializing_if = "is_default")]
    pub samples: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl AlsConfig {
    /// What somebody gets who names no parameters. ADR 20 has the figures for implicit data.
    pub fn usual(signal: Signal) -> Self {
        match signal {
            Signal::Implicit => Self {
                regularization: None,
                unobserved_weight: 0.3,
                degree_exponent: 0.5,
                degree_return: Self::usual_return(0.5),
                ..Self::default()
            },
            Signal::Explicit => Self { regularization: None, ..Self::default() },
        }
    }

    /// λ as people read it.
    pub fn regularization_text(&self) -> String {
        self.regularization.map_or_else(|| "by the data".to_owned(), |lambda| lambda.to_string())
    }

    /// ρ beside this η where nobody says another.
    pub fn usual_return(degree_exponent: f64) -> f64 {
        if degree_exponent > 0.0 { 0.5 } else { 0.0 }
    }
}

/// Where a file leaves fields out, which is not what somebody gets who names none: [`AlsConfig::usual`].
impl Default for AlsConfig {
    fn default() -> Self {
        Self {
            factors: 64,
            iterations: 15,
            regularization: Some(0.003),
            regularization_exponent: 1.0,
            unobserved_weight: 0.1,
            degree_exponent: 0.0,
            degree_return: 0.0,
            samples: 0,
        }
    }
}

/// Parameters of truncated SVD; `factorization` says what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SvdConfig {
    /// Singular values kept.
    pub factors: u32,
    /// Most sweeps.
    pub iterations: u32,
    /// η; 0 for explicit data.
    pub degree_exponent: f64,
}

impl SvdConfig {
    /// η for this kind of data where nobody says another.
    pub fn default_degree_exponent(signal: Signal) -> f64 {
        match signal {
            Signal::Implicit => 0.5,
            Signal::Explicit => 0.0,
        }
    }
}

impl Default for SvdConfig {
    fn default() -> Self {
        Self { factors: 64, iterations: 10, degree_exponent: Self::default_degree_exponent(Signal::Implicit) }
    }
}

/// Parameters of BPR; `factorization` says what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BprConfig {
    /// Factors a row.
    pub factors: u32,
    /// Sweeps.
    pub iterations: u32,
    /// γ.
    pub learning_rate: f64,
    /// λ.
    pub regularization: f64,
}

impl Default for BprConfig {
    fn default() -> Self {
        Self { factors: 64, iterations: 100, learning_rate: 0.05, regularization: 0.003 }
    }
}

/// How far a search goes. It starts from the algorithm's parameters, and keeps them if nothing is better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TuningConfig {
    /// Sets of parameters that are tried, the given one among them.
    pub trials: u32,
    /// Seconds after which no new fit begins. A search that ends by it may find other parameters the next time.
    pub budget_seconds: u64,
}

impl Default for TuningConfig {
    fn default() -> Self {
        Self { trials: 16, budget_seconds: 1200 }
    }
}

/// How a run is measured. The gate is not here: the trainer measures, the operator decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EvaluationConfig {
    /// Absent: by time when there is a timestamp, else by a seeded hash of the pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitKind>,
    /// Share of the interactions, or of the users, that is kept for measuring, in (0, 0.5]. Leave-last-out has no use for it.
    pub holdout: f64,
    /// Length of the measured lists.
    pub k: u32,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { split: None, holdout: 0.1, k: 10 }
    }
}

/// Ways to split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SplitKind {
    /// The newest rows are kept for measuring.
    Time,
    /// A seeded hash of (user, item) decides, so that a pair keeps its side.
    Random,
    /// The newest of each user is kept.
    LeaveLastOut,
    /// A share of the users is kept from the fit; their taste is folded in from most of their items, and measured on the rest.
    Users,
}

impl SplitKind {
    /// What is measured on, for people.
    pub fn described(self) -> &'static str {
        match self {
            Self::Time => "the newest rows",
            Self::Random => "a random part of the rows",
            Self::LeaveLastOut => "the newest row of each user",
            Self::Users => "a fifth of the rows of users whom the fit did not see",
        }
    }
}

fn default_seed() -> u64 {
    42
}

fn yes() -> bool {
    true
}

fn user_id() -> Column {
    Column::Name("user_id".to_owned())
}

fn item_id() -> Column {
    Column::Name("item_id".to_owned())
}
