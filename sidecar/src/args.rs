//! Command-line arguments. Environment variables are read only where the pod builder sets them.

mod catalogue;
mod data;
mod identity;
mod proxy;
mod recommend;
mod serve;
mod suggest;
mod train;
mod values;

use clap::{Parser, Subcommand, ValueEnum};

pub use self::{
    catalogue::CatalogueArgs,
    data::DataArgs,
    identity::IdentityArgs,
    proxy::ProxyArgs,
    recommend::{BatchArgs, RecommendArgs},
    serve::{ComposeArgs, FollowArgs, ServeArgs},
    suggest::SuggestArgs,
    train::{TrainArgs, TuneArgs},
    values::{AlgorithmArg, FormatArg, SignalArg, SplitArg, WeightingArg},
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
