//! The search finds better parameters than bad ones, tells what it tried, and leaves a model that is none but theirs.

use recommender_trainer::{progress::Silent, tune};
use sidecar_contract::{Algorithm, AlsConfig, ExitCode, RunOutcome, Signal, Trial, TuningConfig};

use crate::setup::{Setup, csv, grouped_ratings, grouped_visits, runtime};

/// Far too strong: every row is pulled to nothing.
fn bad() -> AlsConfig {
    AlsConfig { factors: 8, iterations: 4, regularization: Some(50.0), ..AlsConfig::default() }
}

fn tuned(name: &str, content: &str, signal: Signal, trials: u32) -> Setup {
    let mut setup = Setup::new(name, content);
    setup.config.signal = signal;
    setup.config.algorithm = Algorithm::Als(bad());
    setup.config.tuning = Some(TuningConfig { trials, ..TuningConfig::default() });
    setup
}

/// Of what was given.
fn given_value(trials: &[Trial]) -> f64 {
    let is_given = |trial: &&Trial| matches!(&trial.parameters, Algorithm::Als(als) if als.regularization > Some(10.0));
    trials.iter().find(is_given).unwrap().value.unwrap()
}

#[test]
fn what_is_found_is_better_than_what_was_given_and_the_model_is_its_own() {
    let setup = tuned("visits.csv", &csv(&grouped_visits()), Signal::Implicit, 9);
    let (result, snapshot) = setup.trained();
    let RunOutcome::Trained { digest, parameters: Some(found), metrics: Some(metrics), trials, .. } = &result.outcome
    else {
        panic!("{result:?}")
    };
    assert_eq!(trials.len(), 9);
    assert_eq!(trials[0].parameters, *found);
    assert!(trials[0].value.unwrap() > given_value(trials), "{trials:?}");
    assert_eq!(snapshot.metadata().algorithm, *found);
    // Whoever writes the found parameters into the resource gets the same model and the same metrics.
    let mut again = Setup::new("visits.csv", csv(&grouped_visits()));
    again.config.algorithm = found.clone();
    let (result, _) = again.trained();
    let RunOutcome::Trained { digest: expected, metrics: as_measured, .. } = &result.outcome else {
        panic!("{result:?}")
    };
    assert_eq!((digest, Some(metrics)), (expected, as_measured.as_ref()));
}

#[test]
fn ratings_are_searched_by_their_error() {
    let setup = tuned("ratings.csv", &grouped_ratings(), Signal::Explicit, 9);
    let tuned = runtime().block_on(async { tune(&setup.config, &Silent, &setup.options).await }).unwrap();
    assert!(tuned.trials[0].value.unwrap() < given_value(&tuned.trials), "{:?}", tuned.trials);
    assert_eq!(tuned.metrics.unwrap().metric, "rmse");
}

#[test]
fn a_budget_of_nothing_keeps_the_given_parameters() {
    let mut setup = tuned("visits.csv", &csv(&grouped_visits()), Signal::Implicit, 9);
    setup.config.tuning = Some(TuningConfig { trials: 9, budget_seconds: 0 });
    let (result, _) = setup.trained();
    let RunOutcome::Trained { parameters, .. } = &result.outcome else { panic!("{result:?}") };
    assert_eq!(*parameters, Some(setup.config.algorithm.clone()));
}

#[test]
fn data_without_a_part_to_compare_by_is_trained_as_given() {
    let setup = tuned("visits.csv", "user_id,item_id\na,1\n", Signal::Implicit, 4);
    let (result, _) = setup.trained();
    let RunOutcome::Trained { parameters, trials, .. } = &result.outcome else { panic!("{result:?}") };
    assert_eq!((parameters, trials.len()), (&Some(setup.config.algorithm.clone()), 0));
}

#[test]
fn a_search_beyond_its_limits_is_refused() {
    for trials in [0, 1, 1001] {
        let setup = tuned("visits.csv", &csv(&grouped_visits()), Signal::Implicit, trials);
        let message = setup.failed(ExitCode::Usage, "ConfigInvalid");
        assert!(message.contains(&format!("spec.training.tuning.trials is {trials}: expected")), "{message}");
    }
}
