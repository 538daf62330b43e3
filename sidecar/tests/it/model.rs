//! A small trained model: two groups of users who interact with two groups of items.

use std::{fmt::Write as _, path::Path};

use recommender_trainer::{Options, TrainedFile, local_config, progress::Silent, train_to_file};
use sidecar_contract::{Algorithm, AlsConfig, Signal};

/// Trains on interactions of users with the items of their parity, except one item per user.
pub async fn train(directory: &Path, factors: u32) -> std::path::PathBuf {
    train_with_items(directory, factors, "item").await
}

/// The same with another prefix of item ids.
pub async fn train_with_items(directory: &Path, factors: u32, item_prefix: &str) -> std::path::PathBuf {
    let mut visits = "user_id,item_id\n".to_owned();
    for user in 0..60 {
        for item in (0..20).filter(|item| item % 2 == user % 2 && item / 2 != user % 10) {
            writeln!(visits, "user{user},{item_prefix}{item}").unwrap();
        }
    }
    let data = directory.join(format!("visits-{item_prefix}.csv"));
    std::fs::write(&data, visits).unwrap();
    let mut config = local_config(&data);
    config.algorithm = Algorithm::Als(AlsConfig { factors, iterations: 5, ..AlsConfig::WIRE_DEFAULT });
    let output = directory.join(format!("model-{factors}-{item_prefix}.safetensors"));
    train_to_file(&config, &output, &Silent, &Options::default()).await.unwrap();
    output
}

/// Writes ratings of 50 users for 16 items, three of four pairs: 4 or 5 for items of the user's
/// parity, else 1 or 2.
pub fn write_ratings(directory: &Path) -> std::path::PathBuf {
    let mut rows = "user_id,item_id,rating\n".to_owned();
    for user in 0..50 {
        for item in (0..16).filter(|item| (user * 3 + item * 5) % 4 != 0) {
            let base = if item % 2 == user % 2 { 4 } else { 1 };
            writeln!(rows, "user{user},item{item},{}", base + (user / 2 + item / 2) % 2).unwrap();
        }
    }
    let data = directory.join("ratings.csv");
    std::fs::write(&data, rows).unwrap();
    data
}

/// Trains a model on [`write_ratings`].
pub async fn train_ratings(directory: &Path, algorithm: Algorithm) -> (std::path::PathBuf, TrainedFile) {
    let mut config = local_config(&write_ratings(directory));
    config.signal = Signal::Explicit;
    config.algorithm = algorithm;
    let output = directory.join("ratings.safetensors");
    let trained = train_to_file(&config, &output, &Silent, &Options::default()).await.unwrap();
    (output, trained)
}
