//! Better parameters than the given ones: a seeded random search with successive halving (Jamieson and Talwalkar 2016,
//! "Non-stochastic best arm identification and hyperparameter optimization", AISTATS), on a split of the training part. What
//! the run is measured on in the end plays no part in it.
//!
//! Searched is what nobody can guess: λ, for implicit data α₀, η and ρ, and whether fewer sweeps than asked for are better, as they often are
//! for lists. Factors are the user's, who pays for them.
//! λ itself means little without the length of the rows: drawn is what an average user's row is pulled with, λ (n + α₀N)^ν.

use std::time::{Duration, Instant};

use factorization::{
    Interactions,
    random::{below, uniform, word},
};
use sidecar_contract::{Algorithm, AlsConfig, Signal, TrainingConfig, Trial};

use super::{
    check,
    measure::{Judge, Parts},
    split::split,
};
use crate::{
    failure::Stop,
    merge::Merged,
    progress::{Event, Progress, Silent, Step},
};

/// About so many users are asked for a verdict: more of them cost more than the fits do, and tell trials apart no better.
const JUDGES: f64 = 5000.0;
/// Of as many, one goes on.
const REDUCTION: usize = 3;
/// Parts of the sweeps that the rounds are given.
const ROUNDS: [u32; 3] = [4, 2, 1];
/// Where an average user's λ (n + α₀N)^ν is searched, for implicit data.
const STRENGTH: (f64, f64) = (0.05, 20.0);
/// Where α₀ is searched.
const UNOBSERVED_WEIGHT: (f64, f64) = (0.001, 1.0);
/// What is tried of η and ρ.
const DEGREES: [(f64, f64); 3] = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)];
/// Where λ is searched for ratings, with ν = 1.
const RATINGS_REGULARIZATION: (f64, f64) = (0.01, 0.5);

/// All trials, best first, each with the number of sweeps that was best for it. Empty without tuning, or when nothing can be kept
/// to compare by.
pub(super) fn tune(config: &TrainingConfig, merged: &Merged, progress: &dyn Progress) -> Result<Vec<Trial>, Stop> {
    let Some(tuning) = &config.tuning else { return Ok(Vec::new()) };
    progress.event(&Event::Step(Step::Tune));
    let deadline = Instant::now().checked_add(Duration::from_secs(tuning.budget_seconds));
    let Some(parts) = compared(config, merged)? else {
        tracing::warn!(
            "nothing can be kept to compare parameters by: spec.algorithm is taken as it is; bring more rows"
        );
        return Ok(Vec::new());
    };
    let parts = judged(parts, config.seed);
    let judge = Judge::new(config, &parts);
    let value = |parameters: &Algorithm| -> Result<Option<f64>, Stop> {
        let params = check(&TrainingConfig { algorithm: parameters.clone(), ..config.clone() })?;
        match parts.fit(&params, config, &Silent) {
            Ok(model) => Ok(judge.value(&model)),
            // Parameters that cannot be fitted are no good ones; the run goes on with others.
            Err(stop) => {
                tracing::warn!(error = %stop, "a trial failed");
                Ok(None)
            }
        }
    };
    let training = parts.training();
    let shape = Shape {
        mean: training.nnz() as f64 / training.users().max(1) as f64,
        items: training.items() as f64,
        signal: config.signal,
    };
    let is_time_left = || deadline.is_none_or(|deadline| Instant::now() < deadline);
    let fit_for = |trial: &mut Trial, part: u32| -> Result<(), Stop> {
        let sweeps = sweeps(&config.algorithm).div_ceil(part);
        if trial.sweeps != sweeps && is_time_left() {
            let parameters = with_sweeps(&trial.parameters, sweeps);
            let value = value(&parameters)?;
            trial.sweeps = sweeps;
            if cost(value, config.signal) < cost(trial.value, config.signal) {
                (trial.parameters, trial.value) = (parameters, value);
            }
            progress.event(&Event::Trial(trial));
        }
        Ok(())
    };
    let untried = |parameters| Trial { parameters, sweeps: 0, value: None };
    // First and whole: what is found in their place is better than they are.
    let mut given = untried(config.algorithm.clone());
    for part in ROUNDS.into_iter().rev() {
        fit_for(&mut given, part)?;
    }
    let mut trials: Vec<Trial> =
        draws(&config.algorithm, shape, tuning.trials, config.seed).into_iter().map(untried).collect();
    let mut rest = trials.len();
    for part in ROUNDS {
        for trial in trials.iter_mut().take(rest) {
            fit_for(trial, part)?;
        }
        sort(&mut trials, config.signal);
        rest = rest.div_ceil(REDUCTION);
    }
    trials.insert(0, given);
    sort(&mut trials, config.signal);
    if !is_time_left() {
        tracing::warn!(
            budget_seconds = tuning.budget_seconds,
            "spec.training.tuning.budget is used up, and fits may be missing: raise it, or lower the trials"
        );
    }
    Ok(trials)
}

