//! Comparison with the revision that serves: with itself on rows that it cannot know, else with its
//! parameters.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use sidecar_contract::{
    Algorithm, AlsConfig, Column, Comparison, ComparisonReference, Csv, Incumbent, IncumbentSnapshot, Items, Metrics,
    RunOutcome, Source, SplitKind,
};

use crate::setup::{Setup, grouped_visits};

const START: usize = 1_500_000_000;

/// Parameters that are all given.
fn parameters() -> AlsConfig {
    AlsConfig { factors: 8, iterations: 3, regularization: Some(0.05), ..AlsConfig::WIRE_DEFAULT }
}

/// Visits in a seeded order, a row per second; only those of the first `seconds`.
fn visits(seconds: usize) -> String {
    let pairs = grouped_visits();
    let mut text = "user_id,item_id,timestamp\n".to_owned();
    for (at, (user, item)) in pairs.iter().enumerate() {
        let second = (at * 7919) % pairs.len();
        if second < seconds {
            writeln!(text, "{user},{item},{}", START + second).unwrap();
        }
    }
    text
}

/// A setup whose first run trained a model on the first `seconds`, with the rows of `later` seconds
/// for the next run, and that model as incumbent.
fn setup_with_incumbent(seconds: usize, later: usize) -> Setup {
    with_incumbent(Setup::new("visits.csv", visits(seconds)), seconds, &visits(later))
}

/// The setup after its first run, whose newest row is of the last of these seconds, with other rows
/// for the next run.
fn with_incumbent(mut setup: Setup, seconds: usize, later: &str) -> Setup {
    setup.config.algorithm = Algorithm::Als(parameters());
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, snapshot_bytes, newest_row_micros, parameters, .. } = result.outcome else {
        panic!("{result:?}")
    };
    let newest = i64::try_from(START + seconds - 1).unwrap() * 1_000_000;
    assert_eq!(newest_row_micros, Some(newest));
    let snapshot = Some(IncumbentSnapshot { bytes: snapshot_bytes, newest_row_micros: newest });
    setup.config.incumbent = Some(Incumbent { digest, algorithm: parameters.unwrap(), snapshot });
    setup.config.run.number = 2;
    std::fs::write(setup.source(), later).unwrap();
    setup
}

fn compared(setup: &Setup) -> (Metrics, Comparison) {
    let (result, _) = setup.trained();
    let RunOutcome::Trained { metrics: Some(metrics), .. } = result.outcome else { panic!("{result:?}") };
    let comparison = metrics.incumbent.clone().unwrap();
    assert_eq!(comparison.digest, setup.config.incumbent.as_ref().unwrap().digest);
    (metrics, comparison)
}

fn rows() -> usize {
    grouped_visits().len()
}

#[test]
fn equal_parameters_on_rows_that_both_know_are_equal_to_the_serving_revision() {
    // The serving revision has learned from half of the rows that are held out now.
    let setup = setup_with_incumbent(rows() * 95 / 100, rows());
    let (metrics, comparison) = compared(&setup);
    assert_eq!(comparison.reference, ComparisonReference::Revision);
    let users = comparison.test_users.unwrap();
    assert!((20..metrics.test_users).contains(&users), "{users} of {}", metrics.test_users);
    // Both know the same rows, so their lists are equal, although one is in a file and folds in.
    let lift = comparison.lift;
    assert!(lift.estimate == 0.0 && lift.low == 0.0 && lift.high == 0.0, "{lift:?}");
    assert!(comparison.reference_description().starts_with("the serving revision "), "{comparison:?}");
}

#[test]
fn worse_parameters_are_worse_than_the_serving_revision() {
    let mut setup = setup_with_incumbent(rows() * 9 / 10, rows());
    setup.config.algorithm = Algorithm::Als(AlsConfig { factors: 1, iterations: 1, ..parameters() });
    let (_, comparison) = compared(&setup);
    assert_eq!(comparison.reference, ComparisonReference::Revision);
    assert!(comparison.lift.high < 0.0, "{comparison:?}");
}

#[test]
fn revision_that_knows_no_held_out_row_is_compared_on_all_of_them() {
    let mut setup = setup_with_incumbent(rows() / 2, rows());
    let (metrics, comparison) = compared(&setup);
    assert_eq!(comparison.reference, ComparisonReference::Revision);
    assert_eq!(comparison.test_users, Some(metrics.test_users));
    assert!(comparison.lift.estimate > 0.0, "twice as many rows are better: {comparison:?}");
    // A model of the same rows whose snapshot is gone: its parameters are equal.
    std::fs::remove_file(setup.snapshot_path(&comparison.digest)).unwrap();
    setup.config.run.number = 3;
    let (_, comparison) = compared(&setup);
    assert_eq!((comparison.reference, comparison.lift.estimate), (ComparisonReference::Parameters.into(), 0.0));
}

