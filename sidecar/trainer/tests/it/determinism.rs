//! Equal rows give equal bytes in any order and on any number of threads.

use std::num::NonZeroUsize;

use sidecar_contract::{RunOutcome, RunResult};

use crate::setup::{Numbers, Setup, csv, grouped_visits};

fn outcome(rows: &[(String, String)], threads: usize) -> (RunOutcome, Vec<u8>) {
    let mut setup = Setup::new("visits.csv", csv(rows));
    setup.options.threads = NonZeroUsize::new(threads);
    let (RunResult { outcome, .. }, _) = setup.trained();
    let RunOutcome::Trained { digest, .. } = &outcome else { panic!("{outcome:?}") };
    let bytes = std::fs::read(setup.snapshot_path(digest)).unwrap();
    (outcome, bytes)
}

#[test]
fn shuffled_rows_on_any_number_of_threads_give_the_same_bytes_and_metrics() {
    let mut rows = grouped_visits();
    let expected = outcome(&rows, 1);
    let mut numbers = Numbers(3);
    for threads in [1, 2] {
        for at in (1..rows.len()).rev() {
            rows.swap(at, usize::try_from(numbers.below(at as u64 + 1)).unwrap());
        }
        assert_eq!(outcome(&rows, threads), expected, "{threads} threads");
    }
}

#[test]
fn different_seed_gives_a_different_model() {
    let mut setup = Setup::new("visits.csv", csv(&grouped_visits()));
    let (first, _) = setup.trained();
    setup.config.seed += 1;
    setup.config.run.number += 1;
    let (second, _) = setup.trained();
    let digest = |result: RunResult| match result.outcome {
        RunOutcome::Trained { digest, .. } => digest,
        other => panic!("{other:?}"),
    };
    assert_ne!(digest(first), digest(second));
}
