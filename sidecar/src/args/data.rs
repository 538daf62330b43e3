//! Options of the interactions and hyperparameters.

use std::path::PathBuf;

use clap::Args;
use sidecar_contract::{Column, FilterColumn, parse_half_life};

use super::values::{
    AlgorithmArg, FormatArg, SignalArg, SplitArg, WeightingArg, column, delimiter, event_weight, filter, finite,
};

/// Data and hyperparameters; the options have the names of the fields of the resource.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// File of interactions, or a directory of such files: CSV, TSV, JSON Lines or Parquet,
    /// optionally compressed with gzip or zstd.
    pub data: PathBuf,
    /// Format; default: by file name.
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,
    /// Field delimiter of delimited text; default: that of the format.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// Whether the first line of delimited text is a header.
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, default_value_t = true)]
    pub header: bool,
    /// User id column, by name or by index from 0.
    #[arg(long, value_name = "COLUMN", value_parser = column, default_value = "user_id")]
    pub user: Column,
    /// Item id column.
    #[arg(long, value_name = "COLUMN", value_parser = column, default_value = "item_id")]
    pub item: Column,
    /// Rating or weight column; default: `rating` if the file has it, else each row has weight 1.
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    pub rating: Option<Column>,
    /// Timestamp column; default: `timestamp` if the file has it.
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    pub timestamp: Option<Column>,
    /// Event type column; requires --event-weights.
    #[arg(long, value_name = "COLUMN", value_parser = column, requires = "event_weights")]
    pub event: Option<Column>,
    /// Weight of each event type, such as view=1,cart=3,purchase=10; a negative weight is a
    /// dislike. Rows of other event types are dropped.
    #[arg(long, requires = "event", value_delimiter = ',', value_parser = event_weight)]
    pub event_weights: Vec<(String, f64)>,
    /// Half-life of interaction weights, such as 30d or 12h; ages are relative to the newest row.
    #[arg(long, value_parser = parse_half_life)]
    pub half_life: Option<u64>,
    /// How interaction weights are transformed, after the rows of each user and item are summed.
    #[arg(long, value_enum, default_value_t = WeightingArg::None)]
    pub weighting: WeightingArg,
    /// Item table: a file, or a directory of files, in the formats of the interactions.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// Format of the item table; default: by file name.
    #[arg(long, value_enum, requires = "items")]
    pub items_format: Option<FormatArg>,
    /// Field delimiter of the item table if it is delimited text; default: that of its format.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter, requires = "items")]
    pub items_delimiter: Option<char>,
    /// Whether the first line of the item table is a header, if it is delimited text.
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set, default_value_t = true, requires = "items")]
    pub items_header: bool,
    /// Item id column of the item table, by name or by index from 0.
    #[arg(long, value_name = "COLUMN", value_parser = column, default_value = "item_id", requires = "items")]
    pub items_id: Column,
    /// Title column of the item table; an empty name: none.
    #[arg(long, value_name = "COLUMN", value_parser = column, default_value = "title", requires = "items")]
    pub items_title: Column,
    /// Availability column of the item table; items whose value means no are not recommended.
    #[arg(long, value_name = "COLUMN", value_parser = column, requires = "items")]
    pub items_available: Option<Column>,
    /// Columns of the item table that requests can filter by, with their kind: category (the
    /// default), number or time; for example genre,price:number.
    #[arg(long, value_name = "COLUMNS", value_parser = filter, value_delimiter = ',', requires = "items")]
    pub items_filters: Vec<FilterColumn>,
    /// Feature columns of the item table, such as genre,brand; cold-start items get their factors
    /// from them.
    #[arg(long, value_name = "COLUMNS", value_parser = column, value_delimiter = ',', requires = "items")]
    pub items_attributes: Vec<Column>,
    /// What a row means: implicit feedback (an event) or an explicit rating.
    #[arg(long, value_enum, default_value_t = SignalArg::Implicit)]
    pub signal: SignalArg,
    /// Training algorithm.
    #[arg(long, value_enum, default_value_t = AlgorithmArg::Als)]
    pub algorithm: AlgorithmArg,
    /// Number of latent factors, 1 to 1024; auto has --factors-max instead.
    #[arg(long, default_value_t = 64)]
    pub factors: u32,
    /// auto and tune: maximum number of factors to try, 1 to 1024; default: 128 for auto, else only
    /// --factors.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub factors_max: Option<u32>,
    /// auto: maximum number of fits of the search, 1 to 1000; default: 24.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub fits: Option<u32>,
    /// auto and tune: time budget in seconds; no new fit starts after it.
    #[arg(long, default_value_t = 1200)]
    pub budget: u64,
    /// auto: maximum size of the model file in MiB; default: no limit.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub model_mib_max: Option<u64>,
    /// Number of iterations, 1 to 1000; default: 15 for ALS, 100 for BPR, at most 10 for SVD.
    #[arg(long)]
    pub iterations: Option<u32>,
    /// Popularity debiasing exponent for implicit data, 0 to 1: down-weights active users and
    /// popular items; default: 0.5.
    #[arg(long, value_parser = finite)]
    pub degree_exponent: Option<f64>,
    /// SVD, and the two-hop term of ALS: popularity debiasing exponent of users, 0 to 1; default:
    /// --degree-exponent.
    #[arg(long, value_parser = finite)]
    pub user_degree_exponent: Option<f64>,
    /// ALS and SVD: weight of the two-hop term for implicit data, 0 (off) to 10000: how much items
    /// count that share users with the history; default: chosen from the data.
    #[arg(long, value_parser = finite)]
    pub co_occurrence_weight: Option<f64>,
    /// ALS and SVD: items with fewer users take no part in the two-hop term, 1 to 1000; default: 5.
    #[arg(long)]
    pub min_users_per_item: Option<u32>,
    /// ALS: how strongly popular items are boosted at serving time (0–1); requires
    /// --degree-exponent above 0; default: 0.5.
    #[arg(long, value_parser = finite)]
    pub popularity_boost: Option<f64>,
    /// L2 regularization strength (λ); default: chosen from the data for implicit ALS, 0.1 for
    /// explicit ALS, 0.003 for BPR.
    #[arg(long, value_parser = finite)]
    pub regularization: Option<f64>,
    /// BPR: learning rate, 0.000001 to 10; default: 0.05.
    #[arg(long, value_parser = finite)]
    pub learning_rate: Option<f64>,
    /// ALS: how regularization grows with the number of a row's interactions (ν), 0 (not at all) to
    /// 2.
    #[arg(long, value_parser = finite, default_value_t = 1.0)]
    pub regularization_exponent: f64,
    /// ALS: weight of unobserved pairs in implicit data (α₀); default: 0.3.
    #[arg(long, value_parser = finite)]
    pub unobserved_weight: Option<f64>,
    /// ALS on explicit data: number of Gibbs samples to average after the last iteration, 0 to
    /// 1000.
    #[arg(long, default_value_t = 0)]
    pub samples: u32,
    /// How the held-out set is chosen; default: time if rows have a timestamp, else random.
    #[arg(long, value_enum)]
    pub split: Option<SplitArg>,
    /// Fraction of the rows (userHoldout: of the users) to hold out.
    #[arg(long, default_value_t = 0.1)]
    pub holdout: f64,
    /// Number of recommended items per user in ranking metrics (the k of ndcg@k and recall@k).
    #[arg(short, long, default_value_t = 10)]
    pub k: u32,
    /// Random seed.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}
