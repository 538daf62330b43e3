//! Evaluation: the model learns the groups, which popularity cannot represent.

use recommender_trainer::{describe_metrics, evaluate, progress::Silent, train_to_file};
use sidecar_contract::{Algorithm, AlsConfig, Digest, Incumbent, RunOutcome, SplitKind};

use crate::setup::{Setup, csv, grouped_visits, runtime};

#[test]
fn model_beats_popularity_on_groups_with_a_consistent_lift() {
    let setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let (result, _) = setup.trained();
    let RunOutcome::Trained { metrics: Some(metrics), .. } = &result.outcome else { panic!("{result:?}") };
    assert_eq!((metrics.metric.as_str(), metrics.k), ("ndcg", 10));
    assert!(metrics.test_users >= 100, "{metrics:?}");
    assert!(
        metrics.model.ndcg > metrics.baseline.ndcg && metrics.model.recall > metrics.baseline.recall,
        "{metrics:?}"
    );
    let lift = metrics.lift.unwrap();
    assert!(0.0 < lift.low && lift.low < lift.estimate && lift.estimate < lift.high, "{lift:?}");
    let expected = metrics.model.ndcg.unwrap() / metrics.baseline.ndcg.unwrap() - 1.0;
    assert!((lift.estimate - expected).abs() < 1e-9, "{lift:?} {expected}");
}

#[test]
fn few_users_have_no_lift_and_a_single_row_has_no_metrics() {
    let few: Vec<_> = grouped_visits().into_iter().filter(|(user, _)| user.as_str() < "user010").collect();
    let (result, _) = Setup::new("visits.csv", csv(&few)).trained();
    let RunOutcome::Trained { metrics, .. } = &result.outcome else { panic!("{result:?}") };
    assert!(metrics.as_ref().is_none_or(|metrics| metrics.lift.is_none()), "{metrics:?}");
    let (result, _) = Setup::new("visits.csv", "user_id,item_id\na,1\n").trained();
    let RunOutcome::Trained { metrics: None, .. } = &result.outcome else { panic!("{result:?}") };
}

#[test]
fn at_most_ten_thousand_users_are_evaluated() {
    let evaluated = |users: u32| {
        let row = |user: u32, at: u32| (format!("u{user}"), format!("i{}", (user + at * at) % 7));
        let rows: Vec<_> = (0..users).flat_map(|user| [0, 1, 2].map(|at| row(user, at))).collect();
        let mut setup = Setup::new("visits.csv", csv(&rows));
        setup.config.algorithm = Algorithm::Als(AlsConfig { factors: 2, iterations: 1, ..small_als() });
        setup.config.evaluation.split = Some(SplitKind::LeaveLastOut);
        let metrics = runtime().block_on(async { evaluate(&setup.config, &Silent, &setup.options).await });
        metrics.unwrap().unwrap().test_users
    };
    assert_eq!((evaluated(9_990), evaluated(10_010)), (9_990, 10_000));
}

#[test]
fn timestamps_select_the_time_split() {
    let mut text = "user_id,item_id,timestamp\n".to_owned();
    for (at, (user, item)) in grouped_visits().iter().enumerate() {
        text.push_str(&format!("{user},{item},{}\n", 1_500_000_000 + (at * 7919) % 10_007));
    }
    let metrics = |text: &str| {
        let mut setup = Setup::new("visits.csv", text);
        // The data decides no parameter.
        setup.config.algorithm = Algorithm::Als(small_als());
        let (result, _) = setup.trained();
        match result.outcome {
            RunOutcome::Trained { metrics: Some(metrics), digest, .. } => (metrics, digest),
            other => panic!("{other:?}"),
        }
    };
    let (by_time, digest) = metrics(&text);
    let (by_hash, same_model) = metrics(&csv(&grouped_visits()));
    assert_ne!(by_time, by_hash);
    assert_eq!(digest, same_model, "the split does not affect the refit on all rows with given parameters");
    assert!(by_time.model.ndcg > by_time.baseline.ndcg);
}

/// Parameters that are all given.
fn small_als() -> AlsConfig {
    AlsConfig { factors: 8, iterations: 3, regularization: Some(0.05), ..AlsConfig::WIRE_DEFAULT }
}

#[test]
fn held_out_rows_do_not_affect_automatic_parameters() {
    // Nine tenths of the rows are old and have weight 1; the newest tenth is held out.
    let pairs = grouped_visits();
    let old = pairs.len() * 9 / 10;
    let regularization = |held_out_weight: f64| {
        let mut text = "user_id,item_id,rating,timestamp\n".to_owned();
        for (at, (user, item)) in pairs.iter().enumerate() {
            let (weight, time) = if (at * 7919) % pairs.len() < old { (1.0, 0) } else { (held_out_weight, 1 + at) };
            text.push_str(&format!("{user},{item},{weight},{}\n", 1_500_000_000 + time));
        }
        let (result, snapshot) = Setup::new("visits.csv", text).trained();
        let RunOutcome::Trained { parameters: Some(Algorithm::Als(als)), .. } = &result.outcome else {
            panic!("{result:?}")
        };
        assert_eq!(snapshot.metadata().algorithm, Algorithm::Als(als.clone()));
        als.regularization.unwrap()
    };
    assert_eq!(regularization(1.0).to_bits(), regularization(100.0).to_bits());
}

