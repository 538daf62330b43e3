//! Command-line arguments. Environment variables are read only where the pod builder sets them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use mesh::{
    Target,
    identity::{IdentityPaths, IdentitySettings, Workload},
    limits::TIMEOUT_MILLISECONDS_MAX,
};
use sidecar_contract::{
    Column, FilterColumn, FilterKind, Format, ServingLimits, parse_half_life, paths,
    ports::{self, any_address},
};

use crate::{
    follower::Paths,
    limits::{CACHE_MIB_DEFAULT, CACHE_MIB_MAX, PROXY_TIMEOUT_MS_DEFAULT},
};

/// Trains and serves recommendation models: the data plane of Recmesh.
#[derive(Debug, Parser)]
#[command(name = "recmesh-sidecar", version, about, propagate_version = true)]
pub struct Cli {
    /// Log filter: error, warn, info, debug, or tracing directives.
    #[arg(long, env = "RECMESH_LOG", default_value = "info", global = true)]
    pub log: String,
    /// Log format; default: json for the pods that the operator starts, else text.
    #[arg(long, env = "RECMESH_LOG_FORMAT", value_enum, global = true)]
    pub log_format: Option<LogFormat>,
    /// URL of a collector of spans that accepts OTLP over HTTP, such as http://otel-collector:4318.
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model from a file, or from the training config of a Job.
    Train(TrainArgs),
    /// Serve recommendations over HTTP from a model file, or from a mounted serving config.
    Serve(ServeArgs),
    /// Answer with the lists of other Recommenders: blend them, or choose one, as a mounted config
    /// states.
    Compose(ComposeArgs),
    /// Run alongside an app: forward its requests to the serving pods of a Recommender, and answer
    /// them when no serving pod does.
    Proxy(ProxyArgs),
    /// Train without the held-out set, and print the metrics on it.
    Evaluate(DataArgs),
    /// Search for better hyperparameters, and print the metrics of the best on the held-out set.
    Tune(TuneArgs),
    /// Inspect a file of interactions: print a Recommender for it, and a data profile on standard
    /// error.
    Suggest(SuggestArgs),
    /// Print recommendations from a model file.
    Recommend(RecommendArgs),
    /// Make the catalogue of a model from an item table: titles, availability and filter columns.
    Catalogue(CatalogueArgs),
    /// Write the lists of all users to a bucket, as configured by a Job.
    Batch(BatchArgs),
}

impl Cli {
    /// The log format that is set, or the default of the command.
    pub fn log_format(&self) -> LogFormat {
        let started_by_operator = match &self.command {
            Command::Train(args) => args.config.is_some(),
            Command::Serve(args) => args.model.is_none(),
            Command::Batch(_) | Command::Compose(_) => true,
            Command::Catalogue(args) => args.config.is_some(),
            Command::Proxy(args) => args.upstream.is_empty(),
            Command::Evaluate(_) | Command::Tune(_) | Command::Suggest(_) | Command::Recommend(_) => false,
        };
        self.log_format.unwrap_or(if started_by_operator { LogFormat::Json } else { LogFormat::Text })
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// What a row means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignalArg {
    /// Implicit feedback: an event, such as a click or a purchase; the rating column is its weight.
    Implicit,
    /// Explicit ratings on a scale.
    Explicit,
}

/// How interaction weights are transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightingArg {
    /// Unchanged.
    None,
    /// log2(1 + weight).
    Log,
    /// BM25; also down-weights popular items and active users.
    Bm25,
}

/// How the held-out set is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum SplitArg {
    /// The newest rows.
    Time,
    /// Random rows, chosen by a seeded hash of user and item.
    Random,
    /// The newest row of each user.
    LeaveLastOut,
    /// A fifth of the rows of users that the fit excludes; the other rows are folded in.
    UserHoldout,
}

/// Training algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmArg {
    /// Alternating least squares.
    Als,
    /// Truncated singular value decomposition.
    Svd,
    /// Bayesian personalized ranking; implicit data only.
    Bpr,
    /// The simplest one within one standard error of the best, chosen by a search.
    Auto,
}

