//! A live port for mutual TLS: who gets an answer, and who is refused and counted under which
//! reason.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use mesh::identity::{
    ClientTls, Identity, IdentityFile, IdentityObserver, IdentityPaths, IdentitySettings, Purpose, Refusal, Reload,
};
use sidecar_contract::{Access, AllowedCaller, PlaintextAccess, ServingLimits};
use test_certificates::{Authority, DAY, ExtendedKeyUsagePurpose, Issued, KeyUsagePurpose, Leaf};
use tokio::task::JoinSet;

use crate::{
    mesh_peer::{Client, TLS12_ONLY, TRUST_DOMAIN, id, identity_files, now},
    model::train,
    process::{
        Process, configure_access, file_store, put, recommend, request, start_proxy_with, start_with_mesh_port,
        wait_for,
    },
};

/// Cases of each kind; the numbers in them vary.
const CASES: i64 = 60;
/// Concurrent connections.
const CLIENTS: usize = 16;

/// A serving pod with a port for mutual TLS, of namespace `shop`.
pub async fn serving_pod(directory: &Path, authority: &Authority) -> (Process, u16) {
    let model = train(directory, 4).await;
    let files = identity_files(directory, "server", authority, &Leaf::valid(&id("shop", "movies"), now()));
    let mut arguments = vec!["--model", model.to_str().unwrap()];
    arguments.extend(files.iter().map(String::as_str));
    let (pod, mesh_port) = start_with_mesh_port(directory, &arguments);
    wait_for("readiness", || pod.is_ready());
    (pod, mesh_port)
}

/// A client that must be refused, for case `number` of its kind.
fn bad_client(kind: &str, number: i64, authority: &Authority, other: &Authority) -> (Client, Refusal) {
    let now = now();
    let good = Leaf::valid(&id("shop", &format!("web{number}")), now);
    let of = |leaf: Leaf| Client::new(&authority.issue(&leaf));
    let server_only = vec![ExtendedKeyUsagePurpose::ServerAuth];
    match kind {
        "wrong CA" => (Client::new(&other.issue(&good)), Refusal::Untrusted),
        "self-signed" => (Client::new(&Issued::self_signed(&good)), Refusal::Untrusted),
        "changed signature" => {
            let mut issued = authority.issue(&good);
            let last = issued.certificate.len() - 1 - usize::try_from(number % 20).unwrap();
            issued.certificate[last] ^= 1 << (number % 8);
            (Client::new(&issued), Refusal::Untrusted)
        }
        "stolen certificate" => {
            let mut client = of(good.clone());
            client.credentials.as_mut().unwrap().1 = authority.issue(&good).key;
            (client, Refusal::Untrusted)
        }
        "expired" => {
            let end = now - 65 - number * number * 60;
            (of(Leaf { not_before: end - DAY, not_after: end, ..good }), Refusal::Expired)
        }
        "not yet valid" => {
            let begin = now + 3600 + number * number * 60;
            (of(Leaf { not_before: begin, not_after: begin + DAY, ..good }), Refusal::NotYetValid)
        }
        "CA as leaf" => (of(Leaf { is_ca: true, ..good }), Refusal::CaCertificate),
        "signing key" => {
            let usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
            (of(Leaf { key_usages: usages, ..good }), Refusal::CaCertificate)
        }
        "server certificate" => (of(Leaf { extended_key_usages: server_only, ..good }), Refusal::KeyUsage),
        "no extended key usage" => (of(Leaf { extended_key_usages: Vec::new(), ..good }), Refusal::KeyUsage),
        "two URIs" => {
            let uris = vec![id("shop", "web"), id("shop", &format!("x{number}"))];
            (of(Leaf { uris, ..good }), Refusal::SeveralUris)
        }
        "no URI" => (of(Leaf { uris: Vec::new(), ..good }), Refusal::NoUri),
        "DNS name only" => {
            let dns_names = vec![format!("web{number}.shop.svc")];
            (of(Leaf { uris: Vec::new(), dns_names, ..good }), Refusal::NoUri)
        }
        "wrong path" => {
            let bad = ["/ns/shop/sa", "", "/sa/web/ns/shop", "/ns/shop/sa/web/x", "/ns/../sa/web"];
            let path = bad[usize::try_from(number).unwrap() % bad.len()];
            (of(Leaf { uris: vec![format!("spiffe://{TRUST_DOMAIN}{path}")], ..good }), Refusal::SpiffeId)
        }
        "wrong trust domain" => {
            let uris = vec![format!("spiffe://other{number}.local/ns/shop/sa/web")];
            (of(Leaf { uris, ..good }), Refusal::TrustDomain)
        }
        "not allowed" => (of(Leaf { uris: vec![id(&format!("other{number}"), "web")], ..good }), Refusal::NotAllowed),
        "no certificate" => (Client { credentials: None, ..of(good) }, Refusal::NoCertificate),
        "TLS 1.2" => (Client { versions: &TLS12_ONLY, ..of(good) }, Refusal::Protocol),
        "HTTP/1.1" => (Client { protocols: vec!["http/1.1"], ..of(good) }, Refusal::Protocol),
        "no protocol" => (Client { protocols: Vec::new(), ..of(good) }, Refusal::Protocol),
        other => panic!("{other}: no such kind"),
    }
}

