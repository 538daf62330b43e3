//! `recmesh-sidecar catalogue`: makes the catalogue of a model file, or that of a revision as the
//! Job of a Recommender.

use std::path::Path;

use anyhow::{Context as _, Result};
use model_snapshot::Snapshot;
use recommender_trainer::{
    ItemTable, MadeCatalogue, ModelItems, Options, Refreshed, RunError, Secrets, local_source, refresh_catalogue,
};
use sidecar_contract::{CatalogueConfig, Csv, ExitCode, FilterColumn, Format, Items, TerminationMessage, paths};
use store_client::{Store, StoreCredentials};

use crate::{
    args::CatalogueArgs,
    clock::unix_seconds,
    commands::{job, report_error},
    loading,
};

/// Makes a catalogue according to the command line, or according to the config in the environment.
///
/// # Errors
/// A model file that cannot be read, unreadable store credentials, or an invalid store URL.
pub async fn run(args: CatalogueArgs) -> Result<ExitCode> {
    store_client::install_tls_provider();
    match (&args.items, &args.config) {
        (Some(items), _) => match local(&args, items).await? {
            Ok(()) => Ok(ExitCode::Done),
            Err(error) => Ok(report_error(&error)),
        },
        (None, Some(config)) => of_job(config).await,
        (None, None) => anyhow::bail!("no item table given; expected for example: recmesh-sidecar catalogue items.csv"),
    }
}

async fn local(args: &CatalogueArgs, items: &Path) -> Result<Result<(), RunError>> {
    let config = Items {
        source: local_source(items),
        format: args.format.map(Format::from),
        csv: Csv { delimiter: args.delimiter, ..Csv::default() },
        id: args.id.clone(),
        title: args.title.clone(),
        available: args.available.clone(),
        attributes: Vec::new(),
    };
    let output = args.output.clone().unwrap_or_else(|| loading::catalogue_beside(&args.model));
    write(&config, &args.filters, &args.model, &output).await
}

/// Writes the catalogue of a model file and prints the counts; the file appears when it is
/// complete.
pub(super) async fn write(
    config: &Items,
    filters: &[FilterColumn],
    model: &Path,
    output: &Path,
) -> Result<Result<(), RunError>> {
    let snapshot = Snapshot::read(model).with_context(|| format!("cannot read {}", model.display()))?;
    let revision = snapshot.checked_digest()?;
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot_write = || format!("cannot write {}", output.display());
    let file = tempfile::NamedTempFile::new_in(directory).with_context(cannot_write)?;
    let options = Options::default();
    let made = async {
        let table = ItemTable::new(config, filters, &options)?;
        let version = table.stat().await?;
        let index_of = |id: &str| snapshot.item_index(id);
        let model = ModelItems { revision: &revision, items: snapshot.items(), index_of: &index_of };
        table.write(&version, unix_seconds(), model, file.path()).await
    };
    let made = match made.await {
        Ok(made) => made,
        Err(error) => return Ok(Err(error)),
    };
    file.persist(output).with_context(cannot_write)?;
    let MadeCatalogue { items, available, missing, unknown, .. } = made;
    println!(
        "{}: {items} items, {available} available, {missing} not in the table; {unknown} rows of other items",
        output.display()
    );
    Ok(Ok(()))
}

async fn of_job(config: &str) -> Result<ExitCode> {
    let config: CatalogueConfig = match job::read_config(config, paths::CATALOGUE_CONFIG_ENV) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let credentials = StoreCredentials::read(Path::new(paths::STORE_CREDENTIALS_DIR))?;
    let store = Store::open(&config.store, credentials.as_ref())?;
    let options = Options { secrets: Secrets::from_env(), ..Options::default() };
    let Refreshed { exit, termination_message, .. } = refresh_catalogue(&config, &store, &options).await;
    let TerminationMessage { reason, message } = &termination_message;
    tracing::info!(revision = config.revision.revision(), reason, message, "catalogue refresh finished");
    job::report_termination(&termination_message);
    Ok(exit)
}
