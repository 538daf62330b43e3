//! The follower with a store in a directory: when it swaps models, and when the last good model
//! stays.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use answering::{Ask, Query, RequestId, Source};
use model_snapshot::{PrivateDirectory, Snapshot};
use recommender_sidecar::{
    admin::Report,
    engine::Engine,
    follower::{Follower, Paths},
    loading::{self, Verification},
    metrics::Metrics,
};
use sidecar_contract::{
    Access, Digest, Open, RevisionRef, RevisionRole, ServingConfig, ServingLimits, ServingMode, StoreConfig,
    canonical_json,
};
use store_client::Store;

use crate::model::train;

/// Digest of the revision that serves.
pub fn serving_digest(engine: &Engine) -> Option<Digest> {
    engine.serving().local().map(|local| local.model().digest().clone())
}

struct Setup {
    directory: tempfile::TempDir,
    engine: Arc<Engine>,
    report: Arc<Report>,
    follower: Follower,
    store: StoreConfig,
    serving_mode: Open<ServingMode>,
}

pub fn follower(directory: &Path) -> (Arc<Engine>, Arc<Report>, Follower) {
    let (engine, report, follower, _) = follower_and_metrics(directory);
    (engine, report, follower)
}

pub fn follower_and_metrics(directory: &Path) -> (Arc<Engine>, Arc<Report>, Follower, Arc<Metrics>) {
    let (engine, report) = (Arc::new(Engine::default()), Arc::new(Report::default()));
    let paths = Paths {
        config_file: directory.join("serving.json"),
        credentials_dir: directory.join("no-credentials"),
        cache_dir: directory.join("cache"),
        pod_name: Some("pod-a".into()),
        config_poll: Duration::from_millis(10),
    };
    let metrics = Arc::new(Metrics::new().unwrap());
    let follower = Follower::new(paths, Arc::clone(&engine), Arc::clone(&metrics), Arc::clone(&report));
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
    Setup { directory, engine, report, follower, store, serving_mode: ServingMode::Personalized.into() }
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
            role: role.into(),
            weight: 100,
            trained_at: 0,
            serving_mode: self.serving_mode.clone(),
            metrics: None,
            catalogue: None,
        });
        let config = ServingConfig {
            namespace: "shop".into(),
            name: "movies".into(),
            revisions: revisions.collect(),
            loads_first: loads_first.map(str::to_owned),
            loads_first_since: None,
            fallback: vec!["popular".into()],
            store: self.store.clone(),
            limits: ServingLimits::default(),
            gate: None,
            access: Access::default(),
        };
        std::fs::write(self.directory.path().join("serving.json"), canonical_json(&config)).unwrap();
    }

    fn serving(&self) -> Option<Digest> {
        serving_digest(&self.engine)
    }

    fn failure(&self) -> Option<String> {
        self.report.get().failure.map(|failure| failure.reason)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_revision_swaps_in_and_old_copies_are_deleted() {
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
    let cached = std::fs::read_dir(setup.directory.path().join("cache/snapshots")).unwrap();
    let cached: Vec<String> = cached.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!cached.is_empty() && cached.iter().all(|name| name.starts_with(second.0.as_str())), "{cached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_revision_keeps_serving_when_the_new_one_is_corrupt() {
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
    // When the first one is desired again, the failure disappears from the report.
    setup.configure(&[&first], None);
    setup.follower.step().await;
    assert_eq!(setup.failure(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_revision_is_loaded_at_start_when_the_desired_one_is_missing() {
    let mut setup = setup();
    let first = setup.put(3).await;
    let missing = (Digest::of(b"nothing"), 10);
    setup.configure(&[&missing, &first], None);
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0));
    assert_eq!(setup.failure().as_deref(), Some("NotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_while_another_loads_first() {
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
async fn a_revision_that_crashed_the_process_is_not_retried_while_another_serves() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    std::fs::create_dir_all(setup.directory.path().join("cache/snapshots")).unwrap();
    std::fs::write(setup.directory.path().join("cache/snapshots").join(format!("loading-{}", second.0)), "").unwrap();
    let (engine, report, mut restarted) = follower(setup.directory.path());
    setup.configure(&[&second, &first], None);
    restarted.step().await;
    assert_eq!(serving_digest(&engine), Some(first.0));
    assert_eq!(report.get().failure.unwrap().reason, "CrashedWhileLoading");
    // This follower started before the marker existed, so it loads the revision.
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(second.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_load_is_repeated_after_its_pause_even_while_another_serves() {
    let setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    let cache = setup.directory.path().join("cache/snapshots");
    std::fs::create_dir_all(&cache).unwrap();
    let marker = cache.join(format!("loading-{}", second.0));
    std::fs::write(&marker, "1").unwrap();
    let minutes_ago = |minutes| std::time::SystemTime::now() - Duration::from_mins(minutes);
    std::fs::File::open(&marker).unwrap().set_modified(minutes_ago(2)).unwrap();
    setup.configure(&[&second, &first], None);
    let (engine, _, mut restarted) = follower(setup.directory.path());
    restarted.step().await;
    assert_eq!(serving_digest(&engine), Some(second.0));
    assert!(!marker.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_file_that_was_not_verified_before_is_hashed() {
    let setup = setup();
    let (digest, _) = setup.put(3).await;
    let other = Digest::of(b"other");
    let open = |verification| loading::open(&setup.stored(&digest), verification).map(|model| model.digest().clone());
    assert_eq!(open(Verification::Any).unwrap(), digest);
    assert_eq!(open(Verification::Hash(&digest)).unwrap(), digest);
    assert!(open(Verification::Hash(&other)).unwrap_err().to_string().contains(other.as_str()));
    // The caller vouches for the digest, so it is taken as given.
    assert_eq!(open(Verification::Fetched(&other)).unwrap(), other);
}

/// A process that starts with the copies of an earlier one, and without a store.
async fn restart(setup: &Setup) -> (Option<Digest>, Option<String>) {
    let (engine, report, mut restarted) = follower(setup.directory.path());
    restarted.step().await;
    (serving_digest(&engine), report.get().failure.map(|failure| failure.reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_opened_before_serves_at_once_and_not_if_it_changed() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("a flipped bit", |copy| {
            let mut bytes = std::fs::read(copy).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(copy, bytes).unwrap();
        }),
        ("half a file", |copy| {
            let length = std::fs::metadata(copy).unwrap().len();
            std::fs::File::options().write(true).open(copy).unwrap().set_len(length / 2).unwrap();
        }),
        ("another file of the same length", |copy| {
            let other = copy.with_extension("other");
            std::fs::write(&other, vec![0; usize::try_from(std::fs::metadata(copy).unwrap().len()).unwrap()]).unwrap();
            std::fs::rename(other, copy).unwrap();
        }),
    ];
    for (change, apply) in changes {
        let mut setup = setup();
        let revision = setup.put(3).await;
        setup.configure(&[&revision], None);
        setup.follower.step().await;
        assert_eq!(setup.serving().as_ref(), Some(&revision.0));
        std::fs::remove_dir_all(setup.directory.path().join("store")).unwrap();
        assert_eq!(restart(&setup).await, (Some(revision.0.clone()), None));
        let copy = setup.directory.path().join("cache/snapshots").join(format!("{}.safetensors", revision.0));
        apply(&copy);
        let (serving, failure) = restart(&setup).await;
        assert_eq!(serving, None, "{change}");
        assert!(failure.is_some(), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contents_of_a_file_that_was_opened_before_are_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = train(directory.path(), 3).await;
    let mut bytes = std::fs::read(&path).unwrap();
    let snapshot = Snapshot::from_bytes(&bytes).unwrap();
    let factors: Vec<u8> = snapshot.item_factors().iter().flat_map(|factor| factor.to_le_bytes()).collect();
    let at = bytes.windows(factors.len()).position(|window| window == factors).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let digest = Digest::of(&bytes);
    let file = PrivateDirectory::create(&directory.path().join("private")).unwrap().file("model").unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let open = |verification| loading::open_private(&file, verification).map(|_| ());
    assert!(open(Verification::Fetched(&digest)).unwrap_err().to_string().contains("item_factors"));
    assert!(open(Verification::Opened(&digest)).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_model_is_released_by_the_follower_and_not_by_the_last_request() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    setup.configure(&[&first], None);
    setup.follower.step().await;
    let in_flight = setup.engine.serving();
    let retired = Arc::downgrade(in_flight.local().unwrap().model());
    setup.configure(&[&second], None);
    setup.follower.step().await;
    drop(in_flight);
    assert!(retired.upgrade().is_some(), "the request unmapped the model");
    setup.follower.step().await;
    let released = async {
        while retired.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::process::DEADLINE, released).await.expect("the follower did not release the model");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_of_a_newer_operator_is_applied_and_what_is_unknown_is_reported() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    setup.configure(&[&first, &second], None);
    let file = setup.directory.path().join("serving.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["revisions"][1]["role"] = "shadow".into();
    config["rules"] = serde_json::json!({"maxPerBrand": 2});
    std::fs::write(&file, canonical_json(&config)).unwrap();
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0));
    let report = setup.report.get();
    assert_eq!(report.config_hash, Some(Digest::of(canonical_json(&config).as_bytes())));
    assert_eq!(report.unknown.len(), 2, "{:?}", report.unknown);
    assert!(report.unknown[0].contains("shadow") && report.unknown[1].contains("rules"), "{:?}", report.unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_config_changes_nothing() {
    let mut setup = setup();
    let first = setup.put(3).await;
    setup.configure(&[&first], None);
    setup.follower.step().await;
    std::fs::write(setup.directory.path().join("serving.json"), "{\"namespace\": \"sh").unwrap();
    setup.follower.step().await;
    assert_eq!(setup.serving(), Some(first.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_may_serve_popularity_only_and_personalized_later() {
    let mut setup = setup();
    let first = setup.put(3).await;
    let sources = |setup: &Setup| -> (BTreeSet<Source>, BTreeSet<Source>) {
        let serving = setup.engine.serving();
        let of = |query: Query| {
            let ask = Ask { n: 5, ..Ask::new(RequestId::new(), query) };
            let items = serving.local().unwrap().answer(&ask).unwrap().items;
            assert!(items.len() == 5 && items.iter().all(|item| item.id != "item4"), "{items:?}");
            items.iter().map(|item| item.source).collect()
        };
        let history = Vec::new();
        let user = of(Query::Recommend { user: Some("user6".into()), history });
        (user, of(Query::Similar { item: "item4".into() }))
    };
    setup.serving_mode = ServingMode::PopularityOnly.into();
    setup.configure(&[&first], None);
    setup.follower.step().await;
    assert_eq!(sources(&setup), ([Source::Popular].into(), [Source::Popular].into()));
    assert_eq!(setup.report.get().loaded.unwrap().serving_mode, ServingMode::PopularityOnly);
    // A change of the serving mode does not fetch the revision again.
    std::fs::remove_file(setup.stored(&first.0)).unwrap();
    setup.serving_mode = ServingMode::Personalized.into();
    setup.configure(&[&first], None);
    setup.follower.step().await;
    assert_eq!(sources(&setup), ([Source::Model].into(), [Source::Similar].into()));
    assert_eq!(setup.report.get().loaded.unwrap().serving_mode, ServingMode::Personalized);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_name_no_model_of_which_only_popularity_serves() {
    let mut setup = setup();
    let first = setup.put(3).await;
    let (_, _, mut follower, metrics) = follower_and_metrics(setup.directory.path());
    let text = || String::from_utf8(metrics.encode(None).unwrap()).unwrap();
    setup.serving_mode = ServingMode::PopularityOnly.into();
    setup.configure(&[&first], None);
    follower.step().await;
    metrics.observe_request("recommend", http::StatusCode::OK, Some("popularity"), Duration::from_millis(1));
    let popular = text();
    assert!(popular.contains("recommender_model_users{revision=\"popularity\"}"), "{popular}");
    assert!(popular.contains("code=\"200\",revision=\"popularity\",route=\"recommend\""), "{popular}");
    assert!(!popular.contains(first.0.revision()), "{popular}");
    setup.serving_mode = ServingMode::Personalized.into();
    setup.configure(&[&first], None);
    follower.step().await;
    let personalized = text();
    assert!(personalized.contains(&format!("recommender_model_users{{revision=\"{}\"}}", first.0.revision())));
    assert!(!personalized.contains("recommender_model_users{revision=\"popularity\"}"), "{personalized}");
}

/// Times of the attempts of a follower that cannot load `revisions`, over two minutes, in
/// milliseconds since the first.
async fn attempts(setup: &Setup, revisions: &[&(Digest, u64)]) -> Vec<u64> {
    let (_, _, mut follower, metrics) = follower_and_metrics(setup.directory.path());
    setup.configure(revisions, None);
    let begin = tokio::time::Instant::now();
    let (mut attempts, mut seen) = (Vec::new(), 0);
    while begin.elapsed() < Duration::from_mins(2) {
        follower.step().await;
        let text = String::from_utf8(metrics.encode(None).unwrap()).unwrap();
        let failures = text
            .lines()
            .find_map(|line| line.strip_prefix("recommender_model_load_failures_total{reason=\"NotFound\"} "));
        let failures: u32 = failures.map_or(0, |count| count.parse().unwrap());
        if failures > seen {
            attempts.push(u64::try_from(begin.elapsed().as_millis()).unwrap());
            seen = failures;
        }
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    attempts
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_for_the_desired_and_the_last_good_revision() {
    let setup = setup();
    let (desired, last_good) = ((Digest::of(b"desired"), 10), (Digest::of(b"last good"), 10));
    // Delays of 1, 2, 4, 8, 16 and then 30 seconds.
    let expected = [0, 1000, 3000, 7000, 15_000, 31_000, 61_000, 91_000];
    assert_eq!(attempts(&setup, &[&desired]).await, expected);
    // With both missing, each has its own delay.
    assert_eq!(attempts(&setup, &[&desired, &last_good]).await, expected);
}

#[tokio::test(start_paused = true)]
async fn retries_of_the_last_good_revision_back_off_while_another_pod_loads_first() {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_in_an_unknown_mode_is_not_loaded_and_the_current_one_keeps_serving() {
    let mut setup = setup();
    let (first, second) = (setup.put(3).await, setup.put(4).await);
    setup.configure(&[&first], None);
    setup.follower.step().await;
    setup.serving_mode = Open::Unknown("shadow".to_owned());
    setup.configure(&[&second, &first], None);
    setup.follower.step().await;
    assert_eq!((setup.serving(), setup.failure().as_deref()), (Some(first.0.clone()), Some("FormatUnknown")));
    assert!(setup.report.get().failure.unwrap().message.contains("serving mode shadow is not supported by this image"));
    // A serving revision stays in its mode.
    setup.configure(&[&first], None);
    setup.follower.step().await;
    let report = setup.report.get();
    assert_eq!((report.loaded.unwrap().serving_mode, report.failure), (ServingMode::Personalized.into(), None));
}
