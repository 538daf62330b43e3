//! Tests with a directory, and with servers that return errors. The tests of the embedded store
//! cover S3.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // also for helpers outside #[test] functions

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sidecar_contract::{CatalogueRef, CatalogueVersion, Digest, KeyLayout, RunId, RunOutcome, RunResult, StoreConfig};
use store_client::{Bounds, Creation, Retry, Store, StoreCredentials, StoreError};

/// Max time until a request fails. A lenient bound: the test checks for seconds instead of minutes.
const FAILURE_TIMEOUT: Duration = Duration::from_mins(1);

fn config(url: &str, endpoint: Option<&str>) -> StoreConfig {
    StoreConfig {
        url: url.into(),
        endpoint: endpoint.map(Into::into),
        region: "us-east-1".into(),
        prefix: KeyLayout::recommender_prefix("1b2c", "shop", "movies"),
    }
}

fn key() -> StoreCredentials {
    StoreCredentials::AccessKey { access_key_id: "shop.movies.train".into(), secret_access_key: "secret".into() }
}

fn run(number: u32, finished_at: i64) -> RunResult {
    RunResult {
        version: 1,
        run: RunId { number, attempt: "0123456789".into() },
        config_hash: Digest::of(b"config"),
        data_version: "v1".into(),
        outcome: RunOutcome::Unchanged,
        rows: sidecar_contract::RowCounts::default(),
        retrain_at: None,
        decided_at: None,
        fingerprint: None,
        started_at: 1,
        finished_at,
    }
}

fn directory_store(directory: &tempfile::TempDir) -> Store {
    let url = format!("file://{}/store", directory.path().display());
    Store::open(&config(&url, None), None).unwrap()
}

#[tokio::test]
async fn runs_are_created_once_and_listed_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory_store(&directory);
    assert_eq!(store.list_runs().await.unwrap(), []);
    assert!(matches!(store.get_run(&run(1, 0).run).await, Err(StoreError::NotFound { .. })));
    for number in [10, 2] {
        assert_eq!(store.create_run(&run(number, 5)).await.unwrap(), Creation::Created);
    }
    assert_eq!(
        store.create_run(&run(2, 5)).await.unwrap(),
        Creation::Created,
        "creating the same bytes again succeeds"
    );
    assert_eq!(store.create_run(&run(2, 6)).await.unwrap(), Creation::AlreadyExists);
    assert_eq!(store.get_run(&run(2, 0).run).await.unwrap(), run(2, 5));
    let numbers: Vec<u32> = store.list_runs().await.unwrap().iter().map(|run| run.number).collect();
    assert_eq!(numbers, [2, 10]);
    assert_eq!(store.delete_all().await.unwrap(), 2);
    assert_eq!(store.list_runs().await.unwrap(), []);
}

#[tokio::test]
async fn snapshot_transfers_are_verified_and_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory_store(&directory);
    // Less than one part, exactly one part, and several parts with a remainder.
    for length in [0, 1000, 8 * 1024 * 1024, 20 * 1024 * 1024 + 7] {
        let content: Vec<u8> = (0..length).map(|i: u32| (i % 251) as u8).collect();
        let (file, copy) = (directory.path().join("file"), directory.path().join("copy"));
        std::fs::write(&file, &content).unwrap();
        let digest = Digest::of(&content);
        assert_eq!(store.put_snapshot(&file, &digest).await.unwrap(), u64::from(length));
        assert_eq!(store.put_snapshot(&file, &digest).await.unwrap(), u64::from(length), "a repeated put succeeds");
        let fetched = store.fetch_snapshot_to(&digest, &copy, u64::from(length)).await.unwrap();
        assert_eq!((fetched, std::fs::read(&copy).unwrap()), (u64::from(length), content));

        std::fs::remove_file(&copy).unwrap();
        if length > 0 {
            let rejected = store.fetch_snapshot_to(&digest, &copy, u64::from(length) - 1).await;
            assert!(matches!(rejected, Err(StoreError::TooLarge { .. })), "{rejected:?}");
        }
        let other = Digest::of(b"other");
        assert!(matches!(store.put_snapshot(&file, &other).await, Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.fetch_snapshot_to(&other, &copy, 1).await, Err(StoreError::NotFound { .. })));

        let stored = directory.path().join("store").join(store.keys.snapshot(&digest));
        std::fs::write(&stored, b"damaged").unwrap();
        let damaged = store.fetch_snapshot_to(&digest, &copy, 1000).await;
        assert!(matches!(damaged, Err(StoreError::Corrupt { .. })), "{damaged:?}");
        assert!(!copy.exists() && !directory.path().join("copy.partial").exists());
        assert_eq!(store.list_snapshots().await.unwrap()[0].digest, digest);
        store.delete(&store.keys.snapshot(&digest)).await.unwrap();
        store.delete(&store.keys.snapshot(&digest)).await.unwrap();
        assert_eq!(store.list_snapshots().await.unwrap(), []);
    }
}

#[test]
fn https_buckets_open_without_a_preinstalled_tls_provider() {
    Store::open(&config("s3://bucket", Some("https://s3.example.com")), Some(&key())).unwrap();
    Store::open(&config("s3://bucket", None), Some(&key())).unwrap();
}

