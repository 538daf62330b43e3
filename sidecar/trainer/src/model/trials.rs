//! Trials: parameters that are fitted to splits of the training part ([`Validation`]) and compared on
//! the same users.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use algorithms::{AlgorithmError, DataShape, definition};
use factorization::{PairedDifference, mean_weight};
use sidecar_contract::{Algorithm, SearchSummary, Signal, TrainingConfig, Trial};

use super::{
    check,
    evaluator::Evaluator,
    parts::Parts,
    validation::{MeanValue, Validation},
};
use crate::{
    failure::RunError,
    progress::{Event, Progress, Silent},
};

/// Divisors of the number of iterations, per round.
const ROUNDS: [u32; 3] = [4, 2, 1];
/// Maximum number of standard errors that a trial reports. A difference that is the same for all
/// users has no standard error.
const STANDARD_ERRORS_MAX: f64 = 1000.0;

/// Where the parameters of an attempt are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// Given, or defaults.
    Start,
    /// A random draw.
    Draw,
}

/// A trial, and its value by user.
pub(super) struct Attempt {
    pub(super) trial: Trial,
    pub(super) origin: Origin,
    /// Iterations of its longest fit if it advances to the last round.
    longest: u32,
    /// Empty before the first fit that succeeds.
    by_user: Vec<f64>,
}

impl Attempt {
    pub(super) fn new(parameters: Algorithm, origin: Origin) -> Result<Self, AlgorithmError> {
        let longest = definition(&parameters)?.iterations();
        let trial = Trial { parameters, iterations_run: 0, value: None, standard_errors_below_best: None };
        Ok(Self { trial, origin, longest, by_user: Vec::new() })
    }

    /// Iterations of each round, ascending and distinct.
    pub(super) fn rounds(&self) -> Vec<u32> {
        let mut rounds = ROUNDS.map(|divisor| self.longest.div_ceil(divisor)).to_vec();
        rounds.dedup();
        rounds
    }

    /// Whether these values are better by more than one standard error; any is better than none.
    fn is_surpassed_by(&self, by_user: &[f64]) -> bool {
        match self.trial.value {
            None => !by_user.is_empty(),
            Some(_) => PairedDifference::new(by_user, &self.by_user).is_some_and(|difference| difference.is_higher()),
        }
    }
}

/// When the parameters of a new fit replace those of the trial.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// If they are better.
    Better,
    /// If they are better by more than one standard error.
    ByOneStandardError,
}

/// Limits of a search.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    /// Maximum number of fits.
    pub(super) fits: u32,
    /// Time after which no fit starts; `None` without a limit.
    pub(super) deadline: Option<Instant>,
}

impl Budget {
    /// A budget that starts now.
    pub(super) fn new(fits: u32, seconds: u64) -> Self {
        Self { fits, deadline: Instant::now().checked_add(Duration::from_secs(seconds)) }
    }
}

/// Fits and evaluates trials within a budget.
pub(super) struct Trials<'a> {
    config: &'a TrainingConfig,
    first: &'a Parts,
    splits: Vec<(&'a Parts, Evaluator<'a>)>,
    budget: Budget,
    progress: &'a dyn Progress,
    fits: Cell<u32>,
    stopped_by_time: Cell<bool>,
}

impl<'a> Trials<'a> {
    pub(super) fn new(
        config: &'a TrainingConfig,
        validation: &'a Validation,
        budget: Budget,
        progress: &'a dyn Progress,
    ) -> Self {
        let first = validation.first();
        let splits = validation.splits().map(|parts| (parts, Evaluator::new(config, parts))).collect();
        Self { config, first, splits, budget, progress, fits: Cell::new(0), stopped_by_time: Cell::new(false) }
    }

    /// Statistics of the training part.
    pub(super) fn shape(&self) -> DataShape {
        let training = self.first.training();
        let users = (0..training.users()).filter(|user| !training.row(*user).0.is_empty()).count().max(1) as f64;
        DataShape {
            users,
            entries_per_user: training.nnz() as f64 / users,
            items: training.items() as f64,
            mean_weight: mean_weight(training),
        }
    }

