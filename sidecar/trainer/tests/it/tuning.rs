//! Tuning improves on bad parameters, reports its trials, and trains the model with the best
//! parameters.

use std::num::NonZeroUsize;

use recommender_trainer::{progress::Silent, tune};
use sidecar_contract::{Algorithm, AlsConfig, ExitCode, RunOutcome, SearchSummary, Signal, Trial, TuningConfig};

use crate::setup::{Setup, csv, grouped_ratings, grouped_visits, runtime};

/// The regularization is far too strong: it shrinks every row to zero.
fn bad() -> AlsConfig {
    AlsConfig { factors: 8, iterations: 4, regularization: Some(50.0), ..AlsConfig::WIRE_DEFAULT }
}

fn tuned(name: &str, content: &str, signal: Signal, trials: u32) -> Setup {
    let mut setup = Setup::new(name, content);
    setup.config.signal = signal;
    setup.config.algorithm = Algorithm::Als(bad());
    setup.config.tuning = Some(TuningConfig { trials, ..TuningConfig::default() });
    setup
}

/// Value of the given parameters.
fn given_value(trials: &[Trial]) -> f64 {
    let is_given = |trial: &&Trial| matches!(&trial.parameters, Algorithm::Als(als) if als.regularization > Some(10.0));
    trials.iter().find(is_given).unwrap().value.unwrap()
}

#[test]
fn tuning_improves_on_the_given_parameters_and_trains_with_the_best() {
    let mut setup = tuned("visits.csv", &csv(&grouped_visits()), Signal::Implicit, 9);
    // Too few iterations for a small weight of what users did not visit.
    let worse = AlsConfig { iterations: 1, unobserved_weight: 0.001, degree_exponent: 0.5, ..bad() };
    setup.config.algorithm = Algorithm::Als(worse);
    let (result, snapshot) = setup.trained();
    let RunOutcome::Trained { digest, parameters: Some(found), metrics: Some(metrics), trials, .. } = &result.outcome
    else {
        panic!("{result:?}")
    };
    assert_eq!(trials.len(), 9);
    assert_eq!(trials[0].parameters, *found);
    assert!(trials[0].value.unwrap() > given_value(trials), "{trials:?}");
    assert_eq!(snapshot.metadata().algorithm, *found);
    // The same parameters in the resource give the same model and the same metrics.
    let mut again = Setup::new("visits.csv", csv(&grouped_visits()));
    again.config.algorithm = found.clone();
    let (result, _) = again.trained();
    let RunOutcome::Trained { digest: expected, metrics: expected_metrics, .. } = &result.outcome else {
        panic!("{result:?}")
    };
    assert_eq!((digest, Some(metrics)), (expected, expected_metrics.as_ref()));
}

#[test]
fn parameters_that_are_better_by_less_than_one_standard_error_do_not_replace_the_given_ones() {
    // Nearly the best regularization.
    let mut setup = tuned("visits.csv", &csv(&grouped_visits()), Signal::Implicit, 9);
    let close = AlsConfig { regularization: Some(0.03), ..bad() };
    setup.config.algorithm = Algorithm::Als(close.clone());
    let (result, _) = setup.trained();
    let RunOutcome::Trained { parameters: Some(Algorithm::Als(used)), trials, .. } = &result.outcome else {
        panic!("{result:?}")
    };
    let is_given =
        |trial: &&Trial| matches!(&trial.parameters, Algorithm::Als(als) if als.regularization == close.regularization);
    let given = trials.iter().find(is_given).unwrap();
    assert!(given.standard_errors_below_best.is_some_and(|errors| errors > 0.0 && errors < 1.0), "{trials:?}");
    assert_eq!(*used, AlsConfig { iterations: used.iterations, ..close });
}

#[test]
fn tuning_of_ratings_minimizes_rmse() {
    let setup = tuned("ratings.csv", &grouped_ratings(), Signal::Explicit, 9);
    let tuned = runtime().block_on(async { tune(&setup.config, &Silent, &setup.options).await }).unwrap();
    assert!(tuned.trials[0].value.unwrap() < given_value(&tuned.trials), "{:?}", tuned.trials);
    assert_eq!(tuned.metrics.unwrap().metric, "rmse");
}

#[test]
fn zero_budget_keeps_the_given_parameters() {
    let mut setup = tuned("visits.csv", &csv(&grouped_visits()), Signal::Implicit, 9);
    setup.config.tuning = Some(TuningConfig { trials: 9, budget_seconds: 0, factors_max: None });
    let (result, _) = setup.trained();
    let RunOutcome::Trained { parameters, .. } = &result.outcome else { panic!("{result:?}") };
    assert_eq!(*parameters, Some(setup.config.algorithm.clone()));
}

