//! The signer against a mocked API server: what it needs before it signs, who signs, and what it
//! writes. The time of tokio is paused, so that waits end immediately.

use std::{
    process::{Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use k8s_openapi::ByteString;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use recommender_operator::{
    identity::TrustDomain,
    metrics::Metrics,
    signer::{Signer, SignerSettings},
};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring::ECDSA_P256_SHA256};

use crate::fake_api::FakeApi;

const SIGNER: &str = "recmesh.dev/recmesh";
const POLICY: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/guard";
const BINDING: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/guard";
const BUNDLE: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles/recmesh.dev:recmesh:anchors";
const SECRET: &str = "/api/v1/namespaces/recmesh-system/secrets/recmesh-identity-root";
const ISSUER_SECRET: &str = "/api/v1/namespaces/recmesh-system/secrets/ca";
const REQUEST: &str = "/apis/certificates.k8s.io/v1/namespaces/shop/podcertificaterequests/req-1";
const POD: &str = "/api/v1/namespaces/shop/pods/web-1";

/// The policy that lets only kubelets ask.
fn guard(api: &FakeApi) {
    let rules = json!([{"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"]}]);
    let spec = json!({"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules}});
    api.put(POLICY, json!({"metadata": {"name": "guard"}, "spec": spec}));
    let spec = json!({"policyName": "guard", "validationActions": ["Deny"]});
    api.put(BINDING, json!({"metadata": {"name": "guard"}, "spec": spec}));
}

/// A pod with a certificate volume, and the request of its kubelet.
fn ask(api: &FakeApi, key: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-new", "-nodes", "-batch", "-subj", "/", "-outform", "DER", "-newkey"]).args(key);
    let made = command.arg("-keyout").arg(directory.path().join("key.pem")).stderr(Stdio::null()).output().unwrap();
    api.put(
        POD,
        json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"},
            "spec": {"serviceAccountName": "web", "nodeName": "n1", "volumes": [
                {"name": "a", "projected": {"sources": [{"podCertificate": {"signerName": SIGNER}}]}},
            ]},
        }),
    );
    api.put(
        REQUEST,
        json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
            "metadata": {"name": "req-1", "namespace": "shop"},
            "spec": {
                "signerName": SIGNER, "podName": "web-1", "podUID": "u1", "serviceAccountName": "web",
                "serviceAccountUID": "u2", "nodeName": "n1", "nodeUID": "u3", "maxExpirationSeconds": 7200,
                "stubPKCS10Request": ByteString(made.stdout),
            },
        }),
    );
}

const P256: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// Starts a replica.
fn start(api: &FakeApi, namespace: &str, is_leader: bool) -> Arc<Metrics> {
    start_with(api, namespace, is_leader, None)
}

/// Starts a replica with the Secret of an issuer.
fn start_with(api: &FakeApi, namespace: &str, is_leader: bool, issuer_secret: Option<&str>) -> Arc<Metrics> {
    store_client::install_tls_provider();
    let metrics = Arc::new(Metrics::new().unwrap());
    let settings = SignerSettings {
        name: SIGNER.to_owned(),
        guard: "guard".to_owned(),
        trust_domain: TrustDomain::parse("films.example").unwrap(),
        issuer_secret: issuer_secret.map(str::to_owned),
        namespace: namespace.to_owned(),
        watched: Vec::new(),
    };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let is_leader = Arc::new(AtomicBool::new(is_leader));
    let signer = Signer::new(api.client(), http, settings, Arc::clone(&metrics), is_leader);
    tokio::spawn(signer.run());
    metrics
}

