//! One run from its config to its committed result in the store.
//!
//! The snapshot is the first object that a run stores. The result is created last and only once; it
//! commits the run. A process that dies before leaves at most an unreferenced snapshot, and the
//! same run may be retried.

use model_snapshot::{Contents, PrivateDirectory, Snapshot};
use sidecar_contract::{
    ExitCode, Incumbent, RowCounts, RunOutcome, RunResult, TerminationMessage, TrainingConfig,
    run_result::RUN_RESULT_VERSION,
};
use store_client::{Creation, Store, StoreError};

use crate::{
    data::{Data, Sources, data_version},
    failure::{FailureReason, RetryReason, RunError, chain},
    model::{self, EarlierModels},
    options::Options,
    progress::{Event, Progress, Step},
};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code of the process.
    pub exit: ExitCode,
    /// The pod's termination message.
    pub termination_message: TerminationMessage,
    /// The committed result; `None` if nothing was committed.
    pub result: Option<RunResult>,
}

/// Data for the result of a run that fails.
#[derive(Default)]
struct SoFar {
    data_version: String,
    rows: RowCounts,
}

/// Trains according to `config` and commits the result to `store`. A run that is already committed
/// is not repeated.
pub async fn run(config: &TrainingConfig, store: &Store, progress: &dyn Progress, options: &Options) -> Finished {
    match store.get_run(&config.run).await {
        Ok(result) => {
            tracing::info!(run = %config.run, "the run is already committed");
            return finished(result);
        }
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return retry(format!("cannot check for the run's result: {}", chain(&error))),
    }
    let started_at = now();
    let mut so_far = SoFar::default();
    let outcome = match train(config, store, progress, options, &mut so_far).await {
        Ok(outcome) => outcome,
        Err(RunError::Permanent { reason, message }) => {
            RunOutcome::Failed { reason: reason.as_str().to_owned(), message }
        }
        Err(RunError::Transient { reason, message }) => return retry_because(reason, message),
    };
    let result = RunResult {
        version: RUN_RESULT_VERSION,
        run: config.run.clone(),
        // The operator finds the result of a refused run by the hash that it expects.
        config_hash: config.expected_hash.clone().unwrap_or_else(|| config.config_hash()),
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

/// All steps before the commit; stores the snapshot and returns the outcome.
async fn train(
    config: &TrainingConfig,
    store: &Store,
    progress: &dyn Progress,
    options: &Options,
    so_far: &mut SoFar,
) -> Result<RunOutcome, RunError> {
    check_inputs_known(config)?;
    model::check_config(config)?;
    let sources = Sources::new(config, &options.data_dir, &options.secrets)?;
    progress.event(&Event::Step(Step::Stat));
    let stat = sources.stat().await?;
    let features = sources.read_features().await?;
    so_far.data_version = data_version(&stat, features.as_ref()).to_string();
    if config.known_data_version.as_ref() == Some(&so_far.data_version) {
        return Ok(RunOutcome::Unchanged);
    }
    let data = sources.read(&stat, features, options.limits, progress, &mut so_far.rows).await?;
    let file = temporary_file(options)?;
    let incumbent = fetch_incumbent(config, store, &data).await;
    let trained = tokio::task::block_in_place(|| {
        let incumbent = incumbent.as_ref().map(|(snapshot, _)| snapshot);
        model::train(
            config,
            &data,
            progress,
            options.threads,
            file.path(),
            EarlierModels { warm_start: None, incumbent },
        )
    })?;
    drop((data, incumbent));
    progress.event(&Event::Step(Step::PutSnapshot));
    match store.put_snapshot(file.path(), &trained.written.digest).await {
        // The name is the content's digest: an existing object has the same content.
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
        Err(error) => return Err(RunError::transient(format!("cannot store the snapshot: {}", chain(&error)))),
    }
    Ok(trained.outcome())
}

/// Refuses a config with an input that this version does not know. Without it, the model would not
/// be the one that the operator asked for.
fn check_inputs_known(config: &TrainingConfig) -> Result<(), RunError> {
    let computed = config.config_hash();
    match &config.expected_hash {
        Some(expected) if *expected != computed => Err(RunError::permanent(
            FailureReason::NotSupported,
            format!(
                "the spec has a setting that the trainer of version {} does not know: the operator computed input hash \
                 {}, the trainer {}; use the same version of both images",
                env!("CARGO_PKG_VERSION"),
                expected.revision(),
                computed.revision()
            ),
        )),
        _ => Ok(()),
    }
}

/// The snapshot of the incumbent and the directory that it is mapped from. `None` if the run does
/// not need it, or if it cannot be fetched: the parameters are compared then.
async fn fetch_incumbent(config: &TrainingConfig, store: &Store, data: &Data) -> Option<(Snapshot, tempfile::TempDir)> {
    if !model::compares_with_revision(config, &data.interactions) {
        return None;
    }
    let Incumbent { digest, snapshot, .. } = config.incumbent.as_ref()?;
    let fetched = async {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let private = PrivateDirectory::create(directory.path()).map_err(|error| error.to_string())?;
        let file = private.file(digest.as_str()).ok_or("the digest is not a file name")?;
        let bytes_max = snapshot.as_ref().map_or(0, |snapshot| snapshot.bytes);
        store.fetch_snapshot_to(digest, file.path(), bytes_max).await.map_err(|error| chain(&error))?;
        let snapshot = Snapshot::map(&file, Contents::Unchecked).map_err(|error| chain(&error))?;
        Ok::<_, String>((snapshot, directory))
    };
    let fetched = fetched.await;
    if let Err(error) = &fetched {
        tracing::warn!(
            revision = digest.revision(),
            error,
            "the serving model cannot be read: its parameters are compared, fitted to the same rows"
        );
    }
    fetched.ok()
}

fn temporary_file(options: &Options) -> Result<tempfile::NamedTempFile, RunError> {
    let created = match &options.work_dir {
        Some(directory) => tempfile::NamedTempFile::new_in(directory),
        None => tempfile::NamedTempFile::new(),
    };
    created.map_err(|error| RunError::transient(format!("cannot create a temporary file: {error}")))
}

async fn commit(store: &Store, result: RunResult) -> Finished {
    match store.create_run(&result).await {
        Ok(Creation::Created) => finished(result),
        // Another process has committed the same run first: its result counts.
        Ok(Creation::AlreadyExists) => match store.get_run(&result.run).await {
            Ok(committed) => finished(committed),
            Err(error) => retry(format!("cannot read the result that another process committed: {}", chain(&error))),
        },
        Err(error) => retry(format!("cannot store the run's result: {}", chain(&error))),
    }
}

fn finished(result: RunResult) -> Finished {
    let (exit, termination_message) = match &result.outcome {
        RunOutcome::Trained { digest, users, items, interactions, .. } => (
            ExitCode::Done,
            TerminationMessage {
                reason: "Trained".to_owned(),
                message: format!(
                    "revision {}: {users} users, {items} items, {interactions} interactions",
                    digest.revision()
                ),
            },
        ),
        RunOutcome::Unchanged => (
            ExitCode::Done,
            TerminationMessage {
                reason: "Unchanged".to_owned(),
                message: "the source has not changed since the last run".to_owned(),
            },
        ),
        RunOutcome::Failed { reason, message } => {
            (exit_code_of(reason), TerminationMessage { reason: reason.clone(), message: message.clone() })
        }
        RunOutcome::Unknown { kind, .. } => (
            ExitCode::Done,
            TerminationMessage { reason: kind.clone(), message: "a newer trainer has committed this run".to_owned() },
        ),
    };
    Finished { exit, termination_message, result: Some(result) }
}

/// The exit code of a committed failure. A reason that this release does not know was permanent for
/// the release that wrote it.
fn exit_code_of(reason: &str) -> ExitCode {
    FailureReason::parse(reason).map_or(ExitCode::BadData, FailureReason::exit_code)
}

fn retry(message: String) -> Finished {
    retry_because(RetryReason::Retry, message)
}

fn retry_because(reason: RetryReason, message: String) -> Finished {
    Finished {
        exit: ExitCode::Retry,
        termination_message: TerminationMessage { reason: reason.as_str().to_owned(), message },
        result: None,
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
