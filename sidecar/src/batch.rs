//! One batch from its config to its result in the store: the lists of all users in a bucket.
//!
//! The lists are one object, which appears when its upload is complete. The result is created after
//! it, and only once. A process that dies before leaves at most a complete object without a result,
//! and the same batch may be repeated: it writes the same bytes under the same name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use answering::{DEFAULT_VARIANT, Local};
use anyhow::{Context as _, Result};
use catalogue::Catalogue;
use model_snapshot::PrivateDirectory;
use sidecar_contract::{
    BatchConfig, BatchResult, ExitCode, ServingMode, TerminationMessage, WrittenLists, batch::BATCH_RESULT_VERSION,
};
use store_client::{Destination, Retry, Store, StoreError};

use crate::{
    all_lists::{self, Written},
    clock::unix_seconds,
    list_file::ListFormat,
    loading::{self, Verification},
};

/// How a batch ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code of the process.
    pub exit: ExitCode,
    /// The pod's termination message.
    pub termination_message: TerminationMessage,
}

/// Writes the lists and commits the result. A batch that has ended is not repeated. `directory` is
/// for temporary files.
pub async fn run(
    config: &BatchConfig,
    store: &Store,
    destination: &Result<Destination, StoreError>,
    directory: &Path,
) -> Finished {
    match store.get_batch(&config.id).await {
        Ok(result) => {
            tracing::info!(batch = %config.id, "the batch has ended already");
            return finished(&result);
        }
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return retry(&anyhow::Error::new(error).context("cannot check for the result of the batch")),
    }
    let started_at = unix_seconds();
    let (lists, failure) = match write(config, store, destination, directory).await {
        Ok(lists) => (Some(lists), String::new()),
        Err(error) if is_permanent(&error) => (None, format!("{error:#}")),
        Err(error) => return retry(&error),
    };
    let result = BatchResult {
        version: BATCH_RESULT_VERSION,
        id: config.id.clone(),
        spec_hash: config.spec_hash.clone(),
        revision: config.revision.clone(),
        lists,
        failure,
        started_at,
        finished_at: unix_seconds(),
    };
    match store.create_batch(&result).await {
        // Another process that has committed the same batch first has written the same lists.
        Ok(_) => finished(&result),
        Err(error) => retry(&anyhow::Error::new(error).context("cannot store the result of the batch")),
    }
}

async fn write(
    config: &BatchConfig,
    store: &Store,
    destination: &Result<Destination, StoreError>,
    directory: &Path,
) -> Result<WrittenLists> {
    // A destination that cannot be opened is reported before any work.
    let destination = destination.as_ref().map_err(|error| DestinationInvalid(error.to_string()))?;
    let name = config.object_name();
    let (lists, written) = compute(config, store, directory).await?;
    let bytes = destination.put(&name, &lists).await.context("spec.batch.destination")?;
    let Written { users, rows } = written;
    Ok(WrittenLists { url: destination.url_of(&name), bytes, users, rows })
}

/// Writes the lists to a local file.
async fn compute(config: &BatchConfig, store: &Store, directory: &Path) -> Result<(PathBuf, Written)> {
    let private = PrivateDirectory::create(&directory.join("model"))?;
    let file = private.file(config.revision.as_str()).context("the digest is not a file name")?;
    store
        .fetch_snapshot_to(&config.revision, file.path(), config.snapshot_bytes)
        .await
        .context("cannot fetch the snapshot")?;
    let catalogue = fetch_catalogue(config, store, &private).await?;
    let lists = directory.join("lists.parquet");
    let written = tokio::task::block_in_place(|| {
        let model = loading::open_private(&file, Verification::Fetched(&config.revision))?;
        let local = Local::new(model, DEFAULT_VARIANT, ServingMode::Personalized).with_catalogue(catalogue)?;
        all_lists::write(&local, config.n as usize, &lists, ListFormat::Parquet)
    })?;
    Ok((lists, written))
}

/// The catalogue of the revision; `None` if the config names none.
async fn fetch_catalogue(
    config: &BatchConfig,
    store: &Store,
    directory: &PrivateDirectory,
) -> Result<Option<Arc<Catalogue>>> {
    let Some(announced) = &config.catalogue else { return Ok(None) };
    let file = directory.file(announced.digest.as_str()).context("the digest is not a file name")?;
    store.fetch_catalogue_to(announced, file.path()).await.context("cannot fetch the catalogue")?;
    Ok(Some(Arc::new(Catalogue::map(&file)?)))
}

/// A destination that cannot be opened with the settings of the spec.
#[derive(Debug, thiserror::Error)]
#[error("spec.batch.destination: {0}")]
struct DestinationInvalid(String);

/// Whether a retry of the same batch cannot succeed.
fn is_permanent(error: &anyhow::Error) -> bool {
    let of_store = error.downcast_ref::<StoreError>().is_some_and(|error| error.retry() == Retry::Rarely);
    of_store || error.is::<DestinationInvalid>()
}

fn finished(result: &BatchResult) -> Finished {
    let message = |reason: &str, message| TerminationMessage { reason: reason.to_owned(), message };
    match &result.lists {
        Some(WrittenLists { url, users, rows, .. }) => Finished {
            exit: ExitCode::Done,
            termination_message: message("Written", format!("{url}: {rows} rows of {users} users")),
        },
        None => {
            Finished { exit: ExitCode::NoInput, termination_message: message("BatchFailed", result.failure.clone()) }
        }
    }
}

fn retry(error: &anyhow::Error) -> Finished {
    let message = format!("{error:#}");
    Finished { exit: ExitCode::Retry, termination_message: TerminationMessage { reason: "Retry".to_owned(), message } }
}
