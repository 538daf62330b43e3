//! Hyperparameter tuning: a seeded random search around the given parameters, with successive
//! halving.
//!
//! Each algorithm defines its search space ([`algorithms::Search`]). The search also tries fewer
//! iterations than configured, which are often better for lists. The given parameters are replaced
//! only by others that are better by more than one standard error of the paired difference over the
//! same users ([`factorization::PairedDifference`]).

use algorithms::{AlgorithmError, Definition, Draws, definition};
use sidecar_contract::{Algorithm, SearchSummary, TrainingConfig, Trial, TuningConfig};

use super::{
    halving::halve,
    trials::{Attempt, Budget, Origin, Rule, Trials, simplest_of_the_best, with_distances},
    validation::Validation,
};
use crate::{
    failure::RunError,
    merge::InteractionTable,
    progress::{Event, Progress, Step},
};

/// Given parameters, and fewer factors, are preferred whatever fraction of the best value they lose
/// within one standard error.
const LOSS_MAX: f64 = f64::INFINITY;

/// Result of a search.
pub(super) struct Search {
    /// The given parameters, or those that replace them.
    pub(super) algorithm: Algorithm,
    /// All trials, best first, each with its best number of iterations.
    pub(super) trials: Vec<Trial>,
    /// What the search spent.
    pub(super) summary: SearchSummary,
}

/// Searches for parameters; `None` without tuning, or if nothing can be held out for a comparison.
pub(super) fn tune(
    config: &TrainingConfig,
    table: &InteractionTable,
    progress: &dyn Progress,
) -> Result<Option<Search>, RunError> {
    let Some(tuning) = &config.tuning else { return Ok(None) };
    progress.event(&Event::Step(Step::Tune));
    let budget = Budget::new(u32::MAX, tuning.budget_seconds);
    let Some(validation) = Validation::new(config, table)? else {
        tracing::warn!(
            "too few rows to hold out a validation set: tuning is skipped and spec.algorithm is used unchanged; add more rows"
        );
        return Ok(None);
    };
    let trials = Trials::new(config, &validation, budget, progress);
    // The given parameters run first and in full, so that the search never returns worse ones.
    let mut given = Attempt::new(config.algorithm.clone(), Origin::Start)?;
    for iterations in given.rounds().iter().rev() {
        trials.fit(&mut given, *iterations, Rule::ByOneStandardError)?;
    }
    let draws = Draws { shape: trials.shape(), factors_max: tuning.factors_max, seed: config.seed, trial: 0 };
    let mut attempts = drawn(config, tuning, draws)?
        .into_iter()
        .map(|parameters| Attempt::new(parameters, Origin::Draw))
        .collect::<Result<Vec<_>, _>>()?;
    halve(&trials, &mut attempts)?;
    attempts.insert(0, given);
    trials.sort(&mut attempts);
    let factors = |attempt: &Attempt| definition(&attempt.trial.parameters).map_or(u32::MAX, Definition::factors);
    let within = (LOSS_MAX, config.signal);
    let chosen = simplest_of_the_best(&attempts, within, |attempt| (attempt.origin, factors(attempt)));
    let algorithm = chosen.map_or_else(|| config.algorithm.clone(), |chosen| chosen.trial.parameters.clone());
    let summary = trials.summary();
    if summary.stopped_by_time {
        tracing::warn!(
            budget_seconds = tuning.budget_seconds,
            "spec.training.tuning.budget is exhausted, and some trials were not fitted: raise it, or lower the trials"
        );
    }
    Ok(Some(Search { algorithm, trials: with_distances(attempts), summary }))
}

/// Distinct parameters to try besides the given ones. They are deterministic: a longer search
/// starts with the draws of a shorter one.
fn drawn(config: &TrainingConfig, tuning: &TuningConfig, draws: Draws) -> Result<Vec<Algorithm>, AlgorithmError> {
    let search = definition(&config.algorithm)?.search();
    let mut found: Vec<Algorithm> = Vec::new();
    for trial in 1..u64::from(tuning.trials) {
        let parameters = search.draw(config.signal, &Draws { trial, ..draws });
        if parameters != config.algorithm && !found.contains(&parameters) {
            found.push(parameters);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use algorithms::DataShape;
    use sidecar_contract::SvdConfig;

    use super::*;
    use crate::offline::local_config;

    fn draws(config: &TrainingConfig, trials: u32, factors_max: Option<u32>) -> Vec<Algorithm> {
        let shape = DataShape { users: 30_000.0, entries_per_user: 24.0, items: 40_981.0, mean_weight: 1.0 };
        let tuning = TuningConfig { trials, factors_max, ..TuningConfig::default() };
        drawn(config, &tuning, Draws { shape, factors_max, seed: config.seed, trial: 0 }).unwrap()
    }

    #[test]
    fn longer_search_starts_with_the_draws_of_a_shorter_one() {
        let mut config = local_config(Path::new("visits.csv"));
        let (short, long) = (draws(&config, 5, None), draws(&config, 50, None));
        assert_eq!((short.len(), &short[..]), (4, &long[..4]));
        config.seed += 1;
        assert_ne!(long[0], draws(&config, 2, None)[0]);
    }

    #[test]
    fn equal_draws_are_tried_once() {
        let mut config = local_config(Path::new("ratings.csv"));
        config.signal = sidecar_contract::Signal::Explicit;
        config.algorithm = Algorithm::Svd(SvdConfig { degree_exponent: 0.0, ..SvdConfig::default() });
        let mut factors: Vec<_> =
            draws(&config, 100, Some(128)).iter().map(|drawn| drawn.parameters()["factors"].as_u64()).collect();
        factors.sort_unstable();
        assert_eq!(factors, [Some(8), Some(16), Some(32), Some(128)], "64 are given");
    }
}
