//! Options of the commands that train.

use std::path::PathBuf;

use clap::Args;
use sidecar_contract::paths;

use super::data::DataArgs;

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