const KINDS: [&str; 20] = [
    "wrong CA",
    "self-signed",
    "changed signature",
    "stolen certificate",
    "expired",
    "not yet valid",
    "CA as leaf",
    "signing key",
    "server certificate",
    "no extended key usage",
    "two URIs",
    "no URI",
    "DNS name only",
    "wrong path",
    "wrong trust domain",
    "not allowed",
    "no certificate",
    "TLS 1.2",
    "HTTP/1.1",
    "no protocol",
];

/// What a server answers to bytes that are not TLS.
fn plaintext(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn refusals(process: &Process) -> BTreeMap<&'static str, f64> {
    let count = |reason: Refusal| {
        let label = format!("reason=\"{}\"", reason.as_str());
        (reason.as_str(), process.metric("recommender_mesh_refusals_total", &label))
    };
    Refusal::ALL.map(count).into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_bad_callers_none_is_answered_and_each_is_counted_under_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::new("anchor", now()));
    // An authority with the same name, which is found as the issuer.
    let other = Arc::new(Authority::new("anchor", now()));
    let (pod, port) = serving_pod(directory.path(), &authority).await;
    let good = Client::new(&authority.issue(&Leaf::valid(&id("shop", "web"), now())));
    assert_eq!(good.recommend(port).await.unwrap(), 200);
    let before = refusals(&pod);
    assert!(before.values().all(|count| *count == 0.0), "{before:?}");

    let mut expected: BTreeMap<&str, f64> = Refusal::ALL.map(|reason| (reason.as_str(), 0.0)).into();
    let mut cases = KINDS.into_iter().flat_map(|kind| (0..CASES).map(move |number| (kind, number)));
    let (mut running, mut answered) = (JoinSet::new(), Vec::new());
    loop {
        if running.len() < CLIENTS
            && let Some((kind, number)) = cases.next()
        {
            let (client, reason) = bad_client(kind, number, &authority, &other);
            *expected.get_mut(reason.as_str()).unwrap() += 1.0;
            running.spawn(async move { (kind, number, client.recommend(port).await) });
            continue;
        }
        match running.join_next().await {
            None => break,
            Some(ended) => {
                let (kind, number, outcome) = ended.unwrap();
                if let Ok(status) = outcome {
                    answered.push((kind, number, status));
                }
            }
        }
    }
    assert_eq!(answered, []);
    for text in ["GET /model HTTP/1.1\r\nhost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\0\0\0\0\0"] {
        for _ in 0..CASES / 3 {
            assert!(!plaintext(port, text.as_bytes()).starts_with(b"HTTP"), "{text}");
            *expected.get_mut("not-tls").unwrap() += 1.0;
        }
    }
    let cases: f64 = expected.values().sum();
    assert!(cases >= 1_000.0, "{cases} cases");
    wait_for("the last refusal", || refusals(&pod).values().sum::<f64>() >= cases);
    assert_eq!(refusals(&pod), expected);
    assert_eq!(good.recommend(port).await.unwrap(), 200);
    let log = std::fs::read_to_string(directory.path().join("sidecar.log")).unwrap();
    assert!(log.contains(&id("shop", "movies")) && log.contains("connection with mutual TLS refused"), "{log}");
}

