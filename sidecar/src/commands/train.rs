//! `recmesh-sidecar train`: runs the training of a Job, or trains a model file from a data file.

use std::path::Path;

use anyhow::{Context, Result};
use model_snapshot::Snapshot;
use recommender_trainer::{Options, Secrets, TrainedFile, describe_metrics, progress, train_to_file};
use sidecar_contract::{
    Algorithm, ExitCode, FilterColumn, Items, RunResult, TerminationMessage, TrainingConfig, WarmStartConfig,
    canonical_json, paths, run_result::RUN_RESULT_VERSION,
};
use store_client::{Store, StoreCredentials};

use crate::{
    args::TrainArgs,
    clock::unix_seconds,
    commands::{catalogue, job, report_error, training_config},
    loading,
};

/// Trains according to the command line, or according to the training config in the environment.
///
/// # Errors
/// Invalid training config, unreadable store credentials, invalid store URL, or a file that cannot
/// be written.
pub async fn run(args: TrainArgs) -> Result<ExitCode> {
    store_client::install_tls_provider();
    match (args.data, args.config) {
        (Some(data), _) => {
            let mut config = match training_config(&data) {
                Ok(config) => config,
                Err(error) => return Ok(report_error(&error)),
            };
            if let Some(earlier) = &args.warm_start {
                config.warm_start = Some(warm_start(&config.algorithm, earlier, args.warm_iterations)?);
            }
            let options = Options { warm_start: args.warm_start, ..Options::default() };
            let progress = progress::for_standard_error();
            let started_at = unix_seconds();
            match train_to_file(&config, &args.output, &*progress, &options).await {
                Ok(trained) => {
                    let model = &trained.trained;
                    println!(
                        "{}: {} users, {} items, {} interactions",
                        args.output.display(),
                        model.users,
                        model.items,
                        model.interactions
                    );
                    if let (Algorithm::Auto(_), Some(search)) = (&config.algorithm, &model.search) {
                        println!("chosen in {} fits: {}", search.fits, canonical_json(&model.algorithm));
                    }
                    if let Some(metrics) = &model.metrics {
                        println!("{}", describe_metrics(metrics));
                    }
                    if let Some(report) = &args.report {
                        let html = run_report::render(&run_result(&config, trained, started_at), None);
                        std::fs::write(report, html).with_context(|| format!("cannot write {}", report.display()))?;
                    }
                    write_catalogue(&config, &data.items_filters, &args.output).await
                }
                Err(error) => Ok(report_error(&error)),
            }
        }
        (None, Some(config)) => job(&config).await,
        (None, None) => anyhow::bail!("no data file given; expected for example: recmesh-sidecar train ratings.csv"),
    }
}

/// By default a warm start runs a third of the iterations, which is plenty: on Gowalla with 5 % new
/// rows, 2 iterations reach the quality of 15 from the seed.
const WARM_ITERATIONS_DIVISOR: u32 = 3;

fn warm_start(algorithm: &Algorithm, earlier: &Path, iterations: Option<u32>) -> Result<WarmStartConfig> {
    let snapshot = Snapshot::read(earlier).with_context(|| format!("cannot warm-start from {}", earlier.display()))?;
    let digest = snapshot.digest();
    // A search chooses an algorithm later. The trainer rejects a warm start of one that has none.
    let algorithm = match algorithm {
        Algorithm::Auto(_) => &snapshot.metadata().algorithm,
        given => given,
    };
    let cold_iterations = algorithms::definition(algorithm)?.iterations();
    Ok(WarmStartConfig { digest, iterations: iterations.unwrap_or(cold_iterations.div_ceil(WARM_ITERATIONS_DIVISOR)) })
}

/// Writes the catalogue of a model beside it, if the item table has columns for one.
async fn write_catalogue(config: &TrainingConfig, filters: &[FilterColumn], model: &Path) -> Result<ExitCode> {
    let has_columns = |items: &&Items| items.title.is_some() || items.available.is_some() || !filters.is_empty();
    let Some(items) = config.items.as_ref().filter(has_columns) else { return Ok(ExitCode::Done) };
    let written = catalogue::write(items, filters, model, &loading::catalogue_beside(model)).await?;
    Ok(written.map_or_else(|error| report_error(&error), |()| ExitCode::Done))
}

/// The result that a Job would commit.
fn run_result(config: &TrainingConfig, file: TrainedFile, started_at: i64) -> RunResult {
    let TrainedFile { trained, rows } = file;
    RunResult {
        version: RUN_RESULT_VERSION,
        run: config.run.clone(),
        config_hash: config.config_hash(),
        fingerprint: None,
        data_version: String::new(),
        outcome: trained.outcome(),
        rows,
        retrain_at: None,
        decided_at: None,
        started_at,
        finished_at: unix_seconds(),
    }
}

async fn job(config: &str) -> Result<ExitCode> {
    let config: TrainingConfig = match job::read_config(config, paths::TRAINING_CONFIG_ENV) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let credentials = StoreCredentials::read(Path::new(paths::STORE_CREDENTIALS_DIR))?;
    let store = Store::open(&config.store, credentials.as_ref())?;
    let progress = progress::for_standard_error();
    let options = Options { secrets: Secrets::from_env(), ..Options::default() };
    let finished = recommender_trainer::run(&config, &store, &*progress, &options).await;
    let TerminationMessage { reason, message } = &finished.termination_message;
    tracing::info!(run = %config.run, reason, message, "training run finished");
    job::report_termination(&finished.termination_message);
    Ok(finished.exit)
}
