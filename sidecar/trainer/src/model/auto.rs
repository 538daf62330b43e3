//! The choice of an algorithm: a random search over the parameters of all algorithms that suit the
//! data (Thornton, Hutter, Hoos and Leyton-Brown 2013, "Auto-WEKA: combined selection and
//! hyperparameter optimization of classification algorithms", KDD), with successive halving.
//!
//! Every candidate is fitted with its defaults first, then draws of all candidates compete. The
//! simplest within one standard error and one per cent of the best is chosen: the one with the
//! fewest factors, then by [`algorithms::Simplicity`], then defaults before draws.

use algorithms::{DataShape, Draws, definition};
use sidecar_contract::{Algorithm, AutoConfig, LimitedAlgorithm, SearchSummary, TrainingConfig};

use super::{
    halving::{draws_within, halve},
    memory::{MemoryBudget, Shortage},
    resolve_defaults::resolve_defaults,
    trials::{Attempt, Budget, Origin, Rule, Trials, simplest_of_the_best, with_distances},
    tune::Search,
    validation::Validation,
};
use crate::{
    data::Data,
    failure::{FailureReason, RunError},
    merge::InteractionTable,
    progress::{Event, Progress, Step},
};

/// Number of factors of a candidate's defaults, within the limits.
const FACTORS_DEFAULT: u32 = 64;
/// Minimum number of factors that memory limits leave to a candidate.
const FACTORS_MIN: u32 = 8;

/// Maximum fraction of the best value that a simpler attempt may lose. Of few users one standard
/// error is more.
const LOSS_MAX: f64 = 0.01;

/// An algorithm of the search.
struct Candidate {
    /// Its defaults.
    start: Algorithm,
    factors_max: u32,
}

/// Chooses an algorithm and its parameters.
pub(super) fn choose(
    config: &TrainingConfig,
    auto: &AutoConfig,
    data: &Data,
    progress: &dyn Progress,
) -> Result<Search, RunError> {
    progress.event(&Event::Step(Step::Tune));
    let table = &data.interactions;
    let budget = Budget::new(auto.fits, auto.budget_seconds);
    let (candidates, limited) = candidates(config, auto, data)?;
    let Some(first) = candidates.first() else { return Err(no_candidate(&limited)) };
    let mut search = Search {
        algorithm: first.start.clone(),
        trials: Vec::new(),
        summary: SearchSummary { limited, ..SearchSummary::default() },
    };
    let Some(validation) = Validation::new(config, table)? else {
        tracing::warn!(
            algorithm = first.start.name(),
            "too few rows to hold out a validation set: spec.algorithm.auto is not a choice; add more rows"
        );
        return Ok(search);
    };
    let trials = Trials::new(config, &validation, budget, progress);
    let mut attempts = Vec::new();
    for candidate in &candidates {
        let mut attempt = Attempt::new(candidate.start.clone(), Origin::Start)?;
        if let Some(iterations) = attempt.rounds().last() {
            trials.fit(&mut attempt, *iterations, Rule::Better)?;
        }
        attempts.push(attempt);
    }
    let remaining = auto.fits.saturating_sub(trials.summary().fits);
    let mut drawn = draws(config, &candidates, trials.shape(), draws_within(remaining))?;
    halve(&trials, &mut drawn)?;
    attempts.append(&mut drawn);
    trials.sort(&mut attempts);
    let simplicity = |attempt: &Attempt| {
        let defined = definition(&attempt.trial.parameters).ok();
        (defined.map(|defined| (defined.factors(), defined.simplicity())), attempt.origin)
    };
    if let Some(chosen) = simplest_of_the_best(&attempts, (LOSS_MAX, config.signal), simplicity) {
        search.algorithm = chosen.trial.parameters.clone();
    }
    search.summary = SearchSummary { limited: search.summary.limited, ..trials.summary() };
    search.trials = with_distances(attempts);
    if search.summary.stopped_by_time {
        tracing::warn!(
            budget_seconds = auto.budget_seconds,
            "spec.algorithm.auto.budget is exhausted before all fits: raise it, or lower spec.algorithm.auto.fits"
        );
    }
    tracing::info!(
        algorithm = sidecar_contract::canonical_json(&search.algorithm),
        fits = search.summary.fits,
        "spec.algorithm.auto has chosen"
    );
    Ok(search)
}