#[derive(Debug)]
struct Ignored;

impl IdentityObserver for Ignored {
    fn reloaded(&self, _: IdentityFile, _: Reload) {}

    fn certificate_loaded(&self, _: i64) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_accepts_only_the_server_of_its_recommender() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new("anchor", now()), Authority::new("anchor", now()));
    let (pod, port) = serving_pod(directory.path(), &authority).await;
    let client = |name: &str, authority: &Authority, server: &str| {
        let leaf = Leaf::valid(&id("shop", "web"), now());
        let [_, credentials, _, anchors] = identity_files(directory.path(), name, authority, &leaf);
        let paths = IdentityPaths { credentials: credentials.into(), anchors: anchors.into() };
        let identity = Identity::open(IdentitySettings::new(paths), Purpose::Client, Arc::new(Ignored));
        ClientTls::new(identity, server.parse().unwrap()).unwrap()
    };
    let connect = async |client: &ClientTls| {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client.connect(stream, ([127, 0, 0, 1], port).into()).await
    };
    let established = connect(&client("right", &authority, "shop/movies")).await.unwrap();
    assert_eq!(established.peer.id.to_string(), id("shop", "movies"));
    // A quarter of the life of an hour and a minute, less at most a tenth.
    assert!((823..=915).contains(&established.age_max.as_secs()), "{:?}", established.age_max);
    for server in ["shop/films", "other/movies", "shop/web", "movies/shop"] {
        let refused = connect(&client("wrong", &authority, server)).await.unwrap_err();
        assert_eq!(
            (refused.reason, refused.claimed),
            (Refusal::WrongServer, Some(Box::new(established.peer.id.clone())))
        );
    }
    let refused = connect(&client("foreign", &other, "shop/movies")).await.unwrap_err();
    assert_eq!(refused.reason, Refusal::Untrusted);
    drop(pod);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_answered_over_mutual_tls_and_from_the_fallback_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("anchor", now());
    let (pod, mesh_port) = serving_pod(directory.path(), &authority).await;
    let leaf = Leaf::valid(&id("shop", "web"), now());
    let files = identity_files(directory.path(), "client", &authority, &leaf);
    let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    let proxy = start_proxy_with(directory.path(), &[mesh_port], &arguments);
    wait_for("an answer of a serving pod", || recommend(proxy.port, 5).0 == 200);
    let (_, answer) = recommend(proxy.port, 5);
    let (_, direct) = recommend(pod.port, 5);
    assert_eq!((&answer["items"], answer.get("degraded")), (&direct["items"], None));
    assert_eq!(pod.metric("recommender_mesh_connections", "").to_string(), "1");
    let expiry = proxy.metric("recommender_identity_certificate_expiry_timestamp_seconds", "");
    assert!((expiry - leaf.not_after as f64).abs() < 1.0, "{expiry}");

    // The server is not the one that this proxy expects: no answer, and the reason is counted.
    let mut with_server = arguments.clone();
    with_server.extend(["--server-identity", "shop/films"]);
    let wrong = start_proxy_with(directory.path(), &[mesh_port], &with_server);
    assert_eq!(recommend(wrong.port, 5).0, 503);
    assert!(wrong.metric("recommender_mesh_refusals_total", "wrong-server") >= 1.0);

    // The pods do not allow this caller: each connection is one refusal, with both ids in the log.
    let directory_of_stranger = tempfile::tempdir().unwrap();
    let leaf_of_stranger = Leaf::valid(&id("blog", "web"), now());
    let files = identity_files(directory_of_stranger.path(), "stranger", &authority, &leaf_of_stranger);
    let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    let stranger = start_proxy_with(directory_of_stranger.path(), &[mesh_port], &arguments);
    assert_eq!(recommend(stranger.port, 5).0, 503);
    wait_for("a refusal", || stranger.metric("recommender_mesh_refusals_total", "refused-by-peer") >= 1.0);
    assert!(pod.metric("recommender_mesh_refusals_total", "not-allowed") >= 1.0);
    let log = std::fs::read_to_string(directory_of_stranger.path().join("proxy.log")).unwrap();
    let ids = format!("(own id {}, peer {})", id("blog", "web"), id("shop", "movies"));
    assert!(log.contains("no mutual TLS with a serving pod") && log.contains(&ids), "{log}");

    // Without files the process starts; it answers once they appear.
    let directory_of_late = tempfile::tempdir().unwrap();
    let at = directory_of_late.path();
    let path = |name: &str| at.join(name).to_str().unwrap().to_owned();
    let (credentials, anchors) = (path("late-credentials.pem"), path("late-anchors.pem"));
    let late = start_proxy_with(at, &[mesh_port], &["--credentials", &credentials, "--anchors", &anchors]);
    let (status, problem) = recommend(late.port, 5);
    assert_eq!((status, problem["type"].as_str().unwrap()), (503, "urn:recmesh:problem:upstream-unavailable"));
    assert!(late.metric("recommender_mesh_refusals_total", "no-identity") >= 1.0);
    identity_files(at, "late", &authority, &leaf);
    wait_for("an answer over mutual TLS", || recommend(late.port, 5).0 == 200);
    let log = std::fs::read_to_string(at.join("proxy.log")).unwrap();
    assert!(log.contains("identity file not used") && log.contains("no mutual TLS with a serving pod"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_changes_act_on_open_connections_and_plaintext_can_be_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let authority = Authority::new("anchor", now());
    let store = file_store(at);
    let revision = put(&store, &train(at, 4).await).await;
    let access = |service_account: Option<&str>, plaintext: PlaintextAccess| Access {
        allow: Some(vec![AllowedCaller {
            namespace: "blog".to_owned(),
            service_account: service_account.map(str::to_owned),
        }]),
        plaintext: plaintext.into(),
    };
    let apply = |access: Access| {
        configure_access(at, &store, std::slice::from_ref(&revision), ServingLimits::default(), access);
    };
    apply(access(None, PlaintextAccess::SameNamespace));
    let files = identity_files(at, "server", &authority, &Leaf::valid(&id("shop", "movies"), now()));
    let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    let (pod, mesh_port) = start_with_mesh_port(at, &arguments);
    wait_for("readiness", || pod.is_ready());

    let caller =
        |namespace: &str, account: &str| Client::new(&authority.issue(&Leaf::valid(&id(namespace, account), now())));
    assert_eq!(caller("blog", "web").recommend(mesh_port).await.unwrap(), 200);
    assert!(caller("shop", "web").recommend(mesh_port).await.is_err(), "a list replaces the default");

    let files = identity_files(at, "client", &authority, &Leaf::valid(&id("blog", "web"), now()));
    let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    let proxy = start_proxy_with(at, &[mesh_port], &arguments);
    wait_for("an answer of a serving pod", || recommend(proxy.port, 5).1.get("items").is_some());
    wait_for("one connection", || pod.metric("recommender_mesh_connections", "").to_string() == "1");
    apply(access(Some("other"), PlaintextAccess::Never));
    wait_for("the end of the open connection", || pod.metric("recommender_mesh_connections", "") == 0.0);
    assert!(caller("blog", "web").recommend(mesh_port).await.is_err());
    assert_eq!(caller("blog", "other").recommend(mesh_port).await.unwrap(), 200);
    assert_eq!(recommend(pod.port, 5).0, 200, "the pod itself needs no TLS");
    apply(access(None, PlaintextAccess::SameNamespace));
    wait_for("an answer of a serving pod", || {
        let (status, answer) = recommend(proxy.port, 5);
        status == 200 && answer.get("degraded").is_none()
    });
    assert_eq!(request(pod.port, "GET", "/model", "").unwrap().0, 200);
}
