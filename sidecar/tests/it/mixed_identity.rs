//! An app and a Recommender of which only one has a certificate: what the app's sidecar does.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use answering::RequestId;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use recommender_sidecar::api::error::ApiError;
use serde_json::json;
use test_certificates::{Authority, Leaf};
use tokio::net::TcpListener;

use crate::{
    mesh_peer::{id, identity_files, now},
    model::train,
    mutual_tls::serving_pod,
    process::{ClosedPort, recommend, start_proxy, start_proxy_with, start_with, wait_for},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_with_a_certificate_never_asks_in_plaintext() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = train(at, 4).await;
    let pod = start_with(at, &["--model", model.to_str().unwrap()]);
    wait_for("readiness", || pod.is_ready());
    let files = identity_files(at, "client", &Authority::new("anchor", now()), &Leaf::valid(&id("shop", "web"), now()));
    let arguments: Vec<&str> = files.iter().map(String::as_str).collect();
    // Port 8443 is not open in pods without a certificate. Port 8080 does not speak TLS.
    let closed = ClosedPort::new();
    for (port, refusal) in [(closed.port, None), (pod.port, Some("not-tls"))] {
        let proxy = start_proxy_with(at, &[port], &arguments);
        let (status, problem) = recommend(proxy.port, 5);
        assert_eq!((status, problem["type"].as_str().unwrap()), (503, "urn:recmesh:problem:upstream-unavailable"));
        assert!(proxy.metric("recommender_proxy_tries_total", "connect-failed") >= 1.0);
        let refusals = proxy.metric("recommender_mesh_refusals_total", refusal.unwrap_or_default());
        assert_eq!(refusals > 0.0, refusal.is_some(), "{refusals} refusals");
    }
    assert!(pod.metric("recommender_recommendations_total", "") < 1.0);
    // What annotation `recmesh.dev/identity: none` does.
    let proxy = start_proxy(at, &[pod.port]);
    wait_for("an answer of a serving pod", || recommend(proxy.port, 5).0 == 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_without_a_certificate_asks_pods_with_one_in_plaintext() {
    let directory = tempfile::tempdir().unwrap();
    let (pod, mesh_port) = serving_pod(directory.path(), &Authority::new("anchor", now())).await;
    let proxy = start_proxy(directory.path(), &[pod.port]);
    wait_for("an answer of a serving pod", || recommend(proxy.port, 5).0 == 200);
    assert_eq!(recommend(proxy.port, 5).1.get("degraded"), None);
    assert_eq!(pod.metric("recommender_mesh_connections", "").to_string(), "0");
    // The port for mutual TLS gives it nothing.
    let proxy = start_proxy(directory.path(), &[mesh_port]);
    assert_eq!(recommend(proxy.port, 5).0, 503);
    assert!(pod.metric("recommender_mesh_refusals_total", "not-tls") >= 1.0);
}

/// A serving pod that refuses plaintext once it is told to; not the real one, which always answers
/// the loopback address.
async fn pod_that_refuses(refuses: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let refuses = Arc::clone(&refuses);
            let service = service_fn(move |_| {
                let answer = json!({
                    "requestId": "r", "model": {"revision": "0123456789", "variant": "default"},
                    "items": [{"id": "a", "score": 1.5, "source": "model"}],
                });
                let response = if refuses.load(Ordering::SeqCst) {
                    ApiError::plaintext_refused().into_response(&RequestId::parse("r").unwrap())
                } else {
                    Response::new(Full::new(Bytes::from(answer.to_string())))
                };
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn where_plaintext_is_refused_the_fallback_answers() {
    let directory = tempfile::tempdir().unwrap();
    let refuses = Arc::new(AtomicBool::new(false));
    assert_eq!(ApiError::plaintext_refused().status, StatusCode::FORBIDDEN);
    let proxy = start_proxy(directory.path(), &[pod_that_refuses(Arc::clone(&refuses)).await]);
    let ask = async || {
        tokio::task::spawn_blocking({
            let port = proxy.port;
            move || recommend(port, 5)
        })
        .await
        .unwrap()
    };
    assert_eq!(ask().await.1.get("degraded"), None);
    refuses.store(true, Ordering::SeqCst);
    let (status, answer) = ask().await;
    assert_eq!(
        (status, &answer["degraded"], &answer["items"][0]["source"]),
        (200, &json!(true), &json!("last-answer"))
    );
    assert!(proxy.metric("recommender_proxy_tries_total", "outcome=\"refused\"") >= 1.0);
    assert!(proxy.metric("recommender_mesh_refusals_total", "refused-by-peer") >= 1.0);
    let log = std::fs::read_to_string(directory.path().join("proxy.log")).unwrap();
    assert!(log.contains("refuses requests without TLS"), "{log}");
}
