//! One run from its config to its result in the store: the steps in their order, and what is committed when.
//!
//! Nothing is visible in the store before the snapshot, and the run is committed by its result, which is created once and
//! last. A process that dies on the way leaves at most a snapshot that nobody names; the same run may then be tried again.

use std::{num::NonZeroUsize, path::PathBuf};

use sidecar_contract::{
    ExitCode, RowCounts, RunOutcome, RunResult, TerminationHint, TrainingConfig, paths, run_result::RUN_RESULT_VERSION,
};
use store_client::{BucketSecret, Creation, Store, StoreError};

use crate::{
    data::Sources,
    failure::{Stop, chain},
    limits::Limits,
    model,
    progress::{Event, Progress, Step},
};

/// What a run may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it may read.
    pub limits: Limits,
    /// Threads of the fit; absent: as many as the process may use.
    pub threads: Option<NonZeroUsize>,
    /// Directory for the snapshot before it is stored; absent: the system's temporary directory.
    pub work_dir: Option<PathBuf>,
    /// File of the model that the config's warm start names; for files on this machine alone.
    pub warm_start: Option<PathBuf>,
    /// Where Kubernetes mounts sources.
    pub data_dir: PathBuf,
    /// What opens the user's buckets; absent: the process's own identity.
    pub secrets: Secrets,
}

/// The user's Secrets, one a source.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Of the interactions.
    pub source: Option<BucketSecret>,
    /// Of the item table.
    pub items: Option<BucketSecret>,
}

impl Secrets {
    /// As the operator hands them over: in environment variables with a prefix for each.
    pub fn from_env() -> Self {
        let secret = |prefix| BucketSecret::from_env(prefix, std::env::vars());
        Self { source: secret(paths::SOURCE_SECRET_ENV_PREFIX), items: secret(paths::ITEMS_SECRET_ENV_PREFIX) }
    }
}

impl Default for Options {
    fn default() -> Self {
        let work_dir = PathBuf::from(paths::WORK_DIR);
        Self {
            limits: Limits::default(),
            threads: None,
            work_dir: work_dir.is_dir().then_some(work_dir),
            warm_start: None,
            data_dir: PathBuf::from(paths::DATA_DIR),
            secrets: Secrets::default(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What the process exits with.
    pub exit: ExitCode,
    /// What the pod's termination message says.
    pub hint: TerminationHint,
    /// What is in the store now; `None` if nothing was committed.
    pub result: Option<RunResult>,
}

/// What is known so far, for the result of a run that ends early.
#[derive(Default)]
struct SoFar {
    data_version: String,
    rows: RowCounts,
}

/// Trains as `config` says, and commits the result to `store`. A run that has committed before is done already.
pub async fn run(config: &TrainingConfig, store: &Store, progress: &dyn Progress, options: &Options) -> Finished {
    match store.get_run(&config.run).await {
        Ok(result) => {
            tracing::info!(run = %config.run, "the run has committed already");
            return finished(result);
        }
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return retry(format!("cannot look for the run's result: {}", chain(&error))),
    }
    let started_at = now();
    let mut so_far = SoFar::default();
    let outcome = match train(config, store, progress, options, &mut so_far).await {
        Ok(outcome) => outcome,
        Err(Stop::Failed { reason, message }) => RunOutcome::Failed { reason: reason.as_str().to_owned(), message },
        Err(Stop::Retry { message }) => return retry(message),
    };
    let result = RunResult {
        version: RUN_RESULT_VERSION,
        run: config.run.clone(),
        config_hash: config.config_hash(),
        fingerprint: (!so_far.data_version.is_empty()).then(|| config.fingerprint(&so_far.data_version)),
        data_version: so_far.data_version,
        outcome,
        rows: so_far.rows,
        retrain_at: config.retrain_at.clone(),
        decided_at: config.decided_at,
        started_at,
        finished_at: now(),
    };
    progress.event(&Event::Step(Step::PutResult));
    commit(store, result).await
}

/// Everything before the result: what came out, with the snapshot stored if there is one.
async fn train(
    config: &TrainingConfig,
    store: &Store,
    progress: &dyn Progress,
    options: &Options,
    so_far: &mut SoFar,
) -> Result<RunOutcome, Stop> {
    model::check(config)?;
    let sources = Sources::new(config, &options.data_dir, &options.secrets)?;
    progress.event(&Event::Step(Step::Stat));
    let stats = sources.stat().await?;
    so_far.data_version = stats.version().to_string();
    if config.known_data_version.as_ref() == Some(&so_far.data_version) {
        return Ok(RunOutcome::Unchanged);
    }
    let data = sources.read(&stats, options.limits, progress, &mut so_far.rows).await?;
    let file = temporary_file(options)?;
    let trained =
        tokio::task::block_in_place(|| model::train(config, &data, progress, options.threads, file.path(), None))?;
    drop(data);
    progress.event(&Event::Step(Step::PutSnapshot));
    match store.put_snapshot(file.path(), &trained.written.digest).await {
        // Its name is its content: what is there already is what was to be stored.
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
        Err(error) => return Err(Stop::retry(format!("cannot store the snapshot: {}", chain(&error)))),
    }
    Ok(trained.outcome())
}

fn temporary_file(options: &Options) -> Result<tempfile::NamedTempFile, Stop> {
    let made = match &options.work_dir {
        Some(directory) => tempfile::NamedTempFile::new_in(directory),
        None => tempfile::NamedTempFile::new(),
    };
    made.map_err(|error| Stop::retry(format!("cannot make a temporary file: {error}")))
}

async fn commit(store: &Store, result: RunResult) -> Finished {
    match store.create_run(&result).await {
        Ok(Creation::Created) => finished(result),
        // Another process was faster with the same run: its result is the truth.
        Ok(Creation::AlreadyExists) => match store.get_run(&result.run).await {
            Ok(committed) => finished(committed),
            Err(error) => retry(format!("cannot read the result that another process committed: {}", chain(&error))),
        },
        Err(error) => retry(format!("cannot store the run's result: {}", chain(&error))),
    }
}

fn finished(result: RunResult) -> Finished {
    let (exit, hint) = match &result.outcome {
        RunOutcome::Trained { digest, users, items, interactions, .. } => (
            ExitCode::Done,
            TerminationHint {
                reason: "Trained".to_owned(),
                message: format!(
                    "revision {}: {users} users, {items} items, {interactions} interactions",
                    digest.revision()
                ),
            },
        ),
        RunOutcome::Unchanged => (
            ExitCode::Done,
            TerminationHint {
                reason: "Unchanged".to_owned(),
                message: "the source is what it was at the last run".to_owned(),
            },
        ),
        RunOutcome::Failed { reason, message } => {
            (exit_code_of(reason), TerminationHint { reason: reason.clone(), message: message.clone() })
        }
    };
    Finished { exit, hint, result: Some(result) }
}

/// The exit code of a committed failure. A reason that this release does not know was final for the one that wrote it.
fn exit_code_of(reason: &str) -> ExitCode {
    crate::failure::FailureReason::parse(reason).map_or(ExitCode::BadData, crate::failure::FailureReason::exit_code)
}

fn retry(message: String) -> Finished {
    Finished { exit: ExitCode::Retry, hint: TerminationHint { reason: "Retry".to_owned(), message }, result: None }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}
