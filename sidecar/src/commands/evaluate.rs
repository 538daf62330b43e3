//! `recmesh-sidecar evaluate`: prints the metrics on the held-out set in human-readable form.

use recommender_trainer::{Options, describe_metrics, evaluate, progress};
use sidecar_contract::ExitCode;

use crate::{
    args::DataArgs,
    commands::{report_error, training_config},
};

/// Fits without the held-out set and prints the metrics on it.
pub async fn run(args: DataArgs) -> ExitCode {
    let progress = progress::for_standard_error();
    let config = match training_config(&args) {
        Ok(config) => config,
        Err(error) => return report_error(&error),
    };
    match evaluate(&config, &*progress, &Options::default()).await {
        Ok(Some(metrics)) => {
            println!("{}", describe_metrics(&metrics));
            ExitCode::Done
        }
        Ok(None) => {
            eprintln!("error: the held-out set is empty; raise --holdout or provide more rows");
            ExitCode::BadData
        }
        Err(error) => report_error(&error),
    }
}
