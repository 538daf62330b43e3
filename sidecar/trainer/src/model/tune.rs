//! Hyperparameter tuning: a seeded random search with successive halving (Jamieson and Talwalkar
//! 2016, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS) on a
//! split of the training part. The held-out set of the run is not used.
//!
//! Each algorithm defines its search space ([`algorithms::Search`]). The search also tries fewer
//! iterations than configured, which are often better for lists. The given parameters are replaced
//! only by others that are better by more than one standard error of the paired difference over the
//! same users ([`factorization::paired`]).

use std::time::{Duration, Instant};

use algorithms::{AlgorithmError, DataShape, definition};
use factorization::{
    Interactions, PairedDifference,
    random::{uniform, word},
};
use sidecar_contract::{Algorithm, Signal, TrainingConfig, Trial};

use super::{
    check,
    evaluator::{Evaluator, Value},
    parts::Parts,
    split::split,
};
use crate::{
    failure::RunError,
    merge::InteractionTable,
    progress::{Event, Progress, Silent, Step},
};

/// Approximate number of users that a trial is evaluated on. With more users the evaluation costs
/// more than the fits, without separating the trials better.
const EVAL_USERS_MAX: f64 = 5000.0;
/// One in this many trials advances to the next round.
const REDUCTION: usize = 3;
/// Divisors of the number of iterations, per round.
const ROUNDS: [u32; 3] = [4, 2, 1];

/// Result of a search.
pub(super) struct Tuning {
    /// The given parameters, or those that replace them.
    pub(super) algorithm: Algorithm,
    /// All trials, best first, each with its best number of iterations.
    pub(super) trials: Vec<Trial>,
}

/// A trial, and its value by user.
struct Attempt {
    trial: Trial,
    /// Empty before the first fit that succeeds.
    by_user: Vec<f64>,
}

impl Attempt {
    fn new(parameters: Algorithm) -> Self {
        Self { trial: Trial { parameters, iterations_run: 0, value: None }, by_user: Vec::new() }
    }

    /// Whether these values are better by more than one standard error; any is better than none.
    fn is_surpassed_by(&self, by_user: &[f64]) -> bool {
        match self.trial.value {
            None => !by_user.is_empty(),
            Some(_) => PairedDifference::new(by_user, &self.by_user).is_some_and(|difference| difference.is_higher()),
        }
    }
}

/// Searches for parameters; `None` without tuning, or if nothing can be held out for a comparison.
pub(super) fn tune(
    config: &TrainingConfig,
    table: &InteractionTable,
    progress: &dyn Progress,
) -> Result<Option<Tuning>, RunError> {
    let Some(tuning) = &config.tuning else { return Ok(None) };
    progress.event(&Event::Step(Step::Tune));
    let deadline = Instant::now().checked_add(Duration::from_secs(tuning.budget_seconds));
    let Some(parts) = validation_parts(config, table)? else {
        tracing::warn!(
            "too few rows to hold out a validation set: tuning is skipped and spec.algorithm is used unchanged; add more rows"
        );
        return Ok(None);
    };
    let parts = sample_eval_users(parts, config.seed);
    let evaluator = Evaluator::new(config, &parts);
    let value = |parameters: &Algorithm| -> Result<Option<Value>, RunError> {
        let params = check(&TrainingConfig { algorithm: parameters.clone(), ..config.clone() })?;
        match parts.fit(&params, config, &Silent) {
            Ok(model) => Ok(evaluator.value(&model)),
            // Parameters that cannot be fitted rank last; the run continues with others.
            Err(error) => {
                tracing::warn!(%error, "a trial failed");
                Ok(None)
            }
        }
    };
    let training = parts.training();
    let shape = DataShape {
        entries_per_user: training.nnz() as f64 / training.users().max(1) as f64,
        items: training.items() as f64,
    };
    let is_time_left = || deadline.is_none_or(|deadline| Instant::now() < deadline);
    let run = |attempt: &mut Attempt, iterations: u32, rule: Rule| -> Result<(), RunError> {
        if !is_time_left() {
            return Ok(());
        }
        let parameters = definition(&attempt.trial.parameters)?.with_iterations(iterations);
        let value = value(&parameters)?;
        attempt.trial.iterations_run = attempt.trial.iterations_run.max(iterations);
        if let Some(Value { metric, by_user }) = value
            && match rule {
                Rule::Better => cost(Some(metric), config.signal) < cost(attempt.trial.value, config.signal),
                Rule::ByOneStandardError => attempt.is_surpassed_by(&by_user),
            }
        {
            attempt.trial.parameters = parameters;
            attempt.trial.value = Some(metric);
            attempt.by_user = by_user;
        }
        progress.event(&Event::Trial(&attempt.trial));
        Ok(())
    };
    let longest = definition(&config.algorithm)?.iterations();
    let mut iterations = ROUNDS.map(|divisor| longest.div_ceil(divisor)).to_vec();
    iterations.dedup();
    // The given parameters run first and in full, so that the search never returns worse ones.
    let mut given = Attempt::new(config.algorithm.clone());
    for iterations in iterations.iter().rev() {
        run(&mut given, *iterations, Rule::ByOneStandardError)?;
    }
    let draws = draws(&config.algorithm, config.signal, shape, tuning.trials, config.seed)?;
    let mut attempts: Vec<Attempt> = draws.into_iter().map(Attempt::new).collect();
    let mut remaining = attempts.len();
    for iterations in iterations {
        for attempt in attempts.iter_mut().take(remaining) {
            run(attempt, iterations, Rule::Better)?;
        }
        sort(&mut attempts, config.signal);
        remaining = remaining.div_ceil(REDUCTION);
    }
    let best = attempts.first().filter(|best| given.is_surpassed_by(&best.by_user));
    let algorithm = best.unwrap_or(&given).trial.parameters.clone();
    attempts.insert(0, given);
    sort(&mut attempts, config.signal);
    if !is_time_left() {
        tracing::warn!(
            budget_seconds = tuning.budget_seconds,
            "spec.training.tuning.budget is exhausted, and some trials may not have been fitted: raise it, or lower the trials"
        );
    }
    Ok(Some(Tuning { algorithm, trials: attempts.into_iter().map(|attempt| attempt.trial).collect() }))
}

