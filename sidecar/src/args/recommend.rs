//! Options of the commands that write lists.

use std::path::PathBuf;

use clap::Args;
use sidecar_contract::paths;

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
