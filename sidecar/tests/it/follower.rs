//! The follower against a store in a directory: what swaps, and what leaves the last good model in place.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use recommender_sidecar::{
    admin::Report,
    answer::{Query, answer, similar},
    engine::Engine,
    follower::{Follower, Places},
    metrics::Metrics,
};
use sidecar_contract::{
    Answers, Digest, RevisionRef, RevisionRole, ServingConfig, ServingLimits, StoreConfig, canonical_json,
};
use store_client::Store;

use crate::model::train;

struct Setup {
    directory: tempfile::TempDir,
    engine: Arc<Engine>,
    report: Arc<Report>,
    follower: Follower,
    store: StoreConfig,
    answers: Answers,
}

pub fn follower(directory: &Path) -> (Arc<Engine>, Arc<Report>, Follower) {
    let (engine, report, follower, _) = follower_and_metrics(directory);
    (engine, report, follower)
}

fn follower_and_metrics(directory: &Path) -> (Arc<Engine>, Arc<Report>, Follower, Arc<Metrics>) {
    let (engine, report) = (Arc::new(Engine::default()), Arc::new(Report::default()));
    let places = Places {
        config_file: directory.join("serving.json"),
        credentials_dir: directory.join("no-credentials"),
        cache_dir: directory.join("cache"),
        pod_name: Some("pod-a".into()),
        config_poll: Duration::from_millis(10),
    };
    let metrics = Arc::new(Metrics::new().unwrap());
    let follower = Follower::new(places, Arc::clone(&engine), Arc::clone(&metrics), Arc::clone(&report));
    (engine, report, follower, metrics)
}

fn setup() -> Setup {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("store")).unwrap();
    let store = StoreConfig {
        url: format!("file://{}", directory.path().join("store").display()),
        endpoint: None,
        region: "us-east-1".into(),
        prefix: "1b2c/shop/movies/".into(),
    };
    let (engine, report, follower) = follower(directory.path());
    Setup { directory, engine, report, follower, store, answers: Answers::Full }
}

impl Setup {
    async fn put(&self, factors: u32) -> (Digest, u64) {
        let path = train(self.directory.path(), factors).await;
        let bytes = std::fs::read(&path).unwrap();
        let digest = Digest::of(&bytes);
        Store::open(&self.store, None).unwrap().put_snapshot(&path, &digest).await.unwrap();
        (digest, bytes.len() as u64)
    }

    fn stored(&self, digest: &Digest) -> std::path::PathBuf {
        self.directory.path().join("store/1b2c/shop/movies/snapshots").join(format!("{digest}.safetensors"))
    }

    fn configure(&self, revisions: &[&(Digest, u64)], loads_first: Option<&str>) {
        let roles = [RevisionRole::Desired, RevisionRole::LastGood];
        let revisions = revisions.iter().zip(roles).map(|((digest, bytes), role)| RevisionRef {
            digest: digest.clone(),
            snapshot_bytes: *bytes,
            role,
            weight: 100,
            trained_at: 0,
            answers: self.answers,
            metrics: None,
        });
        let config = ServingConfig {
            namespace: "shop".into(),
            name: "movies".into(),
            revisions: revisions.collect(),
            loads_first: loads_first.map(str::to_owned),
            fallback: vec!["popular".into()],
            store: self.store.clone(),
            limits: ServingLimits::default(),
        };
        std::fs::write(self.directory.path().join("serving.json"), canonical_json(&config)).unwrap();
    }

    fn serving(&self) -> Option<Digest> {
        self.engine.model().map(|model| model.digest.clone())
    }

