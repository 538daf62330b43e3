//! Local mode: an app's sidecar that holds the model, with the embedded store and real serving
//! pods.

use std::{path::Path, process::Command};

use recommender_store::{app::App, args::Args};
use serde_json::{Value, json};
use sidecar_contract::{
    KeyLayout, RevisionRef, ServingLimits, StoreConfig,
    credentials::{ACCESS_KEY_ID, AccessKeyId, Role, SECRET_ACCESS_KEY, derive_secret},
    store::{EMBEDDED_BUCKET, EMBEDDED_REGION},
};
use store_client::{Store, StoreCredentials};

use crate::{
    model::train,
    process::{ClosedPort, PATIENT, Process, configure, last_good, recommend, start_proxy_with, start_with, wait_for},
    proxy::{Load, raw},
};

const ROOT_KEY: &[u8] = b"a root key of at least 32 bytes, for the test";

/// The embedded store with the credentials of the Recommender.
struct EmbeddedStore {
    app: App,
    config: StoreConfig,
}

impl EmbeddedStore {
    async fn start(directory: &Path) -> Self {
        std::fs::write(directory.join("root-key"), ROOT_KEY).unwrap();
        std::fs::write(directory.join("installation-id"), "1b2c").unwrap();
        let local = ([127, 0, 0, 1], 0).into();
        let args = Args {
            data_dir: directory.join("objects"),
            listen: local,
            admin_listen: local,
            root_key_file: directory.join("root-key"),
            installation_id_file: directory.join("installation-id"),
        };
        let app = App::start(&args).await.unwrap();
        let config = StoreConfig {
            url: format!("s3://{EMBEDDED_BUCKET}"),
            endpoint: Some(format!("http://{}", app.address)),
            region: EMBEDDED_REGION.to_owned(),
            prefix: KeyLayout::recommender_prefix("1b2c", "shop", "movies"),
        };
        Self { app, config }
    }

    /// Trains a model and stores it as the desired revision.
    async fn put(&self, directory: &Path, factors: u32) -> RevisionRef {
        let path = train(directory, factors).await;
        let revision = revision(&path);
        let (access_key_id, secret_access_key) = access_key(Role::Train);
        let credentials = StoreCredentials::AccessKey { access_key_id, secret_access_key };
        let store = Store::open(&self.config, Some(&credentials)).unwrap();
        store.put_snapshot(&path, &revision.digest).await.unwrap();
        revision
    }
}

fn revision(path: &Path) -> RevisionRef {
    crate::process::revision(&std::fs::read(path).unwrap())
}

fn access_key(role: Role) -> (String, String) {
    let id = AccessKeyId { namespace: "shop".to_owned(), name: "movies".to_owned(), role };
    (id.to_string(), derive_secret(ROOT_KEY, &id))
}

/// Writes the Secret of the serving pods into a directory, as the kubelet mounts it.
fn mount_credentials(directory: &Path) {
    let (id, secret) = access_key(Role::Serve);
    std::fs::create_dir(directory).unwrap();
    std::fs::write(directory.join(ACCESS_KEY_ID), id).unwrap();
    std::fs::write(directory.join(SECRET_ACCESS_KEY), secret).unwrap();
}

/// A sidecar in local mode with its volumes below a directory, of which none has to exist.
fn start_local(directory: &Path, upstreams: &[u16]) -> Process {
    let volume = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (config, credentials, cache) = (volume("config"), volume("credentials"), volume("cache"));
    let volumes = ["--config-dir", &config, "--credentials-dir", &credentials, "--cache-dir", &cache];
    let poll = ["--local", "--config-poll-ms", "10"];
    start_proxy_with(directory, upstreams, &[&volumes[..], &poll].concat())
}

fn ask(port: u16, target: &str, body: &str) -> (u16, String, Value) {
    raw(port, &format!("{target} HTTP/1.1\r\ncontent-type: application/json\r\n"), body)
}

