//! Sources of interactions and items, and how they are parsed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Column;

/// Training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataSpec {
    /// Source of the interactions: exactly one of url, configMap, persistentVolumeClaim. Each row
    /// is one interaction of one user with one item.
    pub source: SourceSpec,

    /// File format: csv, tsv, jsonl or parquet. Absent: derived from each file's name
    /// (ratings.tsv), else csv. Text may be compressed with gzip or zstd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,

    /// Parsing options of csv and tsv.
    #[serde(default)]
    pub csv: Csv,

    /// Column mapping: names as in the header, or zero-based indexes for files without a header.
    #[serde(default)]
    pub columns: Columns,

    /// Feedback type. `implicit`: an interaction whose rating is its weight (0 or less is a
    /// dislike). `explicit`: an explicit rating; responses contain predicted ratings. Rows of the
    /// same user and item are merged: implicit weights are summed; of explicit ratings the newest
    /// one counts, or their mean without timestamps. Default: implicit.
    #[serde(default)]
    pub signal: Signal,

    /// Weight of each event in columns.event, for at most 50 events: from -1000000 to 1000000 and
    /// not 0; below 0 is a dislike. The weight multiplies the rating, if there is one. Rows of
    /// other events are dropped and counted. Example: {view: 1, cart: 3, purchase: 10}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 50, "minProperties" = 1))]
    pub event_weights: Option<BTreeMap<String, f64>>,

    /// Half-life of interaction weights, in d and h. Age is relative to the newest row. Requires
    /// timestamps. Absent: weights do not decay. Example: 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    pub half_life: Option<String>,

    /// How the summed weight of each user and item is transformed: `none`, unchanged; `log`, log2(1
    /// + weight); `bm25`, which also down-weights popular items and active users. Default: none.
    #[serde(default)]
    pub weighting: Weighting,

    /// Item table: titles in responses, availability, and item features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemsSpec>,

    /// Maximum fraction of the rows that may be dropped as invalid, 0 to 1. Rows of events without
    /// a weight do not count. A model of a run that dropped more does not serve. Default: 0.05.
    #[serde(default = "max_dropped_fraction")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_dropped_fraction: f64,

    /// Minimum number of rows that must be kept; a model of fewer rows does not serve. Absent: no
    /// minimum. Example: 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub min_rows: Option<u64>,

    /// Maximum fraction of rows that may be missing compared with the serving model, 0 to 1: with
    /// 0.5 a model of less than half of the rows does not serve. It applies to runs of the same
    /// spec; 1 disables it. Default: 0.5.
    #[serde(default = "max_shrink_fraction")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_shrink_fraction: f64,
}

/// A data source: exactly one of `url`, `configMap`, `persistentVolumeClaim`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// An object in a bucket (s3://, gs://, az://), all objects below a prefix (with a trailing
    /// slash), or one file on a web server (https://). Example: s3://shop/ratings.csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,

    /// Secret in this namespace with the credentials for url. Its keys are named like environment
    /// variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a service other than AWS,
    /// AWS_ENDPOINT_URL and AWS_REGION; GOOGLE_SERVICE_ACCOUNT_KEY; AZURE_STORAGE_ACCOUNT_NAME and
    /// AZURE_STORAGE_ACCOUNT_KEY; HTTP_USERNAME and HTTP_PASSWORD. Absent: the pod's own identity
    /// (training.serviceAccountName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,

    /// A key of a ConfigMap in this namespace, for data of up to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,

    /// A volume in this namespace. Training pods mount it read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<VolumeFile>,
}

/// Reference to an object in this namespace by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object, in the Recommender's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// One key of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// Name of the ConfigMap, in the Recommender's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key that contains the data. Its extension determines the format. Example: ratings.csv.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A file or a directory in a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeFile {
    /// Name of the PersistentVolumeClaim, in the Recommender's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub claim_name: String,
    /// Path of a file, or of a directory whose files are all read, relative to the root of the
    /// volume and without a leading slash. Example: exports/ratings.csv.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// File formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated.
    Csv,
    /// Tab-separated.
    Tsv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Parsing options of csv and tsv.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Csv {
    /// Whether the first line is a header with column names. Default: true.
    #[serde(default = "default_true")]
    pub header: bool,
    /// Field delimiter, one ASCII character. Absent: a comma for csv, a tab for tsv. Example: ";".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    pub delimiter: Option<String>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { header: true, delimiter: None }
    }
}