/// A split of what the run is not measured on; `None` when there is none.
fn compared(config: &TrainingConfig, merged: &Merged) -> Result<Option<Parts>, Stop> {
    let Some(kept) = split(config, merged, None)? else { return Ok(None) };
    let Some(compared) = split(config, merged, Some(&kept))? else { return Ok(None) };
    Parts::of(config, merged, &compared)
}

/// What is kept of a sample of the users, by their rows' numbers.
fn judged(parts: Parts, seed: u64) -> Parts {
    let share = share_of_judges(parts.test());
    parts.judged_by(|user| is_judge(user, share, seed))
}

fn share_of_judges(test: &Interactions) -> f64 {
    let measured = (0..test.users()).filter(|user| !test.row(*user).0.is_empty()).count();
    JUDGES / measured as f64
}

fn is_judge(user: usize, share: f64, seed: u64) -> bool {
    uniform(word(seed, u64::MAX, user as u64)) < share
}

/// What a draw is scaled by.
#[derive(Clone, Copy)]
struct Shape {
    /// Entries of an average user.
    mean: f64,
    /// Items.
    items: f64,
    signal: Signal,
}

/// What is tried beside the given parameters. A function of its arguments: the first draws of a longer search are those of a
/// shorter.
fn draws(given: &Algorithm, shape: Shape, trials: u32, seed: u64) -> Vec<Algorithm> {
    let Algorithm::Als(als) = given else { return Vec::new() };
    (1..u64::from(trials)).map(|trial| Algorithm::Als(draw(als, shape, seed, trial))).collect()
}

fn draw(given: &AlsConfig, Shape { mean, items, signal }: Shape, seed: u64, trial: u64) -> AlsConfig {
    let between = |(low, high): (f64, f64), which: u64| low * (high / low).powf(uniform(word(seed, trial, which)));
    let exponent = given.regularization_exponent;
    match signal {
        Signal::Implicit => {
            let unobserved_weight = rounded(between(UNOBSERVED_WEIGHT, 0));
            let evidence = mean + unobserved_weight * items;
            let regularization = rounded(between(STRENGTH, 1) / evidence.powf(exponent));
            let (degree_exponent, degree_return) =
                DEGREES.get(below(word(seed, trial, 2), DEGREES.len())).copied().unwrap_or_default();
            AlsConfig {
                regularization: Some(regularization),
                unobserved_weight,
                degree_exponent,
                degree_return,
                ..given.clone()
            }
        }
        Signal::Explicit => {
            let regularization = rounded(between(RATINGS_REGULARIZATION, 1) * mean.powf(1.0 - exponent));
            AlsConfig { regularization: Some(regularization), ..given.clone() }
        }
    }
}

/// To three digits: what people copy into a resource.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

fn sweeps(parameters: &Algorithm) -> u32 {
    match parameters {
        Algorithm::Als(als) => als.iterations,
        Algorithm::Svd(_) | Algorithm::Bpr(_) => 1,
    }
}

