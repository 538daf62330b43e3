//! split ► fit ► measure ► refit ► write: the computations of a run, on merged interactions.

mod auto;
mod check;
mod cold;
mod evaluator;
mod halving;
mod incumbent;
mod measure;
mod memory;
mod parts;
mod ranked;
mod rated;
mod resolve_defaults;
mod revision;
mod split;
mod trials;
mod tune;
mod validation;
mod warm;

use std::{borrow::Cow, io::BufWriter, num::NonZeroUsize, ops::ControlFlow, path::Path};

use factorization::{
    CodeParts, Entry, Fit as _, FitError, Interactions, IterationReport, Model, OwnedRows, RatingScale, TwoHopModel,
    ValidParams, WarmStart, popularity,
};
use model_snapshot::{Biases, ItemCodes, Metadata, ModelParts, Rows, Scale, Seen, Snapshot, StringTable, TwoHopRows};
use sidecar_contract::{Algorithm, Metrics, RunOutcome, SearchSummary, Signal, TrainingConfig, Trial};

use crate::{
    data::Data,
    failure::{FailureReason, RunError, chain},
    merge::InteractionTable,
    progress::{Event, Progress, Step},
    weights::SplitWeighting,
};
use revision::ServingRevision;
use tune::Search;
use warm::WarmStartModel;

pub(crate) use check::{check, check_config};
pub(crate) use measure::{compares_with_revision, measurable_users};
pub use memory::forecast as memory_forecast;
pub use model_snapshot::Written;

/// A trained model in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Digest and length of the file.
    pub written: Written,
    /// Users in the model.
    pub users: u64,
    /// Items in the model.
    pub items: u64,
    /// Distinct (user, item) pairs.
    pub interactions: u64,
    /// The fitted algorithm: the config's, or the best that tuning found.
    pub algorithm: Algorithm,
    /// Time of the newest row in Unix microseconds; `None` without times.
    pub newest_row_micros: Option<i64>,
    /// Metrics on the held-out set; `None` if nothing could be held out.
    pub metrics: Option<Metrics>,
    /// The objective after each iteration of the refit.
    pub objective: Vec<f64>,
    /// The trials of the search, best first.
    pub trials: Vec<Trial>,
    /// What the search spent; `None` without one.
    pub search: Option<SearchSummary>,
}

impl Trained {
    /// The outcome for the run's result.
    pub fn outcome(self) -> RunOutcome {
        let Self {
            written,
            users,
            items,
            interactions,
            algorithm,
            newest_row_micros,
            metrics,
            objective,
            trials,
            search,
        } = self;
        RunOutcome::Trained {
            digest: written.digest,
            snapshot_bytes: written.bytes,
            algorithm: algorithm.name().to_owned(),
            parameters: Some(algorithm),
            users,
            items,
            interactions,
            newest_row_micros,
            metrics,
            objective,
            trials,
            search,
        }
    }
}

/// Models of earlier runs.
#[derive(Clone, Copy, Default)]
pub(crate) struct EarlierModels<'a> {
    /// The model of the config's warm start.
    pub(crate) warm_start: Option<&'a Snapshot>,
    /// The config's incumbent.
    pub(crate) incumbent: Option<&'a Snapshot>,
}

/// Result of tuning, with metrics on data that neither the search nor the fit used.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The given parameters, or better ones.
    pub algorithm: Algorithm,
    /// The trials, best first.
    pub trials: Vec<Trial>,
    /// What the search spent.
    pub search: Option<SearchSummary>,
    /// Metrics of these parameters.
    pub metrics: Option<Metrics>,
}

