//! split ► fit ► measure ► refit ► write: the arithmetic of a run, on merged interactions.

mod check;
mod cold;
mod measure;
mod memory;
mod ranked;
mod rated;
mod split;
mod tune;
mod usual;
mod warm;

use std::{borrow::Cow, io::BufWriter, num::NonZeroUsize, ops::ControlFlow, path::Path};

use factorization::{
    Earlier, Entry, FitError, Interactions, Model, RatingScale, SweepReport, ValidParams, fit_als, fit_als_from,
    fit_bpr, fit_explicit_als, fit_explicit_als_from, fit_svd, popularity,
};
use model_snapshot::{Biases, Metadata, ModelParts, Scale, Seen, Snapshot, StringTable};
use sidecar_contract::{Algorithm, Metrics, RunOutcome, Signal, TrainingConfig, Trial};

use crate::{
    data::Data,
    failure::{FailureReason, Stop, chain},
    merge::Merged,
    progress::{Event, Progress, Step},
    weights::PartWeights,
};
use warm::Warm;

pub(crate) use check::check;
pub(crate) use measure::measurable_users;
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
    /// Different pairs.
    pub interactions: u64,
    /// What was fitted: the config's algorithm, or what tuning found.
    pub algorithm: Algorithm,
    /// What was measured; `None` when nothing could be kept for measuring.
    pub metrics: Option<Metrics>,
    /// The objective after each sweep of the refit.
    pub objective: Vec<f64>,
    /// What tuning tried, best first.
    pub trials: Vec<Trial>,
}

impl Trained {
    /// The same, for the run's result.
    pub fn outcome(self) -> RunOutcome {
        let Self { written, users, items, interactions, algorithm, metrics, objective, trials } = self;
        RunOutcome::Trained {
            digest: written.digest,
            snapshot_bytes: written.bytes,
            algorithm: algorithm.name().to_owned(),
            parameters: Some(algorithm),
            users,
            items,
            interactions,
            metrics,
            objective,
            trials,
        }
    }
}

/// What tuning found, and how good that is on what neither the search nor the fit saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The best parameters.
    pub algorithm: Algorithm,
    /// What was tried, best first.
    pub trials: Vec<Trial>,
    /// Of the best parameters.
    pub metrics: Option<Metrics>,
}

/// Measures a fit without the kept part, then fits on everything, perhaps from an earlier model, and writes that to `file`.
pub(crate) fn train(
    config: &TrainingConfig,
    data: &Data,
    progress: &dyn Progress,
    threads: Option<NonZeroUsize>,
    file: &Path,
    earlier: Option<&Snapshot>,
) -> Result<Trained, Stop> {
    in_pool(threads, || {
        let (config, params) = prepare(config, &data.interactions, data.attributes.cold_items())?;
        let config = config.as_ref();
        // Before hours are spent on what cannot start.
        let warm = Warm::of(config, earlier, &data.interactions)?;
        let (config, params, trials) = tuned(config, params, &data.interactions, progress)?;
        let config = config.as_ref();
        let metrics = measured(config, &params, data, progress)?;
        progress.event(&Event::Step(Step::Refit));
        let all = interactions(&data.interactions, |_| true)?;
        let all = PartWeights::of(&config.weights, &data.interactions, &all, |_| true).weigh(all);
        let (mut model, objective) = match &warm {
            None => fit(&all, &params, config, None, progress)?,
            Some(warm) => fit(&all, &warm.params(config)?, config, Some(&warm.earlier()), progress)?,
        };
        drop(warm);
        let cold_items = cold::append(&mut model, &data.attributes, config.seed);
        let written = write(config, data, &all, &model, cold_items, file)?;
        // The file is mapped to be checked: not on top of what it was made of.
        drop((model, all));
        verify(file, &written)?;
        let merged = &data.interactions;
        Ok(Trained {
            written,
            users: merged.user_ids.len() as u64,
            items: (merged.item_ids.len() + cold_items) as u64,
            interactions: merged.items.len() as u64,
            algorithm: config.algorithm.clone(),
            metrics,
            objective,
            trials,
        })
    })
}

/// Measures the fit, and the factors that attributes give.
fn measured(
    config: &TrainingConfig,
    params: &ValidParams,
    data: &Data,
    progress: &dyn Progress,
) -> Result<Option<Metrics>, Stop> {
    let Some(metrics) = measure::measure(config, params, &data.interactions, progress)? else { return Ok(None) };
    Ok(Some(Metrics { cold_items: cold::measure(config, params, data, progress)?, ..metrics }))
}