#[test]
fn parameters_are_compared_if_the_serving_revision_knows_the_held_out_rows() {
    // No row is newer.
    let mut setup = setup_with_incumbent(rows(), rows());
    setup.config.known_data_version = None;
    let (metrics, comparison) = compared(&setup);
    assert_eq!(comparison.reference, ComparisonReference::Parameters);
    assert_eq!((comparison.test_users, comparison.lift.estimate), (Some(metrics.test_users), 0.0));
    // A split that holds out rows of all ages.
    let mut setup = setup_with_incumbent(rows() / 2, rows());
    setup.config.evaluation.split = Some(SplitKind::Random);
    assert_eq!(compared(&setup).1.reference, ComparisonReference::Parameters);
    // A result of an older version has no time of the newest row.
    let mut setup = setup_with_incumbent(rows() / 2, rows());
    setup.config.incumbent.as_mut().unwrap().snapshot = None;
    assert_eq!(compared(&setup).1.reference, ComparisonReference::Parameters);
}

#[test]
fn items_that_the_data_does_not_have_take_no_place_in_the_lists_of_the_revision() {
    let seconds = rows() * 95 / 100;
    let mut setup = Setup::new("visits.csv", visits(seconds));
    let path = setup.directory.path().join("items.csv");
    let mut table = "item_id,group\n".to_owned();
    for item in 0..60 {
        writeln!(table, "item{item:02},group{}", item / 20).unwrap();
    }
    for new in 0..30 {
        writeln!(table, "new{new:02},group{}", new % 3).unwrap();
    }
    std::fs::write(&path, table).unwrap();
    let name = |name: &str| Column::Name(name.to_owned());
    setup.config.items = Some(Items {
        source: Source { url: format!("file://{}", path.display()), described_as: String::new() },
        format: None,
        csv: Csv::default(),
        id: name("item_id"),
        title: None,
        available: None,
        attributes: vec![name("group")],
    });
    let (_, comparison) = compared(&with_incumbent(setup, seconds, &visits(rows())));
    assert_eq!(comparison.reference, ComparisonReference::Revision);
    // Without cold-start items, equal parameters are equal.
    let lift = comparison.lift;
    assert!(lift.estimate == 0.0 && lift.low == 0.0 && lift.high == 0.0, "{lift:?}");
}

#[test]
fn pairs_that_the_serving_revision_knows_from_earlier_rows_do_not_count() {
    let pairs = grouped_visits();
    let (half, all) = (pairs.len() / 2, pairs.len());
    // A tenth of the pairs of the revision have a second row, which is newer than all others. These
    // are half of the held-out set.
    let mut later = visits(all);
    let mut times = BTreeMap::new();
    for (at, (user, item)) in pairs.iter().enumerate() {
        let second = (at * 7919) % all;
        times.insert((user, item), second);
        if second < half && second % 10 == 0 {
            writeln!(later, "{user},{item},{}", START + all + second).unwrap();
            times.insert((user, item), all + second);
        }
    }
    let setup = with_incumbent(Setup::new("visits.csv", visits(half)), half, &later);
    let (metrics, comparison) = compared(&setup);
    // The newest tenth of the pairs is held out; users with older pairs are evaluated.
    let mut newest: Vec<usize> = times.values().copied().collect();
    newest.sort_unstable();
    let is_held_out = |second: usize| second >= newest[all - all / 10];
    let users = |keep: &dyn Fn(usize) -> bool| -> BTreeSet<&String> {
        times.iter().filter(|(_, second)| keep(**second)).map(|((user, _), _)| *user).collect()
    };
    let known = users(&|second| !is_held_out(second));
    let count = |held_out: BTreeSet<&String>| held_out.intersection(&known).count() as u64;
    assert_eq!(metrics.test_users, count(users(&is_held_out)));
    assert_eq!(comparison.reference, ComparisonReference::Revision);
    assert_eq!(comparison.test_users, Some(count(users(&|second| is_held_out(second) && second < all))));
}

#[test]
fn parameters_are_compared_if_all_held_out_pairs_are_repeated_visits() {
    let mut later = visits(rows());
    for (at, (user, item)) in grouped_visits().iter().enumerate().step_by(4) {
        writeln!(later, "{user},{item},{}", START + rows() + at).unwrap();
    }
    let setup = with_incumbent(Setup::new("visits.csv", visits(rows())), rows(), &later);
    let (metrics, comparison) = compared(&setup);
    assert_eq!(comparison.reference, ComparisonReference::Parameters);
    assert_eq!((comparison.test_users, comparison.lift.estimate), (Some(metrics.test_users), 0.0));
}