    /// Fits the attempt's parameters with this number of iterations, to each split, which counts as
    /// one fit. Does nothing if the budget is exhausted.
    pub(super) fn fit(&self, attempt: &mut Attempt, iterations: u32, rule: Rule) -> Result<(), RunError> {
        if self.fits.get() >= self.budget.fits || self.stopped_by_time.get() {
            return Ok(());
        }
        if self.budget.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.stopped_by_time.set(true);
            return Ok(());
        }
        self.fits.set(self.fits.get() + 1);
        let parameters = definition(&attempt.trial.parameters)?.with_iterations(iterations);
        let measured = self.measure(&parameters)?;
        attempt.trial.iterations_run = attempt.trial.iterations_run.max(iterations);
        if let Some(MeanValue { metric, by_user }) = measured
            && match rule {
                Rule::Better => {
                    let signal = self.config.signal;
                    cost(Some(metric), signal) < cost(attempt.trial.value, signal)
                }
                Rule::ByOneStandardError => attempt.is_surpassed_by(&by_user),
            }
        {
            attempt.trial.parameters = parameters;
            attempt.trial.value = Some(metric);
            attempt.by_user = by_user;
        }
        self.progress.event(&Event::Trial(&attempt.trial));
        Ok(())
    }

    /// `None` for parameters that cannot be fitted: they rank last, and the search continues.
    fn measure(&self, parameters: &Algorithm) -> Result<Option<MeanValue>, RunError> {
        let params = check(&TrainingConfig { algorithm: parameters.clone(), ..self.config.clone() })?;
        let value = |(parts, evaluator): &(&Parts, Evaluator<'_>)| match parts.fit(&params, self.config, &Silent) {
            Ok(model) => evaluator.value(&model),
            Err(error) => {
                tracing::warn!(%error, "a trial failed");
                None
            }
        };
        Ok(MeanValue::mean(self.splits.iter().map(value)))
    }

    /// Sorts best first and failed trials last. Ties stay in their order.
    pub(super) fn sort(&self, attempts: &mut [Attempt]) {
        sort(attempts, self.config.signal);
    }

    /// What the search spent so far.
    pub(super) fn summary(&self) -> SearchSummary {
        SearchSummary { fits: self.fits.get(), stopped_by_time: self.stopped_by_time.get(), limited: Vec::new() }
    }
}

/// The simplest of the attempts that the best does not surpass by more than one standard error
/// (Breiman, Friedman, Olshen and Stone 1984, "Classification and regression trees", section
/// 3.4.3), nor by more than a fraction of its value; of equally simple ones the best. `None` if all
/// failed. Attempts must be sorted.
pub(super) fn simplest_of_the_best<K: Ord>(
    attempts: &[Attempt],
    (loss_max, signal): (f64, Signal),
    simplicity: impl Fn(&Attempt) -> K,
) -> Option<&Attempt> {
    let best = attempts.first()?;
    let least = cost(best.trial.value, signal);
    let is_close = |attempt: &Attempt| cost(attempt.trial.value, signal) - least <= loss_max * least.abs();
    let is_good = |attempt: &&Attempt| {
        attempt.trial.value.is_some() && is_close(attempt) && !attempt.is_surpassed_by(&best.by_user)
    };
    attempts.iter().filter(is_good).min_by_key(|attempt| simplicity(attempt))
}

/// The trials of sorted attempts, each with its distance from the best.
pub(super) fn with_distances(attempts: Vec<Attempt>) -> Vec<Trial> {
    let best = attempts.first().map(|best| best.by_user.clone()).unwrap_or_default();
    let distance = |attempt: &Attempt| {
        let PairedDifference { mean, standard_error } = PairedDifference::new(&best, &attempt.by_user)?;
        // Without a difference 0 / 0 is not a number.
        Some(if mean > 0.0 { (mean / standard_error).min(STANDARD_ERRORS_MAX) } else { 0.0 })
    };
    let trial = |(rank, attempt): (usize, Attempt)| Trial {
        standard_errors_below_best: (rank > 0).then(|| distance(&attempt)).flatten(),
        ..attempt.trial
    };
    attempts.into_iter().enumerate().map(trial).collect()
}

fn sort(attempts: &mut [Attempt], signal: Signal) {
    attempts.sort_by(|a, b| cost(a.trial.value, signal).total_cmp(&cost(b.trial.value, signal)));
}