impl AlgorithmArg {
    /// Name in the resource.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// File format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Comma-separated, or separated by the delimiter.
    Csv,
    /// Tab-separated.
    Tsv,
    /// One JSON object per line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Tsv => Self::Tsv,
            FormatArg::Jsonl => Self::Jsonl,
            FormatArg::Parquet => Self::Parquet,
        }
    }
}

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

/// Parses a column: a number is an index.
#[expect(clippy::unnecessary_wraps, reason = "the parser of an argument returns a result")]
fn column(text: &str) -> Result<Column, std::convert::Infallible> {
    Ok(text.parse().map_or_else(|_| Column::Name(text.to_owned()), Column::Index))
}

/// Parses a delimiter; a shell passes the two characters of `'\t'` as they are.
fn delimiter(text: &str) -> Result<char, String> {
    match text {
        "\\t" | "tab" => Ok('\t'),
        text => text.parse().map_err(|_| format!("{text:?} is not one character; expected for example ; or \\t")),
    }
}

/// Parses `view=1`.
fn event_weight(text: &str) -> Result<(String, f64), String> {
    let (event, weight) = text.rsplit_once('=').ok_or("expected an event type and its weight, such as view=1")?;
    let weight =
        weight.parse().map_err(|_| format!("{weight:?} is not a number; expected a weight, such as view=1"))?;
    Ok((event.to_owned(), weight))
}

/// Parses a number that JSON can represent.
fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| "expected a finite number".to_owned())
}

/// Parses a size of the cache.
fn cache_mib(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a whole number of MiB from 0 to {CACHE_MIB_MAX}");
    text.parse().ok().filter(|mib| *mib <= CACHE_MIB_MAX).ok_or_else(expected)
}

/// Arguments of `train`.
#[derive(Debug, Args)]
// A Job passes no file: its config contains the source.
#[command(mut_arg("data", |data| data.required(false).required_unless_present("config")))]
pub struct TrainArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub data: Option<DataArgs>,
    /// File to write the model to. With --items, its catalogue is written beside it
    /// (model.catalogue).
    #[arg(short, long, default_value = "model.safetensors")]
    pub output: PathBuf,
    /// Model file for a warm start: the final fit on all rows starts from its factors. The
    /// evaluated fit still starts from the seed.
    #[arg(long, conflicts_with = "config")]
    pub warm_start: Option<PathBuf>,
    /// Number of iterations after a warm start; default: a third of --iterations.
    #[arg(long, requires = "warm_start")]
    pub warm_iterations: Option<u32>,
    /// File to write the run report to, as HTML.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Training config of a Job, as JSON.
    #[arg(long, env = paths::TRAINING_CONFIG_ENV, hide = true)]
    pub config: Option<String>,
}

/// Arguments of `tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub data: DataArgs,
    /// Number of parameter sets to try, including the given one.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub trials: u32,
}

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

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Model file to serve without a cluster.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Catalogue file of that model: titles, availability and columns that requests can filter by;
    /// default: the one beside it, if there is one (model.catalogue for model.safetensors).
    #[arg(long, requires = "model")]
    pub catalogue: Option<PathBuf>,
    /// Address of the application port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the admin port, which serves probes and metrics.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub follow: FollowArgs,
    /// Latency budget in milliseconds: a request whose expected wait exceeds it gets 503. Without a
    /// model file the serving config states it.
    #[arg(long, requires = "model", default_value_t = ServingLimits::default().latency_budget_milliseconds, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub latency_budget_ms: u32,
    /// Memory for lists of known users, in MiB, which are kept until the next model; 0: none is
    /// kept.
    #[arg(long, default_value_t = CACHE_MIB_DEFAULT, value_parser = cache_mib)]
    pub cache_mib: usize,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub identity: IdentityArgs,
    /// Port for mutual TLS, at the address of --listen.
    #[arg(long, default_value_t = ports::MESH, requires = "credentials")]
    pub mesh_port: u16,
    /// Name of this pod.
    #[arg(long, env = paths::POD_NAME_ENV, hide = true)]
    pub pod_name: Option<String>,
}

