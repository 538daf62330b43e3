//! Warm start from an earlier model.

use model_snapshot::Snapshot;
use recommender_trainer::{RunError, TrainedFile, progress::Silent, train_to_file};
use sidecar_contract::{Algorithm, AlsConfig, Digest, Signal, WarmStartConfig};

use crate::setup::{Setup, csv, grouped_ratings, grouped_visits, runtime};

fn train(setup: &Setup, output: &str) -> Result<TrainedFile, RunError> {
    let output = setup.directory.path().join(output);
    runtime().block_on(async { train_to_file(&setup.config, &output, &Silent, &setup.options).await })
}

fn starting_from(setup: &mut Setup, file: &str, iterations: u32) {
    let file = setup.directory.path().join(file);
    let digest = Snapshot::read(&file).unwrap().digest();
    setup.config.warm_start = Some(WarmStartConfig { digest, iterations });
    setup.options.warm_start = Some(file);
}

#[test]
fn warm_start_needs_fewer_iterations_and_does_not_affect_the_metrics() {
    let visits = grouped_visits();
    // Every twentieth visit, two users and an item are new.
    let is_new = |n: usize| n.is_multiple_of(20) || visits[n].0.as_str() < "user002" || visits[n].1 == "item07";
    let old: Vec<_> = (0..visits.len()).filter(|n| !is_new(*n)).map(|n| visits[n].clone()).collect();
    let mut setup = Setup::new("visits.csv", csv(&old));
    setup.config.algorithm = Algorithm::Als(AlsConfig { factors: 8, iterations: 15, ..AlsConfig::WIRE_DEFAULT });
    train(&setup, "old").unwrap();
    std::fs::write(setup.source(), csv(&visits)).unwrap();
    let cold = train(&setup, "cold").unwrap().trained;
    starting_from(&mut setup, "old", 5);
    let warm = train(&setup, "warm").unwrap().trained;
    assert_eq!((cold.objective.len(), warm.objective.len()), (15, 5));
    // Five iterations reach the objective of fifteen to within 1 %.
    let (end, after) = (cold.objective[14], warm.objective[4]);
    assert!(after <= end + 1e-2 * end.abs() && cold.objective[4] > after, "{after} {:?}", cold.objective);
    assert_eq!(warm.metrics, cold.metrics, "the evaluated fit has no warm start");
    assert_ne!(warm.written.digest, cold.written.digest);
    // Equal data, parameters, seed and warm start give equal bytes. Another warm start is another
    // config.
    assert_eq!(train(&setup, "again").unwrap().trained.written, warm.written);
    let hash = setup.config.config_hash();
    starting_from(&mut setup, "cold", 5);
    assert_ne!(setup.config.config_hash(), hash);
    assert_ne!(train(&setup, "other").unwrap().trained.written, warm.written);
}

#[test]
fn warm_start_continues_a_fit_of_ratings() {
    let mut setup = Setup::new("ratings.csv", grouped_ratings());
    setup.config.signal = Signal::Explicit;
    let algorithm = |iterations| {
        Algorithm::Als(AlsConfig { factors: 4, iterations, regularization: Some(0.1), ..AlsConfig::WIRE_DEFAULT })
    };
    setup.config.algorithm = algorithm(7);
    let whole = train(&setup, "whole").unwrap().trained.objective;
    setup.config.algorithm = algorithm(4);
    train(&setup, "half").unwrap();
    starting_from(&mut setup, "half", 3);
    // Approximately equal: the last users of the half are exact, those of the whole's fourth
    // iteration are not.
    let rest = train(&setup, "rest").unwrap().trained.objective;
    assert_eq!(rest.len(), 3);
    for (continued, whole) in rest.iter().zip(&whole[4..]) {
        assert!((continued - whole).abs() <= 1e-3 * whole, "{rest:?} {whole:?}");
    }
}

#[test]
fn incompatible_models_are_rejected() {
    let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
    train(&setup, "model").unwrap();
    starting_from(&mut setup, "model", 2);
    let invalid = |setup: &Setup, word: &str| match train(setup, "rejected") {
        Err(RunError::Permanent { message, .. }) => assert!(message.contains(word), "{word:?} is not in: {message}"),
        other => panic!("{other:?}"),
    };
    let good = setup.config.clone();
    setup.config.algorithm = Algorithm::Als(AlsConfig { factors: 9, ..AlsConfig::WIRE_DEFAULT });
    invalid(&setup, "has 8 factors, but factors is 9: set factors to 8");
    setup.config.algorithm = Algorithm::Svd(sidecar_contract::SvdConfig::default());
    invalid(&setup, "svd does not support a warm start");
    setup.config = good.clone();
    setup.config.warm_start = Some(WarmStartConfig { digest: Digest::of(b"other"), iterations: 2 });
    invalid(&setup, "expected");
    setup.config = good.clone();
    setup.options.warm_start = None;
    invalid(&setup, "--warm-start");
    setup.config = good;
    setup.options.warm_start = Some(setup.source());
    invalid(&setup, "cannot start from");
}
