//! Every split and its metrics, compared with an independent implementation.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    ops::ControlFlow,
    path::Path,
    process::{Command, Stdio},
};

use factorization::{AlsParams, Biases, Entry, ExplicitAlsParams, Fit as _, Interactions, Model, rmse};
use recommender_trainer::{describe_metrics, evaluate, progress::Silent};
use serde_json::{Value, json};
use sidecar_contract::{Algorithm, AlsConfig, Measurement, Metrics, Signal, SplitKind};

use crate::setup::{Setup, grouped_ratings, grouped_visits, runtime};

const ITEMS: usize = 60;
const K: usize = 5;
const HOLDOUT: f64 = 0.2;

/// A row: numbers of user and item in the order of their ids, weight, and optional day.
struct Row {
    user: u32,
    item: u32,
    ids: (String, String),
    weight: f32,
    day: Option<u64>,
}

/// Visits, some of them dislikes, on a few days, so that many are equally new.
fn rows(timed: bool) -> Vec<Row> {
    let visits = grouped_visits();
    let mut users: Vec<&String> = visits.iter().map(|(user, _)| user).collect();
    users.dedup();
    let number = |user: &String| u32::try_from(users.binary_search(&user).unwrap()).unwrap();
    let row = |(n, ids): (usize, &(String, String))| Row {
        user: number(&ids.0),
        item: ids.1[4..].parse().unwrap(),
        ids: ids.clone(),
        weight: if n % 11 == 0 { -1.0 } else { 1.0 },
        day: timed.then_some(n as u64 * 7919 % 40),
    };
    visits.iter().enumerate().map(row).collect()
}

