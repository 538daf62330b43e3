//! Weights of rows in the snapshot, from events, time decay and duplicates; the held-out set does
//! not leak into them.

use std::fmt::Write as _;

use factorization::{AlsParams, Degrees, Scorer, ValidParams};
use recommender_trainer::{evaluate, progress::Silent};
use sidecar_contract::{Column, ExitCode, Signal, Weighting, WeightsConfig};

use crate::setup::{Setup, csv, grouped_visits, runtime};

const DAY: u64 = 24 * 3600;
const HALF_LIFE_DAYS: u64 = 128;

fn events() -> WeightsConfig {
    let events = [("view", 1.0), ("cart", 3.0), ("purchase", 10.0), ("hide", -2.0)];
    WeightsConfig {
        events: events.map(|(event, weight)| (event.to_owned(), weight)).into(),
        half_life_seconds: Some(10 * DAY),
        weighting: Weighting::None,
    }
}

fn with_events(text: &str, weighting: Weighting) -> Setup {
    let mut setup = Setup::new("events.csv", text);
    setup.config.columns.event = Some(Column::Name("event".to_owned()));
    setup.config.weights = WeightsConfig { weighting, ..events() };
    setup
}

#[test]
fn weights_of_events_decay_and_duplicates_match_manual_calculations() {
    let mut text = "user_id,item_id,event,timestamp\n".to_owned();
    for (row, day) in
        [("a,x,view", 0), ("b,x,hide", 20), ("a,x,purchase", 20), ("a,y,cart", 10), ("b,y,view", 10), ("b,z,", 10)]
    {
        writeln!(text, "{row},{}", day * DAY).unwrap();
    }
    // Unlisted events are dropped on purpose: many of them do not indicate invalid data.
    (0..30).for_each(|n| writeln!(text, "c{n},z,scroll,0").unwrap());
    let weights = |weighting| {
        let (result, snapshot) = with_events(&text, weighting).trained();
        assert_eq!((result.rows.read, result.rows.kept, result.rows.merged), (36, 5, 1));
        assert_eq!(result.rows.dropped, [("eventNotListed".to_owned(), 31)].into());
        ["a", "b"].map(|user| snapshot.seen_weights(snapshot.user_index(user).unwrap()).unwrap().to_vec())
    };
    // A quarter of a view plus a purchase; half a cart; an unchanged dislike; half a view.
    assert_eq!(weights(Weighting::None), [[10.25, 1.5], [-2.0, 0.5]]);
    let log = [[11.25_f64, 2.5], [3.0, 1.5]].map(|weights| weights.map(f64::log2));
    for (ours, by_hand) in weights(Weighting::Log).concat().iter().zip(log.concat()) {
        assert!((f64::from(ours.abs()) - by_hand).abs() < 1e-6, "{ours} {by_hand}");
    }
}

/// Visits with a rating and a day; the parameters set those of the last tenth.
fn dated(last_rating: u32, last_days_later: u64) -> String {
    let visits = grouped_visits();
    let mut text = "user_id,item_id,rating,timestamp\n".to_owned();
    for (n, (user, item)) in visits.iter().enumerate() {
        // The order mixes users, so that users of the last tenth are also in the rest.
        let day = (n * 7919 % visits.len()) as u64;
        let is_last = day >= (visits.len() - visits.len() / 10) as u64;
        let (rating, day) =
            if is_last { (last_rating, day + last_days_later) } else { (1 + u32::try_from(n % 5).unwrap(), day) };
        writeln!(text, "{user},{item},{rating},{}", day * DAY).unwrap();
    }
    text
}

