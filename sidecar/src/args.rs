//! The command line; environment variables only where the pod builder sets them.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use sidecar_contract::{parse_half_life, paths};

/// Trains and serves recommendations; the data plane of Recmesh.
#[derive(Debug, Parser)]
#[command(name = "recmesh-sidecar", version, about, propagate_version = true)]
pub struct Cli {
    /// Log filter: error, warn, info, debug, or tracing directives.
    #[arg(long, env = "RECMESH_LOG", default_value = "info", global = true)]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model: from a file, or as the environment of a Job says.
    Train(TrainArgs),
    /// Answer POST /recommend from a model file, or as a mounted serving config says.
    Serve(ServeArgs),
    /// Fit without a tenth of the rows and measure on it.
    Evaluate(DataArgs),
    /// Search for better parameters, and measure the best on a tenth of the rows.
    Tune(TuneArgs),
    /// Look at a file of rows: print a Recommender for it, and on standard error what the data is like.
    Suggest(SuggestArgs),
    /// Print recommendations from a model file.
    Recommend(RecommendArgs),
}

/// What a row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignalArg {
    /// Something happened; the rating is its weight.
    Implicit,
    /// The rating is an opinion on a scale.
    Explicit,
}

/// What becomes of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightingArg {
    /// They stay.
    None,
    /// log2(1 + weight).
    Log,
    /// By BM25: popular items and busy users count less, too.
    Bm25,
}

/// Which part is kept for measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum SplitArg {
    /// The newest rows.
    Time,
    /// By a seeded hash of user and item.
    Random,
    /// The newest row of each user.
    LeaveLastOut,
    /// A fifth of the rows of users whom the fit does not see.
    Users,
}

/// Which factorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmArg {
    /// Alternating least squares.
    Als,
    /// Truncated singular value decomposition.
    Svd,
    /// Bayesian personalized ranking.
    Bpr,
}

/// Rows and parameters.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// csv or tsv with a header.
    pub data: PathBuf,
    /// Column of the user id, by name.
    #[arg(long, default_value = "user_id")]
    pub user_column: String,
    /// Column of the item id, by name.
    #[arg(long, default_value = "item_id")]
    pub item_column: String,
    /// Column of the weight; without it `rating` if there is one, else 1 a row.
    #[arg(long)]
    pub rating_column: Option<String>,
    /// Column of the time; without it `timestamp` if there is one.
    #[arg(long)]
    pub timestamp_column: Option<String>,
    /// Column of what happened; goes with --event-weights.
    #[arg(long, requires = "event_weights")]
    pub event_column: Option<String>,
    /// What events weigh, such as view=1,cart=3,purchase=10; below 0 is a dislike. Rows of other events are left out.
    #[arg(long, requires = "event_column", value_delimiter = ',', value_parser = event_weight)]
    pub event_weights: Vec<(String, f64)>,
    /// Age at which a row weighs half, such as 30d or 12h, counted from the newest row.
    #[arg(long, value_parser = parse_half_life)]
    pub half_life: Option<u64>,
    /// What becomes of the weight that the rows of a user and an item come to.
    #[arg(long, value_enum, default_value_t = WeightingArg::None)]
    pub weighting: WeightingArg,
    /// Table of items with columns item_id and title.
    #[arg(long)]
    pub items: Option<PathBuf>,
    /// Columns of the items' table that say what kind of item it is, such as genre,brand: items that nobody has met get factors by them.
    #[arg(long, value_delimiter = ',', requires = "items")]
    pub item_attributes: Vec<String>,
    /// What a row means: implicit (something happened) or explicit (the rating is an opinion).
    #[arg(long, value_enum, default_value_t = SignalArg::Implicit)]
    pub signal: SignalArg,
    /// What is fitted.
    #[arg(long, value_enum, default_value_t = AlgorithmArg::Als)]
    pub algorithm: AlgorithmArg,
    /// Factors a row, 1 to 1024.
    #[arg(long, default_value_t = 64)]
    pub factors: u32,
    /// Sweeps, 1 to 1000; without it 15, 100 for bpr, or 10 at most for svd.
    #[arg(long)]
    pub iterations: Option<u32>,
    /// How much less busy users and popular items count, 0 to 1, for implicit data; without it 0.5.
    #[arg(long)]
    pub degree_exponent: Option<f64>,
    /// Of als: how much of what --degree-exponent takes off popular items have back in lists, 0 to 1; without it 0.5.
    #[arg(long)]
    pub degree_return: Option<f64>,
    /// λ of the objective; without it what suits data of such a shape, 0.1 for explicit data, 0.003 for bpr.
    #[arg(long)]
    pub regularization: Option<f64>,
    /// Of bpr: how far a step goes, 0.000001 to 10; without it 0.05.
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// ν of the objective.
    #[arg(long, default_value_t = 1.0)]
    pub regularization_exponent: f64,
    /// α₀ of the objective, for implicit data; without it 0.3.
    #[arg(long)]
    pub unobserved_weight: Option<f64>,
    /// Of als on explicit data: samples that are drawn after the sweeps and averaged, 0 to 1000.
    #[arg(long, default_value_t = 0)]
    pub samples: u32,
    /// Which part is kept for measuring; without it time where rows have a timestamp, else random.
    #[arg(long, value_enum)]
    pub split: Option<SplitArg>,
    /// Share of the rows, or of the users, that is kept for measuring.
    #[arg(long, default_value_t = 0.1)]
    pub holdout: f64,
    /// Length of the measured lists.
    #[arg(short, long, default_value_t = 10)]
    pub k: u32,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