/// Lower is better.
fn cost(value: Option<f64>, signal: Signal) -> f64 {
    match (value, signal) {
        (Some(ndcg), Signal::Implicit) => -ndcg,
        (Some(rmse), Signal::Explicit) => rmse,
        (None, _) => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use sidecar_contract::AlsConfig;

    use super::*;

    fn attempt(value: Option<f64>, by_user: &[f64]) -> Attempt {
        let mut attempt = Attempt::new(Algorithm::Als(AlsConfig::WIRE_DEFAULT), Origin::Draw).unwrap();
        attempt.trial.value = value;
        attempt.by_user = by_user.to_vec();
        attempt
    }

    #[test]
    fn trials_are_sorted_by_ndcg_or_error_with_failed_ones_last() {
        let mut attempts: Vec<Attempt> =
            [Some(0.3), None, Some(0.5), Some(0.4)].map(|value| attempt(value, &[])).into();
        let values = |attempts: &[Attempt]| attempts.iter().map(|attempt| attempt.trial.value).collect::<Vec<_>>();
        sort(&mut attempts, Signal::Implicit);
        assert_eq!(values(&attempts), [Some(0.5), Some(0.4), Some(0.3), None]);
        sort(&mut attempts, Signal::Explicit);
        assert_eq!(values(&attempts), [Some(0.3), Some(0.4), Some(0.5), None]);
    }

    #[test]
    fn parameters_are_replaced_by_those_that_are_better_by_more_than_one_standard_error() {
        // Differences of 0.1 and 0: mean and standard error are 0.05.
        let given = attempt(Some(0.375), &[0.5, 0.25]);
        assert!(!given.is_surpassed_by(&[0.6, 0.25]));
        assert!(given.is_surpassed_by(&[0.6, 0.26]));
        assert!(!given.is_surpassed_by(&[0.5, 0.25]) && !given.is_surpassed_by(&[]));
        // Parameters that cannot be fitted are replaced by any that can.
        assert!(attempt(None, &[]).is_surpassed_by(&[0.0, 0.0]) && !attempt(None, &[]).is_surpassed_by(&[]));
    }

    #[test]
    fn the_simplest_attempt_within_one_standard_error_of_the_best_is_chosen() {
        // Mean difference and standard error to the best: 0.05 and 0.05, 0.1 and 0, 0.05 and 0.05.
        let attempts = [
            attempt(Some(0.5), &[0.6, 0.4]),
            attempt(Some(0.45), &[0.5, 0.4]),
            attempt(Some(0.45), &[0.6, 0.3]),
            attempt(Some(0.4), &[0.5, 0.3]),
            attempt(None, &[]),
        ];
        let position = |simplicity: [u32; 5]| {
            let of = |chosen: &Attempt| attempts.iter().position(|attempt| std::ptr::eq(attempt, chosen)).unwrap();
            simplest_of_the_best(&attempts, (1.0, Signal::Implicit), |attempt| simplicity[of(attempt)]).map(of)
        };
        assert_eq!(position([5, 4, 3, 2, 1]), Some(2));
        assert_eq!(position([5, 3, 3, 2, 1]), Some(1), "of equally simple ones the best");
        assert_eq!(position([1, 1, 1, 1, 1]), Some(0));
        let failed = [attempt(None, &[]), attempt(None, &[])];
        assert!(simplest_of_the_best(&failed, (1.0, Signal::Implicit), |_| 0).is_none());
    }

    #[test]
    fn a_simpler_attempt_is_not_chosen_if_it_loses_more_than_a_fraction() {
        // One of two users decides, so everything is within one standard error of the best.
        let chosen = |values: [f64; 2], (sign, signal): (f64, Signal)| {
            let attempts = values.map(|value| attempt(Some(value), &[sign * value, 0.0]));
            let simplicity = |attempt: &Attempt| u32::from(attempt.trial.value == Some(values[0]));
            simplest_of_the_best(&attempts, (0.01, signal), simplicity).and_then(|chosen| chosen.trial.value)
        };
        let (ndcg, rmse) = ((1.0, Signal::Implicit), (-1.0, Signal::Explicit));
        assert_eq!((chosen([0.5, 0.496], ndcg), chosen([0.5, 0.494], ndcg)), (Some(0.496), Some(0.5)));
        assert_eq!((chosen([0.9, 0.908], rmse), chosen([0.9, 0.91], rmse)), (Some(0.908), Some(0.9)));
    }

    #[test]
    fn distances_are_standard_errors_of_the_paired_difference() {
        let attempts = vec![
            attempt(Some(0.5), &[0.75, 0.25]),
            // Differences 0.25 and 0: mean and standard error are 0.125.
            attempt(Some(0.375), &[0.5, 0.25]),
            attempt(Some(0.25), &[0.5, 0.0]),
            attempt(None, &[]),
        ];
        let distances: Vec<_> =
            with_distances(attempts).into_iter().map(|trial| trial.standard_errors_below_best).collect();
        assert_eq!(distances, [None, Some(1.0), Some(STANDARD_ERRORS_MAX), None]);
    }
}
