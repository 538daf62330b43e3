//! From the spec to what the other steps work with, or to what the user must change. Pure.
//!
//! The API server has checked the schema; what stands here catches objects that were stored under an older CRD, and turns
//! the public API into the contract's terms.

use std::{collections::BTreeMap, time::Duration};

use recommender_crds::{
    ChosenAlgorithm, Format, ItemsSpec, NAME_CHARS_MAX, Recommender, Signal, SourceSpec, Split, Weighting,
    parse_seconds,
};
use sidecar_contract::{
    Algorithm, AlsConfig, BprConfig, Column, Columns, Csv, EvaluationConfig, Items, Source, SplitKind, SvdConfig,
    TuningConfig, WeightsConfig, parse_half_life, paths,
};

use crate::names::{PROMOTE_ANNOTATION, RETRAIN_AT_ANNOTATION};
use crate::schedule::Schedule;

/// A Recommender that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Identity: children carry it.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// The trainer's instructions but for run and store.
    pub training: Training,
    /// The spec itself, for pod settings and the gate.
    pub spec: recommender_crds::RecommenderSpec,
    /// Versions of the Secrets that the trainer is given, by name; they are observed, and empty until then.
    pub secret_versions: BTreeMap<String, String>,
    /// Value of the annotation that asks for a run.
    pub retrain_at: Option<String>,
    /// Value of the annotation that promotes a revision.
    pub promote: Option<String>,
    /// Sources after the model.
    pub fallback: Vec<String>,
}

impl Plan {
    /// The Recommender as the owner of a part of a store.
    pub fn store_owner(&self) -> crate::store_access::Owner<'_> {
        crate::store_access::Owner { namespace: &self.namespace, name: &self.name, store: self.spec.store.as_ref() }
    }
}

/// What is to be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Interactions.
    pub source: Source,
    /// Their format.
    pub format: Option<sidecar_contract::Format>,
    /// How text is cut.
    pub csv: Csv,
    /// Which column is what.
    pub columns: Columns,
    /// What a row means.
    pub signal: sidecar_contract::Signal,
    /// What rows of implicit data weigh.
    pub weights: WeightsConfig,
    /// Item attributes.
    pub items: Option<Items>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// How better parameters are searched for, if they are.
    pub tuning: Option<TuningConfig>,
    /// Split and lists.
    pub evaluation: EvaluationConfig,
    /// Seed.
    pub seed: u64,
    /// Longest time of a run.
    pub deadline: Duration,
    /// When runs start by themselves.
    pub schedule: Option<Schedule>,
    /// How late such a run may start.
    pub starting_deadline: Duration,
    /// Pause between two looks at the data, if the spec names one; zero for never.
    pub data_check: Option<Duration>,
}

/// Checks a Recommender; every problem names the field and what to write instead.
///
/// # Errors
/// All problems found.
pub fn validate(recommender: &Recommender) -> Result<Plan, Vec<String>> {
    let mut problems = Vec::new();
    let spec = &recommender.spec;
    let meta = &recommender.metadata;
    let (name, namespace) = (meta.name.clone().unwrap_or_default(), meta.namespace.clone().unwrap_or_default());
    if name.len() > NAME_CHARS_MAX {
        problems.push(format!("metadata.name: {} characters; at most {NAME_CHARS_MAX} are possible", name.len()));
    }
    let source = source(&spec.data.source, "data.source", &namespace, &mut problems);
    let items = spec.data.items.as_ref().map(|items| items_of(items, &namespace, &mut problems));
    let signal = match spec.data.signal {
        Signal::Implicit => sidecar_contract::Signal::Implicit,
        Signal::Explicit => sidecar_contract::Signal::Explicit,
    };
    let weights = weights(&spec.data, &mut problems);
    let algorithm = algorithm(spec, signal, &mut problems);
    let deadline = duration(&spec.training.deadline, "training.deadline", &mut problems);
    let starting_deadline = duration(&spec.training.starting_deadline, "training.startingDeadline", &mut problems);
    let tuning = spec.training.tuning.as_ref().map(|tuning| TuningConfig {
        trials: tuning.trials,
        budget_seconds: duration(&tuning.budget, "training.tuning.budget", &mut problems).as_secs(),
    });
    let checks = spec.training.data_check_interval.as_ref();
    let data_check = checks.map(|text| duration(text, "training.dataCheckInterval", &mut problems));
    let schedule = schedule(&spec.training, &mut problems);
    let csv = csv(&spec.data.csv, "data.csv.delimiter", &mut problems);
    if let Some(store) = &spec.store
        && !store.url.as_deref().is_some_and(is_bucket)
    {
        problems.push(format!("store.url: {:?}; expected s3://bucket, gs://bucket or az://container", store.url));
    }
    let (Some(source), Some(algorithm), true) = (source, algorithm, problems.is_empty()) else {
        return Err(problems);
    };
    let training = Training {
        source,
        format: spec.data.format.map(format),
        csv,
        columns: columns(&spec.data.columns),
        signal,
        weights,
        items: items.flatten(),
        algorithm,
        tuning,
        evaluation: EvaluationConfig {
            split: spec.evaluation.split.map(|split| match split {
                Split::Time => SplitKind::Time,
                Split::Random => SplitKind::Random,
                Split::LeaveLastOut => SplitKind::LeaveLastOut,
                Split::Users => SplitKind::Users,
            }),
            holdout: spec.evaluation.holdout,
            k: spec.evaluation.k,
        },
        seed: spec.training.seed,
        deadline,
        schedule,
        starting_deadline,
        data_check,
    };
    let annotation = |name: &str| meta.annotations.as_ref().and_then(|a| a.get(name)).cloned();
    Ok(Plan {
        namespace,
        name,
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        training,
        spec: spec.clone(),
        secret_versions: BTreeMap::new(),
        retrain_at: annotation(RETRAIN_AT_ANNOTATION),
        promote: annotation(PROMOTE_ANNOTATION),
        fallback: spec.serving.fallback.clone(),
    })
}

