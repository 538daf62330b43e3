//! A run commits once, by its result; a process that dies before the commit leaves no result.

use std::{
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use recommender_trainer::{
    Progress,
    progress::{Event, Step},
};
use sidecar_contract::{Digest, ExitCode, RunOutcome, TrainingConfig};
use store_client::Store;

use crate::setup::{Setup, csv, grouped_visits, runtime};

fn setup() -> Setup {
    Setup::new("visits.csv", csv(&grouped_visits()))
}

#[test]
fn snapshot_and_result_have_the_keys_of_the_contract() {
    let setup = setup();
    let (result, snapshot) = setup.trained();
    let RunOutcome::Trained {
        digest, snapshot_bytes, algorithm, users, items, interactions, metrics, objective, ..
    } = &result.outcome
    else {
        panic!("{result:?}")
    };
    assert_eq!(
        setup.stored(),
        [
            "installation/shop/movies/runs/0000000001-0123456789.json".to_owned(),
            format!("installation/shop/movies/snapshots/{digest}.safetensors"),
        ]
    );
    assert_eq!(*snapshot_bytes, snapshot.size_bytes());
    assert_eq!((algorithm.as_str(), *users, *items), ("als", 300, 60));
    assert_eq!(*interactions, grouped_visits().len() as u64);
    assert!(metrics.is_some());
    assert_eq!(objective.len(), 3);
    assert!(objective.is_sorted_by(|before, after| before >= after), "{objective:?}");
    assert_eq!(result.config_hash, setup.config.config_hash());
    assert!(result.started_at > 1_600_000_000 && result.finished_at >= result.started_at);
}

#[test]
fn run_with_an_input_unknown_to_this_version_is_refused_once() {
    let mut setup = setup();
    let text = serde_json::to_string(&setup.config).unwrap();
    setup.config.expected_hash = Some(setup.config.config_hash());
    setup.trained();

    // The operator of a later version hashes an input that this version does not have.
    setup.config.run.number = 2;
    let expected = Digest::of(text.as_bytes());
    setup.config.expected_hash = Some(expected.clone());
    let message = setup.failed(ExitCode::Usage, "NotSupported");
    assert!(message.contains(expected.revision()) && message.contains("same version"), "{message}");
    // The operator recognizes the result as one of this spec, and does not repeat the run.
    assert_eq!(setup.run().result.unwrap().config_hash, expected);
}

#[test]
fn committed_run_is_not_trained_again() {
    let setup = setup();
    let (first, _) = setup.trained();
    std::fs::remove_file(setup.source()).unwrap();
    let again = setup.run();
    assert_eq!(
        (again.exit, again.termination_message.reason.as_str(), again.result),
        (ExitCode::Done, "Trained", Some(first))
    );
}

#[test]
fn committed_failure_keeps_its_exit_code() {
    let setup = Setup::new("visits.csv", "");
    setup.failed(ExitCode::BadData, "DataInvalid");
    std::fs::write(setup.source(), csv(&grouped_visits())).unwrap();
    setup.failed(ExitCode::BadData, "DataInvalid");
}

#[test]
fn unchanged_data_is_not_read() {
    let mut setup = setup();
    let (first, _) = setup.trained();
    setup.config.known_data_version = Some(first.data_version.clone());
    setup.config.run.number = 2;
    let finished = setup.run();
    let result = finished.result.unwrap();
    assert_eq!((finished.exit, finished.termination_message.reason.as_str()), (ExitCode::Done, "Unchanged"));
    assert_eq!(
        (&result.outcome, &result.data_version, result.rows.read),
        (&RunOutcome::Unchanged, &first.data_version, 0)
    );
    assert_eq!(setup.stored().len(), 3);

    std::fs::write(setup.source(), csv(&grouped_visits()[1..])).unwrap();
    setup.config.run.number = 3;
    let (third, _) = setup.trained();
    assert_ne!(third.data_version, first.data_version);
}

#[test]
fn version_of_a_small_mounted_file_depends_on_its_content() {
    let version = |mounted: bool| {
        let mut setup = setup();
        if mounted {
            setup.options.data_dir = setup.directory.path().to_owned();
        }
        setup.trained().0.data_version
    };
    assert_eq!(version(true), version(true), "two mounts of one ConfigMap");
    assert_ne!(version(false), version(false), "two files");
}

/// Calls a function when a step begins.
struct At<F>(Step, F);

impl<F: Fn() + Send + Sync> Progress for At<F> {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Step(step) if *step == self.0) {
            (self.1)();
        }
    }
}

