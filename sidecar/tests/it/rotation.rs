//! Certificates and trust anchors that change under a constant load: no request fails, and none is
//! answered without a serving pod.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mesh::{
    Target,
    identity::{IdentityPaths, IdentitySettings, TimeProvider, UnixTime, Workload},
};
use recommender_sidecar::{
    app::{App, ModelSource, MutualTlsSettings, Settings},
    proxy::{Proxy, ProxySettings, ProxyTlsSettings},
};
use serde_json::Value;
use sidecar_contract::{AnchorsReport, ServingLimits, anchors_digest};
use test_certificates::{Authority, Leaf, replace};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

use crate::{
    mesh_peer::{Client, id},
    model::train,
    process::{recommend, request, wait_for},
};

/// Changes of certificates.
const CHANGES: usize = 100;
/// Interval of requests: 500 a second.
const REQUEST_INTERVAL: Duration = Duration::from_millis(2);
/// Maximum number of requests in flight, so that a slow machine lowers the rate.
const IN_FLIGHT_MAX: usize = 64;
/// Responses after each change.
const RESPONSES_PER_CHANGE: usize = 40;
/// Interval at which the files are read.
const RELOAD_INTERVAL: Duration = Duration::from_millis(10);
/// First second of the test clock.
const BEGIN: i64 = 1_800_000_000;

/// A clock that the test sets.
#[derive(Clone, Debug)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.now().unsigned_abs())))
    }
}

/// The files of one side.
struct Files(PathBuf);

impl Files {
    fn settings(&self, clock: &Clock) -> IdentitySettings {
        let paths = IdentityPaths { credentials: self.0.join("credentials.pem"), anchors: self.0.join("anchors.pem") };
        IdentitySettings { paths, interval: RELOAD_INTERVAL, clock: Arc::new(clock.clone()) }
    }

    fn set_certificate(&self, authority: &Authority, leaf: &Leaf) {
        replace(&self.0.join("credentials.pem"), &authority.issue(leaf).pem);
    }

    fn set_anchors(&self, authorities: &[&Authority]) {
        let pem: String = authorities.iter().map(|authority| authority.pem()).collect();
        replace(&self.0.join("anchors.pem"), &pem);
    }
}

/// A serving pod, the sidecar of an app, and a constant load on it.
struct Mesh {
    clock: Clock,
    server: Files,
    client: Files,
    app: App,
    proxy: Proxy,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    load: JoinHandle<Vec<String>>,
}

impl Mesh {
    async fn start(directory: &Path, authority: &Authority) -> Self {
        let clock = Clock(Arc::new(AtomicI64::new(BEGIN)));
        let [server, client] = ["server", "client"].map(|side| {
            let at = directory.join(side);
            std::fs::create_dir_all(&at).unwrap();
            Files(at)
        });
        server.set_certificate(authority, &certificate("movies", &clock));
        client.set_certificate(authority, &certificate("web", &clock));
        server.set_anchors(&[authority]);
        client.set_anchors(&[authority]);
        let local = ([127, 0, 0, 1], 0).into();
        let model = train(directory, 4).await;
        // A slow machine must not cause refusals.
        let limits = ServingLimits { latency_budget_milliseconds: 2000, ..ServingLimits::default() };
        let app = App::start(Settings {
            listen: local,
            admin_listen: local,
            source: ModelSource::File { model, catalogue: None, limits },
            cache_bytes: 0,
            mutual_tls: Some(MutualTlsSettings { listen: local, identity: server.settings(&clock) }),
        });
        let app = app.await.unwrap();
        let proxy = Proxy::start(ProxySettings {
            listen: local,
            admin_listen: local,
            upstreams: vec![Target::new("127.0.0.1", app.mesh_address.unwrap().port())],
            timeout: Duration::from_secs(30),
            mutual_tls: Some(ProxyTlsSettings {
                identity: client.settings(&clock),
                server: Workload { namespace: "shop".to_owned(), service_account: "movies".to_owned() },
            }),
            local: None,
        });
        let proxy = proxy.await.unwrap();
        let port = proxy.address.port();
        blocking(move || wait_for("the first answer", || recommend(port, 5).0 == 200)).await;
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let load = tokio::spawn(load(port, Arc::clone(&stop), Arc::clone(&answered)));
        Self { clock, server, client, app, proxy, stop, answered, load }
    }

    /// Waits until both sides have read their files this often, and then for responses.
    async fn settle(&self, file: &'static str, changes: usize) {
        let ports = [self.app.admin_address.port(), self.proxy.admin_address.port()];
        let labels = format!("recommender_identity_reloads_total{{file=\"{file}\",result=\"changed\"}} {changes}");
        blocking(move || {
            for port in ports {
                wait_for("the change", || request(port, "GET", "/metrics", "").unwrap().1.contains(&labels));
            }
        })
        .await;
        let (answered, begin) = (Arc::clone(&self.answered), self.answered.load(Ordering::SeqCst));
        blocking(move || {
            wait_for("responses", || answered.load(Ordering::SeqCst) >= begin + RESPONSES_PER_CHANGE);
        })
        .await;
    }

