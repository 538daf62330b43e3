//! Where interactions and items come from, and how they are read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Column;

/// What to learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataSpec {
    /// Where the interactions are: exactly one of url, configMap, persistentVolumeClaim. One row is one thing that one
    /// user did with one item.
    pub source: SourceSpec,

    /// How rows are written: csv, tsv, jsonl or parquet. Absent: guessed from each file's name (ratings.tsv), else csv.
    /// Text may be compressed with gzip or zstd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,

    /// How lines are cut, for csv and tsv.
    #[serde(default)]
    pub csv: Csv,

    /// Which column is what: names as in the header, or numbers from 0 where there is none.
    #[serde(default)]
    pub columns: Columns,

    /// What a row means: `implicit`, something happened, and the rating is its weight (0 or less is a dislike); or
    /// `explicit`, the rating is an opinion on a scale, and answers hold predicted ratings. Rows of the same user and item
    /// count once: weights add; of ratings the newest counts, or without timestamps their mean. Default: implicit.
    #[serde(default)]
    pub signal: Signal,

    /// What each event of columns.event weighs, at most 50 of them: from -1000000 to 1000000 and not 0; below 0 is a dislike. It
    /// multiplies the rating, if there is one. Rows of other events are left out, and counted. Example: {view: 1, cart: 3, purchase: 10}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 50, "minProperties" = 1))]
    pub event_weights: Option<BTreeMap<String, f64>>,

    /// Age at which a row weighs half, in d and h; age counts from the newest row. It needs timestamps. Absent: age does not count.
    /// Example: 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    pub half_life: Option<String>,

    /// What becomes of the weight that the rows of a user and an item come to: `none`, it stays; `log`, log2(1 + weight); `bm25`,
    /// which also counts popular items and busy users less. Default: none.
    #[serde(default)]
    pub weighting: Weighting,

    /// A table of the items, for titles in answers and to say what may be recommended at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemsSpec>,
}

/// Where data is: exactly one of `url`, `configMap`, `persistentVolumeClaim`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// An object in a bucket (s3://, gs://, az://), or with a trailing slash every object below a prefix; or one file of a
    /// web server (https://). Example: s3://shop/ratings.csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,

    /// Secret in this namespace with what reads the url, its keys named as environment variables: AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY and, for a service other than AWS, AWS_ENDPOINT_URL and AWS_REGION;
    /// GOOGLE_SERVICE_ACCOUNT_KEY; AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY; HTTP_USERNAME and
    /// HTTP_PASSWORD. Absent: what the pod may read by itself (training.serviceAccountName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,

    /// A ConfigMap of this namespace; enough for up to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,

    /// A volume of this namespace, mounted read-only while training runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<VolumeFile>,
}

/// A name in this namespace.
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
    /// The key that holds the data; its ending says the format. Example: ratings.csv.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A file or a directory of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeFile {
    /// Name of the PersistentVolumeClaim, in the Recommender's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub claim_name: String,
    /// The file, or a directory for all files below it, from the root of the volume and without a leading slash. Example:
    /// exports/ratings.csv.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated.
    Csv,
    /// Tab-separated.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// How lines are cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Csv {
    /// Whether the first line names the columns. Default: true.
    #[serde(default = "yes")]
    pub header: bool,
    /// One ASCII character between fields. Absent: a comma for csv, a tab for tsv. Example: ";".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    pub delimiter: Option<String>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { header: true, delimiter: None }
    }
}

/// Which column is what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// Column of the user's id. Default: user_id.
    #[serde(default = "user_id")]
    pub user: Column,
    /// Column of the item's id. Default: item_id.
    #[serde(default = "item_id")]
    pub item: Column,
    /// Column of the strength of an interaction. Absent: the column `rating` if the header has it, else 1 a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Column>,
    /// Column of the time, as seconds since 1970 or RFC 3339. Absent: the column `timestamp` if the header has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Column>,
    /// Column of what happened; goes with eventWeights. Absent: rows differ by their rating alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Column>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { user: user_id(), item: item_id(), rating: None, timestamp: None, event: None }
    }
}

/// What a row means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Something happened; the rating is its weight.
    #[default]
    Implicit,
    /// The rating is an opinion on a scale.
    Explicit,
}

/// What becomes of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// A table of the items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemsSpec {
    /// Where the table is: exactly one of url, configMap, persistentVolumeClaim.
    pub source: SourceSpec,
    /// How rows are written: csv, tsv, jsonl or parquet. Absent: guessed from the source's name, else csv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How lines are cut, for csv and tsv.
    #[serde(default)]
    pub csv: Csv,
    /// Which column is what: names as in the header, or numbers from 0 where there is none.
    #[serde(default)]
    pub columns: ItemColumns,
    /// Columns that say what kind of item it is, up to 5; several values of one are written with | between them. With them items that
    /// nobody has met yet can be recommended: the model learns what such items are like from those that were met. Each run then fits
    /// once more, to measure that. Absent: only items that were met. Example: [genre, brand].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ATTRIBUTE_COLUMNS_MAX))]
    pub attributes: Vec<Column>,
}

/// Columns that say what kind of item it is.
const ATTRIBUTE_COLUMNS_MAX: usize = 5;

/// Which column of the item table is what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemColumns {
    /// Column of the item's id. Default: item_id.
    #[serde(default = "item_id")]
    pub id: Column,
    /// Column of the title that answers show. Absent: answers have no titles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Column>,
    /// Column that is false, 0 or no for items that are never recommended. Absent: all may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Column>,
}

impl Default for ItemColumns {
    fn default() -> Self {
        Self { id: item_id(), title: None, available: None }
    }
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