fn python(script: &str, case: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let mut python = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(case.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}

/// Metrics of the trainer.
fn ours(rows: &[Row], split: SplitKind) -> Metrics {
    let timed = rows[0].day.is_some();
    let mut text = format!("user_id,item_id,rating{}\n", if timed { ",timestamp" } else { "" });
    for Row { ids: (user, item), weight, day, .. } in rows {
        let day = day.map_or_else(String::new, |day| format!(",{}", day * 86400));
        writeln!(text, "{user},{item},{weight}{day}").unwrap();
    }
    let mut setup = Setup::new("visits.csv", text);
    setup.config.evaluation.split = Some(split);
    setup.config.evaluation.holdout = HOLDOUT;
    setup.config.evaluation.k = u32::try_from(K).unwrap();
    runtime().block_on(async { evaluate(&setup.config, &Silent, &setup.options).await }).unwrap().unwrap()
}

/// Reference metrics of the model and of popularity, split and computed by scripts, and the number
/// of test users.
fn reference(rows: &[Row], split: SplitKind) -> (Value, Value, usize) {
    let cells: Vec<Value> = rows.iter().map(|row| json!([row.ids.0, row.ids.1, row.day])).collect();
    let case = json!({"rows": cells, "split": split, "holdout": HOLDOUT, "seed": 42});
    let subsets: Vec<String> = serde_json::from_value(python("tests/it/splits.py", &case)).unwrap();
    let in_subset = |subset: &str| {
        let selected = rows.iter().zip(&subsets).filter(|(_, other)| *other == subset);
        selected.map(|(row, _)| Entry { user: row.user, item: row.item, value: row.weight }).collect::<Vec<_>>()
    };
    let (train, fold_in, test) = (in_subset("train"), in_subset("foldIn"), in_subset("test"));
    let history = |user: u32| {
        let subset = if split == SplitKind::UserHoldout { &fold_in } else { &train };
        subset.iter().filter(|entry| entry.user == user).copied().collect::<Vec<_>>()
    };
    let mut relevant: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in test.iter().filter(|entry| entry.value > 0.0) {
        if history(entry.user).iter().any(|entry| entry.value > 0.0) {
            relevant.entry(entry.user).or_default().push(entry.item);
        }
    }
    let scored = |score: &dyn Fn(u32) -> Vec<f64>| {
        let mut shown = vec![0_u32; ITEMS];
        let mut users = Vec::new();
        for (user, relevant) in &relevant {
            let scores = score(*user);
            let mut list: Vec<usize> =
                (0..ITEMS).filter(|item| history(*user).iter().all(|entry| entry.item as usize != *item)).collect();
            list.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
            list.truncate(K);
            for item in &list {
                shown[*item] += 1;
            }
            users.push(json!({"list": list, "relevant": relevant}));
        }
        let mut metrics =
            python("../factorization/tests/it/metrics.py", &json!({"k": K, "items": ITEMS, "users": users}));
        metrics["coverage"] = json!(shown.iter().filter(|lists| **lists > 0).count() as f64 / ITEMS as f64);
        metrics
    };
    let likes = |item: usize| train.iter().filter(|e| e.item as usize == item && e.value > 0.0).count() as f64;
    let popular: Vec<f64> = (0..ITEMS).map(likes).collect();
    let users = rows.last().unwrap().user as usize + 1;
    let training = Interactions::from_entries(users, ITEMS, train.clone()).unwrap();
    let params = AlsParams { factors: 8, iterations: 3, ..AlsParams::default() }.check().unwrap();
    let model = params.fit(&training, 42, None, &mut |_| ControlFlow::Continue(())).unwrap();
    let model = scored(&|user| scores(&model, &history(user)));
    (model, scored(&|_| popular.clone()), relevant.len())
}

/// Scores of all items for a user with this history.
fn scores(model: &Model, history: &[Entry]) -> Vec<f64> {
    let (items, values): (Vec<u32>, Vec<f32>) = history.iter().map(|entry| (entry.item, entry.value)).unzip();
    let vector = model.fold_in(&items, &values).unwrap();
    let rows = model.item_factors.rows().into_iter();
    rows.map(|row| row.iter().zip(&vector).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()).collect()
}

#[test]
fn metrics_of_every_split_match_an_independent_implementation() {
    for (split, timed) in [
        (SplitKind::Time, true),
        (SplitKind::Random, true),
        (SplitKind::LeaveLastOut, true),
        (SplitKind::LeaveLastOut, false),
        (SplitKind::UserHoldout, true),
        (SplitKind::UserHoldout, false),
    ] {
        let rows = rows(timed);
        let ours = ours(&rows, split);
        let (model, baseline, users) = reference(&rows, split);
        assert_eq!((ours.split.clone(), ours.test_users), (Some(split.into()), users as u64), "{split:?}");
        assert!(users >= 30, "{split:?}: {users}");
        for (ours, reference) in [(&ours.model, &model), (&ours.baseline, &baseline)] {
            let Measurement { recall, ndcg, precision, map, mrr, coverage, gini, rmse: None, mae: None } = ours else {
                panic!("{ours:?}")
            };
            for (name, ours) in [
                ("recall", recall),
                ("ndcg", ndcg),
                ("precision", precision),
                ("map", map),
                ("mrr", mrr),
                ("coverage", coverage),
                ("gini", gini),
            ] {
                let (ours, reference) = (ours.unwrap(), reference[name].as_f64().unwrap());
                assert!((ours - reference).abs() < 1e-9, "{split:?}, timed {timed}: {name} {ours} {reference}");
            }
        }
        // The lift for the gate exists and is consistent with both metrics.
        let lift = ours.lift.unwrap();
        let expected = ours.model.ndcg.unwrap() / ours.baseline.ndcg.unwrap() - 1.0;
        assert!((lift.estimate - expected).abs() < 1e-9 && lift.low <= lift.estimate, "{split:?}: {lift:?}");
        let line = describe_metrics(&ours);
        assert!(line.ends_with(&format!("{users} test users on {}", split.description())), "{line}");
    }
}

#[test]
fn ratings_of_held_out_users_are_predicted_from_their_folded_in_ratings() {
    let csv = grouped_ratings();
    let rows: Vec<(&str, &str, f32)> = (csv.lines().skip(1))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (fields[0], fields[1], fields[2].parse().unwrap())
        })
        .collect();
    let cells: Vec<Value> = rows.iter().map(|(user, item, _)| json!([user, item, null])).collect();
    let case = json!({"rows": cells, "split": SplitKind::UserHoldout, "holdout": HOLDOUT, "seed": 42});
    let subsets: Vec<String> = serde_json::from_value(python("tests/it/splits.py", &case)).unwrap();
    let in_subset = |subset: &str| {
        let selected = rows.iter().zip(&subsets).filter(|(_, other)| *other == subset);
        let entry = |(user, item, value): &(&str, &str, f32)| Entry {
            user: user[4..].parse().unwrap(),
            item: item[4..].parse().unwrap(),
            value: *value,
        };
        Interactions::from_entries(300, ITEMS, selected.map(|(row, _)| entry(row)).collect()).unwrap()
    };
    let (train, fold_in, test) = (in_subset("train"), in_subset("foldIn"), in_subset("test"));
    let params = ExplicitAlsParams { factors: 8, iterations: 3, ..ExplicitAlsParams::default() }.check().unwrap();
    let model = params.fit(&train, 42, None, &mut |_| ControlFlow::Continue(())).unwrap();
    let biases = Biases::fit(&train).unwrap().fold_in(&fold_in);
    let scorer = model.scorer().unwrap();
    let (mut of_model, mut of_biases) = (Vec::new(), Vec::new());
    for user in 0..300 {
        let (items, ratings) = test.row(user as usize);
        let (history, history_ratings) = fold_in.row(user as usize);
        for (item, rating) in items.iter().zip(ratings) {
            let vector = scorer.fold_in(history, history_ratings).unwrap();
            of_model.push((f64::from(scorer.rating(&vector, *item).unwrap()), f64::from(*rating)));
            of_biases.push((f64::from(biases.rating(user, *item)), f64::from(*rating)));
        }
    }

    let mut setup = Setup::new("ratings.csv", &csv);
    setup.config.signal = Signal::Explicit;
    setup.config.algorithm =
        Algorithm::Als(AlsConfig { factors: 8, iterations: 3, regularization: Some(0.1), ..AlsConfig::WIRE_DEFAULT });
    setup.config.evaluation.split = Some(SplitKind::UserHoldout);
    setup.config.evaluation.holdout = HOLDOUT;
    let ours = runtime().block_on(async { evaluate(&setup.config, &Silent, &setup.options).await }).unwrap().unwrap();
    assert!(of_model.len() > 100 && ours.lift.unwrap().low > 0.0, "{ours:?}");
    for (ours, reference) in [(ours.model.rmse, &of_model), (ours.baseline.rmse, &of_biases)] {
        assert!((ours.unwrap() - rmse(reference).unwrap()).abs() < 1e-9, "{ours:?}");
    }
}

