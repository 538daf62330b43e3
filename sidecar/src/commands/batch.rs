//! `recmesh-sidecar batch`: writes the lists of all users to a bucket, as the Job of a Recommender.

use std::path::Path;

use anyhow::Result;
use sidecar_contract::{BatchConfig, ExitCode, TerminationMessage, paths};
use store_client::{BucketSecret, Destination, Store, StoreCredentials};

use crate::{
    args::BatchArgs,
    batch::{self, Finished},
    commands::job,
};

/// Writes the lists that the config asks for, and commits the result to the store.
///
/// # Errors
/// Unreadable store credentials, or an invalid store URL.
pub async fn run(args: BatchArgs) -> Result<ExitCode> {
    store_client::install_tls_provider();
    let config: BatchConfig = match job::read_config(&args.config, paths::BATCH_CONFIG_ENV) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let credentials = StoreCredentials::read(Path::new(paths::STORE_CREDENTIALS_DIR))?;
    let store = Store::open(&config.store, credentials.as_ref())?;
    let secret = BucketSecret::from_env(paths::DESTINATION_SECRET_ENV_PREFIX, std::env::vars());
    let destination = Destination::open(&config.destination, secret.as_ref());
    let directory = tempfile::tempdir_in(temporary_root())?;
    let Finished { exit, termination_message } = batch::run(&config, &store, &destination, directory.path()).await;
    let TerminationMessage { reason, message } = &termination_message;
    tracing::info!(batch = %config.id, reason, message, "batch finished");
    job::report_termination(&termination_message);
    Ok(exit)
}

/// The volume for temporary files of a Job, or else the directory of the system.
fn temporary_root() -> std::path::PathBuf {
    let work = Path::new(paths::WORK_DIR);
    if work.is_dir() { work.to_owned() } else { std::env::temp_dir() }
}
