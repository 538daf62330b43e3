//! `spec.algorithm.auto` chooses the simplest algorithm within one standard error of the best.

use std::{fmt::Write as _, num::NonZeroUsize};

use model_snapshot::Snapshot;
use recommender_trainer::{SnapshotSize, progress::Silent, train_to_file};
use sidecar_contract::{
    Algorithm, AlsConfig, AutoConfig, ComparisonReference, ExitCode, Incumbent, IncumbentSnapshot, RunOutcome,
    SearchSummary, Signal, Trial, TuningConfig, WarmStartConfig,
};

use crate::setup::{Numbers, Setup, csv, grouped_ratings, grouped_visits, runtime};

fn auto(content: &str, limits: AutoConfig) -> Setup {
    let mut setup = Setup::new("rows.csv", content);
    setup.config.algorithm = Algorithm::Auto(limits);
    setup
}

fn small() -> AutoConfig {
    AutoConfig { fits: 12, factors_max: 16, ..AutoConfig::default() }
}

/// What a run has chosen.
struct Choice {
    snapshot: Snapshot,
    algorithm: Algorithm,
    trials: Vec<Trial>,
    search: SearchSummary,
}

fn chosen(setup: &Setup) -> Choice {
    let (result, snapshot) = setup.trained();
    let RunOutcome::Trained { algorithm: name, parameters: Some(algorithm), trials, search: Some(search), .. } =
        result.outcome
    else {
        panic!()
    };
    assert_eq!(name, algorithm.name());
    Choice { snapshot, algorithm, trials, search }
}

fn factors(algorithm: &Algorithm) -> u64 {
    algorithm.parameters()["factors"].as_u64().unwrap()
}

/// Each user likes seven of ten items of the own group, and nothing else: any algorithm finds the
/// others.
fn separate_groups() -> String {
    let mut text = "user_id,item_id\n".to_owned();
    for user in 0..200_u64 {
        for item in (0..20).filter(|item| (item * 3 + user / 4) % 10 < 7) {
            writeln!(text, "user{user:03},item{:02}", user % 4 * 20 + item).unwrap();
        }
    }
    text
}

/// Grouped visits, and returns with a negative weight of other items of the user's group: what is
/// returned says as much about the user as what is kept, but only the latter is held out.
fn returns() -> String {
    let mut numbers = Numbers(5);
    let mut text = "user_id,item_id,rating\n".to_owned();
    for user in 0..400_u64 {
        for item in 0..20 {
            let weight = if numbers.below(3) == 0 { 1 } else { -1 };
            if numbers.below(3) > 0 {
                writeln!(text, "user{user:03},item{:02},{weight}", user % 4 * 20 + item).unwrap();
            }
        }
        writeln!(text, "user{user:03},item{:02},1", 80 + numbers.below(20)).unwrap();
    }
    text
}

#[test]
fn the_algorithm_that_suits_the_data_is_chosen() {
    for (name, content, signal) in [
        // All are equally good, and a decomposition is the simplest.
        ("svd", separate_groups(), Signal::Implicit),
        // The decomposition takes a missing rating for an average one.
        ("als", grouped_ratings(), Signal::Explicit),
        // The others learn to avoid what is returned.
        ("bpr", returns(), Signal::Implicit),
    ] {
        let mut setup = auto(&content, small());
        setup.config.signal = signal;
        let Choice { snapshot, algorithm, trials, search } = chosen(&setup);
        assert_eq!(algorithm.name(), name, "{trials:#?}");
        assert!((10..=12).contains(&search.fits) && !search.stopped_by_time, "{search:?}");
        assert_eq!(snapshot.metadata().algorithm, algorithm);
        // Nothing simpler is within one standard error of the best.
        let below = |trial: &Trial| trial.standard_errors_below_best.unwrap_or(0.0);
        let of_choice = trials.iter().find(|trial| trial.parameters == algorithm).unwrap();
        assert!(below(of_choice) <= 1.0, "{trials:#?}");
        let has_fewer_factors = |trial: &&Trial| factors(&trial.parameters) < factors(&algorithm);
        assert!(trials.iter().filter(has_fewer_factors).all(|trial| below(trial) > 1.0), "{trials:#?}");
        assert!(trials.iter().any(|trial| trial.parameters.name() == "als"), "{trials:#?}");
        assert!(trials.iter().any(|trial| trial.parameters.name() == "svd"), "{trials:#?}");
        // The same parameters in the resource give the same model.
        let mut again = Setup::new("rows.csv", &content);
        again.config.signal = signal;
        again.config.algorithm = algorithm;
        assert_eq!(again.trained().1.digest(), snapshot.digest(), "{name}");
    }
}