#[test]
fn data_that_changes_during_the_read_causes_a_retry_without_a_result() {
    let setup = setup();
    let change = At(Step::Intern, || std::fs::write(setup.source(), csv(&grouped_visits()[1..])).unwrap());
    let finished = runtime()
        .block_on(async { recommender_trainer::run(&setup.config, &setup.store(), &change, &setup.options).await });
    assert_eq!((finished.exit, finished.termination_message.reason.as_str()), (ExitCode::Retry, "Retry"));
    assert!(
        finished.termination_message.message.contains("changed while it was being read"),
        "{}",
        finished.termination_message.message
    );
    assert_eq!(setup.stored(), [""; 0]);
    setup.trained();
}

#[test]
fn unreachable_store_causes_a_retry() {
    let mut setup = setup();
    setup.config.store.url = "s3://recmesh".to_owned();
    // Port 9 (discard) refuses connections.
    setup.config.store.endpoint = Some("http://127.0.0.1:9".to_owned());
    let finished = setup.run();
    assert_eq!((finished.exit, finished.result), (ExitCode::Retry, None));
}

#[test]
fn two_processes_with_one_run_agree_on_one_result() {
    let setup = setup();
    let commits_by_other = AtomicU64::new(0);
    // The other process commits its own result after this one has begun.
    let race = At(Step::PutSnapshot, || {
        commits_by_other.fetch_add(1, Ordering::SeqCst);
        std::thread::scope(|scope| scope.spawn(|| setup.trained()).join().map(|_| ()).unwrap());
    });
    let slower = runtime()
        .block_on(async { recommender_trainer::run(&setup.config, &setup.store(), &race, &setup.options).await });
    assert_eq!(commits_by_other.load(Ordering::SeqCst), 1);
    let committed = runtime().block_on(async { setup.store().get_run(&setup.config.run).await.unwrap() });
    assert_eq!(slower.result, Some(committed));
    assert_eq!(setup.stored().len(), 2);
}

const CHILD_CONFIG_ENV: &str = "RECMESH_TEST_CHILD_CONFIG";
const CHILD_STEP_ENV: &str = "RECMESH_TEST_CHILD_STEP";
const STEPS: [(&str, Step); 4] =
    [("read", Step::Read), ("refit", Step::Refit), ("putSnapshot", Step::PutSnapshot), ("putResult", Step::PutResult)];

/// Not a test by itself: [`killed_process_leaves_no_result_and_the_next_one_finishes`] starts this
/// process, and it aborts at a step.
#[test]
fn child_that_aborts() {
    let (Ok(config), Ok(step)) = (std::env::var(CHILD_CONFIG_ENV), std::env::var(CHILD_STEP_ENV)) else { return };
    let config: TrainingConfig = serde_json::from_str(&config).unwrap();
    let step = STEPS.iter().find(|(name, _)| *name == step).unwrap().1;
    let abort = At(step, || std::process::abort());
    let store = Store::open(&config.store, None).unwrap();
    let options = recommender_trainer::Options::default();
    runtime().block_on(async { recommender_trainer::run(&config, &store, &abort, &options).await });
    panic!("the step did not begin");
}

#[test]
fn killed_process_leaves_no_result_and_the_next_one_finishes() {
    for (name, step) in STEPS {
        let setup = setup();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "commit::child_that_aborts"])
            .env(CHILD_CONFIG_ENV, serde_json::to_string(&setup.config).unwrap())
            .env(CHILD_STEP_ENV, name)
            .output()
            .unwrap();
        assert!(child.status.code().is_none(), "{name}: the child was not aborted: {child:?}");
        let stored = setup.stored();
        assert!(stored.iter().all(|key| key.contains("/snapshots/")), "{name}: {stored:?}");
        assert_eq!(stored.len(), usize::from(step == Step::PutResult), "{name}: {stored:?}");
        setup.trained();
        assert_eq!(setup.stored().len(), 2);
    }
}