/// The revision that answers, and what answered.
fn answered_by(port: u16) -> (String, String) {
    let (status, head, answer) = ask(port, "POST /recommend", r#"{"user": "user6", "n": 5}"#);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.get("degraded").is_none(), "{answer}");
    let by = head.lines().find_map(|line| line.strip_prefix("x-recmesh-answered-by: ")).unwrap_or_default().to_owned();
    (answer["model"]["revision"].as_str().unwrap().to_owned(), by)
}

fn by(revision: &RevisionRef, what: &str) -> (String, String) {
    (revision.digest.revision().to_owned(), what.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_forwards_until_its_copy_is_loaded_and_then_needs_neither_serving_pods_nor_store() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let config = at.join("config");
    let store = EmbeddedStore::start(at).await;
    let (first, second) = (store.put(at, 3).await, store.put(at, 4).await);
    // The serving pods have another revision, which shows what answers.
    let other = train(at, 5).await;
    let mut pod = start_with(at, &["--model", other.to_str().unwrap()]);
    wait_for("readiness", || pod.is_ready());
    let mut proxy = start_local(at, &[pod.port]);

    // There is no ConfigMap and no Secret.
    wait_for("an answer of the serving pod", || recommend(proxy.port, 5).0 == 200);
    let load = Load::start(proxy.port, PATIENT);
    assert_eq!(answered_by(proxy.port), by(&revision(&other), "serving-pod"));
    mount_credentials(&at.join("credentials"));
    std::fs::create_dir(&config).unwrap();
    configure(&config, &store.config, std::slice::from_ref(&first), ServingLimits::default());
    wait_for("the first revision", || answered_by(proxy.port) == by(&first, "local"));
    pod.child.kill().unwrap();
    load.continue_for(300);
    configure(&config, &store.config, &[second.clone(), last_good(&first)], ServingLimits::default());
    wait_for("the second revision", || answered_by(proxy.port) == by(&second, "local"));

    // A revision that cannot be fetched, without a store; then not even a config.
    store.app.stop().await;
    let third = revision(&train(at, 6).await);
    configure(&config, &store.config, &[third, last_good(&second)], ServingLimits::default());
    let failures = "recommender_proxy_model_load_failures_total";
    wait_for("a failed load", || proxy.metric(failures, "reason=\"StoreUnreachable\"") >= 1.0);
    std::fs::remove_dir_all(&config).unwrap();
    load.continue_for(300);
    assert_eq!(answered_by(proxy.port), by(&second, "local"));
    let statuses = load.finish();
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");

    // All endpoints are those of the copy; metrics name it.
    let (status, head, problem) = ask(proxy.port, "POST /similar", r#"{"item": "none"}"#);
    assert_eq!((status, &problem["type"]), (404, &json!("urn:recmesh:problem:unknown-item")));
    assert!(head.contains("x-recmesh-answered-by: local"), "{head}");
    let (status, _, model) = ask(proxy.port, "GET /model", "");
    assert_eq!((status, &model["digest"]), (200, &json!(second.digest)));
    let info = format!("revision=\"{}\"", second.digest.revision());
    assert!(proxy.metric("recommender_proxy_model_info", &info) > 0.5);
    assert!(proxy.metric("recommender_proxy_requests_total", "answered_by=\"local\"") > 300.0);

    // It ends at once, and begins with the copy in its volume.
    proxy.signal("-TERM");
    wait_for("the exit", || proxy.child.try_wait().unwrap().is_some());
    assert!(proxy.child.wait().unwrap().success());
    std::fs::create_dir(&config).unwrap();
    configure(&config, &store.config, std::slice::from_ref(&second), ServingLimits::default());
    let closed = ClosedPort::new();
    let again = start_local(at, &[closed.port]);
    wait_for("the copy", || recommend(again.port, 5).0 == 200);
    assert_eq!(answered_by(again.port), by(&second, "local"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_never_ends_does_not_delay_the_exit() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let store = EmbeddedStore::start(at).await;
    let first = store.put(at, 3).await;
    mount_credentials(&at.join("credentials"));
    // The cached file is a pipe without a writer, so that opening it blocks forever.
    std::fs::create_dir_all(at.join("cache/snapshots")).unwrap();
    let pipe = at.join("cache/snapshots").join(format!("{}.safetensors", first.digest));
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    std::fs::create_dir(at.join("config")).unwrap();
    configure(&at.join("config"), &store.config, std::slice::from_ref(&first), ServingLimits::default());
    let closed = ClosedPort::new();
    let mut proxy = start_local(at, &[closed.port]);
    let marker = at.join("cache/snapshots").join(format!("loading-{}", first.digest));
    wait_for("the marker", || marker.exists());
    proxy.signal("-TERM");
    wait_for("the exit", || proxy.child.try_wait().unwrap().is_some());
    assert!(proxy.child.wait().unwrap().success());
}
