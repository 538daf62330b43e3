//! Explicit data: from ratings to a snapshot with biases, compared with the bias baseline.

use std::{collections::BTreeMap, num::NonZeroUsize};

use recommender_trainer::describe_metrics;
use sidecar_contract::{Algorithm, AlsConfig, ExitCode, Metrics, RunOutcome, RunResult, Signal};

use crate::setup::{Setup, grouped_ratings};

fn rated(content: &str) -> Setup {
    let mut setup = Setup::new("ratings.csv", content);
    setup.config.signal = Signal::Explicit;
    setup.config.algorithm =
        Algorithm::Als(AlsConfig { factors: 4, iterations: 8, regularization: None, ..AlsConfig::WIRE_DEFAULT });
    setup
}

fn metrics(result: &RunResult) -> &Metrics {
    match &result.outcome {
        RunOutcome::Trained { metrics: Some(metrics), .. } => metrics,
        other => panic!("{other:?}"),
    }
}

#[test]
fn model_beats_the_bias_baseline_with_a_consistent_lift() {
    let (result, snapshot) = rated(&grouped_ratings()).trained();
    let metrics = metrics(&result);
    assert_eq!(metrics.metric, "rmse");
    assert!(metrics.test_users > 200, "{metrics:?}");
    let (model, baseline) = (&metrics.model, &metrics.baseline);
    // The noise is 0 or 1 with equal probability, so the minimum RMSE is 0.5. The bias baseline
    // does not know the groups; they add 4 to a third of the cells, a standard deviation of 4·√2/3.
    let groups = 4.0 * 2.0_f64.sqrt() / 3.0;
    let (model_rmse, baseline_rmse) = (model.rmse.unwrap(), baseline.rmse.unwrap());
    assert!((0.45..0.8).contains(&model_rmse), "{metrics:?}");
    assert!((baseline_rmse - groups.hypot(0.5)).abs() < 0.15, "{metrics:?}");
    assert!(model.mae < baseline.mae && model.ndcg > baseline.ndcg && model.recall > baseline.recall, "{metrics:?}");
    let lift = metrics.lift.unwrap();
    assert!((lift.estimate - (1.0 - model_rmse / baseline_rmse)).abs() < 1e-12);
    assert!(0.5 < lift.low && lift.low < lift.estimate && lift.estimate < lift.high && lift.high < 0.8, "{lift:?}");
    assert!(describe_metrics(metrics).starts_with("rmse 0."), "{}", describe_metrics(metrics));

    let (scale, users, items) = snapshot.ratings().unwrap();
    assert_eq!((scale.low, scale.high, users.len(), items.len()), (2.0, 9.0, 300, 60));
    assert_eq!(snapshot.metadata().signal, Signal::Explicit);
    assert_eq!(snapshot.seen_weights(0).unwrap().len(), snapshot.seen(0).len());
    // Popularity counts ratings that are not below the mean.
    let text = grouped_ratings();
    let mut likes: BTreeMap<&str, u32> = BTreeMap::new();
    for row in text.lines().skip(1) {
        let [_, item, rating] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
        *likes.entry(item).or_default() += u32::from(rating.parse::<f32>().unwrap() >= scale.mean);
    }
    for (item, count) in (0..).zip(snapshot.item_counts()) {
        assert_eq!(*count, likes[snapshot.item_id(item).unwrap()]);
    }
}

#[test]
fn bytes_do_not_depend_on_row_order_or_number_of_threads() {
    let text = grouped_ratings();
    let mut lines: Vec<&str> = text.lines().collect();
    let digest = |lines: &[&str], threads: usize| {
        let mut setup = rated(&lines.join("\n"));
        setup.options.threads = NonZeroUsize::new(threads);
        let (result, snapshot) = setup.trained();
        (snapshot.digest(), metrics(&result).clone())
    };
    let one = digest(&lines, 1);
    lines[1..].reverse();
    assert_eq!(digest(&lines, 2), one);
}

#[test]
fn newer_rating_replaces_an_older_one() {
    let mut text = "user_id,item_id,rating,timestamp\n".to_owned();
    for (at, row) in grouped_ratings().lines().skip(1).enumerate() {
        // Each rating has an opposite one before or after it in the file; the opposite one is
        // always older.
        let (pair, rating) = row.rsplit_once(',').unwrap();
        let opposite = 11 - rating.parse::<u32>().unwrap();
        let mut twice = [format!("{pair},{rating},{}\n", 2_000 + at), format!("{pair},{opposite},{at}\n")];
        twice.rotate_left(at % 2);
        text.extend(twice);
    }
    let (result, snapshot) = rated(&text).trained();
    let (_, expected) = rated(&grouped_ratings()).trained();
    assert_eq!(snapshot.digest(), expected.digest());
    assert_eq!(result.rows.merged, result.rows.kept / 2);
}

#[test]
fn constant_ratings_fail() {
    for content in ["user_id,item_id,rating\na,1,4\nb,1,4\nb,2,4\n", "user_id,item_id\na,1\nb,1\n"] {
        let message = rated(content).failed(ExitCode::BadData, "DataInvalid");
        assert!(message.contains("every rating is") && message.contains("spec.data.columns.rating"), "{message}");
    }
    let mut setup = rated(&grouped_ratings());
    setup.config.algorithm = Algorithm::Als(AlsConfig { regularization: Some(0.0), ..AlsConfig::WIRE_DEFAULT });
    let message = setup.failed(ExitCode::Usage, "ConfigInvalid");
    assert!(message.contains("spec.algorithm.als.regularization is 0: expected a number above 0"), "{message}");
}

#[test]
fn negative_and_zero_ratings_are_valid() {
    let text: String = grouped_ratings()
        .lines()
        .map(|row| match row.rsplit_once(',').unwrap() {
            (pair, "rating") => format!("{pair},rating\n"),
            (pair, rating) => format!("{pair},{}\n", rating.parse::<i32>().unwrap() - 5),
        })
        .collect();
    let (result, snapshot) = rated(&text).trained();
    let (shifted, plain) = (metrics(&result), rated(&grouped_ratings()).trained().0);
    let (scale, ..) = snapshot.ratings().unwrap();
    assert_eq!((scale.low, scale.high), (-3.0, 4.0));
    let difference = shifted.model.rmse.unwrap() - metrics(&plain).model.rmse.unwrap();
    assert!(difference.abs() < 1e-4, "{difference}");
}