#[test]
fn held_out_set_does_not_leak_into_the_fit() {
    for weighting in [Weighting::None, Weighting::Log, Weighting::Bm25] {
        let measured = |last_rating, last_days_later| {
            let mut setup = Setup::new("visits.csv", dated(last_rating, last_days_later));
            setup.config.weights =
                WeightsConfig { half_life_seconds: Some(HALF_LIFE_DAYS * DAY), weighting, ..WeightsConfig::default() };
            let metrics = runtime().block_on(async { evaluate(&setup.config, &Silent, &setup.options).await });
            metrics.unwrap().unwrap()
        };
        let plain = measured(1, 0);
        assert!(plain.test_users > 50, "{plain:?}");
        // Weights do not decrease beyond 126 half-lives.
        for half_lives in [20, 130] {
            assert_eq!(plain, measured(1000, half_lives * HALF_LIFE_DAYS), "{weighting:?} {half_lives}");
        }
    }
}

#[test]
fn folding_in_the_snapshots_histories_gives_the_stored_factors() {
    let mut setup = Setup::new("visits.csv", dated(3, 0));
    setup.config.weights =
        WeightsConfig { half_life_seconds: Some(100 * DAY), weighting: Weighting::Bm25, ..WeightsConfig::default() };
    let (_, snapshot) = setup.trained();
    let params = AlsParams { factors: 8, iterations: 3, ..AlsParams::default() }.check().unwrap();
    let params = ValidParams::Als(params);
    let parts = (snapshot.user_factors(), snapshot.item_factors(), snapshot.gram().into());
    let scorer = Scorer::new(parts, Degrees { item_counts: &[], mean_degree_weight: None }, None, &params).unwrap();
    for user in 0..u32::try_from(snapshot.users()).unwrap() {
        let folded = scorer.fold_in(snapshot.seen(user), snapshot.seen_weights(user).unwrap()).unwrap();
        assert_eq!(Some(folded), scorer.stored(user));
    }
}

#[test]
fn invalid_weight_settings_fail() {
    let check_failure = |change: fn(&mut Setup), exit, reason: &str, words: &[&str]| {
        let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
        change(&mut setup);
        let message = setup.failed(exit, reason);
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
    };
    let half_life = |setup: &mut Setup| setup.config.weights.half_life_seconds = Some(DAY);
    let missing = ["spec.data.halfLife", "spec.data.columns.timestamp"];
    check_failure(half_life, ExitCode::BadData, "DataInvalid", &missing);
    let invalid =
        |change: fn(&mut Setup), words: &[&str]| check_failure(change, ExitCode::Usage, "ConfigInvalid", words);
    for change in [
        |setup: &mut Setup| setup.config.weights.half_life_seconds = Some(DAY),
        |setup: &mut Setup| setup.config.weights.weighting = Weighting::Log,
        |setup: &mut Setup| setup.config.weights.events = events().events,
    ] {
        let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
        setup.config.signal = Signal::Explicit;
        change(&mut setup);
        let message = setup.failed(ExitCode::Usage, "ConfigInvalid");
        assert!(message.contains("valid only with spec.data.signal: implicit"), "{message}");
    }
    invalid(|s| s.config.weights.events = events().events, &["columns.event", "set both or none"]);
    invalid(|s| s.config.columns.event = Some(Column::Index(1)), &["columns.event", "set both or none"]);
    invalid(
        |s| {
            s.config.columns.event = Some(Column::Index(1));
            s.config.weights.events = [("view".to_owned(), 0.0)].into();
        },
        &["spec.data.eventWeights.view is 0"],
    );
    invalid(
        |s| {
            s.config.columns.event = Some(Column::Index(1));
            s.config.weights.events = (0..51).map(|n| (n.to_string(), 1.0)).collect();
        },
        &["51 events", "at most 50"],
    );
    invalid(|s| s.config.weights.half_life_seconds = Some(0), &["spec.data.halfLife is 0"]);
    let without_usable_rows = with_events("user_id,item_id,event,timestamp\na,x,scroll,1\n", Weighting::None);
    let message = without_usable_rows.failed(ExitCode::BadData, "DataInvalid");
    assert!(message.contains("1 eventNotListed") && message.contains("spec.data.eventWeights"), "{message}");
}