/// The config with the parameters that its tuning finds; without tuning, the config.
fn tuned<'a>(
    config: &'a TrainingConfig,
    params: ValidParams,
    interactions: &Merged,
    progress: &dyn Progress,
) -> Result<(Cow<'a, TrainingConfig>, ValidParams, Vec<Trial>), Stop> {
    let trials = tune::tune(config, interactions, progress)?;
    let best = trials.first().filter(|best| best.value.is_some());
    let Some(best) = best else { return Ok((Cow::Borrowed(config), params, trials)) };
    let config = TrainingConfig { algorithm: best.parameters.clone(), ..config.clone() };
    let params = check(&config)?;
    Ok((Cow::Owned(config), params, trials))
}

/// Tunes, and measures the best parameters.
pub(crate) fn tune(
    config: &TrainingConfig,
    interactions: &Merged,
    progress: &dyn Progress,
    threads: Option<NonZeroUsize>,
) -> Result<Tuned, Stop> {
    in_pool(threads, || {
        let (config, params) = prepare(config, interactions, 0)?;
        let (best, params, trials) = tuned(&config, params, interactions, progress)?;
        let metrics = measure::measure(&best, &params, interactions, progress)?;
        Ok(Tuned { algorithm: best.algorithm.clone(), trials, metrics })
    })
}

/// Measures only.
pub(crate) fn measure(
    config: &TrainingConfig,
    data: &Data,
    progress: &dyn Progress,
    threads: Option<NonZeroUsize>,
) -> Result<Option<Metrics>, Stop> {
    in_pool(threads, || {
        let (config, params) = prepare(config, &data.interactions, 0)?;
        measured(&config, &params, data, progress)
    })
}

/// What must hold before the first sweep; gives the config with the parameters that hang on the data.
fn prepare<'a>(
    config: &'a TrainingConfig,
    interactions: &Merged,
    cold_items: usize,
) -> Result<(Cow<'a, TrainingConfig>, ValidParams), Stop> {
    let params = check(config)?;
    match config.signal {
        Signal::Implicit if !interactions.weights.iter().any(|weight| *weight > 0.0) => {
            return Err(Stop::failed(
                FailureReason::TooFewInteractions,
                "no user likes any item: every rating is 0 or less, which is a dislike. Check spec.data.columns.rating",
            ));
        }
        Signal::Explicit if are_equal(&interactions.weights) => {
            let only = interactions.weights.first().copied().unwrap_or_default();
            return Err(Stop::bad_data(format!(
                "every rating is {only}, which says nothing of what users like: set spec.data.columns.rating to the column of \
                 the ratings, or spec.data.signal to implicit"
            )));
        }
        Signal::Implicit | Signal::Explicit => {}
    }
    memory::check(interactions, cold_items, &params)?;
    let config = usual::completed(config, interactions)?;
    let params = check(&config)?;
    Ok((config, params))
}

fn are_equal(ratings: &[f32]) -> bool {
    ratings.windows(2).all(|pair| matches!(pair, [a, b] if a.total_cmp(b).is_eq()))
}

