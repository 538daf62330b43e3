//! A model that starts from an earlier one.

use model_snapshot::Snapshot;
use recommender_trainer::{Stop, TrainedFile, progress::Silent, train_to_file};
use sidecar_contract::{Algorithm, AlsConfig, Digest, Signal, WarmStart};

use crate::setup::{Setup, csv, grouped_ratings, grouped_visits, runtime};

fn train(setup: &Setup, output: &str) -> Result<TrainedFile, Stop> {
    let output = setup.directory.path().join(output);
    runtime().block_on(async { train_to_file(&setup.config, &output, &Silent, &setup.options).await })
}

fn starting_from(setup: &mut Setup, file: &str, iterations: u32) {
    let file = setup.directory.path().join(file);
    let digest = Snapshot::open(&file).unwrap().digest();
    setup.config.warm_start = Some(WarmStart { digest, iterations });
    setup.options.warm_start = Some(file);
}

#[test]
fn new_rows_take_fewer_sweeps_from_an_earlier_model_and_are_measured_from_the_seed() {
    let visits = grouped_visits();
    // Every twentieth visit, and two users and an item, are new.
    let is_new = |n: usize| n.is_multiple_of(20) || visits[n].0.as_str() < "user002" || visits[n].1 == "item07";
    let old: Vec<_> = (0..visits.len()).filter(|n| !is_new(*n)).map(|n| visits[n].clone()).collect();
    let mut setup = Setup::new("visits.csv", csv(&old));
    setup.config.algorithm = Algorithm::Als(AlsConfig { factors: 8, iterations: 15, ..AlsConfig::default() });
    train(&setup, "old").unwrap();
    std::fs::write(setup.source(), csv(&visits)).unwrap();
    let cold = train(&setup, "cold").unwrap().trained;
    starting_from(&mut setup, "old", 5);
    let warm = train(&setup, "warm").unwrap().trained;
    assert_eq!((cold.objective.len(), warm.objective.len()), (15, 5));
    // As far after five sweeps as after fifteen, to a hundredth.
    let (end, after) = (cold.objective[14], warm.objective[4]);
    assert!(after <= end + 1e-2 * end.abs() && cold.objective[4] > after, "{after} {:?}", cold.objective);
    assert_eq!(warm.metrics, cold.metrics, "what is measured on has no part in the start");
    assert_ne!(warm.written.digest, cold.written.digest);
    // Equal data, parameters, seed and start: equal bytes. Another start is another config.
    assert_eq!(train(&setup, "again").unwrap().trained.written, warm.written);
    let hash = setup.config.config_hash();
    starting_from(&mut setup, "cold", 5);
    assert_ne!(setup.config.config_hash(), hash);
    assert_ne!(train(&setup, "other").unwrap().trained.written, warm.written);
}

#[test]
fn ratings_go_on_too() {
    let mut setup = Setup::new("ratings.csv", grouped_ratings());
    setup.config.signal = Signal::Explicit;
    let algorithm = |iterations| {
        Algorithm::Als(AlsConfig { factors: 4, iterations, regularization: Some(0.1), ..AlsConfig::default() })
    };
    setup.config.algorithm = algorithm(7);
    let whole = train(&setup, "whole").unwrap().trained.objective;
    setup.config.algorithm = algorithm(4);
    train(&setup, "half").unwrap();
    starting_from(&mut setup, "half", 3);
    // Nearly the same way: the half's last users are exact, those of the whole's fourth sweep are not.
    let rest = train(&setup, "rest").unwrap().trained.objective;
    assert_eq!(rest.len(), 3);
    for (went_on, whole) in rest.iter().zip(&whole[4..]) {
        assert!((went_on - whole).abs() <= 1e-3 * whole, "{rest:?} {whole:?}");
    }
}

#[test]
fn another_kind_of_model_is_refused() {
    let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
    train(&setup, "model").unwrap();
    starting_from(&mut setup, "model", 2);
    let refused = |setup: &Setup, word: &str| match train(setup, "refused") {
        Err(Stop::Failed { message, .. }) => assert!(message.contains(word), "{word:?} is not in: {message}"),
        other => panic!("{other:?}"),
    };
    let good = setup.config.clone();
    setup.config.algorithm = Algorithm::Als(AlsConfig { factors: 9, ..AlsConfig::default() });
    refused(&setup, "8 factors, this fit 9: set factors to 8");
    setup.config.algorithm = Algorithm::Svd(sidecar_contract::SvdConfig::default());
    refused(&setup, "svd has nothing to start");
    setup.config = good.clone();
    setup.config.warm_start = Some(WarmStart { digest: Digest::of(b"other"), iterations: 2 });
    refused(&setup, "expected");
    setup.config = good.clone();
    setup.options.warm_start = None;
    refused(&setup, "--warm-start");
    setup.config = good;
    setup.options.warm_start = Some(setup.source());
    refused(&setup, "cannot start from");
}