/// Column mapping of the interactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// Column of the user id. Default: user_id.
    #[serde(default = "user_id")]
    pub user: Column,
    /// Column of the item id. Default: item_id.
    #[serde(default = "item_id")]
    pub item: Column,
    /// Column of the rating (the weight of an interaction with signal: implicit). Absent: the
    /// column `rating` if the header has it, else 1 per row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Column>,
    /// Column of the timestamp: a date and time, or s, ms, µs or ns since 1970. Absent: the column
    /// `timestamp` if the header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Column>,
    /// Column of the event type; requires eventWeights. Absent: only the rating determines the
    /// weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Column>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { user: user_id(), item: item_id(), rating: None, timestamp: None, event: None }
    }
}

/// Feedback types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Interactions; the rating is the weight.
    #[default]
    Implicit,
    /// Explicit ratings.
    Explicit,
}

/// How interaction weights are transformed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Item table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemsSpec {
    /// Source of the table: exactly one of url, configMap, persistentVolumeClaim.
    pub source: SourceSpec,
    /// File format: csv, tsv, jsonl or parquet. Absent: derived from the source's name, else csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Parsing options of csv and tsv.
    #[serde(default)]
    pub csv: Csv,
    /// Column mapping: names as in the header, or zero-based indexes for files without a header.
    #[serde(default)]
    pub columns: ItemColumns,
    /// Item feature columns, up to 5. Several values in one field are separated by |. With
    /// features, cold-start items can be recommended: the model learns from items with interactions
    /// how features predict factors. Each run then fits one more model to measure this. Absent:
    /// only items with interactions are recommended. Example: [genre, brand].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ATTRIBUTE_COLUMNS_MAX))]
    pub attributes: Vec<Column>,
    /// Columns that requests can filter by, up to 8. They are no input of the model, nor are titles
    /// and availability: a change of them does not train. They are kept apart from the model, as a
    /// catalogue that a short Job makes for each model. Absent: requests cannot filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = FILTER_COLUMNS_MAX))]
    pub filters: Vec<ItemFilter>,
    /// How often the table is read again for titles, availability and filters, without training,
    /// from 1m to 168h, in h, m and s. An unchanged table writes nothing. Absent: once for each
    /// model, and when the annotation recmesh.dev/refresh-catalogue changes. Example: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    pub refresh: Option<String>,
}

impl ItemsSpec {
    /// Whether models have catalogues: without a column for them, and without refreshes, they would
    /// be empty.
    pub fn has_catalogue(&self) -> bool {
        let Self { filters, refresh, columns, .. } = self;
        !filters.is_empty() || refresh.is_some() || columns.title.is_some() || columns.available.is_some()
    }
}

/// Maximum number of filter columns.
const FILTER_COLUMNS_MAX: usize = 8;

/// A column that requests can filter by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemFilter {
    /// Column of the item table.
    pub column: Column,
    /// Name in requests. Absent: the name of the column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// What its values are: `category`, texts, of which several in one field are separated by |;
    /// `number`; `time`, in any form of data.columns.timestamp. Default: category.
    #[serde(default, rename = "type")]
    pub kind: FilterType,
}

/// What the values of a filter column are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FilterType {
    /// Texts.
    #[default]
    Category,
    /// Numbers.
    Number,
    /// Points in time.
    Time,
}

/// Maximum number of item feature columns.
const ATTRIBUTE_COLUMNS_MAX: usize = 5;

/// Column mapping of the item table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemColumns {
    /// Column of the item id. Default: item_id.
    #[serde(default = "item_id")]
    pub id: Column,
    /// Column of the title in responses. Absent: responses have no titles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Column>,
    /// Column of availability: items with false, 0 or no are never recommended. Absent: all items
    /// are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Column>,
}

impl Default for ItemColumns {
    fn default() -> Self {
        Self { id: item_id(), title: None, available: None }
    }
}

fn max_dropped_fraction() -> f64 {
    0.05
}

fn max_shrink_fraction() -> f64 {
    0.5
}

fn default_true() -> bool {
    true
}

fn user_id() -> Column {
    Column::Name("user_id".to_owned())
}

fn item_id() -> Column {
    Column::Name("item_id".to_owned())
}
