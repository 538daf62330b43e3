//! A process that is killed or terminated during a model load.

use std::{net::TcpListener, path::Path, process::Command};

use sidecar_contract::{RevisionRef, ServingLimits, StoreConfig};

use crate::{
    model::train,
    process::{Process, configure, file_store, last_good, put, recommend, start, wait_for},
};

struct Loading {
    directory: tempfile::TempDir,
    store: StoreConfig,
    first: RevisionRef,
    second: RevisionRef,
    process: Process,
}

impl Loading {
    fn at(&self) -> &Path {
        self.directory.path()
    }

    fn marker(&self) -> std::path::PathBuf {
        self.at().join("cache/snapshots").join(format!("loading-{}", self.second.digest))
    }

    /// Starts a process that serves the first revision and is loading the second. The cached file
    /// of the second is a pipe without a writer, so that opening it blocks forever.
    async fn begin() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let store = file_store(at);
        let (first, second) = (put(&store, &train(at, 3).await).await, put(&store, &train(at, 4).await).await);
        configure(at, &store, std::slice::from_ref(&first), ServingLimits::default());
        let process = start(at);
        wait_for("the first revision", || process.is_ready());
        let pipe = at.join("cache/snapshots").join(format!("{}.safetensors", second.digest));
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        configure(at, &store, &[second.clone(), last_good(&first)], ServingLimits::default());
        let loading = Self { directory, store, first, second, process };
        wait_for("the marker", || loading.marker().exists());
        loading
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_during_a_load_restarts_with_the_last_good_revision_and_reports_it() {
    let mut loading = Loading::begin().await;
    assert_eq!(recommend(loading.process.port, 3).0, 200, "the first revision serves while the second is loading");
    loading.process.signal("-KILL");
    wait_for("the exit", || loading.process.child.try_wait().unwrap().is_some());

    loading.process = start(loading.at());
    let process = &loading.process;
    wait_for("readiness", || process.is_ready());
    wait_for("the report", || process.report().failure.is_some());
    let report = process.report();
    assert_eq!(report.loaded.unwrap().digest, loading.first.digest);
    let failure = report.failure.unwrap();
    assert_eq!((failure.digest, failure.reason.as_str()), (loading.second.digest.clone(), "CrashedWhileLoading"));
    assert_eq!(recommend(process.port, 3).0, 200);

    // Another revision is loaded, and the marker of the unused one is deleted.
    let third = put(&loading.store, &train(loading.at(), 5).await).await;
    configure(loading.at(), &loading.store, std::slice::from_ref(&third), ServingLimits::default());
    wait_for("the third revision", || process.report().loaded.is_some_and(|model| model.digest == third.digest));
    assert_eq!(process.report().failure, None);
    wait_for("deletion of the marker", || !loading.marker().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_load_does_not_delay_the_exit() {
    let mut loading = Loading::begin().await;
    loading.process.signal("-TERM");
    wait_for("the exit", || loading.process.child.try_wait().unwrap().is_some());
    assert!(loading.process.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresponsive_store_does_not_delay_the_exit() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let first = put(&file_store(at), &train(at, 3).await).await;
    // The kernel accepts connections, and no response follows.
    let unresponsive = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = StoreConfig {
        url: "s3://recmesh".into(),
        endpoint: Some(format!("http://{}", unresponsive.local_addr().unwrap())),
        ..file_store(at)
    };
    configure(at, &store, &[first], ServingLimits::default());
    let mut process = start(at);
    let connection = unresponsive.accept().unwrap();
    process.signal("-TERM");
    wait_for("the exit", || process.child.try_wait().unwrap().is_some());
    assert!(process.child.wait().unwrap().success());
    drop(connection); // Open until here, so that the process saw no error from its store.
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_is_read_while_a_model_loads_and_a_withdrawn_revision_is_not_swapped_in() {
    let loading = Loading::begin().await;
    let process = &loading.process;
    // The load of the second revision does not end. Its withdrawal must not wait for it.
    let third = put(&loading.store, &train(loading.at(), 5).await).await;
    let limits = ServingLimits { items_per_answer_max: 2, ..ServingLimits::default() };
    configure(loading.at(), &loading.store, &[third.clone(), last_good(&loading.first)], limits);
    wait_for("the third revision", || process.report().loaded.is_some_and(|model| model.digest == third.digest));
    assert_eq!(recommend(process.port, 3).0, 400, "the new limits apply");
    assert_eq!(recommend(process.port, 2).0, 200);
    // The pipe gets a writer, so the open of the second revision ends.
    let pipe = loading.at().join("cache/snapshots").join(format!("{}.safetensors", loading.second.digest));
    drop(std::fs::OpenOptions::new().write(true).open(&pipe));
    wait_for("the removal of the marker", || !loading.marker().exists());
    let report = process.report();
    assert_eq!((report.loaded.unwrap().digest, report.failure), (third.digest, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_last_good_revision_serves_before_a_new_one_is_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = file_store(at);
    let (first, second) = (put(&store, &train(at, 3).await).await, put(&store, &train(at, 4).await).await);
    configure(at, &store, std::slice::from_ref(&first), ServingLimits::default());
    let process = start(at);
    wait_for("the first revision", || process.is_ready());
    drop(process);

    // The kernel accepts connections to the store, but no one answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Some(format!("http://{}", silent.local_addr().unwrap()));
    let store = StoreConfig { url: "s3://recmesh".into(), endpoint, ..store };
    configure(at, &store, &[second, last_good(&first)], ServingLimits::default());
    let process = start(at);
    wait_for("the last good revision", || process.is_ready());
    assert_eq!(process.report().loaded.unwrap().digest, first.digest);
    let connection = silent.accept().unwrap();
    assert_eq!(recommend(process.port, 3).0, 200, "the new revision is being fetched");
    drop(connection);
}