#[test]
fn errors_of_invalid_settings_state_what_is_valid() {
    for (url, endpoint, expected) in [
        ("bucket", None, "expected s3://<bucket>"),
        ("gs://bucket", None, "an S3 access key is not valid for this scheme"),
        ("ftp://bucket", None, "expected s3://<bucket>"),
        ("file://host/path", None, "absolute path"),
        ("s3://bucket", Some("ftp://host"), "expected http or https"),
    ] {
        let error = Store::open(&config(url, endpoint), Some(&key())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

async fn request_error(endpoint: &str) -> StoreError {
    let began = Instant::now();
    let store = Store::open(&config("s3://bucket", Some(endpoint)), Some(&key())).unwrap();
    let error = store.get_run(&run(1, 0).run).await.unwrap_err();
    assert!(began.elapsed() < FAILURE_TIMEOUT, "took {:?}", began.elapsed());
    error
}

#[tokio::test]
async fn an_unavailable_store_is_reported_within_seconds() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = request_error(&format!("http://{free}")).await;
    assert!(matches!(error, StoreError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
}

/// Starts a server that sends the same response to every request, and returns its URL.
fn serve_fixed_response(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(response.as_bytes());
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn error_responses_are_classified() {
    let overloaded = request_error(&serve_fixed_response(
        "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ))
    .await;
    assert!(matches!(overloaded, StoreError::Unreachable { .. }), "{overloaded:?}");
    let denied = request_error(&serve_fixed_response(
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ))
    .await;
    assert!(matches!(denied, StoreError::Denied { .. }) && !denied.is_transient(), "{denied:?}");
    let absent = request_error(&serve_fixed_response(
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ))
    .await;
    assert!(matches!(absent, StoreError::NotFound { .. }), "{absent:?}");
}

/// Starts a server that answers each request with the response that `answer` makes of its number
/// and its head, and returns its URL and the number of requests so far.
fn serve(answer: impl Fn(usize, &str) -> String + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]);
            let _ = stream.write_all(answer(counter.fetch_add(1, Ordering::SeqCst), &head).as_bytes());
        }
    });
    (format!("http://{address}"), requests)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// A page of a listing that has one object; the next page follows if it `is_truncated`.
fn page(number: usize, is_truncated: bool) -> String {
    let next =
        if is_truncated { format!("<NextContinuationToken>{number}</NextContinuationToken>") } else { String::new() };
    ok(&format!(
        "<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{next}\
         <Contents><Key>1b2c/shop/movies/runs/{number:06}-0123456789.json</Key><Size>1</Size><ETag>\"a\"</ETag>\
         <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
    ))
}

const BOUNDS: Bounds = Bounds { response_bytes_max: 64 * 1024, requests_max: 20 };

fn bounded_store(endpoint: &str) -> Store {
    Store::open_bounded(&config("s3://bucket", Some(endpoint)), Some(&key()), BOUNDS).unwrap()
}

#[tokio::test]
async fn a_listing_without_end_is_cut() {
    let (endpoint, requests) = serve(|number, _| page(number, true));
    let error = bounded_store(&endpoint).list_runs().await.unwrap_err();
    assert!(matches!(error, StoreError::Excessive { .. }), "{error:?}");
    assert!(error.to_string().contains("more than 20 requests"), "{error}");
    assert_eq!((requests.load(Ordering::SeqCst), error.retry()), (20, Retry::Rarely));
}

#[tokio::test]
async fn a_response_beyond_the_bound_is_cut() {
    let (endpoint, _) = serve(|_, _| ok(&"x".repeat(BOUNDS.response_bytes_max + 1)));
    for error in [
        bounded_store(&endpoint).list_runs().await.unwrap_err(),
        bounded_store(&endpoint).list_snapshots().await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Excessive { .. }), "{error:?}");
        assert!(error.to_string().contains("more than 65536 bytes"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, followed) = serve(|number, _| page(number, true));
    let (endpoint, _) = serve(move |_, _| {
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {elsewhere}/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    });
    let error = bounded_store(&endpoint).list_runs().await.unwrap_err();
    assert_eq!((followed.load(Ordering::SeqCst), error.retry()), (0, Retry::Rarely), "{error:?}");
}

#[tokio::test]
async fn a_deletion_ends_even_if_the_store_lists_deleted_objects() {
    let listing = page(1, false);
    let deleted = ok("<DeleteResult><Deleted><Key>x</Key></Deleted></DeleteResult>");
    let (endpoint, _) = serve(move |_, head| if head.starts_with("GET") { listing.clone() } else { deleted.clone() });
    let bounds = Bounds { requests_max: 1000, ..BOUNDS };
    let store = Store::open_bounded(&config("s3://bucket", Some(&endpoint)), Some(&key()), bounds).unwrap();
    let error = store.delete_all().await.unwrap_err();
    assert!(matches!(error, StoreError::NotEmptied { deleted: 10, .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Soon);
}

#[tokio::test]
async fn catalogues_are_fetched_by_what_the_config_announces() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory_store(&directory);
    let (file, copy) = (directory.path().join("file"), directory.path().join("copy"));
    std::fs::write(&file, b"titles").unwrap();
    let (version, revision) = (CatalogueVersion::new(1_764_370_000, &Digest::of(b"table")), Digest::of(b"model"));
    let put = store.put_catalogue(&version, &revision, &file, &Digest::of(b"titles")).await.unwrap();
    let key = format!("catalogue/{version}/{revision}");
    assert_eq!(put, CatalogueRef { version: version.to_string(), digest: Digest::of(b"titles"), bytes: 6, key });
    assert!(directory.path().join("store").join(store.keys.catalogue(&version, &revision)).exists());
    assert_eq!(store.fetch_catalogue_to(&put, &copy).await.unwrap(), 6);
    assert_eq!(std::fs::read(&copy).unwrap(), b"titles");
    let shorter = CatalogueRef { bytes: 5, ..put.clone() };
    assert!(matches!(store.fetch_catalogue_to(&shorter, &copy).await, Err(StoreError::TooLarge { .. })));
    let other = CatalogueRef { digest: Digest::of(b"other"), ..put };
    assert!(matches!(store.fetch_catalogue_to(&other, &copy).await, Err(StoreError::Corrupt { .. })));
}