    /// Waits until the serving pod reports that both sides have these anchors, as it learns it on the
    /// connections of the proxy.
    async fn confirm(&self, anchors: &[&Authority]) {
        let (admin, expected) = (self.app.admin_address.port(), anchors_digest(anchors.iter().map(|a| a.der())));
        blocking(move || {
            wait_for("the confirmation", || {
                let (_, text) = request(admin, "GET", "/anchors", "").unwrap();
                let report: AnchorsReport = serde_json::from_str(&text).unwrap();
                let [caller] = report.callers.as_slice() else { return false };
                assert_eq!(caller.address, std::net::Ipv4Addr::LOCALHOST);
                report.anchors.as_ref() == Some(&expected) && caller.anchors == expected && caller.seconds_ago < 60
            });
        })
        .await;
    }

    /// Ends the load; returns its number of requests, and what was wrong with the responses.
    async fn finish(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let wrong = self.load.await.unwrap();
        self.proxy.stop().await;
        (self.answered.load(Ordering::SeqCst), wrong)
    }
}

async fn blocking(work: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(work).await.unwrap();
}

/// A certificate whose connections last less than a second: a quarter of its life.
fn certificate(account: &str, clock: &Clock) -> Leaf {
    let now = clock.now();
    Leaf { not_before: now - 1, not_after: now + 1, ..Leaf::valid(&id("shop", account), now) }
}

/// Sends requests at a constant rate, whatever the responses are.
async fn load(port: u16, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) -> Vec<String> {
    let mut ticks = tokio::time::interval(REQUEST_INTERVAL);
    let (mut requests, slots) = (JoinSet::new(), Arc::new(Semaphore::new(IN_FLIGHT_MAX)));
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let (answered, slot) = (Arc::clone(&answered), Arc::clone(&slots).acquire_owned().await.unwrap());
        requests.spawn_blocking(move || {
            let _slot = slot;
            let body = r#"{"user": "user6", "n": 5}"#;
            let response = request(port, "POST", "/recommend", body);
            answered.fetch_add(1, Ordering::SeqCst);
            match response {
                Some((200, text)) => {
                    let answer: Value = serde_json::from_str(&text).unwrap();
                    answer.get("degraded").map(|_| text)
                }
                other => Some(format!("{other:?}")),
            }
        });
    }
    requests.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_over_a_hundred_changes_of_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("anchor", BEGIN);
    let mesh = Mesh::start(directory.path(), &authority).await;
    for change in 1..=CHANGES {
        mesh.clock.advance(1);
        mesh.server.set_certificate(&authority, &certificate("movies", &mesh.clock));
        mesh.client.set_certificate(&authority, &certificate("web", &mesh.clock));
        mesh.settle("credentials", 1 + change).await;
    }
    let (requests, wrong) = mesh.finish().await;
    assert!(requests >= CHANGES * RESPONSES_PER_CHANGE, "{requests} requests");
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_trust_anchor_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new("old anchor", BEGIN), Authority::new("new anchor", BEGIN));
    let mesh = Mesh::start(directory.path(), &old).await;
    let port = mesh.app.mesh_address.unwrap().port();
    let caller = |authority: &Authority| Client::new(&authority.issue(&certificate("web", &mesh.clock)));
    assert_eq!(caller(&old).recommend(port).await.unwrap(), 200);
    assert!(caller(&new).recommend(port).await.is_err());
    mesh.confirm(&[&old]).await;
    // The kubelet shuffles anchors.
    mesh.server.set_anchors(&[&old, &new]);
    mesh.client.set_anchors(&[&new, &old]);
    mesh.settle("anchors", 2).await;
    mesh.confirm(&[&old, &new]).await;
    assert_eq!(caller(&new).recommend(port).await.unwrap(), 200);
    // A bad file is not used.
    replace(&mesh.client.0.join("anchors.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let admin = mesh.proxy.admin_address.port();
    blocking(move || {
        let failed = "recommender_identity_reloads_total{file=\"anchors\",result=\"failed\"} 0";
        wait_for("the failed read", || !request(admin, "GET", "/metrics", "").unwrap().1.contains(failed));
    })
    .await;
    mesh.settle("credentials", 1).await;
    // The same bytes as before: reading them does not count as a change.
    mesh.client.set_anchors(&[&new, &old]);
    // One side after the other signs with the new anchor.
    mesh.server.set_certificate(&new, &certificate("movies", &mesh.clock));
    mesh.client.set_certificate(&old, &certificate("web", &mesh.clock));
    mesh.settle("credentials", 2).await;
    mesh.client.set_certificate(&new, &certificate("web", &mesh.clock));
    mesh.server.set_certificate(&new, &certificate("movies", &mesh.clock));
    mesh.settle("credentials", 3).await;
    // The life of the last certificate of the old anchor ends.
    mesh.clock.advance(2);
    mesh.server.set_certificate(&new, &certificate("movies", &mesh.clock));
    mesh.client.set_certificate(&new, &certificate("web", &mesh.clock));
    mesh.settle("credentials", 4).await;
    for side in [&mesh.server, &mesh.client] {
        side.set_anchors(&[&new]);
    }
    mesh.settle("anchors", 3).await;
    mesh.confirm(&[&new]).await;
    assert!(caller(&old).recommend(port).await.is_err());
    assert_eq!(caller(&new).recommend(port).await.unwrap(), 200);
    let (_, wrong) = mesh.finish().await;
    assert_eq!(wrong, Vec::<String>::new());
}
