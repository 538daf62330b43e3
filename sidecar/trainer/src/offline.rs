//! The same steps without a store: from a file to a file, or to a measurement. No cluster, no run, no result to commit.

use std::path::Path;

use model_snapshot::Snapshot;
use sidecar_contract::{
    Algorithm, AlsConfig, ColdItems, Columns, Csv, EvaluationConfig, Metrics, RowCounts, RunId, Signal, Source,
    StoreConfig, TrainingConfig, WeightsConfig, keys::FINGERPRINT_DIGITS,
};

use crate::{
    data::{Data, Sources},
    failure::{FailureReason, Stop, chain},
    model::{self, Trained, Tuned},
    progress::{Event, Progress, Step},
    run::Options,
};

/// What [`train_to_file`] did.
#[derive(Clone, Debug)]
pub struct TrainedFile {
    /// The model's numbers.
    pub trained: Trained,
    /// Rows read, kept and dropped.
    pub rows: RowCounts,
}

/// A config for a file on this machine, with every default; the caller changes what it likes. Run and store are not
/// looked at by the functions of this module.
pub fn local_config(source: &Path) -> TrainingConfig {
    TrainingConfig {
        run: RunId { number: 0, attempt: "0".repeat(FINGERPRINT_DIGITS) },
        source: local_source(source),
        format: None,
        csv: Csv::default(),
        columns: Columns::default(),
        signal: Signal::default(),
        weights: WeightsConfig::default(),
        items: None,
        algorithm: Algorithm::Als(AlsConfig::default()),
        tuning: None,
        evaluation: EvaluationConfig::default(),
        seed: 42,
        warm_start: None,
        store: StoreConfig {
            url: "file:///".to_owned(),
            endpoint: None,
            region: sidecar_contract::store::EMBEDDED_REGION.to_owned(),
            prefix: String::new(),
        },
        known_data_version: None,
        retrain_at: None,
        decided_at: None,
        incumbent: None,
    }
}

/// A file on this machine as a source.
pub fn local_source(path: &Path) -> Source {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Source { url: format!("file://{}", absolute.display()), described_as: path.display().to_string() }
}

/// Trains and writes the snapshot to `output`, which appears only when it is whole.
pub async fn train_to_file(
    config: &TrainingConfig,
    output: &Path,
    progress: &dyn Progress,
    options: &Options,
) -> Result<TrainedFile, Stop> {
    let (data, rows) = read(config, progress, options).await?;
    let cannot_write = |error: std::io::Error| Stop::retry(format!("cannot write {}: {error}", output.display()));
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(directory).map_err(cannot_write)?;
    let start = options.warm_start.as_deref().map(open).transpose()?;
    let trained = tokio::task::block_in_place(|| {
        model::train(config, &data, progress, options.threads, file.path(), start.as_ref())
    })?;
    progress.event(&Event::Step(Step::PutResult));
    file.as_file().sync_all().map_err(cannot_write)?;
    file.persist(output).map_err(|error| cannot_write(error.error))?;
    Ok(TrainedFile { trained, rows })
}

fn open(earlier: &Path) -> Result<Snapshot, Stop> {
    Snapshot::open(earlier).map_err(|error| {
        let message = format!("cannot start from {}: {}", earlier.display(), chain(&error));
        Stop::failed(FailureReason::ConfigInvalid, message)
    })
}

/// Fits without the kept part and measures; `None` when nothing could be kept.
pub async fn evaluate(
    config: &TrainingConfig,
    progress: &dyn Progress,
    options: &Options,
) -> Result<Option<Metrics>, Stop> {
    let (data, _) = read(config, progress, options).await?;
    let metrics = tokio::task::block_in_place(|| model::measure(config, &data, progress, options.threads))?;
    progress.event(&Event::Step(Step::PutResult));
    Ok(metrics)
}

/// Searches for parameters, and measures the best on what the search did not see.
pub async fn tune(config: &TrainingConfig, progress: &dyn Progress, options: &Options) -> Result<Tuned, Stop> {
    let (data, _) = read(config, progress, options).await?;
    let tuned = tokio::task::block_in_place(|| model::tune(config, &data.interactions, progress, options.threads))?;
    progress.event(&Event::Step(Step::PutResult));
    Ok(tuned)
}

async fn read(config: &TrainingConfig, progress: &dyn Progress, options: &Options) -> Result<(Data, RowCounts), Stop> {
    model::check(config)?;
    let sources = Sources::new(config, &options.data_dir, &options.secrets)?;
    progress.event(&Event::Step(Step::Stat));
    let stats = sources.stat().await?;
    let mut rows = RowCounts::default();
    let data = sources.read(&stats, options.limits, progress, &mut rows).await?;
    Ok((data, rows))
}

/// Metrics in one line for people: `ndcg@10 0.4321 (popularity 0.3210), recall@10 …, lift +34.6 % [+33.0 %, +36.1 %], 1234 users`.
pub fn describe_metrics(metrics: &Metrics) -> String {
    let Metrics { metric: _, k, split, test_users, model, baseline, lift, incumbent: _, by_activity: _, cold_items } =
        metrics;
    let mut parts = Vec::new();
    // What the gate looks at comes first: errors are there for ratings only.
    for (name, model, baseline) in [
        ("rmse".to_owned(), model.rmse, baseline.rmse),
        ("mae".to_owned(), model.mae, baseline.mae),
        (format!("ndcg@{k}"), model.ndcg, baseline.ndcg),
        (format!("recall@{k}"), model.recall, baseline.recall),
    ] {
        if let (Some(model), Some(baseline)) = (model, baseline) {
            parts.push(format!("{name} {model:.4} (baseline {baseline:.4})"));
        }
    }
    parts.push(match lift {
        Some(lift) => {
            format!("lift {:+.1} % [{:+.1} %, {:+.1} %]", 100.0 * lift.estimate, 100.0 * lift.low, 100.0 * lift.high)
        }
        None => "no lift (too few test users, or a baseline of zero)".to_owned(),
    });
    let on = split.map_or_else(String::new, |split| format!(" on {}", split.described()));
    parts.push(format!("{test_users} test users{on}"));
    if let Some(ColdItems { items, users: _, ndcg, baseline }) = cold_items {
        parts.push(format!("ndcg@{k} {ndcg:.4} (random {baseline:.4}) of {items} items by their attributes alone"));
    }
    parts.join(", ")
}
