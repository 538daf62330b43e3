//! Items that nobody has met: in the model by their attributes, and measured on items that were met.

use std::fmt::Write as _;

use model_snapshot::{FORMAT_VERSION_WITH_COLD_ITEMS, Snapshot};
use sidecar_contract::{
    Algorithm, AlsConfig, Column, Csv, Items, Metrics, RunOutcome, RunResult, Signal, Source, SvdConfig,
};

use crate::setup::{Numbers, Setup};

const ITEMS: u64 = 120;
const GENRES: u64 = 6;

/// 400 users who love two of six genres; ratings tell more of these from others.
fn visits() -> String {
    let mut numbers = Numbers(11);
    let mut rows = "user_id,item_id,rating\n".to_owned();
    for user in 0..400 {
        let loved = [user % GENRES, (user / GENRES + 1 + user) % GENRES];
        let mut met = std::collections::BTreeSet::new();
        for _ in 0..25 {
            let item = numbers.below(ITEMS);
            let is_loved = loved.contains(&(item % GENRES));
            if (is_loved || numbers.below(8) == 0) && met.insert(item) {
                writeln!(rows, "user{user:03},item{item:03},{}", if is_loved { 5 } else { 1 + numbers.below(2) })
                    .unwrap();
            }
        }
    }
    rows
}

/// The items that were met, four that were not, and one of these that is sold out.
fn table() -> String {
    let mut rows = "id,title,in_stock,genre,tags\n".to_owned();
    for item in (0..ITEMS).rev() {
        writeln!(rows, "item{item:03},Title {item},yes,genre{},t{}|t{}", item % GENRES, item % 4, item % 7).unwrap();
    }
    for new in 0..4 {
        writeln!(rows, "new{new},New {new},yes,genre{new},").unwrap();
    }
    rows + "sold-out,Sold out,no,genre1,\nstrange,Strange,yes,unheard of,\nbare,Bare,yes,,\n"
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

/// Mean score of an item with the users who love its genre, and with the others.
fn scores(snapshot: &Snapshot, item: &str, genre: u64) -> [f64; 2] {
    let v = factors(snapshot, item);
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for user in 0..400 {
        let loves = [user % GENRES, (user / GENRES + 1 + user) % GENRES].contains(&genre);
        let row = snapshot.user_index(&format!("user{user:03}")).unwrap() as usize;
        let u = snapshot.user_factors().row(row).to_vec();
        sums[usize::from(!loves)] += u.iter().zip(&v).map(|(u, v)| f64::from(*u) * f64::from(*v)).sum::<f64>();
        counts[usize::from(!loves)] += 1.0;
    }
    [sums[0] / counts[0], sums[1] / counts[1]]
}

#[test]
fn who_loves_a_genre_gets_its_new_items() {
    for (signal, algorithm) in [
        (Signal::Implicit, Algorithm::Als(AlsConfig { factors: 8, iterations: 5, ..AlsConfig::default() })),
        (
            Signal::Explicit,
            Algorithm::Als(AlsConfig { factors: 8, iterations: 5, regularization: Some(0.1), ..AlsConfig::default() }),
        ),
        (Signal::Implicit, Algorithm::Svd(SvdConfig { factors: 8, ..SvdConfig::default() })),
    ] {
        let mut setup = setup(&["genre", "tags"]);
        (setup.config.signal, setup.config.algorithm) = (signal, algorithm);
        setup.config.evaluation.k = 3;
        let (result, snapshot) = setup.trained();
        for genre in 0..4 {
            let [loving, others] = scores(&snapshot, &format!("new{genre}"), genre);
            assert!(loving > others + 0.1, "genre {genre}: {loving} {others}");
            // They neither flood nor vanish: those who love the genre like its items about as much when they are known.
            let known: f64 =
                (0..10).map(|i| scores(&snapshot, &format!("item{:03}", genre + i * GENRES), genre)[0]).sum();
            assert!((0.5..1.5).contains(&(loving / (known / 10.0))), "genre {genre}: {loving} {}", known / 10.0);
        }
        let cold = metrics(&result).cold_items.unwrap();
        assert_eq!(cold.items, 12);
        assert!(cold.users > 200 && cold.ndcg > 1.8 * cold.baseline, "{cold:?}");
    }
}

#[test]
fn they_come_last_and_are_popular_with_nobody() {
    let (result, snapshot) = setup(&["genre", "tags"]).trained();
    let metadata = snapshot.metadata();
    assert_eq!((metadata.cold_items, metadata.items), (4, ITEMS + 4));
    assert_eq!(metadata.format_version, FORMAT_VERSION_WITH_COLD_ITEMS);
    let RunOutcome::Trained { items, .. } = result.outcome else { panic!() };
    assert_eq!(items, ITEMS + 4);
    for new in 0..4_u32 {
        let row = snapshot.item_index(&format!("new{new}")).unwrap();
        assert_eq!((row, snapshot.title(row).unwrap()), (120 + new, format!("New {new}").as_str()));
        assert!(snapshot.is_available(row) && !snapshot.popular().contains(&row));
        assert_eq!(snapshot.item_counts()[row as usize], 0);
    }
    for left_out in ["sold-out", "strange", "bare"] {
        assert_eq!(snapshot.item_index(left_out), None, "{left_out}");
    }
}

#[test]
fn without_attributes_nothing_changes_and_with_them_only_what_is_appended() {
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
fn a_column_that_is_not_there_is_named() {
    let message = setup(&["colour"]).failed(sidecar_contract::ExitCode::BadData, "DataInvalid");
    assert!(message.contains("no column \"colour\"") && message.contains("spec.data.items.attributes"), "{message}");
}