/// The files of a process that follows a serving config.
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// Directory of the mounted serving config.
    #[arg(long, default_value = paths::SERVING_CONFIG_DIR)]
    pub config_dir: PathBuf,
    /// Directory of the mounted store credentials.
    #[arg(long, default_value = paths::STORE_CREDENTIALS_DIR)]
    pub credentials_dir: PathBuf,
    /// Cache directory for verified snapshots.
    #[arg(long, default_value = paths::CACHE_DIR)]
    pub cache_dir: PathBuf,
    /// Poll interval of the serving config, in milliseconds.
    #[arg(long, default_value_t = crate::limits::CONFIG_POLL_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub config_poll_ms: u64,
}

impl FollowArgs {
    /// The files; `pod_name` is the name of a serving pod.
    pub fn paths(self, pod_name: Option<String>) -> Paths {
        Paths {
            config_file: self.config_dir.join(paths::SERVING_CONFIG_FILE),
            credentials_dir: self.credentials_dir,
            cache_dir: self.cache_dir,
            pod_name,
            config_poll: Duration::from_millis(self.config_poll_ms),
        }
    }
}

/// Arguments of `compose`.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// Address of the application port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the admin port, which serves probes and metrics.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub admin_listen: SocketAddr,
    /// Directory with the composition.
    #[arg(long, default_value = paths::SERVING_CONFIG_DIR)]
    pub config_dir: PathBuf,
    /// Poll interval of the composition, in milliseconds.
    #[arg(long, default_value_t = crate::limits::CONFIG_POLL_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub config_poll_ms: u64,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub identity: IdentityArgs,
    /// Port for mutual TLS, at the address of --listen.
    #[arg(long, default_value_t = ports::MESH, requires = "credentials")]
    pub mesh_port: u16,
}

/// The identity of the pod. With it connections between sidecars use mutual TLS.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// File with the private key and the certificate chain of this pod, as PEM; read again every
    /// 10 s.
    #[arg(long, value_name = "FILE", requires = "anchors")]
    pub credentials: Option<PathBuf>,
    /// File with the certificates of the trust anchors, as PEM; read again every 10 s.
    #[arg(long, value_name = "FILE", requires = "credentials")]
    pub anchors: Option<PathBuf>,
}

impl IdentityArgs {
    /// The identity, if one is given.
    pub fn settings(&self) -> Option<IdentitySettings> {
        let (credentials, anchors) = (self.credentials.clone()?, self.anchors.clone()?);
        Some(IdentitySettings::new(IdentityPaths { credentials, anchors }))
    }
}

/// Arguments of `proxy`.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Name of the Recommender.
    #[arg(long)]
    pub recommender: String,
    /// Namespace of the Recommender.
    #[arg(long, env = paths::NAMESPACE_ENV)]
    pub namespace: String,
    /// Address of serving pods instead of those of the Recommender's Service; may be repeated. All
    /// addresses of a host name are used.
    #[arg(long, value_name = "HOST:PORT")]
    pub upstream: Vec<Target>,
    /// Address of the application port.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::PROXY)))]
    pub listen: SocketAddr,
    /// Address of the admin port, which serves probes and metrics.
    #[arg(long, default_value_t = any_address(ports::PROXY_ADMIN))]
    pub admin_listen: SocketAddr,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub identity: IdentityArgs,
    /// ServiceAccount of the serving pods, the only one that is accepted; default: the namespace
    /// and the name of the Recommender.
    #[arg(long, value_name = "NAMESPACE/SERVICEACCOUNT", requires = "credentials")]
    pub server_identity: Option<Workload>,
    /// Connect without TLS, even if credentials are given.
    #[arg(long)]
    pub plaintext: bool,
    /// Hold the model as well, and answer from it: follow the serving config in --config-dir. The
    /// serving pods get requests until the model is loaded, and those that it cannot answer.
    #[arg(long)]
    pub local: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flattened arguments are documented one by one")]
    pub follow: FollowArgs,
    /// Time for a request in milliseconds, if header x-request-timeout-ms states none.
    #[arg(long, default_value_t = PROXY_TIMEOUT_MS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MILLISECONDS_MAX))]
    pub timeout_ms: u64,
}

