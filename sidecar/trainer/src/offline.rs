//! The same steps without a store: from a file to a model file or to metrics. There is no cluster,
//! run or committed result.

use std::path::Path;

use model_snapshot::Snapshot;
use sidecar_contract::{
    Algorithm, AlsConfig, ColdItems, Columns, Csv, EvaluationConfig, Interval, Metrics, RecentBaseline, RowCounts,
    RunId, Signal, Source, StoreConfig, TrainingConfig, WeightsConfig, keys::FINGERPRINT_DIGITS,
};

use crate::{
    data::{Data, Sources},
    failure::{FailureReason, RunError, chain},
    model::{self, EarlierModels, Trained, Tuned},
    options::Options,
    progress::{Event, Progress, Step},
};

/// Result of [`train_to_file`].
#[derive(Clone, Debug)]
pub struct TrainedFile {
    /// The trained model.
    pub trained: Trained,
    /// Rows read, kept and dropped.
    pub rows: RowCounts,
}

/// A config for a local file with all defaults; the caller may change any field. The functions of
/// this module ignore run and store.
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
        algorithm: Algorithm::Als(AlsConfig::WIRE_DEFAULT),
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
        expected_hash: None,
        known_data_version: None,
        retrain_at: None,
        decided_at: None,
        incumbent: None,
    }
}

/// A local file as a source.
pub fn local_source(path: &Path) -> Source {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Source { url: format!("file://{}", absolute.display()), described_as: path.display().to_string() }
}

/// Trains and writes the snapshot to `output` atomically: the file appears only when it is
/// complete.
pub async fn train_to_file(
    config: &TrainingConfig,
    output: &Path,
    progress: &dyn Progress,
    options: &Options,
) -> Result<TrainedFile, RunError> {
    let (data, rows) = read(config, progress, options).await?;
    let cannot_write =
        |error: std::io::Error| RunError::transient(format!("cannot write {}: {error}", output.display()));
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(directory).map_err(cannot_write)?;
    let start = options.warm_start.as_deref().map(open).transpose()?;
    let trained = tokio::task::block_in_place(|| {
        let earlier = EarlierModels { warm_start: start.as_ref(), incumbent: None };
        model::train(config, &data, progress, options.threads, file.path(), earlier)
    })?;
    progress.event(&Event::Step(Step::PutResult));
    file.as_file().sync_all().map_err(cannot_write)?;
    file.persist(output).map_err(|error| cannot_write(error.error))?;
    Ok(TrainedFile { trained, rows })
}

fn open(warm_start: &Path) -> Result<Snapshot, RunError> {
    Snapshot::read(warm_start).map_err(|error| {
        let message = format!("cannot start from {}: {}", warm_start.display(), chain(&error));
        RunError::permanent(FailureReason::ConfigInvalid, message)
    })
}

/// Fits without the held-out set and evaluates; `None` if nothing could be held out.
pub async fn evaluate(
    config: &TrainingConfig,
    progress: &dyn Progress,
    options: &Options,
) -> Result<Option<Metrics>, RunError> {
    let (data, _) = read(config, progress, options).await?;
    let metrics = tokio::task::block_in_place(|| model::measure(config, &data, progress, options.threads))?;
    progress.event(&Event::Step(Step::PutResult));
    Ok(metrics)
}

/// Searches for parameters and evaluates the best on data that the search did not use.
pub async fn tune(config: &TrainingConfig, progress: &dyn Progress, options: &Options) -> Result<Tuned, RunError> {
    let (data, _) = read(config, progress, options).await?;
    let tuned = tokio::task::block_in_place(|| model::tune(config, &data, progress, options.threads))?;
    progress.event(&Event::Step(Step::PutResult));
    Ok(tuned)
}

async fn read(
    config: &TrainingConfig,
    progress: &dyn Progress,
    options: &Options,
) -> Result<(Data, RowCounts), RunError> {
    model::check_config(config)?;
    let sources = Sources::new(config, &options.data_dir, &options.secrets)?;
    progress.event(&Event::Step(Step::Stat));
    let stat = sources.stat().await?;
    let features = sources.read_features().await?;
    let mut rows = RowCounts::default();
    let data = sources.read(&stat, features, options.limits, progress, &mut rows).await?;
    Ok((data, rows))
}

/// Human-readable metrics in one line: `ndcg@10 0.4321 (baseline 0.3210), recall@10 …, lift +34.6 %
/// [+33.0 %, +36.1 %], 1234 test users`.
pub fn describe_metrics(metrics: &Metrics) -> String {
    let Metrics {
        metric: _,
        k,
        split,
        test_users,
        model,
        baseline,
        lift,
        recent_baseline,
        incumbent: _,
        by_activity: _,
        cold_items,
        two_hop: _,
    } = metrics;
    let mut parts = Vec::new();
    // The metric of the gate comes first: error metrics exist for ratings only.
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
    let lifted = |lift: &Interval| {
        format!("{:+.1} % [{:+.1} %, {:+.1} %]", 100.0 * lift.estimate, 100.0 * lift.low, 100.0 * lift.high)
    };
    parts.push(match lift {
        Some(lift) => format!("lift {}", lifted(lift)),
        None => "no lift (too few test users, or a baseline of zero)".to_owned(),
    });
    if let Some(RecentBaseline { lift: Some(lift), .. }) = recent_baseline {
        parts.push(format!("lift over recent popularity {}", lifted(lift)));
    }
    let on = split.as_ref().map_or_else(String::new, |split| format!(" on {}", split.description()));
    parts.push(format!("{test_users} test users{on}"));
    if let Some(ColdItems { items, users: _, ndcg, baseline }) = cold_items {
        parts.push(format!("cold-start ndcg@{k} {ndcg:.4} (random {baseline:.4}) on {items} items"));
    }
    parts.join(", ")
}