/// When the parameters of a new fit replace those of the trial.
#[derive(Clone, Copy)]
enum Rule {
    /// If they are better.
    Better,
    /// If they are better by more than one standard error.
    ByOneStandardError,
}

/// A split of the run's training part; `None` if no useful split exists.
fn validation_parts(config: &TrainingConfig, table: &InteractionTable) -> Result<Option<Parts>, RunError> {
    let Some(outer) = split(config, table, None)? else { return Ok(None) };
    let Some(inner) = split(config, table, Some(&outer))? else { return Ok(None) };
    Parts::new(config, table, &inner)
}

/// Restricts the evaluation to a random sample of the test users.
fn sample_eval_users(parts: Parts, seed: u64) -> Parts {
    let fraction = eval_user_fraction(parts.test());
    parts.restrict_test_users(|user| is_eval_user(user, fraction, seed))
}

fn eval_user_fraction(test: &Interactions) -> f64 {
    let test_users = (0..test.users()).filter(|user| !test.row(*user).0.is_empty()).count();
    EVAL_USERS_MAX / test_users as f64
}

fn is_eval_user(user: usize, fraction: f64, seed: u64) -> bool {
    uniform(word(seed, u64::MAX, user as u64)) < fraction
}

/// Parameters to try besides the given ones. They are deterministic: a longer search starts with
/// the draws of a shorter one.
fn draws(
    given: &Algorithm,
    signal: Signal,
    shape: DataShape,
    trials: u32,
    seed: u64,
) -> Result<Vec<Algorithm>, AlgorithmError> {
    let Some(search) = definition(given)?.search() else { return Ok(Vec::new()) };
    Ok((1..u64::from(trials)).map(|trial| search.draw(signal, shape, seed, trial)).collect())
}

/// Sorts best first and failed trials last. Ties stay in the order of the draws.
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

    fn given() -> Algorithm {
        Algorithm::Als(AlsConfig::WIRE_DEFAULT)
    }

    #[test]
    fn longer_search_starts_with_the_draws_of_a_shorter_one() {
        let shape = DataShape { entries_per_user: 24.0, items: 40_981.0 };
        let draws = |trials, seed| draws(&given(), Signal::Implicit, shape, trials, seed).unwrap();
        let (short, long) = (draws(5, 7), draws(50, 7));
        assert_eq!((short.len(), &short[..]), (4, &long[..4]));
        assert_ne!(long[0], draws(2, 8)[0]);
    }

    #[test]
    fn trials_are_sorted_by_ndcg_or_error_with_failed_ones_last() {
        let mut attempts: Vec<Attempt> = [Some(0.3), None, Some(0.5), Some(0.4)].map(attempt).into();
        let values = |attempts: &[Attempt]| attempts.iter().map(|attempt| attempt.trial.value).collect::<Vec<_>>();
        sort(&mut attempts, Signal::Implicit);
        assert_eq!(values(&attempts), [Some(0.5), Some(0.4), Some(0.3), None]);
        sort(&mut attempts, Signal::Explicit);
        assert_eq!(values(&attempts), [Some(0.3), Some(0.4), Some(0.5), None]);
    }

    fn attempt(value: Option<f64>) -> Attempt {
        let mut attempt = Attempt::new(given());
        attempt.trial.value = value;
        attempt
    }

    #[test]
    fn parameters_are_replaced_by_those_that_are_better_by_more_than_one_standard_error() {
        // Differences of 0.1 and 0: mean and standard error are 0.05.
        let given = Attempt { by_user: vec![0.5, 0.25], ..attempt(Some(0.375)) };
        assert!(!given.is_surpassed_by(&[0.6, 0.25]));
        assert!(given.is_surpassed_by(&[0.6, 0.26]));
        assert!(!given.is_surpassed_by(&[0.5, 0.25]) && !given.is_surpassed_by(&[]));
        // Parameters that cannot be fitted are replaced by any that can.
        assert!(attempt(None).is_surpassed_by(&[0.0, 0.0]) && !attempt(None).is_surpassed_by(&[]));
    }

    #[test]
    fn large_test_sets_are_sampled_and_small_ones_are_not() {
        let test = |users: u32| {
            let entries = (0..users).map(|user| factorization::Entry { user, item: user % 7, value: 1.0 }).collect();
            Interactions::from_entries(users as usize, 7, entries).unwrap()
        };
        let sampled = |test: Interactions| {
            let fraction = eval_user_fraction(&test);
            test.keep_users(|user| is_eval_user(user, fraction, 1))
        };
        let few = test(4999);
        assert_eq!(sampled(few.clone()), few);
        let many = sampled(test(100_000));
        // Six standard deviations of a binomial.
        assert!((many.nnz() as f64 - EVAL_USERS_MAX).abs() < 6.0 * EVAL_USERS_MAX.sqrt(), "{}", many.nnz());
        assert_eq!((many.users(), many.items()), (100_000, 7));
    }
}