fn with_sweeps(parameters: &Algorithm, iterations: u32) -> Algorithm {
    match parameters {
        Algorithm::Als(als) => Algorithm::Als(AlsConfig { iterations, ..als.clone() }),
        other @ (Algorithm::Svd(_) | Algorithm::Bpr(_)) => other.clone(),
    }
}

/// Best first; what failed last. Equal ones stay in the order of their draws.
fn sort(trials: &mut [Trial], signal: Signal) {
    trials.sort_by(|a, b| cost(a.value, signal).total_cmp(&cost(b.value, signal)));
}

/// Less is better.
fn cost(value: Option<f64>, signal: Signal) -> f64 {
    match (value, signal) {
        (Some(ndcg), Signal::Implicit) => -ndcg,
        (Some(rmse), Signal::Explicit) => rmse,
        (None, _) => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Algorithm {
        Algorithm::Als(AlsConfig::default())
    }

    fn shape(signal: Signal) -> Shape {
        Shape { mean: 24.0, items: 40_981.0, signal }
    }

    #[test]
    fn a_longer_search_begins_like_a_shorter() {
        let short = draws(&given(), shape(Signal::Implicit), 5, 7);
        let long = draws(&given(), shape(Signal::Implicit), 50, 7);
        assert_eq!((short.len(), &short[..]), (4, &long[..4]));
        assert_ne!(long[0], draws(&given(), shape(Signal::Implicit), 2, 8)[0]);
    }

    #[test]
    fn draws_stay_where_they_are_searched() {
        for drawn in draws(&given(), shape(Signal::Implicit), 200, 1) {
            let Algorithm::Als(als) = drawn else { panic!("{drawn:?}") };
            // Half a unit of the third digit of both.
            let strength = als.regularization.unwrap() * (24.0 + als.unobserved_weight * 40_981.0);
            assert!((0.0495..=20.2).contains(&strength), "{als:?}");
            assert!((0.000_995..=1.005).contains(&als.unobserved_weight), "{als:?}");
            assert!(DEGREES.contains(&(als.degree_exponent, als.degree_return)), "{als:?}");
            assert_eq!((als.factors, als.iterations), (64, 15));
        }
        for drawn in draws(&given(), shape(Signal::Explicit), 200, 1) {
            let Algorithm::Als(als) = drawn else { panic!("{drawn:?}") };
            assert!((0.0099..=0.51).contains(&als.regularization.unwrap()), "{als:?}");
            assert!((als.unobserved_weight - 0.1).abs() < f64::EPSILON, "{als:?}");
        }
    }

    #[test]
    fn better_means_more_ndcg_or_less_error_and_what_failed_is_last() {
        let trial = |value| Trial { parameters: given(), sweeps: 15, value };
        let mut trials = vec![trial(Some(0.3)), trial(None), trial(Some(0.5)), trial(Some(0.4))];
        sort(&mut trials, Signal::Implicit);
        assert_eq!(trials, [trial(Some(0.5)), trial(Some(0.4)), trial(Some(0.3)), trial(None)]);
        sort(&mut trials, Signal::Explicit);
        assert_eq!(trials, [trial(Some(0.3)), trial(Some(0.4)), trial(Some(0.5)), trial(None)]);
    }

    #[test]
    fn about_so_many_users_judge_and_of_few_all_do() {
        let test = |users: u32| {
            let entries = (0..users).map(|user| factorization::Entry { user, item: user % 7, value: 1.0 }).collect();
            Interactions::from_entries(users as usize, 7, entries).unwrap()
        };
        let judged = |test: Interactions| {
            let share = share_of_judges(&test);
            test.keep_users(|user| is_judge(user, share, 1))
        };
        let few = test(4999);
        assert_eq!(judged(few.clone()), few);
        let many = judged(test(100_000));
        // Six standard deviations of a binomial.
        assert!((many.nnz() as f64 - JUDGES).abs() < 6.0 * JUDGES.sqrt(), "{}", many.nnz());
        assert_eq!((many.users(), many.items()), (100_000, 7));
    }
}