#[test]
fn held_out_set_does_not_leak_into_tuning() {
    // Flipping the signs of rows outside the training part must not change the result of the
    // search.
    for split in [SplitKind::LeaveLastOut, SplitKind::UserHoldout] {
        let found = |flip: f32| {
            let mut rows = rows(true);
            let cells: Vec<Value> = rows.iter().map(|row| json!([row.ids.0, row.ids.1, row.day])).collect();
            let case = json!({"rows": cells, "split": split, "holdout": HOLDOUT, "seed": 42});
            let subsets: Vec<String> = serde_json::from_value(python("tests/it/splits.py", &case)).unwrap();
            for (row, subset) in rows.iter_mut().zip(&subsets) {
                if subset != "train" {
                    row.weight *= flip;
                }
            }
            let mut text = "user_id,item_id,rating,timestamp\n".to_owned();
            for Row { ids: (user, item), weight, day, .. } in &rows {
                writeln!(text, "{user},{item},{weight},{}", day.unwrap() * 86400).unwrap();
            }
            let mut setup = Setup::new("visits.csv", text);
            setup.config.evaluation.split = Some(split);
            setup.config.evaluation.holdout = HOLDOUT;
            setup.config.tuning = Some(sidecar_contract::TuningConfig { trials: 4, ..Default::default() });
            let tuned =
                runtime().block_on(async { recommender_trainer::tune(&setup.config, &Silent, &setup.options).await });
            tuned.unwrap().trials
        };
        let plain = found(1.0);
        assert_eq!(plain.len(), 4);
        assert_eq!(plain, found(-1.0), "{split:?}");
    }
}