/// Visits of 100 users, a row per minute: each user visits seven items that are popular with all,
/// then three that only became popular at the end.
fn drifting_visits() -> String {
    let mut text = "user_id,item_id,timestamp\n".to_owned();
    for minute in 0..1000 {
        let (round, user) = (minute / 100, minute % 100);
        let item = match round {
            0..7 => format!("old{round}"),
            // Nine of ten users visit the new items in an order of their own.
            _ if user % 10 == 0 => format!("rare{round}"),
            _ => format!("new{}", (round + user) % 3),
        };
        text.push_str(&format!("user{user:02},{item},{}\n", 1_500_000_000 + 60 * minute));
    }
    text
}

#[test]
fn split_by_time_has_a_baseline_of_recent_popularity() {
    let setup = Setup::new("visits.csv", drifting_visits());
    let measured = |setup: &Setup| {
        let metrics = runtime().block_on(async { evaluate(&setup.config, &Silent, &setup.options).await });
        metrics.unwrap().unwrap()
    };
    let metrics = measured(&setup);
    let recent = metrics.recent_baseline.clone().unwrap();
    // 1,000 rows: 100 are held out, and the newest 90 of the others are recent.
    assert_eq!(recent.since, 1_500_000_000 + 60 * (1000 - 100 - 90));
    // The held-out items are recent ones; all users know the items of old, of which all-time
    // popularity has more.
    assert!(recent.measurement.ndcg >= metrics.baseline.ndcg, "{metrics:?}");
    let expected = metrics.model.ndcg.unwrap() / recent.measurement.ndcg.unwrap() - 1.0;
    assert!((recent.lift.unwrap().estimate - expected).abs() < 1e-9, "{recent:?}");
    assert!(describe_metrics(&metrics).contains("lift over recent popularity"), "{}", describe_metrics(&metrics));
    let mut random = Setup::new("visits.csv", drifting_visits());
    random.config.evaluation.split = Some(SplitKind::Random);
    assert_eq!(measured(&random).recent_baseline, None);
}

#[test]
fn training_without_a_store_gives_the_same_bytes_and_metrics() {
    let setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let (result, _) = setup.trained();
    let RunOutcome::Trained { digest, metrics, .. } = &result.outcome else { panic!("{result:?}") };
    let output = setup.directory.path().join("model.safetensors");
    let file =
        runtime().block_on(async { train_to_file(&setup.config, &output, &Silent, &setup.options).await }).unwrap();
    assert_eq!((&file.trained.written.digest, &file.trained.metrics), (digest, metrics));
    assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(setup.snapshot_path(digest)).unwrap());
    let evaluated = runtime().block_on(async { evaluate(&setup.config, &Silent, &setup.options).await }).unwrap();
    assert_eq!(evaluated, *metrics);
    let line = describe_metrics(&evaluated.unwrap());
    assert!(line.starts_with("ndcg@10 0.") && line.contains("lift +"), "{line}");
}

#[test]
fn new_model_is_compared_with_the_incumbent() {
    let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let measured = |setup: &Setup| {
        let metrics = runtime().block_on(async { evaluate(&setup.config, &Silent, &setup.options).await });
        metrics.unwrap().unwrap()
    };
    let reference = measured(&setup);
    let digest = Digest::of(b"incumbent");
    setup.config.incumbent =
        Some(Incumbent { digest: digest.clone(), algorithm: setup.config.algorithm.clone(), snapshot: None });
    let same = measured(&setup).incumbent.unwrap();
    assert_eq!(same.digest, digest);
    assert!(same.lift.estimate == 0.0 && same.lift.low == 0.0 && same.lift.high == 0.0, "{same:?}");

    let one_factor = Algorithm::Als(AlsConfig { factors: 1, iterations: 1, ..AlsConfig::WIRE_DEFAULT });
    setup.config.algorithm = one_factor;
    let worse = measured(&setup);
    let lift = worse.incumbent.unwrap().lift;
    let expected = worse.model.ndcg.unwrap() / reference.model.ndcg.unwrap() - 1.0;
    assert!(expected < -0.1 && (lift.estimate - expected).abs() < 1e-9, "{lift:?} {expected}");
    assert!(lift.low <= lift.estimate && lift.estimate <= lift.high && lift.high < 0.0, "{lift:?}");
    let hash = setup.config.config_hash();
    setup.config.incumbent = None;
    assert_eq!(setup.config.config_hash(), hash, "the incumbent is not part of the config hash");
}

#[test]
fn activity_groups_are_tenths_and_their_means_average_to_the_total() {
    let (result, _) = Setup::new("visits.csv", csv(&grouped_visits())).trained();
    let RunOutcome::Trained { metrics: Some(metrics), .. } = &result.outcome else { panic!("{result:?}") };
    let groups = &metrics.by_activity;
    assert_eq!(groups.iter().map(|group| group.users).sum::<u64>(), metrics.test_users);
    assert!(groups.len() == 10 && groups.is_sorted_by(|x, y| x.rows_max <= y.rows_min), "{groups:?}");
    let mean = |of: fn(&sidecar_contract::ActivityGroup) -> f64| {
        groups.iter().map(|group| of(group) * group.users as f64).sum::<f64>() / metrics.test_users as f64
    };
    assert!((mean(|group| group.model) - metrics.model.ndcg.unwrap()).abs() < 1e-12);
    assert!((mean(|group| group.baseline) - metrics.baseline.ndcg.unwrap()).abs() < 1e-12);
    // Lists of 10 of 60 items for 300 users in groups: the model covers the items of each group,
    // popularity covers fewer.
    let (model, baseline) = (metrics.model.coverage.unwrap(), metrics.baseline.coverage.unwrap());
    assert!(model <= 1.0 && baseline > 0.0 && model > baseline, "{model} {baseline}");
}