/// Evaluates a fit without the held-out set, then fits on all rows, optionally with a warm start,
/// and writes the model to `file`.
pub(crate) fn train(
    config: &TrainingConfig,
    data: &Data,
    progress: &dyn Progress,
    threads: Option<NonZeroUsize>,
    file: &Path,
    earlier: EarlierModels<'_>,
) -> Result<Trained, RunError> {
    in_pool(threads, || {
        let (given, choice) = with_algorithm(config, data, progress)?;
        let given = given.as_ref();
        let (config, params) = prepare(given, data)?;
        let config = config.as_ref();
        // Validated first, so that an invalid warm start fails before hours of computation.
        let warm_start = match earlier.warm_start {
            Some(snapshot) if choice.is_some() && !WarmStartModel::suits(config, snapshot)? => {
                tracing::warn!(
                    "the fit starts from the seed: the model for the warm start has another algorithm or number of factors than the chosen one"
                );
                None
            }
            snapshot => WarmStartModel::new(config, snapshot, &data.interactions)?,
        };
        let Searched { config, params, trials, summary } = match choice {
            Some(choice) => {
                Searched { config: Cow::Borrowed(config), params, trials: choice.trials, summary: Some(choice.summary) }
            }
            None => tuned(config, params, &data.interactions, progress)?,
        };
        let cold_config = if matches!(config, Cow::Owned(_)) { config.as_ref() } else { given };
        let metrics = measured((config.as_ref(), &params), cold_config, data, earlier.incumbent, progress)?;
        let config = config.as_ref();
        progress.event(&Event::Step(Step::Refit));
        let all = interactions(&data.interactions, |_| true)?;
        let all = SplitWeighting::fit(&config.weights, &data.interactions, &all, |_| true).transform(all, |_| true);
        let (mut model, objective) = match &warm_start {
            None => fit(&all, &params, config.seed, None, progress)?,
            Some(start) => fit(&all, &start.params(config)?, config.seed, Some(&start.warm_start()), progress)?,
        };
        drop(warm_start);
        let cold_items = cold::append(&mut model, data.features.as_ref(), config.seed);
        let written = write(config, data, &all, &model, cold_items, file)?;
        // Verification reads the file into memory; model and data are freed first.
        drop((model, all));
        verify(file, &written)?;
        let table = &data.interactions;
        Ok(Trained {
            written,
            users: table.user_ids.len() as u64,
            items: (table.item_ids.len() + cold_items) as u64,
            interactions: table.items.len() as u64,
            algorithm: config.algorithm.clone(),
            newest_row_micros: table.times.as_ref().and_then(|times| times.iter().copied().max()),
            metrics,
            objective,
            trials,
            search: summary,
        })
    })
}

/// Evaluates the fit of a config with all parameters set, and of `cold_config` the factors that are
/// derived from item features: the parameters that it does not set are those of the cold-start fit.
fn measured(
    (config, params): (&TrainingConfig, &ValidParams),
    cold_config: &TrainingConfig,
    data: &Data,
    incumbent: Option<&Snapshot>,
    progress: &dyn Progress,
) -> Result<Option<Metrics>, RunError> {
    let table = &data.interactions;
    let serving = incumbent.and_then(|snapshot| ServingRevision::new(snapshot, config.signal, &table.item_ids));
    let Some(metrics) = measure::measure(config, params, table, serving.as_ref(), progress)? else { return Ok(None) };
    Ok(Some(Metrics { cold_items: cold::measure(cold_config, data, progress)?, ..metrics }))
}

/// The config with an algorithm, and the search that has chosen it; `None` if the config has one.
fn with_algorithm<'a>(
    config: &'a TrainingConfig,
    data: &Data,
    progress: &dyn Progress,
) -> Result<(Cow<'a, TrainingConfig>, Option<Search>), RunError> {
    let Algorithm::Auto(limits) = &config.algorithm else { return Ok((Cow::Borrowed(config), None)) };
    check_config(config)?;
    check_values(config, &data.interactions)?;
    let search = auto::choose(config, limits, data, progress)?;
    Ok((Cow::Owned(TrainingConfig { algorithm: search.algorithm.clone(), ..config.clone() }), Some(search)))
}

/// A config with the parameters that a search finds.
struct Searched<'a> {
    config: Cow<'a, TrainingConfig>,
    params: ValidParams,
    trials: Vec<Trial>,
    /// `None` without a search.
    summary: Option<SearchSummary>,
}

/// The config with the parameters that tuning finds; without tuning, the unchanged config.
fn tuned<'a>(
    config: &'a TrainingConfig,
    params: ValidParams,
    interactions: &InteractionTable,
    progress: &dyn Progress,
) -> Result<Searched<'a>, RunError> {
    let Some(Search { algorithm, trials, summary }) = tune::tune(config, interactions, progress)? else {
        return Ok(Searched { config: Cow::Borrowed(config), params, trials: Vec::new(), summary: None });
    };
    if algorithm == config.algorithm {
        return Ok(Searched { config: Cow::Borrowed(config), params, trials, summary: Some(summary) });
    }
    let config = TrainingConfig { algorithm, ..config.clone() };
    let params = check(&config)?;
    Ok(Searched { config: Cow::Owned(config), params, trials, summary: Some(summary) })
}