fn in_pool<T: Send>(threads: Option<NonZeroUsize>, work: impl FnOnce() -> Result<T, Stop> + Send) -> Result<T, Stop> {
    let Some(threads) = threads else { return work() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build();
    pool.map_err(|error| Stop::retry(format!("cannot start {threads} threads: {error}")))?.install(work)
}

/// The interactions whose position is kept, with the numbering of all.
fn interactions(merged: &Merged, keep: impl Fn(usize) -> bool) -> Result<Interactions, Stop> {
    let weighted = merged.items.iter().zip(&merged.weights);
    let entries = merged
        .users()
        .zip(weighted)
        .enumerate()
        .filter(|(position, _)| keep(*position))
        .map(|(_, (user, (&item, &value)))| Entry { user, item, value })
        .collect();
    Interactions::from_entries(merged.user_ids.len(), merged.item_ids.len(), entries)
        .map_err(|error| Stop::failed(FailureReason::CapacityInsufficient, chain(&error)))
}

/// Fits, and says the objective after each sweep.
fn fit(
    interactions: &Interactions,
    params: &ValidParams,
    TrainingConfig { signal, seed, .. }: &TrainingConfig,
    earlier: Option<&Earlier<'_>>,
    progress: &dyn Progress,
) -> Result<(Model, Vec<f64>), Stop> {
    let (signal, seed) = (*signal, *seed);
    let mut objective = Vec::new();
    let mut after_sweep = |report: &SweepReport| {
        objective.push(report.objective);
        progress.event(&Event::Sweep { sweep: report.sweep, of: report.sweeps, objective: report.objective });
        ControlFlow::Continue(())
    };
    let fitted = match (params, earlier) {
        (ValidParams::Als(params), None) => fit_als(interactions, params, seed, &mut after_sweep),
        (ValidParams::Als(params), Some(earlier)) => {
            fit_als_from(interactions, params, seed, earlier, &mut after_sweep)
        }
        (ValidParams::ExplicitAls(params), None) => fit_explicit_als(interactions, params, seed, &mut after_sweep),
        (ValidParams::ExplicitAls(params), Some(earlier)) => {
            fit_explicit_als_from(interactions, params, seed, earlier, &mut after_sweep)
        }
        (ValidParams::Bpr(params), _) => fit_bpr(interactions, params, seed, &mut after_sweep),
        (ValidParams::Svd(params), _) => {
            fit_svd(interactions, signal == Signal::Explicit, params, seed, &mut after_sweep)
        }
    };
    match fitted {
        Ok(model) => Ok((model, objective)),
        Err(error @ FitError::Empty) => Err(Stop::failed(FailureReason::TooFewInteractions, chain(&error))),
        Err(error @ FitError::Start { .. }) => Err(Stop::failed(FailureReason::ConfigInvalid, chain(&error))),
        Err(error @ (FitError::Row { .. } | FitError::Basis { .. } | FitError::Cancelled { .. })) => {
            Err(Stop::failed(FailureReason::TrainingDiverged, format!("the fit failed: {}", chain(&error))))
        }
    }
}

/// What counts for popularity and for ranked lists: positive weights, or ratings that are no worse than most.
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
) -> Result<Written, Stop> {
    let Data { interactions: merged, attributes } = data;
    let ratings = model.ratings.as_ref();
    // What nobody has met is popular with nobody.
    let (mut item_counts, popular_items) = popularity(&likes(all, ratings.map(|ratings| &ratings.scale)));
    item_counts.resize(item_counts.len() + cold_items, 0);
    let mut item_ids = Cow::Borrowed(&merged.item_ids);
    if let Some(kinds) = &attributes.kinds
        && cold_items > 0
    {
        item_ids = Cow::Owned(merged.item_ids.iter().chain(kinds.cold_ids.iter()).collect::<StringTable>());
    }
    let metadata = Metadata {
        format_version: Metadata::version(ratings.is_some(), cold_items as u64, model.mean_share.is_some()),
        algorithm: config.algorithm.clone(),
        signal: config.signal,
        seed: config.seed,
        users: merged.user_ids.len() as u64,
        items: item_ids.len() as u64,
        factors: model.gram.nrows() as u64,
        interactions: merged.items.len() as u64,
        mean_share: model.mean_share,
        ratings: ratings.map(|ratings| {
            let RatingScale { mean, deviation, low, high } = ratings.scale;
            Scale { mean, deviation, low, high }
        }),
        cold_items: cold_items as u64,
    };
    // As the fit saw them: folding them in gives the stored factors.
    let weights = all.values();
    #[allow(clippy::float_cmp, reason = "exactly 1 is what a row without a rating weighs")]
    let weighted = weights.iter().any(|weight| *weight != 1.0);
    let parts = ModelParts {
        metadata: &metadata,
        user_ids: &merged.user_ids,
        item_ids: &item_ids,
        user_factors: model.user_factors.view(),
        item_factors: model.item_factors.view(),
        gram: model.gram.view(),
        biases: ratings.map(|ratings| Biases { users: &ratings.users, items: &ratings.items }),
        item_counts: &item_counts,
        popular_items: &popular_items,
        seen: Seen { offsets: &merged.offsets, items: &merged.items, weights: weighted.then_some(weights) },
        titles: attributes.titles.as_ref(),
        available: attributes.available.as_deref(),
    };
    let out = std::fs::File::create(file).map_err(|error| cannot_write(file, &error))?;
    model_snapshot::write(&parts, BufWriter::new(out)).map_err(|error| cannot_write(file, &error))
}

/// What no reader would open must not get a name.
fn verify(file: &Path, written: &Written) -> Result<(), Stop> {
    Snapshot::open(file)
        .and_then(|snapshot| snapshot.verify_digest(&written.digest))
        .map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &dyn std::error::Error) -> Stop {
    Stop::retry(format!("cannot write the snapshot to {}: {}", file.display(), chain(error)))
}
