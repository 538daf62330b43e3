//! One refresh of a catalogue, from its config to its committed result in the store.
//!
//! The file is stored first. The result is created last and only once; it commits the catalogue. A
//! process that dies before leaves at most an unreferenced file. A table that would take most items
//! out of the lists is held: its result has the counts and no catalogue.

use std::{ops::Range, path::Path};

use model_snapshot::{Contents, ItemIds, ItemIdsPart, PrivateDirectory, Snapshot, SnapshotError};
use sidecar_contract::{
    CatalogueConfig, CatalogueResult, CatalogueVersion, ExitCode, ItemCounts, TerminationMessage,
    catalogue::CATALOGUE_RESULT_VERSION,
};
use store_client::{SNAPSHOT_RANGE_BYTES_MAX, Store, StoreError};

use crate::{
    failure::{FailureReason, RunError, chain},
    limits::SNAPSHOT_HEAD_BYTES,
    make_catalogue::{ItemTable, MadeCatalogue, ModelItems},
    options::Options,
};

/// How a refresh ended.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// Exit code of the process.
    pub exit: ExitCode,
    /// The pod's termination message.
    pub termination_message: TerminationMessage,
    /// The committed result; `None` if the table is unchanged, or if the refresh is retried.
    pub result: Option<CatalogueResult>,
}

/// What a refresh found.
enum Found {
    /// The newest catalogue of the revision is of this table.
    Unchanged,
    /// A result to commit.
    Result(Box<CatalogueResult>),
}

/// Makes the catalogue of a revision and commits the result to `store`.
pub async fn refresh_catalogue(config: &CatalogueConfig, store: &Store, options: &Options) -> Refreshed {
    let found = match make(config, store, options).await {
        Ok(found) => found,
        // Without a version of the table, the hash of the spec names the result.
        Err(RunError::Permanent { message, .. }) => Found::Result(Box::new(CatalogueResult {
            failure: message,
            ..result(config, CatalogueVersion::new(config.decided_at, &config.spec_hash))
        })),
        Err(RunError::Transient { reason, message }) => return ended(ExitCode::Retry, reason.as_str(), message, None),
    };
    let Found::Result(result) = found else {
        let message = "the item table has not changed".to_owned();
        return ended(ExitCode::Done, "Unchanged", message, None);
    };
    match store.create_catalogue_result(&result).await {
        // Another process that has committed the same refresh first has read the same table.
        Ok(_) => committed(*result),
        Err(error) => {
            ended(ExitCode::Retry, "Retry", format!("cannot store the result of the refresh: {}", chain(&error)), None)
        }
    }
}

async fn make(config: &CatalogueConfig, store: &Store, options: &Options) -> Result<Found, RunError> {
    let table = ItemTable::new(&config.items, &config.filters, options)?;
    let version = table.stat().await?;
    let name = CatalogueVersion::new(config.decided_at, &version.source);
    let is_accepted = config.accepted.as_ref() == Some(&name.hash);
    let is_known = config.known.as_ref().is_some_and(|known| known.is_of_revision && known.source == name.hash);
    // A table that is again as it was before the one that is held has a result, which ends the hold.
    if (is_known && config.held.is_none()) || (config.held.as_ref() == Some(&name.hash) && !is_accepted) {
        return Ok(Found::Unchanged);
    }
    let directory = temporary_directory(options)?;
    let output = directory.path().join("catalogue");
    let (items, index_of) = model_items(config, store, directory.path()).await?;
    let model = ModelItems { revision: &config.revision, items, index_of: &index_of };
    let made = table.write(&version, config.decided_at, model, &output).await?;
    let MadeCatalogue { digest, items, available, missing, unknown, .. } = made;
    let counts = ItemCounts { items, available, missing, unknown };
    let mut result = CatalogueResult { items: Some(counts.clone()), ..result(config, name.clone()) };
    if !is_accepted && is_held(&counts, config) {
        result.held = true;
        return Ok(Found::Result(Box::new(result)));
    }
    let put = store.put_catalogue(&name, &config.revision, &output, &digest).await;
    result.catalogue =
        Some(put.map_err(|error| RunError::transient(format!("cannot store the catalogue: {}", chain(&error))))?);
    result.finished_at = now();
    Ok(Found::Result(Box::new(result)))
}