/// Tunes, and evaluates the parameters that it returns.
pub(crate) fn tune(
    config: &TrainingConfig,
    data: &Data,
    progress: &dyn Progress,
    threads: Option<NonZeroUsize>,
) -> Result<Tuned, RunError> {
    in_pool(threads, || {
        let (config, choice) = with_algorithm(config, data, progress)?;
        let (config, params) = prepare(&config, data)?;
        let interactions = &data.interactions;
        let Searched { config: found, params, trials, summary } = match choice {
            Some(choice) => Searched { config, params, trials: choice.trials, summary: Some(choice.summary) },
            None => tuned(&config, params, interactions, progress)?,
        };
        let metrics = measure::measure(&found, &params, interactions, None, progress)?;
        Ok(Tuned { algorithm: found.algorithm.clone(), trials, search: summary, metrics })
    })
}

/// Evaluates only.
pub(crate) fn measure(
    config: &TrainingConfig,
    data: &Data,
    progress: &dyn Progress,
    threads: Option<NonZeroUsize>,
) -> Result<Option<Metrics>, RunError> {
    in_pool(threads, || {
        let (config, _) = with_algorithm(config, data, progress)?;
        let (prepared, params) = prepare(&config, data)?;
        measured((&prepared, &params), &config, data, None, progress)
    })
}

/// Validates config and data before the first iteration; returns the config with defaults that
/// depend on the data.
fn prepare<'a>(config: &'a TrainingConfig, data: &Data) -> Result<(Cow<'a, TrainingConfig>, ValidParams), RunError> {
    check(config)?;
    let interactions = &data.interactions;
    check_values(config, interactions)?;
    memory::check(config, data)?;
    let config = resolve_defaults::resolve_defaults(config, interactions)?;
    let params = check(&config)?;
    Ok((config, params))
}

/// Rejects weights or ratings without information.
fn check_values(config: &TrainingConfig, interactions: &InteractionTable) -> Result<(), RunError> {
    match config.signal {
        Signal::Implicit if !interactions.weights.iter().any(|weight| *weight > 0.0) => Err(RunError::permanent(
            FailureReason::TooFewInteractions,
            "there are no positive interactions: every rating is 0 or less, which is a dislike. Check spec.data.columns.rating",
        )),
        Signal::Explicit if are_equal(&interactions.weights) => {
            let only = interactions.weights.first().copied().unwrap_or_default();
            Err(RunError::bad_data(format!(
                "every rating is {only}, so ratings carry no preference: set spec.data.columns.rating to the column of the \
                 ratings, or spec.data.signal to implicit"
            )))
        }
        Signal::Implicit | Signal::Explicit => Ok(()),
    }
}

fn are_equal(ratings: &[f32]) -> bool {
    ratings.windows(2).all(|pair| matches!(pair, [a, b] if a.total_cmp(b).is_eq()))
}

fn in_pool<T: Send>(
    threads: Option<NonZeroUsize>,
    work: impl FnOnce() -> Result<T, RunError> + Send,
) -> Result<T, RunError> {
    let Some(threads) = threads else { return work() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build();
    pool.map_err(|error| RunError::transient(format!("cannot start {threads} threads: {error}")))?.install(work)
}

/// The interactions whose positions `keep` selects; users and items keep their numbers.
fn interactions(table: &InteractionTable, keep: impl Fn(usize) -> bool) -> Result<Interactions, RunError> {
    let weighted = table.items.iter().zip(&table.weights);
    let entries = table
        .users()
        .zip(weighted)
        .enumerate()
        .filter(|(position, _)| keep(*position))
        .map(|(_, (user, (&item, &value)))| Entry { user, item, value })
        .collect();
    Interactions::from_entries(table.user_ids.len(), table.item_ids.len(), entries)
        .map_err(|error| RunError::permanent(FailureReason::CapacityInsufficient, chain(&error)))
}

/// Fits a model; also returns the objective after each iteration.
fn fit(
    interactions: &Interactions,
    params: &ValidParams,
    seed: u64,
    warm_start: Option<&WarmStart<'_>>,
    progress: &dyn Progress,
) -> Result<(Model, Vec<f64>), RunError> {
    let mut objective = Vec::new();
    let mut after_iteration = |report: &IterationReport| {
        objective.push(report.objective);
        progress.event(&Event::Iteration {
            iteration: report.iteration,
            iterations: report.iterations,
            objective: report.objective,
        });
        ControlFlow::Continue(())
    };
    match params.fit(interactions, seed, warm_start, &mut after_iteration) {
        Ok(model) => Ok((model, objective)),
        Err(error @ FitError::Empty) => Err(RunError::permanent(FailureReason::TooFewInteractions, chain(&error))),
        Err(error @ (FitError::WarmStart { .. } | FitError::NoWarmStart)) => {
            Err(RunError::permanent(FailureReason::ConfigInvalid, chain(&error)))
        }
        Err(error @ (FitError::Row { .. } | FitError::Basis { .. } | FitError::Cancelled { .. })) => {
            Err(RunError::permanent(FailureReason::TrainingDiverged, format!("the fit failed: {}", chain(&error))))
        }
    }
}

/// The relevant interactions for popularity and ranked lists: positive weights, or ratings that are
/// not below most ratings.
fn likes<'a>(interactions: &'a Interactions, scale: Option<&RatingScale>) -> Cow<'a, Interactions> {
    scale.map_or(Cow::Borrowed(interactions), |scale| Cow::Owned(scale.likes(interactions)))
}

