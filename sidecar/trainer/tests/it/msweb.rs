//! The bundled visits: real data.

use std::path::Path;

use model_snapshot::Snapshot;
use recommender_trainer::{Options, describe_metrics, local_config, progress::Silent, train_to_file};
use sidecar_contract::{Algorithm, AlsConfig, SvdConfig};

use crate::setup::runtime;

#[test]
fn bundled_visits_beat_popularity() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/msweb");
    let mut config = local_config(&data.join("visits.csv"));
    // Three visits per person and 285 areas: a λ for longer histories would overfit.
    config.algorithm =
        Algorithm::Als(AlsConfig { factors: 16, iterations: 8, regularization: Some(0.03), ..AlsConfig::WIRE_DEFAULT });
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("model.safetensors");
    let trained =
        runtime().block_on(async { train_to_file(&config, &output, &Silent, &Options::default()).await }).unwrap();
    assert_eq!((trained.rows.read, trained.rows.kept, trained.rows.merged), (98_654, 98_654, 0));
    let trained = trained.trained;
    assert_eq!((trained.users, trained.items, trained.interactions), (32_711, 285, 98_654));
    let metrics = trained.metrics.unwrap();
    println!("{}", describe_metrics(&metrics));
    let lift = metrics.lift.unwrap();
    assert!(lift.low > 0.05, "the default gate would reject the model: {lift:?}");
    // Reference: a numpy solver of the same objective (8 factors, another random tenth held out)
    // gives 0.389 and 0.615 for popularity, and 0.480 and 0.666 for the model.
    let (popular, model) = (&metrics.baseline, &metrics.model);
    assert!(
        (popular.ndcg.unwrap() - 0.389).abs() < 0.01 && (popular.recall.unwrap() - 0.615).abs() < 0.01,
        "{metrics:?}"
    );
    assert!(model.ndcg.unwrap() > 0.48 && model.recall.unwrap() > 0.66, "{metrics:?}");

    let snapshot = Snapshot::read(&output).unwrap();
    let item = snapshot.item_index("1008").unwrap();
    // The first visitor of the original file.
    let first = snapshot.user_index("10001").unwrap();
    let seen: Vec<_> = snapshot.seen(first).iter().map(|item| snapshot.item_id(*item).unwrap()).collect();
    assert_eq!(seen, ["1000", "1001", "1002"]);
    // The most visited area, counted independently.
    assert_eq!(snapshot.item_id(snapshot.popular()[0]), Some("1008"));
    assert_eq!(snapshot.item_counts()[item as usize], 10_836);
}

#[test]
fn svd_matches_the_quality_of_scipy() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/msweb/visits.csv");
    let mut config = local_config(&data);
    config.algorithm = Algorithm::Svd(SvdConfig { factors: 32, ..SvdConfig::default() });
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("model.safetensors");
    let trained = runtime().block_on(train_to_file(&config, &output, &Silent, &Options::default())).unwrap().trained;
    let metrics = trained.metrics.unwrap();
    println!("{}", describe_metrics(&metrics));
    // Reference: scipy's svds of the visits divided by √((10 + visits of the person) (10 + visits
    // of the area)), scores multiplied by √(10 + visits of the area), three random tenths held out:
    // NDCG@10 0.517, 0.524, 0.522; recall@10 0.717, 0.719, 0.710; popularity 0.387, 0.389, 0.394.
    let model = &metrics.model;
    assert!((model.ndcg.unwrap() - 0.521).abs() < 0.01 && (model.recall.unwrap() - 0.715).abs() < 0.012, "{metrics:?}");
    assert!(metrics.lift.unwrap().low > 0.25, "{metrics:?}");
    assert_eq!(Snapshot::read(&output).unwrap().metadata().algorithm.name(), "svd");
}
