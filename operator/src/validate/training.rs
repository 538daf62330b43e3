//! The settings of a training run: converts the spec to the terms of the contract, and reports what
//! the user must change. Pure.

use std::time::Duration;

use recommender_crds::{
    Auto, ChosenAlgorithm, DataSpec, Format, ItemsSpec, RecommenderSpec, Signal, SourceSpec, Split, TrainingSpec,
    Weighting,
};
use serde_json::{Map, Value};
use sidecar_contract::{
    Algorithm, AutoConfig, Column, Columns, Csv, EvaluationConfig, HOURS_TO_SECONDS, Items, RunId, Source, SplitKind,
    StoreConfig, TrainingConfig, TuningConfig, WeightsConfig, parse_duration, parse_half_life, paths, serving_memory,
};

use crate::{memory_quantity::memory_limit, schedule::Schedule};

/// Settings of a training run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlan {
    /// Source of the interactions.
    pub source: Source,
    /// File format of the interactions.
    pub format: Option<sidecar_contract::Format>,
    /// CSV settings.
    pub csv: Csv,
    /// Column mapping.
    pub columns: Columns,
    /// Implicit or explicit feedback.
    pub signal: sidecar_contract::Signal,
    /// Weights of implicit interactions.
    pub weights: WeightsConfig,
    /// Item table, if the model depends on it: only its attribute columns are inputs.
    pub items: Option<Items>,
    /// Algorithm and parameters.
    pub algorithm: Algorithm,
    /// Hyperparameter search, if enabled.
    pub tuning: Option<TuningConfig>,
    /// Evaluation settings.
    pub evaluation: EvaluationConfig,
    /// Random seed.
    pub seed: u64,
    /// Maximum duration of a run.
    pub deadline: Duration,
    /// Schedule of runs.
    pub schedule: Option<Schedule>,
    /// Maximum delay of a scheduled start.
    pub starting_deadline: Duration,
    /// Interval of data checks, if the spec sets one; zero disables them.
    pub data_check_interval: Option<Duration>,
}

impl TrainingPlan {
    /// The training config of a run. The caller adds what depends on earlier runs.
    pub fn config(&self, run: RunId, store: StoreConfig) -> TrainingConfig {
        TrainingConfig {
            run,
            source: self.source.clone(),
            format: self.format,
            csv: self.csv.clone(),
            columns: self.columns.clone(),
            signal: self.signal,
            weights: self.weights.clone(),
            items: self.items.clone(),
            algorithm: self.algorithm.clone(),
            tuning: self.tuning.clone(),
            evaluation: self.evaluation.clone(),
            seed: self.seed,
            warm_start: None,
            store,
            expected_hash: None,
            known_data_version: None,
            retrain_at: None,
            decided_at: None,
            incumbent: None,
        }
    }
}

/// Converts the spec. Appends to `problems` what the user must change; there is a plan if it
/// appends nothing.
pub fn plan(
    spec: &RecommenderSpec,
    data: &DataSpec,
    items: Option<&Items>,
    namespace: &str,
    problems: &mut Vec<String>,
) -> Option<TrainingPlan> {
    let signal = match data.signal {
        Signal::Implicit => sidecar_contract::Signal::Implicit,
        Signal::Explicit => sidecar_contract::Signal::Explicit,
    };
    let source = source(&data.source, "data.source", namespace, problems);
    let weights = weights(data, problems);
    let algorithm = algorithm(spec, signal, problems);
    let deadline = duration(&spec.training.deadline, "training.deadline", problems);
    let starting_deadline = duration(&spec.training.starting_deadline, "training.startingDeadline", problems);
    let tuning = spec.training.tuning.as_ref().map(|tuning| TuningConfig {
        trials: tuning.trials,
        budget_seconds: duration(&tuning.budget, "training.tuning.budget", problems).as_secs(),
        factors_max: tuning.factors_max,
    });
    let interval = spec.training.data_check_interval.as_ref();
    let data_check_interval = interval.map(|text| duration(text, "training.dataCheckInterval", problems));
    let schedule = schedule(&spec.training, problems);
    let csv = csv(&data.csv, "data.csv.delimiter", problems);
    Some(TrainingPlan {
        source: source?,
        format: data.format.map(format),
        csv,
        columns: columns(&data.columns),
        signal,
        weights,
        items: items.and_then(Items::of_model),
        algorithm: algorithm?,
        tuning,
        evaluation: EvaluationConfig {
            split: spec.evaluation.split.map(|split| match split {
                Split::Time => SplitKind::Time,
                Split::Random => SplitKind::Random,
                Split::LeaveLastOut => SplitKind::LeaveLastOut,
                Split::UserHoldout => SplitKind::UserHoldout,
            }),
            holdout: spec.evaluation.holdout,
            k: spec.evaluation.k,
        },
        seed: spec.training.seed,
        deadline,
        schedule,
        starting_deadline,
        data_check_interval,
    })
}

