//! The two-hop term from the data to a scorer of the snapshot.

use factorization::Scored;
use model_snapshot::Snapshot;
use sidecar_contract::{Algorithm, AlsConfig, RunOutcome, RunResult, Signal, SvdConfig};
use snapshot_scoring::Scoring;

use crate::setup::{Numbers, Setup, csv};

fn svd(co_occurrence_weight: Option<f64>) -> Algorithm {
    Algorithm::Svd(SvdConfig { factors: 4, co_occurrence_weight, ..SvdConfig::default() })
}

fn als(co_occurrence_weight: Option<f64>) -> Algorithm {
    let defaults = AlsConfig::defaults_for(Signal::Implicit);
    Algorithm::Als(AlsConfig { factors: 4, regularization: Some(0.01), co_occurrence_weight, ..defaults })
}

/// Visits of users to items of their own group and to some others, with repeated visits.
fn visits(users: u64) -> String {
    let mut numbers = Numbers(11);
    let mut rows = Vec::new();
    for user in 0..users {
        for _ in 0..12 {
            let item = if numbers.below(4) == 0 { numbers.below(120) } else { user % 12 * 10 + numbers.below(10) };
            rows.push((format!("user{user}"), format!("item{item}")));
        }
    }
    csv(&rows)
}

fn bits(list: Vec<Scored>) -> Vec<(u32, u32)> {
    list.into_iter().map(|scored| (scored.item, scored.score.to_bits())).collect()
}

#[test]
fn a_known_user_is_answered_as_the_same_history() {
    for algorithm in [svd(Some(2.5)), als(Some(2.5))] {
        // Repeated visits are weights.
        let mut setup = Setup::new("visits.csv", visits(150));
        setup.config.algorithm = algorithm.clone();
        let (result, snapshot) = setup.trained();
        assert_eq!((form(&result), snapshot.two_hop().unwrap().pairs), ("walks".to_owned(), None));
        check_known_users(&snapshot);
        let mut setup = Setup::new("visits.csv", without_repeats(&visits(150)));
        setup.config.algorithm = algorithm;
        let (result, snapshot) = setup.trained();
        assert_eq!((form(&result), snapshot.metadata().two_hop_pair_items), ("pairs".to_owned(), Some(120)));
        check_known_users(&snapshot);
    }
}

/// Each line once.
fn without_repeats(csv: &str) -> String {
    let mut lines: Vec<&str> = csv.lines().collect();
    lines[1..].sort_unstable();
    lines.dedup();
    lines.join("\n")
}

/// How the term of a run is computed.
fn form(result: &RunResult) -> String {
    let RunOutcome::Trained { metrics: Some(metrics), .. } = &result.outcome else { panic!("{result:?}") };
    let term = metrics.two_hop.clone().unwrap();
    // No walk of these data is as long as its limit.
    assert!(term.loss.abs() < 1e-12, "{term:?}");
    term.form
}

fn check_known_users(snapshot: &Snapshot) {
    assert!(snapshot.two_hop().is_some());
    let scoring = Scoring::new(snapshot).unwrap();
    let scorer = scoring.scorer(snapshot).unwrap();
    let mut with_term = 0;
    for user in 0..150 {
        let seen = snapshot.seen(user);
        let weights = snapshot.seen_weights(user).map_or(vec![1.0; seen.len()], <[f32]>::to_vec);
        let (stored, folded_in) = (scorer.stored(user).unwrap(), scorer.fold_in(seen, &weights).unwrap());
        let new = |item: u32| seen.binary_search(&item).is_err();
        assert_eq!(bits(scorer.best(&stored, 20, new)), bits(scorer.best(&folded_in, 20, new)), "user {user}");
        let without = factorization::UserVector { history: None, ..stored.clone() };
        with_term += u32::from(scorer.best(&stored, 20, new) != scorer.best(&without, 20, new));
    }
    assert!(with_term > 140, "{with_term} of 150 lists change with the term");
}

#[test]
fn a_weight_that_is_not_given_is_chosen_and_recorded_and_equal_inputs_give_equal_bytes() {
    for algorithm in [svd, als] {
        let mut setup = Setup::new("visits.csv", visits(600));
        setup.config.algorithm = algorithm(None);
        let (result, snapshot) = setup.trained();
        let RunOutcome::Trained { parameters: Some(chosen), metrics: Some(metrics), .. } = &result.outcome else {
            panic!("{result:?}")
        };
        assert!(chosen.has_two_hop_term(), "{chosen:?}");
        assert_eq!(snapshot.metadata().algorithm, *chosen);
        assert_eq!(setup.digest(), snapshot.digest());
        // The choice is that of the training part, and better there than none; here also on the
        // held-out set.
        let mut without = Setup::new("visits.csv", visits(600));
        without.config.algorithm = algorithm(Some(0.0));
        let (result, plain) = without.trained();
        let RunOutcome::Trained { metrics: Some(plain_metrics), .. } = &result.outcome else { panic!("{result:?}") };
        assert!(metrics.model.ndcg > plain_metrics.model.ndcg, "{metrics:?} {plain_metrics:?}");
        assert!(plain.two_hop().is_none());
    }
}

#[test]
fn ratings_have_no_term() {
    let mut setup = Setup::new("visits.csv", visits(20));
    setup.config.signal = Signal::Explicit;
    setup.config.algorithm =
        Algorithm::Svd(SvdConfig { degree_exponent: 0.0, co_occurrence_weight: Some(2.0), ..SvdConfig::default() });
    let message = setup.failed(sidecar_contract::ExitCode::Usage, "ConfigInvalid");
    assert!(message.contains("coOccurrenceWeight is 2: expected 0 with spec.data.signal: explicit"), "{message}");
}