/// The algorithms that take and suit the data, with the factors that memory allows, and those that
/// are limited.
fn candidates(
    config: &TrainingConfig,
    auto: &AutoConfig,
    data: &Data,
) -> Result<(Vec<Candidate>, Vec<LimitedAlgorithm>), RunError> {
    let shape = shape(&data.interactions);
    let budget = MemoryBudget::new(config, auto, data);
    let within_data = shape.factors_max(auto.factors_max);
    let (mut candidates, mut limited) = (Vec::new(), Vec::new());
    for name in Algorithm::NAMES {
        let defaults = Algorithm::with_defaults(name, config.signal, serde_json::Map::new());
        let defaults =
            defaults.map_err(|error| RunError::permanent(FailureReason::ConfigInvalid, error.to_string()))?;
        let defined = definition(&defaults)?;
        let unsupported = defined.unsupported(config.signal).map(str::to_owned);
        if let Some(reason) = unsupported.or_else(|| defined.unsuitable(&shape)) {
            limited.push(LimitedAlgorithm { name: name.to_owned(), factors_max: None, reason });
            continue;
        }
        let (factors_max, shortage) = within_memory(config, &defaults, within_data, &budget)?;
        if let Some(shortage) = shortage {
            limited.push(LimitedAlgorithm { name: name.to_owned(), factors_max, reason: shortage.to_string() });
        }
        let Some(factors_max) = factors_max else { continue };
        let start = defined.with_factors(FACTORS_DEFAULT.min(factors_max));
        let start = TrainingConfig { algorithm: start, ..config.clone() };
        let start = resolve_defaults(&start, &data.interactions)?.algorithm.clone();
        candidates.push(Candidate { start, factors_max });
    }
    Ok((candidates, limited))
}

/// The largest number of factors up to `factors_max`, halved as often as necessary, that the memory
/// allows, and what is short for the given one. `None` if the memory allows not even the minimum.
fn within_memory(
    config: &TrainingConfig,
    algorithm: &Algorithm,
    factors_max: u32,
    budget: &MemoryBudget,
) -> Result<(Option<u32>, Option<Shortage>), RunError> {
    let mut factors = factors_max;
    let mut first_shortage = None;
    loop {
        let algorithm = definition(algorithm)?.with_factors(factors);
        let params = algorithms::check(&algorithm, config.signal)?;
        let Some(shortage) = budget.shortage(config, &params) else { return Ok((Some(factors), first_shortage)) };
        first_shortage.get_or_insert(shortage);
        if factors <= FACTORS_MIN {
            return Ok((None, Some(shortage)));
        }
        factors = (factors / 2).max(FACTORS_MIN);
    }
}

/// Why there is no candidate. An algorithm without memory for its minimum is among the limited
/// ones.
fn no_candidate(limited: &[LimitedAlgorithm]) -> RunError {
    let reasons: Vec<String> = limited.iter().map(|limited| format!("{}: {}", limited.name, limited.reason)).collect();
    RunError::permanent(
        FailureReason::CapacityInsufficient,
        format!("spec.algorithm.auto can try no algorithm, even with {FACTORS_MIN} factors. {}", reasons.join("; ")),
    )
}

/// Distinct draws, from all candidates in turn.
fn draws(
    config: &TrainingConfig,
    candidates: &[Candidate],
    shape: DataShape,
    count: usize,
) -> Result<Vec<Attempt>, RunError> {
    let mut found: Vec<Algorithm> = candidates.iter().map(|candidate| candidate.start.clone()).collect();
    // A search space may have fewer than `count` distinct draws.
    'trials: for trial in 1..=count as u64 {
        for Candidate { start, factors_max } in candidates {
            if found.len() == candidates.len() + count {
                break 'trials;
            }
            let draws = Draws { shape, factors_max: Some(*factors_max), seed: config.seed, trial };
            let parameters = definition(start)?.search().draw(config.signal, &draws);
            if !found.contains(&parameters) {
                found.push(parameters);
            }
        }
    }
    let drawn = found.into_iter().skip(candidates.len());
    Ok(drawn.map(|parameters| Attempt::new(parameters, Origin::Draw)).collect::<Result<_, _>>()?)
}

/// Sizes of the data, without weights: before a weighting, these mean nothing.
fn shape(table: &InteractionTable) -> DataShape {
    let users = (table.user_ids.len() as f64).max(1.0);
    let items = table.item_ids.len() as f64;
    DataShape { users, entries_per_user: table.items.len() as f64 / users, items, mean_weight: 1.0 }
}
