//! A small trained model: two groups of users with two groups of items.

use std::{fmt::Write as _, path::Path};

use recommender_trainer::{Options, local_config, progress::Silent, train_to_file};
use sidecar_contract::{Algorithm, AlsConfig};

/// Even users met even items but one each.
pub async fn train(directory: &Path, factors: u32) -> std::path::PathBuf {
    train_with_items(directory, factors, "item").await
}

/// The same with items of another name.
pub async fn train_with_items(directory: &Path, factors: u32, items: &str) -> std::path::PathBuf {
    let mut visits = "user_id,item_id\n".to_owned();
    for user in 0..60 {
        for item in (0..20).filter(|item| item % 2 == user % 2 && item / 2 != user % 10) {
            writeln!(visits, "user{user},{items}{item}").unwrap();
        }
    }
    let data = directory.join(format!("visits-{items}.csv"));
    std::fs::write(&data, visits).unwrap();
    let mut config = local_config(&data);
    config.algorithm = Algorithm::Als(AlsConfig { factors, iterations: 5, ..AlsConfig::default() });
    let output = directory.join(format!("model-{factors}-{items}.safetensors"));
    train_to_file(&config, &output, &Silent, &Options::default()).await.unwrap();
    output
}