#[test]
fn ratings_are_not_tried_with_an_algorithm_that_does_not_take_them() {
    let mut setup = auto(&grouped_ratings(), small());
    setup.config.signal = Signal::Explicit;
    let Choice { trials, search, .. } = chosen(&setup);
    let names: Vec<_> = search.limited.iter().map(|limited| (limited.name.as_str(), limited.factors_max)).collect();
    assert_eq!(names, [("bpr", None)]);
    assert_eq!(search.limited[0].reason, "it learns from chosen and not chosen items");
    assert!(trials.iter().all(|trial| trial.parameters.name() != "bpr"));
}

#[test]
fn the_choice_does_not_depend_on_the_number_of_threads() {
    for seed in [1, 2] {
        let choice = |threads| {
            let mut setup = auto(&csv(&grouped_visits()), small());
            setup.config.seed = seed;
            setup.options.threads = NonZeroUsize::new(threads);
            let Choice { snapshot, algorithm, trials, search } = chosen(&setup);
            (snapshot.digest(), algorithm, trials, search)
        };
        assert_eq!(choice(1), choice(2));
    }
}

#[test]
fn a_budget_of_one_fit_is_spent_on_the_default_algorithm() {
    let setup = auto(&csv(&grouped_visits()), AutoConfig { fits: 1, ..small() });
    let Choice { algorithm, trials, search, .. } = chosen(&setup);
    assert_eq!((algorithm.name(), search.fits, factors(&algorithm)), ("als", 1, 16));
    let fitted: Vec<_> = trials.iter().filter(|trial| trial.value.is_some()).collect();
    assert_eq!((fitted.len(), &fitted[0].parameters), (1, &algorithm));
    // Without time for any fit, and without rows to compare on, the choice is the same algorithm.
    let setup = auto(&csv(&grouped_visits()), AutoConfig { budget_seconds: 0, ..small() });
    let Choice { algorithm, search, .. } = chosen(&setup);
    assert_eq!((algorithm.name(), search.fits, search.stopped_by_time), ("als", 0, true));
    let Choice { algorithm, trials, search, .. } = chosen(&auto("user_id,item_id\na,1\n", small()));
    assert_eq!((algorithm.name(), trials.len(), search.fits), ("als", 0, 0));
}

#[test]
fn the_model_fits_the_memory_of_serving_pods() {
    let visits = grouped_visits();
    let (content, pairs) = (csv(&visits), visits.len() as u64);
    let limits = AutoConfig { fits: 3, factors_max: 30, ..AutoConfig::default() };
    let unlimited = chosen(&auto(&content, limits.clone()));
    assert!(unlimited.trials.iter().all(|trial| factors(&trial.parameters) == 30));
    // The size with 15 factors, and one with 30 is larger even without a two-hop term.
    let id_bytes = 300 * "user000".len() as u64 + 60 * "item00".len() as u64;
    let size = SnapshotSize { users: 300, items: 60, pairs, id_bytes, is_weighted: false, has_biases: false };
    let (fits, exceeds) = (size.bytes(15, true), size.bytes(30, false));
    assert!(fits < exceeds, "{fits} {exceeds}");
    let limited = chosen(&auto(&content, AutoConfig { snapshot_bytes_max: Some(fits), ..limits }));
    assert!(limited.trials.iter().all(|trial| factors(&trial.parameters) == 15), "{:?}", limited.trials);
    for limited in &limited.search.limited {
        assert_eq!(limited.factors_max, Some(15));
        assert!(limited.reason.contains("memory for serving and the limit is"), "{}", limited.reason);
        assert!(limited.reason.ends_with("raise spec.serving.resources.limits.memory"), "{}", limited.reason);
    }
}