fn metric(metrics: &Metrics, series: &str) -> Option<String> {
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

/// Waits for the answer to the request, and returns its status.
async fn answered(api: &FakeApi) -> Value {
    let found = async {
        loop {
            let status = api.get(REQUEST)["status"].clone();
            if !status.is_null() {
                return status;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_mins(10), found).await.expect("the request has no answer")
}

async fn stays_pending(api: &FakeApi) {
    sleep(Duration::from_mins(10)).await;
    assert_eq!(api.get(REQUEST)["status"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_valid_for_the_published_anchors_from_and_until_the_times_in_the_status() {
    let api = FakeApi::default();
    guard(&api);
    let metrics = start(&api, "recmesh-system", true);
    ask(&api, &P256);
    let status = answered(&api).await;
    assert_eq!(
        (&status["conditions"][0]["type"], &status["conditions"][0]["status"]),
        (&json!("Issued"), &json!("True"))
    );
    let leaf = CertificateDer::from_pem_slice(status["certificateChain"].as_str().unwrap().as_bytes()).unwrap();
    let bundle = api.get(BUNDLE);
    assert_eq!(
        (&bundle["spec"]["signerName"], &bundle["metadata"]["labels"]["recmesh.dev/anchors"]),
        (&json!(SIGNER), &json!("true"))
    );
    let root = CertificateDer::from_pem_slice(bundle["spec"]["trustBundle"].as_str().unwrap().as_bytes()).unwrap();
    let anchors = [anchor_from_trusted_cert(&root).unwrap()];
    let certificate = EndEntityCert::try_from(&leaf).unwrap();
    assert_eq!(certificate.valid_uri_names().collect::<Vec<_>>(), ["spiffe://films.example/ns/shop/sa/web"]);
    let second = |field: &str| {
        let text = status[field].as_str().unwrap();
        assert!(text.ends_with('Z') && text.len() == 20, "whole seconds: {text}");
        u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_second()).unwrap()
    };
    let (not_before, not_after) = (second("notBefore"), second("notAfter"));
    assert_eq!((not_after - not_before, second("beginRefreshAt") - not_before), (7200, 3600));
    let valid = |second| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(second));
        let usage = KeyUsage::client_auth();
        certificate.verify_for_usage(&[ECDSA_P256_SHA256], &anchors, &[], time, usage, None, None).is_ok()
    };
    assert!(valid(not_before) && valid(not_after) && !valid(not_before - 1) && !valid(not_after + 1));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(metric(&metrics, r#"recommender_identity_decisions_total{decision="signed"}"#).as_deref(), Some("1"));
    assert_eq!(metric(&metrics, "recommender_identity_pending_requests").as_deref(), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_signed_without_the_policy_that_lets_only_kubelets_ask() {
    let api = FakeApi::default();
    let metrics = start(&api, "recmesh-system", true);
    ask(&api, &P256);
    stays_pending(&api).await;
    assert_eq!(metric(&metrics, r#"recommender_identity_off{reason="guard"}"#).as_deref(), Some("1"));
    assert_eq!(metric(&metrics, "recommender_identity_pending_requests").as_deref(), Some("1"));
    guard(&api);
    answered(&api).await;
    assert_eq!(metric(&metrics, r#"recommender_identity_off{reason="guard"}"#), None);
    // It is removed while the signer runs.
    api.put(POLICY, json!({"metadata": {"name": "guard"}}));
    sleep(Duration::from_mins(1)).await;
    ask(&api, &P256);
    stays_pending(&api).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_installations_with_one_signer_the_second_signs_nothing() {
    let api = FakeApi::default();
    guard(&api);
    let first = start(&api, "recmesh-system", true);
    sleep(Duration::from_secs(1)).await;
    let second = start(&api, "other-system", true);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(metric(&second, r#"recommender_identity_off{reason="other_installation"}"#).as_deref(), Some("1"));
    assert_eq!(metric(&first, r#"recommender_identity_off{reason="other_installation"}"#), None);
    assert_eq!(api.get(BUNDLE)["metadata"]["annotations"]["recmesh.dev/installation"], "recmesh-system");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_signs_after_two_seconds() {
    for (is_leader, wait) in [(true, 0..1), (false, 2..3)] {
        let api = FakeApi::default();
        guard(&api);
        start(&api, "recmesh-system", is_leader);
        sleep(Duration::from_secs(40)).await;
        let begin = Instant::now();
        ask(&api, &P256);
        answered(&api).await;
        assert!(wait.contains(&begin.elapsed().as_secs()), "{is_leader}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn two_replicas_share_one_root_and_answer_once() {
    let api = FakeApi::default();
    guard(&api);
    ask(&api, &P256);
    let replicas = [true, true].map(|is_leader| start(&api, "recmesh-system", is_leader));
    answered(&api).await;
    sleep(Duration::from_mins(5)).await;
    let signed = |metrics: &Arc<Metrics>| metric(metrics, r#"recommender_identity_decisions_total{decision="signed"}"#);
    assert_eq!(replicas.iter().filter_map(signed).collect::<Vec<_>>(), ["1"]);
    let writes = api.take_writes();
    assert_eq!(writes.iter().filter(|write| write.starts_with("PUT")).count(), 0, "{writes:?}");
    assert_eq!(api.get(SECRET)["metadata"]["generation"], 1, "the root was made once");
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_type_is_denied_and_a_foreign_request_stays_pending() {
    let api = FakeApi::default();
    guard(&api);
    start(&api, "recmesh-system", true);
    ask(&api, &["ed25519"]);
    let status = answered(&api).await;
    assert_eq!(status["conditions"][0]["type"], "Denied");
    assert_eq!(status["conditions"][0]["reason"], "UnsupportedKeyType");
    assert_eq!(status["certificateChain"], Value::Null);
    let api = FakeApi::default();
    guard(&api);
    ask(&api, &P256);
    let mut pod = api.get(POD);
    pod["spec"]["serviceAccountName"] = json!("admin");
    api.put(POD, pod);
    let metrics = start(&api, "recmesh-system", true);
    stays_pending(&api).await;
    let decisions = r#"recommender_identity_decisions_total{decision="other_account"}"#;
    let times: f64 = metric(&metrics, decisions).unwrap().parse().unwrap();
    assert!((5.0..60.0).contains(&times), "pending requests are decided again, with pauses: {times}");
}

#[tokio::test(start_paused = true)]
async fn an_annotation_begins_a_rotation_with_both_anchors_and_a_failing_api_server_stops_it() {
    let api = FakeApi::default();
    guard(&api);
    start(&api, "recmesh-system", true);
    sleep(Duration::from_secs(1)).await;
    let annotate = |value: &str| {
        let mut secret = api.get(SECRET);
        secret["metadata"]["annotations"] = json!({"recmesh.dev/rotate": value});
        api.put(SECRET, secret);
    };
    let anchors = || api.get(BUNDLE)["spec"]["trustBundle"].as_str().unwrap().matches("BEGIN").count();
    let step = || {
        let data: Option<ByteString> =
            serde_json::from_value(api.get(SECRET)["data"]["rotation.json"].clone()).unwrap();
        data.map(|bytes| String::from_utf8(bytes.0).unwrap()).unwrap_or_default()
    };
    assert_eq!((anchors(), step().as_str()), (1, ""));
    api.fail(http::Method::PATCH, ":anchors", 500);
    annotate("2026-11");
    sleep(Duration::from_mins(5)).await;
    assert_eq!((anchors(), step().as_str()), (1, r#"{"step":"prepared"}"#), "the anchor is not published");
    api.recover();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(anchors(), 2);
    assert!(step().starts_with(r#"{"step":"published","since":"#), "{}", step());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_waits_for_pods_that_have_not_confirmed_and_an_annotation_of_the_step_passes_over_them() {
    let api = FakeApi::default();
    guard(&api);
    let metrics = start(&api, "recmesh-system", true);
    sleep(Duration::from_secs(1)).await;
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"recmesh.dev/injected": "true"}},
        "spec": {"volumes": [{"projected": {"sources": [{"podCertificate": {"signerName": SIGNER}}]}}]},
        "status": {"phase": "Running", "startTime": "2000-01-01T00:00:00Z"},
    });
    api.put(POD, pod);
    let annotate = |name: &str, value: &str| {
        let mut secret = api.get(SECRET);
        secret["metadata"]["annotations"][name] = json!(value);
        api.put(SECRET, secret);
    };
    let step = || {
        let data: ByteString = serde_json::from_value(api.get(SECRET)["data"]["rotation.json"].clone()).unwrap();
        serde_json::from_slice::<Value>(&data.0).unwrap()["step"].clone()
    };
    let waits_for = || api.get(SECRET)["metadata"]["annotations"]["recmesh.dev/rotation-waits-for"].clone();
    annotate("recmesh.dev/rotate", "2026-11");
    sleep(Duration::from_mins(1)).await;
    // The step began in the past: the clock of the system does not follow that of the test.
    let mut secret = api.get(SECRET);
    secret["data"]["rotation.json"] = json!(ByteString(br#"{"step":"published","since":1000000000}"#.to_vec()));
    api.put(SECRET, secret);
    sleep(Duration::from_mins(10)).await;
    assert_eq!((step(), waits_for()), (json!("published"), json!("1: shop/web-1")));
    assert_eq!(metric(&metrics, "recommender_identity_unconfirmed_pods").as_deref(), Some("1"));
    // That of another rotation.
    annotate("recmesh.dev/rotate-unconfirmed", "published/2025-11");
    sleep(Duration::from_mins(10)).await;
    assert_eq!(step(), "published");
    // A list that fails delays the rotation; certificates are signed.
    api.fail(http::Method::GET, "/api/v1/pods", 500);
    annotate("recmesh.dev/rotate-unconfirmed", "published/2026-11");
    sleep(Duration::from_mins(10)).await;
    assert_eq!(step(), "published");
    assert_eq!(metric(&metrics, r#"recommender_identity_off{reason="api"}"#), None);
    api.recover();
    sleep(Duration::from_mins(2)).await;
    assert_eq!((step(), waits_for()), (json!("switched"), Value::Null));
    // A certificate of the new root has that of the old root with it.
    ask(&api, &P256);
    let status = answered(&api).await;
    assert_eq!(status["certificateChain"].as_str().unwrap().matches("BEGIN CERTIFICATE").count(), 2);
}

/// A root of an issuer.
struct IssuerRoot {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl IssuerRoot {
    fn new(name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// The Secret with a new CA below the root, as cert-manager writes it; and the certificate of the
    /// CA.
    fn secret(&self) -> (Value, String) {
        let key = KeyPair::generate().unwrap();
        let ca = Self::params("ca").signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap().pem();
        let texts = [("tls.crt", ca.clone()), ("tls.key", key.serialize_pem()), ("ca.crt", self.pem.clone())];
        let data: serde_json::Map<_, _> =
            texts.into_iter().map(|(key, text)| (key.to_owned(), json!(ByteString(text.into_bytes())))).collect();
        (json!({"metadata": {"name": "ca", "namespace": "recmesh-system"}, "data": data}), ca)
    }
}

/// Asks again, and returns the certificates that follow that of the pod.
async fn intermediates(api: &FakeApi) -> String {
    ask(api, &P256);
    let chain = answered(api).await["certificateChain"].as_str().unwrap().to_owned();
    let end = "-----END CERTIFICATE-----\n";
    chain.split_once(end).unwrap().1.to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_ca_of_an_issuer_signs_from_its_first_usable_secret_on() {
    let api = FakeApi::default();
    guard(&api);
    ask(&api, &P256);
    let metrics = start_with(&api, "recmesh-system", true, Some("ca"));
    stays_pending(&api).await;
    assert_eq!(metric(&metrics, r#"recommender_identity_off{reason="issuer"}"#).as_deref(), Some("1"));
    assert_eq!(metric(&metrics, r#"recommender_identity_issuer_problem{reason="missing"}"#).as_deref(), Some("1"));
    assert_eq!(api.get(SECRET), Value::Null, "no root is made");
    let root = IssuerRoot::new("root");
    let (secret, ca) = root.secret();
    api.put(ISSUER_SECRET, secret.clone());
    assert_eq!(intermediates(&api).await, ca);
    assert_eq!(api.get(BUNDLE)["spec"]["trustBundle"], json!(root.pem));
    assert_eq!(metric(&metrics, r#"recommender_identity_issuer_problem{reason="missing"}"#), None);

    // A Secret that cannot be used, and one that cannot be read: the last usable CA signs.
    let mut half = secret.clone();
    half["data"].as_object_mut().unwrap().remove("tls.key");
    api.put(ISSUER_SECRET, half);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(intermediates(&api).await, ca);
    let problem =
        |reason: &str| metric(&metrics, &format!(r#"recommender_identity_issuer_problem{{reason="{reason}"}}"#));
    assert_eq!(problem("unreadable").as_deref(), Some("1"));
    api.fail(http::Method::GET, "/secrets/ca", 403);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(intermediates(&api).await, ca);
    assert_eq!((problem("api").as_deref(), problem("unreadable")), (Some("1"), None));
    assert_eq!(metric(&metrics, r#"recommender_identity_off{reason="api"}"#), None);
    // So it is after a restart of the operator.
    let restarted = start_with(&api, "recmesh-system", true, Some("ca"));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(metric(&restarted, r#"recommender_identity_off{reason="issuer"}"#), None);

    // A renewed CA signs at once, and the anchor stays.
    api.recover();
    let (secret, renewed) = root.secret();
    api.put(ISSUER_SECRET, secret);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(intermediates(&api).await, renewed);
    assert_eq!((api.get(BUNDLE)["spec"]["trustBundle"].clone(), problem("api")), (json!(root.pem), None));
}

#[tokio::test(start_paused = true)]
async fn two_replicas_use_one_ca_of_an_issuer() {
    let api = FakeApi::default();
    guard(&api);
    let (secret, ca) = IssuerRoot::new("root").secret();
    api.put(ISSUER_SECRET, secret);
    for is_leader in [true, false] {
        start_with(&api, "recmesh-system", is_leader, Some("ca"));
    }
    assert_eq!(intermediates(&api).await, ca);
    sleep(Duration::from_mins(5)).await;
    let writes = api.take_writes();
    assert_eq!(writes.iter().filter(|write| write.starts_with("PUT")).count(), 0, "copied once: {writes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_root_of_an_issuer_begins_a_rotation_and_the_old_ca_signs() {
    let api = FakeApi::default();
    guard(&api);
    let [old, new] = ["old", "new"].map(IssuerRoot::new);
    let (secret, ca) = old.secret();
    api.put(ISSUER_SECRET, secret);
    start_with(&api, "recmesh-system", true, Some("ca"));
    assert_eq!(intermediates(&api).await, ca);
    let (secret, next) = new.secret();
    api.put(ISSUER_SECRET, secret);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(api.get(BUNDLE)["spec"]["trustBundle"], json!(old.pem.clone() + &new.pem));
    assert_eq!(intermediates(&api).await, ca);
    // The step began in the past: the clock of the system does not follow that of the test.
    let mut stored = api.get(SECRET);
    stored["data"]["rotation.json"] = json!(ByteString(br#"{"step":"published","since":1000000000}"#.to_vec()));
    api.put(SECRET, stored);
    sleep(Duration::from_mins(2)).await;
    assert_eq!(intermediates(&api).await, next);
}
