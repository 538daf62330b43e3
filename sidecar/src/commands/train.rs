//! `recmesh-sidecar train`: a Job's run, or a file to a model file.

use std::path::Path;

use anyhow::{Context, Result};
use model_snapshot::Snapshot;
use recommender_trainer::{
    Options, Secrets, TrainedFile, describe_metrics, progress, train_to_file, write_termination_message,
};
use sidecar_contract::{
    Algorithm, ExitCode, RunResult, TerminationHint, TrainingConfig, WarmStart, paths, run_result::RUN_RESULT_VERSION,
};
use store_client::{Store, StoreCredentials};

use crate::{
    args::TrainArgs,
    commands::{stopped, training_config},
};

/// Trains as the environment or the command line says.
///
/// # Errors
/// A config that is not readable, or a store that cannot be named.
pub async fn run(args: TrainArgs) -> Result<ExitCode> {
    store_client::install_tls_provider();
    match (args.data, args.config) {
        (Some(data), _) => {
            let mut config = training_config(&data);
            if let Some(earlier) = &args.warm_start {
                config.warm_start = Some(warm_start(&config.algorithm, earlier, args.warm_iterations)?);
            }
            let options = Options { warm_start: args.warm_start, ..Options::default() };
            let progress = progress::for_standard_error();
            let began = now();
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
                    if let Some(metrics) = &model.metrics {
                        println!("{}", describe_metrics(metrics));
                    }
                    if let Some(report) = &args.report {
                        let page = run_report::render(&result(&config, trained, began));
                        std::fs::write(report, page).with_context(|| format!("cannot write {}", report.display()))?;
                    }
                    Ok(ExitCode::Done)
                }
                Err(stop) => Ok(stopped(&stop)),
            }
        }
        (None, Some(config)) => job(&config).await,
        (None, None) => anyhow::bail!("name a file with rows: recmesh-sidecar train ratings.csv"),
    }
}

/// From a good start a third of the sweeps are plenty: on Gowalla with a twentieth of new rows two reach what 15 from the seed do.
const WARM_SHARE: u32 = 3;

fn warm_start(algorithm: &Algorithm, earlier: &Path, iterations: Option<u32>) -> Result<WarmStart> {
    let digest = Snapshot::open(earlier).with_context(|| format!("cannot start from {}", earlier.display()))?.digest();
    let cold = match algorithm {
        Algorithm::Als(als) => als.iterations,
        Algorithm::Svd(_) | Algorithm::Bpr(_) => 1, // Refused by the trainer.
    };
    Ok(WarmStart { digest, iterations: iterations.unwrap_or(cold.div_ceil(WARM_SHARE)) })
}

/// What a Job would have committed.
fn result(config: &TrainingConfig, file: TrainedFile, started_at: i64) -> RunResult {
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
        finished_at: now(),
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

async fn job(config: &str) -> Result<ExitCode> {
    let config: TrainingConfig = serde_json::from_str(config)
        .with_context(|| format!("{} is not a training config", paths::TRAINING_CONFIG_ENV))?;
    let credentials = StoreCredentials::read(Path::new(paths::STORE_CREDENTIALS_DIR))?;
    let store = Store::open(&config.store, credentials.as_ref())?;
    let progress = progress::for_standard_error();
    let options = Options { secrets: Secrets::from_env(), ..Options::default() };
    let finished = recommender_trainer::run(&config, &store, &*progress, &options).await;
    let TerminationHint { reason, message } = &finished.hint;
    tracing::info!(run = %config.run, reason, message, "the run ended");
    let log = Path::new(paths::TERMINATION_LOG);
    if log.exists()
        && let Err(error) = write_termination_message(&finished.hint, log)
    {
        tracing::warn!(%error, "the termination message cannot be written; the store has the result");
    }
    Ok(finished.exit)
}