fn write(
    config: &TrainingConfig,
    data: &Data,
    all: &Interactions,
    model: &Model,
    cold_items: usize,
    file: &Path,
) -> Result<Written, RunError> {
    let Data { interactions: table, features } = data;
    let ratings = model.ratings.as_ref();
    // Cold-start items have no interactions.
    let (mut item_counts, popular_items) = popularity(&likes(all, ratings.map(|ratings| &ratings.scale)));
    item_counts.resize(item_counts.len() + cold_items, 0);
    let mut item_ids = Cow::Borrowed(&table.item_ids);
    if let Some(features) = features
        && cold_items > 0
    {
        item_ids = Cow::Owned(table.item_ids.iter().chain(features.cold_ids.iter()).collect::<StringTable>());
    }
    let two_hop = model.two_hop.as_ref();
    let span = two_hop.and_then(TwoHopModel::span);
    let pairs = two_hop.and_then(TwoHopModel::pairs);
    let metadata = Metadata {
        algorithm: config.algorithm.clone(),
        signal: config.signal,
        seed: config.seed,
        users: table.user_ids.len() as u64,
        items: item_ids.len() as u64,
        factors: model.gram.nrows() as u64,
        interactions: table.items.len() as u64,
        mean_degree_weight: model.mean_degree_weight,
        ratings: ratings.map(|ratings| {
            let RatingScale { mean, deviation, low, high } = ratings.scale;
            Scale { mean, deviation, low, high }
        }),
        two_hop_entries: two_hop.map(|two_hop| two_hop.index().users_of_items().columns().len() as u64),
        two_hop_first_square: span.map(|(_, first_square)| first_square),
        two_hop_pair_items: pairs.map(|pairs| pairs.items() as u64),
        cold_items: cold_items as u64,
    };
    // The weights of the fit: folding them in gives the stored factors.
    let weights = all.values();
    #[allow(clippy::float_cmp, reason = "exactly 1 is the weight of a row without a rating")]
    let weighted = weights.iter().any(|weight| *weight != 1.0);
    let item_biases = ratings.map(|ratings| ratings.items.as_slice());
    let codes = factorization::ItemCodes::new(model.item_factors.view(), item_biases);
    let parts = ModelParts {
        metadata: &metadata,
        user_ids: &table.user_ids,
        item_ids: &item_ids,
        user_factors: model.user_factors.view(),
        item_factors: model.item_factors.view(),
        gram: model.gram.view(),
        biases: ratings.map(|ratings| Biases { users: &ratings.users, items: &ratings.items }),
        item_counts: &item_counts,
        popular_items: &popular_items,
        seen: Seen { offsets: &table.offsets, items: &table.items, weights: weighted.then_some(weights) },
        two_hop: two_hop.map(TwoHopModel::index).map(|index| TwoHopRows {
            lists: rows(index.users_of_items()),
            rows: index.items_of_users().map(rows),
            span: span.map(|(matrix, _)| matrix),
            pairs: pairs.map(|pairs| pairs.sums()),
        }),
        item_codes: codes.as_ref().map(|codes| {
            let CodeParts { order, codes, scales, bounds } = codes.parts();
            ItemCodes { order, codes, scales, bounds }
        }),
    };
    let out = std::fs::File::create(file).map_err(|error| cannot_write(file, &error))?;
    model_snapshot::write(&parts, BufWriter::new(out)).map_err(|error| cannot_write(file, &error))
}

fn rows(rows: &OwnedRows) -> Rows<'_> {
    Rows { offsets: rows.offsets(), columns: rows.columns(), weights: rows.values() }
}

/// Verifies the snapshot, so that an unreadable file is never stored.
fn verify(file: &Path, written: &Written) -> Result<(), RunError> {
    Snapshot::read(file)
        .and_then(|snapshot| snapshot.verify_digest(&written.digest))
        .map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &dyn std::error::Error) -> RunError {
    RunError::transient(format!("cannot write the snapshot to {}: {}", file.display(), chain(error)))
}