/// Arguments of `recommend`.
#[derive(Debug, Args)]
pub struct RecommendArgs {
    /// Model file.
    #[arg(long, default_value = "model.safetensors")]
    pub model: PathBuf,
    /// Catalogue file of that model; default: the one beside it, if there is one.
    #[arg(long)]
    pub catalogue: Option<PathBuf>,
    /// User id, as in the training data.
    #[arg(long)]
    pub user: Option<String>,
    /// Items that the user interacted with, comma-separated; they are folded in.
    #[arg(long, value_delimiter = ',')]
    pub history: Vec<String>,
    /// Ratings or weights of the --history items, comma-separated, one per item.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    pub ratings: Vec<f32>,
    /// Number of items to recommend.
    #[arg(short, default_value_t = 10)]
    pub n: usize,
    /// Explain each score by the user's items that contribute to it; for at most 100 items.
    #[arg(long)]
    pub explain: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write the items of all users to a file, with columns user, rank, item, score, revision and
    /// catalogue.
    #[arg(long, requires = "output", conflicts_with_all = ["user", "history", "ratings", "explain", "json"])]
    pub all: bool,
    /// File of --all; its extension is the format: .parquet, .jsonl or .csv.
    #[arg(long, value_name = "FILE", requires = "all")]
    pub output: Option<PathBuf>,
}

/// Arguments of `batch`.
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// Config of a Job, as JSON.
    #[arg(long, env = paths::BATCH_CONFIG_ENV, hide_env_values = true)]
    pub config: String,
}

/// Arguments of `catalogue`.
#[derive(Debug, Args)]
pub struct CatalogueArgs {
    /// Item table: a file, or a directory of files, in any format of the interactions.
    #[arg(required_unless_present = "config")]
    pub items: Option<PathBuf>,
    /// Model file whose items the catalogue has.
    #[arg(long, default_value = "model.safetensors")]
    pub model: PathBuf,
    /// File to write the catalogue to; default: beside the model, where other commands find it.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Format of the item table; default: by file name.
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,
    /// Field delimiter of delimited text; default: that of the format.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// Item id column, by name or by index from 0.
    #[arg(long, value_name = "COLUMN", value_parser = column, default_value = "item_id")]
    pub id: Column,
    /// Title column.
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    pub title: Option<Column>,
    /// Availability column; items whose value means no are not recommended.
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    pub available: Option<Column>,
    /// Filter columns with their kind: category (the default), number or time; for example
    /// genre,price:number,added:time.
    #[arg(long, value_name = "COLUMNS", value_parser = filter, value_delimiter = ',')]
    pub filters: Vec<FilterColumn>,
    /// Config of a Job, as JSON.
    #[arg(long, env = paths::CATALOGUE_CONFIG_ENV, hide = true)]
    pub config: Option<String>,
}

/// Parses `price:number`.
fn filter(text: &str) -> Result<FilterColumn, String> {
    let (name, kind) = match text.rsplit_once(':') {
        None => (text, FilterKind::Category),
        Some((name, "category")) => (name, FilterKind::Category),
        Some((name, "number")) => (name, FilterKind::Number),
        Some((name, "time")) => (name, FilterKind::Time),
        Some((_, other)) => {
            return Err(format!("{other:?} is not a kind of filter column; expected category, number or time"));
        }
    };
    let column = name.parse().map_or_else(|_| Column::Name(name.to_owned()), Column::Index);
    Ok(FilterColumn { column, name: None, kind })
}