    fn failure(&self) -> Option<String> {
        self.report.get().failure.map(|failure| failure.reason)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_revision_swaps_in_and_old_copies_go() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    setup.follower.step().await;
    assert_eq!(setup.serving(), None);
    setup.configure(&[&first], None);
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0.clone()));
    setup.configure(&[&second], None);
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(second.0.clone()));
    assert_eq!(setup.report.get().loaded.unwrap().digest, second.0);
    let cached: Vec<_> = std::fs::read_dir(setup.directory.path().join("cache")).unwrap().collect();
    assert_eq!(cached.len(), 1, "{cached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_revision_leaves_the_last_good_one_serving() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    setup.configure(&[&first], None);
    setup.follower.step().await;
    let path = setup.stored(&second.0);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    setup.configure(&[&second, &first], None);
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0.clone()));
    assert_eq!(setup.failure().as_deref(), Some("DigestMismatch"));
    // Back to the first: the failure is of nobody any more.
    setup.configure(&[&first], None);
    setup.follower.step().await;
    assert_eq!(setup.failure(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_revision_is_reported_and_the_last_good_one_is_loaded_at_start() {
    let mut setup = setup();
    let first = setup.put(3).await;
    let missing = (Digest::of(b"nothing"), 10);
    setup.configure(&[&missing, &first], None);
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0));
    assert_eq!(setup.failure().as_deref(), Some("NotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pod_loads_first() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    setup.configure(&[&first], None);
    setup.follower.step().await;
    setup.configure(&[&second, &first], Some("pod-b"));
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0.clone()));
    setup.configure(&[&second, &first], Some("pod-a"));
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(second.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_killed_the_process_is_not_tried_again_while_another_serves() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    std::fs::create_dir_all(setup.directory.path().join("cache")).unwrap();
    std::fs::write(setup.directory.path().join("cache").join(format!("loading-{}", second.0)), "").unwrap();
    let (engine, report, mut restarted) = follower(setup.directory.path());
    setup.configure(&[&second, &first], None);
    restarted.step().await;
    assert_eq!(engine.model().unwrap().digest, first.0);
    assert_eq!(report.get().failure.unwrap().reason, "CrashedWhileLoading");
    setup.follower.step().await; // The one that saw no marker loads it.
    assert_eq!(setup.serving(), Some(second.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_config_changes_nothing() {
    let mut setup = setup();
    let first = setup.put(3).await;
    setup.configure(&[&first], None);
    setup.follower.step().await;
    std::fs::write(setup.directory.path().join("serving.json"), "{\"namespace\": \"sh").unwrap();
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_may_answer_by_popularity_alone_and_by_all_of_it_later() {
    let mut setup = setup();
    let first = setup.put(3).await;
    let sources = |setup: &Setup| -> (BTreeSet<&str>, BTreeSet<&str>) {
        let model = setup.engine.model().unwrap();
        let query = Query { user: Some("user6".into()), n: 5, ..Query::default() };
        let items = answer(&model, &query).unwrap();
        assert_eq!(items.len(), 5);
        let like = similar(&model, "item4", 5).unwrap();
        assert!(like.len() == 5 && like.iter().all(|item| model.snapshot.item_id(item.row) != Some("item4")));
        (items.iter().map(|item| item.source).collect(), like.iter().map(|item| item.source).collect())
    };
    setup.answers = Answers::Popular;
    setup.configure(&[&first], None);
    setup.follower.step().await;
    assert_eq!(sources(&setup), (["popular"].into(), ["popular"].into()));
    assert_eq!(setup.report.get().loaded.unwrap().answers, Answers::Popular);
    // A revision that serves by all of it is the same one: nothing is fetched again.
    std::fs::remove_file(setup.stored(&first.0)).unwrap();
    setup.answers = Answers::Full;
    setup.configure(&[&first], None);
    setup.follower.step().await;
    assert_eq!(sources(&setup), (["model"].into(), ["similar"].into()));
    assert_eq!(setup.report.get().loaded.unwrap().answers, Answers::Full);
}

/// The tries of a follower that cannot load what `revisions` asks for, in milliseconds since the first, over two minutes.
async fn tries(setup: &Setup, revisions: &[&(Digest, u64)]) -> Vec<u64> {
    let (_, _, mut follower, metrics) = follower_and_metrics(setup.directory.path());
    setup.configure(revisions, None);
    let begin = tokio::time::Instant::now();
    let (mut tries, mut seen) = (Vec::new(), 0);
    while begin.elapsed() < Duration::from_mins(2) {
        follower.step().await;
        let text = String::from_utf8(metrics.encode(None).unwrap()).unwrap();
        let failures = text
            .lines()
            .find_map(|line| line.strip_prefix("recommender_model_load_failures_total{reason=\"NotFound\"} "));
        let failures: u32 = failures.map_or(0, |count| count.parse().unwrap());
        if failures > seen {
            tries.push(u64::try_from(begin.elapsed().as_millis()).unwrap());
            seen = failures;
        }
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    tries
}

#[tokio::test(start_paused = true)]
async fn tries_become_rarer_for_the_desired_and_for_the_last_good_revision() {
    let setup = setup();
    let (desired, last_good) = ((Digest::of(b"desired"), 10), (Digest::of(b"last good"), 10));
    // Pauses of 1, 2, 4, 8, 16 and then 30 seconds.
    let expected = [0, 1000, 3000, 7000, 15_000, 31_000, 61_000, 91_000];
    assert_eq!(tries(&setup, &[&desired]).await, expected);
    // With both missing, a round tries both, and the pause grows by both.
    let both = tries(&setup, &[&desired, &last_good]).await;
    assert!(both.len() < expected.len() && both.windows(2).skip(3).all(|pair| pair[1] - pair[0] >= 30_000), "{both:?}");
}

#[tokio::test(start_paused = true)]
async fn a_last_good_revision_that_cannot_be_loaded_is_tried_ever_more_rarely_while_another_pod_goes_first() {
    let setup = setup();
    let (desired, last_good) = ((Digest::of(b"desired"), 10), (Digest::of(b"last good"), 10));
    let (_, _, mut follower, metrics) = follower_and_metrics(setup.directory.path());
    setup.configure(&[&desired, &last_good], Some("pod-b"));
    for _ in 0..120 {
        follower.step().await;
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    let text = String::from_utf8(metrics.encode(None).unwrap()).unwrap();
    // At 0, 1, 3, 7, 15 and 31 seconds of the minute.
    assert!(text.contains("recommender_model_load_failures_total{reason=\"NotFound\"} 6\n"), "{text}");
}