/// `view=1`.
fn event_weight(text: &str) -> Result<(String, f64), String> {
    let (event, weight) = text.rsplit_once('=').ok_or("expected an event and its weight, such as view=1")?;
    let weight = weight.parse().map_err(|_| format!("{weight:?} is no number; expected a weight, such as view=1"))?;
    Ok((event.to_owned(), weight))
}

/// `train`.
#[derive(Debug, Args)]
// A Job names no file: its config says where the rows are.
#[command(mut_arg("data", |data| data.required(false).required_unless_present("config")))]
pub struct TrainArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub data: Option<DataArgs>,
    /// Where the snapshot goes.
    #[arg(short, long, default_value = "model.safetensors")]
    pub output: PathBuf,
    /// An earlier model of the same kind: the fit on all rows starts from it. What is measured starts from the seed.
    #[arg(long, conflicts_with = "config")]
    pub warm_start: Option<PathBuf>,
    /// Sweeps from there; without it a third of --iterations.
    #[arg(long, requires = "warm_start")]
    pub warm_iterations: Option<u32>,
    /// Where a page about the run goes, as HTML.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// A Job's training config, as JSON.
    #[arg(long, env = paths::TRAINING_CONFIG_ENV, hide = true)]
    pub config: Option<String>,
}

/// `tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub data: DataArgs,
    /// Sets of parameters to try, the given one among them.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub trials: u32,
    /// Seconds after which no new fit begins.
    #[arg(long, default_value_t = 1200)]
    pub budget: u64,
}

/// `suggest`.
#[derive(Debug, Args)]
pub struct SuggestArgs {
    /// csv, tsv, jsonl or Parquet, compressed with gzip or zstd or not; or a directory of such files.
    pub data: PathBuf,
    /// Column of the user id, by name, or by number from 0.
    #[arg(long, value_name = "COLUMN")]
    pub user: Option<String>,
    /// Column of the item id.
    #[arg(long, value_name = "COLUMN")]
    pub item: Option<String>,
    /// Column of the rating or weight.
    #[arg(long, value_name = "COLUMN")]
    pub rating: Option<String>,
    /// Column of the time.
    #[arg(long, value_name = "COLUMN")]
    pub timestamp: Option<String>,
    /// What a row means: implicit (something happened) or explicit (the rating is an opinion).
    #[arg(long, value_enum)]
    pub signal: Option<SignalArg>,
    /// What stands between fields.
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<char>,
    /// Whether the first line names the columns.
    #[arg(long, value_name = "true|false")]
    pub header: Option<bool>,
    /// Name of the Recommender; without it that of the file.
    #[arg(long)]
    pub name: Option<String>,
    /// Where a cluster finds the data: s3://BUCKET/KEY (gs://, az://, https://), claim:NAME/PATH or configmap:NAME/KEY.
    #[arg(long, value_name = "PLACE")]
    pub source: Option<String>,
    /// Table of items, for titles and availability.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// Where a cluster finds the item table, as for --source.
    #[arg(long, value_name = "PLACE", requires = "items")]
    pub items_source: Option<String>,
    /// Rows to look at, at most; about 60 bytes of memory each.
    #[arg(long, default_value_t = crate::limits::ROWS_SUGGESTED_BY_MAX, value_parser = clap::value_parser!(u64).range(1000..))]
    pub rows: u64,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// A model file, for use without a cluster.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Application port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Admin port: probes and metrics.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
    /// Directory with the mounted serving config.
    #[arg(long, default_value = paths::SERVING_CONFIG_DIR)]
    pub config_dir: PathBuf,
    /// Directory with the mounted store credential.
    #[arg(long, default_value = paths::STORE_CREDENTIALS_DIR)]
    pub credentials_dir: PathBuf,
    /// Directory for verified snapshots.
    #[arg(long, default_value = paths::CACHE_DIR)]
    pub cache_dir: PathBuf,
    /// How often the serving config is looked at, in milliseconds.
    #[arg(long, default_value_t = crate::limits::CONFIG_POLL_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub config_poll_ms: u64,
    /// This pod's name.
    #[arg(long, env = paths::POD_NAME_ENV, hide = true)]
    pub pod_name: Option<String>,
}

/// `recommend`.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// The model file.
    #[arg(long, default_value = "model.safetensors")]
    pub model: PathBuf,
    /// User id as in the training data.
    #[arg(long)]
    pub user: Option<String>,
    /// Items that somebody has met, comma-separated: folded in.
    #[arg(long, value_delimiter = ',')]
    pub history: Vec<String>,
    /// Their ratings or weights, as many.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    pub ratings: Vec<f32>,
    /// How many items.
    #[arg(short, default_value_t = 10)]
    pub n: usize,
    /// Say which of the user's items each answer comes from; for 100 items at most.
    #[arg(long)]
    pub explain: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