fn duration(text: &str, field: &str, problems: &mut Vec<String>) -> Duration {
    parse_duration(text, HOURS_TO_SECONDS).map_or_else(
        |error| {
            problems.push(format!("{field}: {text:?}; {error}"));
            Duration::ZERO
        },
        Duration::from_secs,
    )
}

fn schedule(training: &TrainingSpec, problems: &mut Vec<String>) -> Option<Schedule> {
    let parsed = Schedule::parse(training.schedule.as_deref()?, training.time_zone.as_deref());
    parsed.map_err(|error| problems.push(format!("training.{error}"))).ok()
}

/// Subdirectory of the data mount for the interactions. Each source has its own, so that both may
/// be of the same kind.
pub const INTERACTIONS_MOUNT: &str = "interactions";
/// Subdirectory of the data mount for the items.
pub const ITEMS_MOUNT: &str = "items";

/// Supported URL schemes of a source.
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "https://", "http://"];

fn source(spec: &SourceSpec, field: &str, namespace: &str, problems: &mut Vec<String>) -> Option<Source> {
    let mount = if field == "data.source" { INTERACTIONS_MOUNT } else { ITEMS_MOUNT };
    let file = |path: &str| format!("file://{}/{mount}/{path}", paths::DATA_DIR);
    match (&spec.url, &spec.config_map, &spec.persistent_volume_claim) {
        (Some(url), None, None) if SCHEMES.iter().any(|scheme| url.starts_with(scheme)) => {
            Some(Source { url: url.clone(), described_as: url.clone() })
        }
        (Some(url), None, None) => {
            problems.push(format!("{field}.url: {url:?}; expected s3://bucket/key.csv or s3://bucket/prefix/, the same with gs:// or az://, or https://host/file.csv"));
            None
        }
        (None, Some(map), None) => Some(Source {
            url: file(&map.key),
            described_as: format!("key {} of ConfigMap {namespace}/{}", map.key, map.name),
        }),
        (None, None, Some(claim)) => Some(Source {
            url: file(&claim.path),
            described_as: format!("{} on PersistentVolumeClaim {namespace}/{}", claim.path, claim.claim_name),
        }),
        _ => {
            problems.push(format!("{field}: expected exactly one of url, configMap and persistentVolumeClaim"));
            None
        }
    }
}

/// The item table with all its columns.
pub(super) fn items_of(items: &ItemsSpec, namespace: &str, problems: &mut Vec<String>) -> Option<Items> {
    Some(Items {
        source: source(&items.source, "data.items.source", namespace, problems)?,
        format: items.format.map(format),
        csv: csv(&items.csv, "data.items.csv.delimiter", problems),
        id: column(&items.columns.id),
        title: items.columns.title.as_ref().map(column),
        available: items.columns.available.as_ref().map(column),
        attributes: items.attributes.iter().map(column).collect(),
    })
}

