//! Options of `suggest`.

use std::path::PathBuf;

use clap::Args;

use super::values::{SignalArg, delimiter};

/// Arguments of `suggest`.
#[derive(Debug, Args)]
pub struct SuggestArgs {
    /// File of interactions, or a directory of such files: CSV, TSV, JSON Lines or Parquet,
    /// optionally compressed with gzip or zstd.
    pub data: PathBuf,
    /// User id column, by name or by index from 0; default: detected.
    #[arg(long, value_name = "COLUMN")]
    pub user: Option<String>,
    /// Item id column; default: detected.
    #[arg(long, value_name = "COLUMN")]
    pub item: Option<String>,
    /// Rating or weight column; default: detected.
    #[arg(long, value_name = "COLUMN")]
    pub rating: Option<String>,
    /// Timestamp column; default: detected.
    #[arg(long, value_name = "COLUMN")]
    pub timestamp: Option<String>,
    /// What a row means: implicit feedback (an event) or an explicit rating; default: detected.
    #[arg(long, value_enum)]
    pub signal: Option<SignalArg>,
    /// Field delimiter of delimited text; default: detected.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// Whether the first line of delimited text is a header; default: detected.
    #[arg(long, value_name = "true|false")]
    pub header: Option<bool>,
    /// Name of the Recommender; default: derived from the file name.
    #[arg(long)]
    pub name: Option<String>,
    /// Location of the data for the cluster: s3://BUCKET/KEY (gs://, az://, https://),
    /// claim:NAME/PATH or configmap:NAME/KEY; default: a ConfigMap if the file is small enough,
    /// else a claim to fill in.
    #[arg(long, value_name = "LOCATION")]
    pub source: Option<String>,
    /// Item table with titles and availability.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// Location of the item table for the cluster, in the form of --source.
    #[arg(long, value_name = "LOCATION", requires = "items")]
    pub items_source: Option<String>,
    /// Maximum number of rows to read; each takes about 60 bytes of memory.
    #[arg(long, default_value_t = crate::limits::SUGGEST_ROWS_MAX, value_parser = clap::value_parser!(u64).range(1000..))]
    pub rows: u64,
}
