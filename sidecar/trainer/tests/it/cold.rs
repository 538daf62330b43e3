//! Cold-start items: their rows in the model, and the evaluation on items with interactions.

use std::fmt::Write as _;

use model_snapshot::{Capability, Snapshot};
use sidecar_contract::{
    Algorithm, AlsConfig, Column, Csv, Items, Metrics, RunOutcome, RunResult, Signal, Source, SvdConfig,
};

use crate::setup::{Numbers, Setup};

const ITEMS: u64 = 120;
const GENRES: u64 = 6;

/// 400 users who each like two of six genres; ratings of liked genres are higher.
fn visits() -> String {
    let mut numbers = Numbers(11);
    let mut rows = "user_id,item_id,rating\n".to_owned();
    for user in 0..400 {
        let liked = [user % GENRES, (user / GENRES + 1 + user) % GENRES];
        let mut history = std::collections::BTreeSet::new();
        for _ in 0..25 {
            let item = numbers.below(ITEMS);
            let is_liked = liked.contains(&(item % GENRES));
            if (is_liked || numbers.below(8) == 0) && history.insert(item) {
                writeln!(rows, "user{user:03},item{item:03},{}", if is_liked { 5 } else { 1 + numbers.below(2) })
                    .unwrap();
            }
        }
    }
    rows
}

/// The items with interactions, four cold-start items, one more that is not available, and two
/// items that must be excluded.
fn table() -> String {
    let mut rows = "id,title,in_stock,genre,tags\n".to_owned();
    for item in (0..ITEMS).rev() {
        writeln!(rows, "item{item:03},Title {item},yes,genre{},t{}|t{}", item % GENRES, item % 4, item % 7).unwrap();
    }
    for new in 0..4 {
        writeln!(rows, "new{new},New {new},yes,genre{new},").unwrap();
    }
    rows + "sold-out,Sold out,no,genre1,\nstrange,Strange,yes,unknown,\nbare,Bare,yes,,\n"
}

fn setup(attributes: &[&str]) -> Setup {
    let mut setup = Setup::new("visits.csv", visits());
    let path = setup.directory.path().join("items.csv");
    std::fs::write(&path, table()).unwrap();
    let name = |name: &str| Column::Name(name.to_owned());
    setup.config.items = Some(Items {
        source: Source { url: format!("file://{}", path.display()), described_as: String::new() },
        format: None,
        csv: Csv::default(),
        id: name("id"),
        title: Some(name("title")),
        available: Some(name("in_stock")),
        attributes: attributes.iter().map(|column| name(column)).collect(),
    });
    setup
}

fn metrics(result: &RunResult) -> &Metrics {
    let RunOutcome::Trained { metrics, .. } = &result.outcome else { panic!("{result:?}") };
    metrics.as_ref().unwrap()
}

fn factors(snapshot: &Snapshot, item: &str) -> Vec<f32> {
    snapshot.item_factors().row(snapshot.item_index(item).unwrap() as usize).to_vec()
}

/// Mean score of an item for the users who like its genre, and for the other users.
fn scores(snapshot: &Snapshot, item: &str, genre: u64) -> [f64; 2] {
    let v = factors(snapshot, item);
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for user in 0..400 {
        let likes = [user % GENRES, (user / GENRES + 1 + user) % GENRES].contains(&genre);
        let row = snapshot.user_index(&format!("user{user:03}")).unwrap() as usize;
        let u = snapshot.user_factors().row(row).to_vec();
        sums[usize::from(!likes)] += u.iter().zip(&v).map(|(u, v)| f64::from(*u) * f64::from(*v)).sum::<f64>();
        counts[usize::from(!likes)] += 1.0;
    }
    [sums[0] / counts[0], sums[1] / counts[1]]
}

#[test]
fn new_items_of_a_genre_score_higher_for_users_who_like_it() {
    for (signal, algorithm) in [
        (Signal::Implicit, Algorithm::Als(AlsConfig { factors: 8, iterations: 5, ..AlsConfig::WIRE_DEFAULT })),
        (
            Signal::Explicit,
            Algorithm::Als(AlsConfig {
                factors: 8,
                iterations: 5,
                regularization: Some(0.1),
                ..AlsConfig::WIRE_DEFAULT
            }),
        ),
        (Signal::Implicit, Algorithm::Svd(SvdConfig { factors: 8, ..SvdConfig::default() })),
    ] {
        let mut setup = setup(&["genre", "tags"]);
        (setup.config.signal, setup.config.algorithm) = (signal, algorithm);
        setup.config.evaluation.k = 3;
        let (result, snapshot) = setup.trained();
        for genre in 0..4 {
            let [fans, others] = scores(&snapshot, &format!("new{genre}"), genre);
            assert!(fans > others + 0.1, "genre {genre}: {fans} {others}");
            // Their scores are on the scale of known items of the genre, so they neither dominate
            // lists nor disappear.
            let known: f64 =
                (0..10).map(|i| scores(&snapshot, &format!("item{:03}", genre + i * GENRES), genre)[0]).sum();
            assert!((0.5..1.5).contains(&(fans / (known / 10.0))), "genre {genre}: {fans} {}", known / 10.0);
        }
        let cold = metrics(&result).cold_items.unwrap();
        assert_eq!(cold.items, 12);
        assert!(cold.users > 200 && cold.ndcg > 1.8 * cold.baseline, "{cold:?}");
    }
}

#[test]
fn cold_items_come_last_and_are_not_popular() {
    let (result, snapshot) = setup(&["genre", "tags"]).trained();
    let metadata = snapshot.metadata();
    assert_eq!((metadata.cold_items, metadata.items), (5, ITEMS + 5));
    assert_eq!(metadata.capabilities(), [Capability::ColdItems]);
    let RunOutcome::Trained { items, .. } = result.outcome else { panic!() };
    assert_eq!(items, ITEMS + 5);
    for new in 0..4_u32 {
        let row = snapshot.item_index(&format!("new{new}")).unwrap();
        assert_eq!(row, 120 + new);
        assert!(!snapshot.popular().contains(&row));
        assert_eq!(snapshot.item_counts()[row as usize], 0);
    }
    assert_eq!(snapshot.item_index("sold-out"), Some(124), "it may be available tomorrow");
    for excluded in ["strange", "bare"] {
        assert_eq!(snapshot.item_index(excluded), None, "{excluded}");
    }
}

#[test]
fn attributes_only_append_items() {
    let (result, without) = setup(&[]).trained();
    assert_eq!((metrics(&result).cold_items, without.metadata().cold_items, without.items()), (None, 0, 120));
    let (with_result, with) = setup(&["genre"]).trained();
    assert_ne!(result.config_hash, with_result.config_hash);
    assert_eq!(Metrics { cold_items: None, ..metrics(&with_result).clone() }, *metrics(&result));
    for item in ["item000", "item119"] {
        assert_eq!(factors(&without, item), factors(&with, item));
    }
    assert_eq!((without.user_factors(), without.gram()), (with.user_factors(), with.gram()));
    assert_eq!((without.popular(), without.seen(7)), (with.popular(), with.seen(7)));
}

#[test]
fn missing_attribute_column_is_named() {
    let message = setup(&["colour"]).failed(sidecar_contract::ExitCode::BadData, "DataInvalid");
    assert!(message.contains("no column \"colour\"") && message.contains("spec.data.items.attributes"), "{message}");
}