#[test]
fn data_without_a_validation_set_is_trained_with_the_given_parameters() {
    let setup = tuned("visits.csv", "user_id,item_id\na,1\n", Signal::Implicit, 4);
    let (result, _) = setup.trained();
    let RunOutcome::Trained { parameters, trials, .. } = &result.outcome else { panic!("{result:?}") };
    assert_eq!((parameters, trials.len()), (&Some(setup.config.algorithm.clone()), 0));
}

#[test]
fn invalid_numbers_of_trials_fail() {
    for trials in [0, 1, 1001] {
        let setup = tuned("visits.csv", &csv(&grouped_visits()), Signal::Implicit, trials);
        let message = setup.failed(ExitCode::Usage, "ConfigInvalid");
        assert!(message.contains(&format!("spec.training.tuning.trials is {trials}: expected")), "{message}");
    }
}

/// The model, the parameters and the trials of a run.
fn outcome(setup: &Setup, threads: usize) -> (Vec<u8>, Algorithm, Vec<Trial>, SearchSummary) {
    let mut setup =
        Setup { options: setup.options.clone(), config: setup.config.clone(), directory: tempfile::tempdir().unwrap() };
    setup.options.threads = NonZeroUsize::new(threads);
    setup.config.store.url = format!("file://{}", setup.directory.path().join("store").display());
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, parameters: Some(parameters), trials, search: Some(search), .. } = result.outcome
    else {
        panic!()
    };
    (std::fs::read(setup.snapshot_path(&digest)).unwrap(), parameters, trials, search)
}

#[test]
fn every_algorithm_is_tuned_with_equal_results_for_any_number_of_threads() {
    for (name, signal) in
        [("als", Signal::Implicit), ("svd", Signal::Implicit), ("bpr", Signal::Implicit), ("svd", Signal::Explicit)]
    {
        let content = if signal == Signal::Implicit { csv(&grouped_visits()) } else { grouped_ratings() };
        let mut setup = Setup::new("rows.csv", content);
        setup.config.signal = signal;
        // With the two-hop term one factor would suffice.
        let given = serde_json::json!({"factors": 1, "iterations": 4, "coOccurrenceWeight": 0});
        let given = given.as_object().unwrap().clone();
        setup.config.algorithm = Algorithm::with_defaults(name, signal, given).unwrap();
        setup.config.tuning = Some(TuningConfig { trials: 6, factors_max: Some(16), ..TuningConfig::default() });
        let expected = outcome(&setup, 1);
        let (_, chosen, trials, search) = &expected;
        assert_eq!(outcome(&setup, 2), expected, "{name}");
        assert!(!search.stopped_by_time);
        let factors = |algorithm: &Algorithm| algorithm.parameters()["factors"].as_u64().unwrap();
        assert!(
            trials
                .iter()
                .all(|trial| trial.parameters.name() == name && [1, 8, 16].contains(&factors(&trial.parameters)))
        );
        assert!(factors(chosen) > 1, "one factor cannot tell three groups apart: {trials:?}");
        let distance = |algorithm: &Algorithm| {
            let trial = trials.iter().find(|trial| trial.parameters == *algorithm).unwrap();
            trial.standard_errors_below_best.unwrap_or(0.0)
        };
        assert!(distance(chosen) <= 1.0, "{name}: {trials:?}");
        let is_simpler = |trial: &&Trial| factors(&trial.parameters) < factors(chosen);
        assert!(trials.iter().filter(is_simpler).all(|trial| distance(&trial.parameters) > 1.0), "{name}: {trials:?}");
    }
}

#[test]
fn a_search_with_nothing_to_vary_fails() {
    let mut setup = tuned("ratings.csv", &grouped_ratings(), Signal::Explicit, 4);
    setup.config.algorithm = Algorithm::with_defaults("svd", Signal::Explicit, serde_json::Map::new()).unwrap();
    let message = setup.failed(ExitCode::Usage, "ConfigInvalid");
    assert!(message.contains("svd of these data has no parameter besides its factors"), "{message}");
    setup.config.tuning = Some(TuningConfig { factors_max: Some(2000), ..TuningConfig::default() });
    setup.config.run.number = 2;
    let message = setup.failed(ExitCode::Usage, "ConfigInvalid");
    assert!(message.contains("factorsMax is 2000: expected a number from 1 to 1024"), "{message}");
}