/// Whether a table takes out more than half of the available items, or all of them, or lacks more
/// than half of the items that the one before it had, as a file that was cut off.
fn is_held(counts: &ItemCounts, config: &CatalogueConfig) -> bool {
    let Some(known) = &config.known else { return counts.available == 0 };
    // Fractions, because the known catalogue may belong to a revision with other items.
    let less_than_half = |after: u64, before: u64| {
        2 * u128::from(after) * u128::from(known.items) < u128::from(before) * u128::from(counts.items)
    };
    let found = (counts.items.saturating_sub(counts.missing), known.items.saturating_sub(known.missing));
    counts.available == 0 || less_than_half(counts.available, known.available) || less_than_half(found.0, found.1)
}

/// Row of an item id.
type IndexOf = Box<dyn Fn(&str) -> Option<u32> + Send + Sync>;

/// Number of items of the revision, and their rows by id.
async fn model_items(config: &CatalogueConfig, store: &Store, directory: &Path) -> Result<(usize, IndexOf), RunError> {
    if let Some(ids) = item_ids(config, store).await? {
        return Ok((ids.items(), Box::new(move |id| ids.item_index(id))));
    }
    let snapshot = fetch(config, store, directory).await?;
    Ok((snapshot.items(), Box::new(move |id| snapshot.item_index(id))))
}

/// The ids alone, which are a small part of a snapshot; `None` if the snapshot must be read whole.
async fn item_ids(config: &CatalogueConfig, store: &Store) -> Result<Option<ItemIds>, RunError> {
    let read = |range: Range<u64>| store.snapshot_range(&config.revision, range);
    let failed = |error: StoreError| cannot_read(&chain(&error));
    let invalid = |error: SnapshotError| cannot_read(&chain(&error));
    let (mut head, size) = read(0..SNAPSHOT_HEAD_BYTES.min(config.snapshot_bytes)).await.map_err(failed)?;
    let head_bytes = ItemIdsPart::head_bytes(&head).map_err(invalid)?;
    if head_bytes > head.len() {
        head = read(0..head_bytes as u64).await.map_err(failed)?.0;
    }
    let Some(part) = ItemIdsPart::find(&head, size).map_err(invalid)? else { return Ok(None) };
    let range = part.range();
    if range.end - range.start > SNAPSHOT_RANGE_BYTES_MAX {
        return Ok(None);
    }
    let (bytes, _) = read(range).await.map_err(failed)?;
    part.open(&bytes).map(Some).map_err(invalid)
}

async fn fetch(config: &CatalogueConfig, store: &Store, directory: &Path) -> Result<Snapshot, RunError> {
    let private =
        PrivateDirectory::create(&directory.join("model")).map_err(|error| cannot_read(&error.to_string()))?;
    let file = private.file(config.revision.as_str()).ok_or_else(|| cannot_read("its digest is no name"))?;
    let fetched = store.fetch_snapshot_to(&config.revision, file.path(), config.snapshot_bytes).await;
    fetched.map_err(|error| cannot_read(&chain(&error)))?;
    Snapshot::map(&file, Contents::Unchecked).map_err(|error| cannot_read(&chain(&error)))
}

fn cannot_read(problem: &str) -> RunError {
    RunError::transient(format!("cannot read the snapshot: {problem}"))
}

fn temporary_directory(options: &Options) -> Result<tempfile::TempDir, RunError> {
    let created = match &options.work_dir {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    };
    created.map_err(|error| RunError::transient(format!("cannot create a temporary directory: {error}")))
}

fn result(config: &CatalogueConfig, id: CatalogueVersion) -> CatalogueResult {
    CatalogueResult {
        version: CATALOGUE_RESULT_VERSION,
        id,
        spec_hash: config.spec_hash.clone(),
        revision: config.revision.clone(),
        catalogue: None,
        items: None,
        held: false,
        failure: String::new(),
        finished_at: now(),
    }
}

fn committed(result: CatalogueResult) -> Refreshed {
    let counts = result.items.clone().unwrap_or_default();
    let ItemCounts { items, available, .. } = counts;
    let (exit, reason, message) = if !result.failure.is_empty() {
        (ExitCode::BadData, FailureReason::DataInvalid.as_str(), result.failure.clone())
    } else if result.held {
        (ExitCode::Done, "CatalogueHeld", format!("held: {available} of {items} items are available"))
    } else {
        (ExitCode::Done, "Written", format!("catalogue {}: {available} of {items} items are available", result.id))
    };
    ended(exit, reason, message, Some(result))
}

fn ended(exit: ExitCode, reason: &str, message: String, result: Option<CatalogueResult>) -> Refreshed {
    Refreshed { exit, termination_message: TerminationMessage { reason: reason.to_owned(), message }, result }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