#[test]
fn too_little_memory_for_any_algorithm_fails() {
    let limits = AutoConfig { training_bytes_max: Some(1 << 20), ..small() };
    let message = auto(&csv(&grouped_visits()), limits).failed(ExitCode::OutOfCapacity, "CapacityInsufficient");
    for part in [
        "spec.algorithm.auto can try no algorithm, even with 8 factors",
        "als: it needs about 3",
        "for training and the limit is 1 MiB: raise spec.training.resources.limits.memory",
        "svd: it needs",
    ] {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn invalid_limits_fail() {
    let invalid = |limits: AutoConfig, tuning: Option<TuningConfig>, part: &str| {
        let mut setup = auto(&csv(&grouped_visits()), limits);
        setup.config.tuning = tuning;
        let message = setup.failed(ExitCode::Usage, "ConfigInvalid");
        assert!(message.contains(part), "{part:?} is not in: {message}");
    };
    invalid(AutoConfig { fits: 0, ..small() }, None, "spec.algorithm.auto.fits is 0: expected a number from 1 to 1000");
    invalid(AutoConfig { factors_max: 1025, ..small() }, None, "spec.algorithm.auto.factorsMax is 1025: expected");
    invalid(small(), Some(TuningConfig::default()), "spec.training.tuning is not valid with spec.algorithm.auto");
}

#[test]
fn a_warm_start_is_used_if_the_choice_allows_it() {
    let mut setup = auto(&grouped_ratings(), AutoConfig { factors_max: 8, ..small() });
    setup.config.signal = Signal::Explicit;
    let Choice { algorithm, .. } = chosen(&setup);
    let train = |setup: &Setup, name: &str| {
        let output = setup.directory.path().join(name);
        let trained =
            runtime().block_on(train_to_file(&setup.config, &output, &Silent, &setup.options)).unwrap().trained;
        (trained.objective.len(), trained.algorithm, Snapshot::read(&output).unwrap().digest())
    };
    let (_, chosen, digest) = train(&setup, "first");
    assert_eq!((chosen.name(), &chosen), ("als", &algorithm));
    let start = |setup: &mut Setup, name: &str, digest| {
        setup.config.warm_start = Some(WarmStartConfig { digest, iterations: 2 });
        setup.options.warm_start = Some(setup.directory.path().join(name));
    };
    start(&mut setup, "first", digest);
    let (iterations, chosen, _) = train(&setup, "warm");
    assert_eq!((iterations, &chosen), (2, &algorithm));
    // A model with other factors.
    let mut other = Setup::new("rows.csv", grouped_ratings());
    other.config.signal = Signal::Explicit;
    other.config.algorithm = Algorithm::Als(AlsConfig { factors: 3, ..AlsConfig::WIRE_DEFAULT });
    let (_, _, digest) = train(&other, "other");
    setup.config.warm_start = Some(WarmStartConfig { digest, iterations: 2 });
    setup.options.warm_start = Some(other.directory.path().join("other"));
    let (iterations, chosen, _) = train(&setup, "cold");
    assert_eq!(Some(iterations as u64), algorithm.parameters()["iterations"].as_u64());
    assert_eq!(chosen, algorithm);
}

#[test]
fn the_choice_is_compared_with_the_serving_revision() {
    let pairs = grouped_visits();
    let rows = |count: usize| {
        let mut text = "user_id,item_id,timestamp\n".to_owned();
        for (at, (user, item)) in pairs.iter().enumerate() {
            let second = (at * 7919) % pairs.len();
            if second < count {
                writeln!(text, "{user},{item},{}", 1_500_000_000 + second).unwrap();
            }
        }
        text
    };
    let mut setup = auto(&rows(pairs.len() / 2), small());
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, snapshot_bytes, newest_row_micros, parameters, .. } = result.outcome else {
        panic!()
    };
    let snapshot =
        newest_row_micros.map(|micros| IncumbentSnapshot { bytes: snapshot_bytes, newest_row_micros: micros });
    setup.config.incumbent = Some(Incumbent { digest, algorithm: parameters.unwrap(), snapshot });
    setup.config.run.number = 2;
    std::fs::write(setup.source(), rows(pairs.len())).unwrap();
    let (result, _) = setup.trained();
    let RunOutcome::Trained { metrics: Some(metrics), .. } = result.outcome else { panic!() };
    let comparison = metrics.incumbent.unwrap();
    assert_eq!(comparison.reference, ComparisonReference::Revision);
    assert!(comparison.lift.low <= comparison.lift.high, "{comparison:?}");
}