fn algorithm(
    spec: &RecommenderSpec,
    signal: sidecar_contract::Signal,
    problems: &mut Vec<String>,
) -> Option<Algorithm> {
    let Some(ChosenAlgorithm { name, parameters }) = spec.chosen_algorithm() else {
        let names = Algorithm::NAMES.join(", ");
        problems.push(format!("algorithm: expected exactly one of {names}, auto and compose"));
        return None;
    };
    if let Some(limits) = spec.algorithm.as_ref().and_then(|algorithm| algorithm.auto.as_ref()) {
        return Some(Algorithm::Auto(auto(spec, limits, problems)));
    }
    let algorithm = Algorithm::with_defaults(&name, signal, without_groups(parameters));
    algorithm.map_err(|error| problems.push(format!("algorithm.{name}: {error}"))).ok()
}

/// Limits of the search that chooses an algorithm. Memory limits are among them, because they
/// decide what it may choose.
fn auto(spec: &RecommenderSpec, limits: &Auto, problems: &mut Vec<String>) -> AutoConfig {
    let serving_limit = memory_limit(spec.serving.pod.resources.as_ref());
    AutoConfig {
        fits: limits.fits,
        factors_max: limits.factors_max,
        budget_seconds: duration(&limits.budget, "algorithm.auto.budget", problems).as_secs(),
        training_bytes_max: memory_limit(spec.training.pod.resources.as_ref()),
        snapshot_bytes_max: serving_limit.map(serving_memory::snapshot_bytes_max),
    }
}

/// Parameters of the contract. It has no groups: `sampling: {samples: 50}` is `samples: 50`.
fn without_groups(parameters: Map<String, Value>) -> Map<String, Value> {
    let mut flat = Map::new();
    for (name, value) in parameters {
        match value {
            Value::Object(group) => flat.extend(group),
            value => flat.extend([(name, value)]),
        }
    }
    flat
}

fn csv(given: &recommender_crds::Csv, field: &str, problems: &mut Vec<String>) -> Csv {
    let mut delimiter = None;
    if let Some(text) = &given.delimiter {
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) if one.is_ascii() => delimiter = Some(one),
            _ => problems.push(format!("{field}: {text:?}; expected one ASCII character")),
        }
    }
    Csv { header: given.header, delimiter }
}

fn columns(spec: &recommender_crds::Columns) -> Columns {
    Columns {
        user: column(&spec.user),
        item: column(&spec.item),
        rating: spec.rating.as_ref().map(column),
        timestamp: spec.timestamp.as_ref().map(column),
        event: spec.event.as_ref().map(column),
    }
}

fn weights(data: &DataSpec, problems: &mut Vec<String>) -> WeightsConfig {
    let half_life_seconds = data.half_life.as_deref().and_then(|text| {
        parse_half_life(text).map_err(|error| problems.push(format!("data.halfLife: {text:?}; {error}"))).ok()
    });
    WeightsConfig {
        events: data.event_weights.clone().unwrap_or_default(),
        half_life_seconds,
        weighting: match data.weighting {
            Weighting::None => sidecar_contract::Weighting::None,
            Weighting::Log => sidecar_contract::Weighting::Log,
            Weighting::Bm25 => sidecar_contract::Weighting::Bm25,
        },
    }
}

pub(super) fn column(given: &recommender_crds::Column) -> Column {
    match given {
        recommender_crds::Column::Index(index) => Column::Index(*index),
        recommender_crds::Column::Name(name) => Column::Name(name.clone()),
    }
}

fn format(given: Format) -> sidecar_contract::Format {
    match given {
        Format::Csv => sidecar_contract::Format::Csv,
        Format::Tsv => sidecar_contract::Format::Tsv,
        Format::Jsonl => sidecar_contract::Format::Jsonl,
        Format::Parquet => sidecar_contract::Format::Parquet,
    }
}
