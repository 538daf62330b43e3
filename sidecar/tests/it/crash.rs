//! A process that dies, or is told to end, in the middle of a load.

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
        self.at().join("cache").join(format!("loading-{}", self.second.digest))
    }

    /// A process that serves the first revision and is opening the second: its copy is a pipe into which nobody writes, so
    /// that opening it never ends.
    async fn begin() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let store = file_store(at);
        let (first, second) = (put(&store, &train(at, 3).await).await, put(&store, &train(at, 4).await).await);
        configure(at, &store, std::slice::from_ref(&first), ServingLimits::default());
        let process = start(at);
        wait_for("the first revision", || process.is_ready());
        let pipe = at.join("cache").join(format!("{}.safetensors", second.digest));
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        configure(at, &store, &[second.clone(), last_good(&first)], ServingLimits::default());
        let loading = Self { directory, store, first, second, process };
        wait_for("the marker", || loading.marker().exists());
        loading
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_load_it_serves_the_last_good_one_and_says_so() {
    let mut loading = Loading::begin().await;
    assert_eq!(recommend(loading.process.port, 3).0, 200, "the first revision answers while the second is opened");
    loading.process.signal("-KILL");
    wait_for("the end", || loading.process.child.try_wait().unwrap().is_some());

    loading.process = start(loading.at());
    let process = &loading.process;
    wait_for("readiness", || process.is_ready());
    wait_for("the report", || process.report().failure.is_some());
    let report = process.report();
    assert_eq!(report.loaded.unwrap().digest, loading.first.digest);
    let failure = report.failure.unwrap();
    assert_eq!((failure.digest, failure.reason.as_str()), (loading.second.digest.clone(), "CrashedWhileLoading"));
    assert_eq!(recommend(process.port, 3).0, 200);

    // Another revision is loaded, and the note of the one that nobody wants goes.
    let third = put(&loading.store, &train(loading.at(), 5).await).await;
    configure(loading.at(), &loading.store, std::slice::from_ref(&third), ServingLimits::default());
    wait_for("the third revision", || process.report().loaded.is_some_and(|model| model.digest == third.digest));
    assert_eq!(process.report().failure, None);
    wait_for("the note's end", || !loading.marker().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_does_not_end_does_not_hold_up_the_end() {
    let mut loading = Loading::begin().await;
    loading.process.signal("-TERM");
    wait_for("the end", || loading.process.child.try_wait().unwrap().is_some());
    assert!(loading.process.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_does_not_hold_up_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let first = put(&file_store(at), &train(at, 3).await).await;
    // Connections are accepted by the kernel; nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = StoreConfig {
        url: "s3://recmesh".into(),
        endpoint: Some(format!("http://{}", silent.local_addr().unwrap())),
        ..file_store(at)
    };
    configure(at, &store, &[first], ServingLimits::default());
    let mut process = start(at);
    let connection = silent.accept().unwrap();
    process.signal("-TERM");
    wait_for("the end", || process.child.try_wait().unwrap().is_some());
    assert!(process.child.wait().unwrap().success());
    drop(connection); // Until here nobody told the process that its store is not there.
}