fn is_bucket(url: &str) -> bool {
    let bucket = ["s3://", "gs://", "az://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    bucket.is_some_and(|bucket| !bucket.is_empty() && !bucket.starts_with('/') && !bucket.contains(['?', '#']))
}

fn duration(text: &str, field: &str, problems: &mut Vec<String>) -> Duration {
    parse_seconds(text).map_or_else(
        |error| {
            problems.push(format!("{field}: {text:?}; {error}"));
            Duration::ZERO
        },
        Duration::from_secs,
    )
}

fn schedule(training: &recommender_crds::TrainingSpec, problems: &mut Vec<String>) -> Option<Schedule> {
    let parsed = Schedule::parse(training.schedule.as_deref()?, training.time_zone.as_deref());
    parsed.map_err(|error| problems.push(format!("training.{error}"))).ok()
}

/// Subdirectory of the data mount for each source, so that interactions and items may share a kind.
pub const INTERACTIONS_MOUNT: &str = "interactions";
/// See [`INTERACTIONS_MOUNT`].
pub const ITEMS_MOUNT: &str = "items";

/// What a source's URL starts with.
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "https://", "http://"];

fn source(spec: &SourceSpec, field: &str, namespace: &str, problems: &mut Vec<String>) -> Option<Source> {
    let mount = if field == "data.source" { INTERACTIONS_MOUNT } else { ITEMS_MOUNT };
    let file = |path: &str| format!("file://{}/{mount}/{path}", paths::DATA_DIR);
    match (&spec.url, &spec.config_map, &spec.persistent_volume_claim) {
        (Some(url), None, None) if SCHEMES.iter().any(|scheme| url.starts_with(scheme)) => {
            Some(Source { url: url.clone(), described_as: url.clone() })
        }
        (Some(url), None, None) => {
            problems.push(format!("{field}.url: {url:?}; expected s3://bucket/key.csv or s3://bucket/prefix/, gs:// and az:// likewise, or https://host/file.csv"));
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

fn items_of(items: &ItemsSpec, namespace: &str, problems: &mut Vec<String>) -> Option<Items> {
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
    spec: &recommender_crds::RecommenderSpec,
    signal: sidecar_contract::Signal,
    problems: &mut Vec<String>,
) -> Option<Algorithm> {
    Some(match spec.chosen_algorithm() {
        Some(ChosenAlgorithm::Als(als)) => {
            let usual = AlsConfig::usual(signal);
            let degree_exponent = als.degree_exponent.unwrap_or(usual.degree_exponent);
            Algorithm::Als(AlsConfig {
                factors: als.factors,
                iterations: als.iterations,
                regularization: als.regularization,
                regularization_exponent: als.regularization_exponent,
                unobserved_weight: als.unobserved_weight.unwrap_or(usual.unobserved_weight),
                degree_exponent,
                degree_return: als.degree_return.unwrap_or(AlsConfig::usual_return(degree_exponent)),
                samples: als.sampling.map_or(0, |sampling| sampling.samples),
            })
        }
        Some(ChosenAlgorithm::Svd(svd)) => Algorithm::Svd(SvdConfig {
            factors: svd.factors,
            iterations: svd.iterations,
            degree_exponent: svd.degree_exponent.unwrap_or(SvdConfig::default_degree_exponent(signal)),
        }),
        Some(ChosenAlgorithm::Bpr(bpr)) => Algorithm::Bpr(BprConfig {
            factors: bpr.factors,
            iterations: bpr.iterations,
            learning_rate: bpr.learning_rate,
            regularization: bpr.regularization,
        }),
        None => {
            problems.push("algorithm: expected exactly one of als, svd and bpr".to_owned());
            return None;
        }
    })
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

fn weights(data: &recommender_crds::DataSpec, problems: &mut Vec<String>) -> WeightsConfig {
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

fn column(given: &recommender_crds::Column) -> Column {
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

#[cfg(test)]
mod tests;
