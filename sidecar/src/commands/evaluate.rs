//! `recmesh-sidecar evaluate`: the measured metrics of a file, for people.

use recommender_trainer::{Options, describe_metrics, evaluate, progress};
use sidecar_contract::ExitCode;

use crate::{
    args::DataArgs,
    commands::{stopped, training_config},
};

/// Fits without the kept part and prints the metrics.
pub async fn run(args: DataArgs) -> ExitCode {
    let progress = progress::for_standard_error();
    match evaluate(&training_config(&args), &*progress, &Options::default()).await {
        Ok(Some(metrics)) => {
            println!("{}", describe_metrics(&metrics));
            ExitCode::Done
        }
        Ok(None) => {
            eprintln!("error: nothing could be kept for measuring; raise --holdout or bring more rows");
            ExitCode::BadData
        }
        Err(stop) => stopped(&stop),
    }
}
