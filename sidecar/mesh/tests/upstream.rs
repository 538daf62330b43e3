//! Requests to servers that fail in different ways, over real connections.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A test may panic.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::{
    ATTEMPT_HEADER, Call, Discovery, EjectionReason, EndpointSet, Observer, RetryDecision, TIMEOUT_HEADER, TryOutcome,
    Unanswered, Upstream, identity::Refusal,
};
use tokio::{net::TcpListener, time::Instant};

/// What a server does with each request.
#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Answers,
    Fails(u16),
    Hangs,
    /// Closes the connection when a request arrives.
    Disconnects,
}

#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    headers: Mutex<Vec<HeaderMap>>,
}

async fn serve(behaviour: Behaviour) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, ends) = (Arc::clone(&shared), Arc::new(tokio::sync::Notify::new()));
            tokio::spawn(async move {
                let end = Arc::clone(&ends);
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.requests.fetch_add(1, Ordering::SeqCst);
                    seen.headers.lock().unwrap().push(request.headers().clone());
                    let end = Arc::clone(&end);
                    async move {
                        let status = match behaviour {
                            Behaviour::Answers => 200,
                            Behaviour::Fails(status) => status,
                            Behaviour::Hangs => std::future::pending().await,
                            Behaviour::Disconnects => {
                                end.notify_one();
                                std::future::pending().await
                            }
                        };
                        let mut response = Response::new(Full::new(Bytes::from_static(b"answer")));
                        *response.status_mut() = StatusCode::from_u16(status).unwrap();
                        Ok::<_, Infallible>(response)
                    }
                });
                let connection =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
                tokio::select! { _ = connection => {}, () = ends.notified() => {} }
            });
        }
    });
    (address, seen)
}

#[derive(Default)]
struct Decisions {
    tries: Mutex<Vec<TryOutcome>>,
    retries: Mutex<Vec<RetryDecision>>,
    ejections: Mutex<Vec<EjectionReason>>,
    refusals: Mutex<Vec<Refusal>>,
}

impl Observer for Decisions {
    fn tried(&self, outcome: TryOutcome) {
        self.tries.lock().unwrap().push(outcome);
    }

    fn retry_decided(&self, decision: RetryDecision) {
        self.retries.lock().unwrap().push(decision);
    }

    fn ejected(&self, reason: EjectionReason) {
        self.ejections.lock().unwrap().push(reason);
    }

    fn peer_refused(&self, reason: Refusal) {
        self.refusals.lock().unwrap().push(reason);
    }

    fn looked_up(&self, _: bool) {}
}

fn upstream(addresses: &[SocketAddr]) -> (Upstream, Arc<Decisions>) {
    let (endpoints, decisions) = (Arc::new(EndpointSet::default()), Arc::new(Decisions::default()));
    endpoints.update(&addresses.iter().copied().collect(), Instant::now());
    let discovery = Arc::new(Discovery::new(Vec::new(), Arc::clone(&endpoints)));
    let observer: Arc<dyn Observer> = Arc::<Decisions>::clone(&decisions);
    (Upstream::new(endpoints, discovery, observer, "films-pods.shop.svc:8080".to_owned()), decisions)
}

fn call() -> Call {
    let headers = [("traceparent".parse().unwrap(), "00-1-2-01".parse().unwrap())].into_iter().collect();
    let body = Bytes::from_static(b"{}");
    Call { method: Method::POST, path: "/recommend".to_owned(), headers, body, may_retry: true }
}

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// An address at which nothing listens.
async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn each_kind_of_failure_is_retried_at_another_pod() {
    let kinds = [
        (Behaviour::Fails(503), TryOutcome::Unavailable),
        (Behaviour::Fails(500), TryOutcome::ServerError),
        (Behaviour::Fails(429), TryOutcome::Limited),
        (Behaviour::Disconnects, TryOutcome::ConnectionLost),
        (Behaviour::Hangs, TryOutcome::TimedOut),
    ];
    for (behaviour, outcome) in kinds {
        let (good, seen) = serve(Behaviour::Answers).await;
        let (bad, seen_by_bad) = serve(behaviour).await;
        let (upstream, decisions) = upstream(&[good, bad]);
        for _ in 0..40 {
            let response = upstream.send(&call(), in_seconds(2)).await.unwrap();
            assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, &b"answer"[..]));
        }
        let tries = decisions.tries.lock().unwrap();
        let failed = tries.iter().filter(|tried| **tried == outcome).count();
        assert_eq!(tries.len(), 40 + failed, "{tries:?}");
        assert_eq!(seen.requests.load(Ordering::SeqCst), 40);
        assert_eq!(seen_by_bad.requests.load(Ordering::SeqCst), failed);
        assert_eq!(*decisions.retries.lock().unwrap(), vec![RetryDecision::Retried; failed]);
    }
}

#[tokio::test]
async fn a_pod_that_refuses_connections_costs_no_request() {
    let (good, _) = serve(Behaviour::Answers).await;
    let (upstream, decisions) = upstream(&[good, closed().await]);
    for _ in 0..40 {
        assert_eq!(upstream.send(&call(), in_seconds(2)).await.unwrap().status(), StatusCode::OK);
    }
    let others = [TryOutcome::Answered, TryOutcome::ConnectFailed];
    assert!(decisions.tries.lock().unwrap().iter().all(|outcome| others.contains(outcome)));
}

#[tokio::test]
async fn a_retry_states_its_number_and_the_time_that_is_left() {
    let ((first, seen), (second, seen_by_second)) =
        (serve(Behaviour::Fails(503)).await, serve(Behaviour::Fails(503)).await);
    let (upstream, _) = upstream(&[first, second]);
    let failed = upstream.send(&call(), in_seconds(8)).await.unwrap_err();
    assert_eq!(failed, Unanswered::Failed(TryOutcome::Unavailable));
    let mut headers: Vec<HeaderMap> =
        [seen, seen_by_second].iter().flat_map(|seen| seen.headers.lock().unwrap().clone()).collect();
    let number = |headers: &HeaderMap| headers.get(ATTEMPT_HEADER).map(|value| value.to_str().unwrap().to_owned());
    headers.sort_by_key(number);
    assert_eq!(headers.iter().map(number).collect::<Vec<_>>(), [None, Some("2".to_owned()), Some("3".to_owned())]);
    // At most half of the time that is left, and the last try all of it.
    for (headers, maximum) in headers.iter().zip([4000, 4000, 8000]) {
        let left: u64 = headers[TIMEOUT_HEADER].to_str().unwrap().parse().unwrap();
        assert!(left > 0 && left <= maximum, "{left} of at most {maximum}");
        assert_eq!(headers["traceparent"], "00-1-2-01");
    }
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_is_sent_once() {
    let (bad, seen) = serve(Behaviour::Fails(503)).await;
    let (upstream, decisions) = upstream(&[bad]);
    let call = Call { may_retry: false, ..call() };
    assert!(upstream.send(&call, in_seconds(2)).await.is_err());
    assert_eq!(seen.requests.load(Ordering::SeqCst), 1);
    assert_eq!(*decisions.retries.lock().unwrap(), [RetryDecision::NotAllowed]);
}

#[tokio::test]
async fn a_pod_that_refuses_plaintext_is_neither_asked_again_nor_ejected() {
    let (pod, seen) = serve(Behaviour::Fails(403)).await;
    let (upstream, decisions) = upstream(&[pod]);
    for _ in 0..30 {
        let failed = upstream.send(&call(), in_seconds(2)).await.unwrap_err();
        assert_eq!(failed, Unanswered::Failed(TryOutcome::Refused));
    }
    assert_eq!(seen.requests.load(Ordering::SeqCst), 30);
    assert_eq!(*decisions.refusals.lock().unwrap(), [Refusal::RefusedByPeer; 30]);
    assert_eq!((decisions.retries.lock().unwrap().len(), decisions.ejections.lock().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn when_all_pods_fail_the_budget_and_the_ejection_bound_the_load() {
    let ((first, seen), (second, seen_by_second)) =
        (serve(Behaviour::Fails(503)).await, serve(Behaviour::Fails(503)).await);
    let (upstream, decisions) = upstream(&[first, second]);
    for _ in 0..1000 {
        assert!(upstream.send(&call(), in_seconds(2)).await.is_err());
    }
    let sent = seen.requests.load(Ordering::SeqCst) + seen_by_second.requests.load(Ordering::SeqCst);
    let retried = decisions.retries.lock().unwrap().iter().filter(|d| **d == RetryDecision::Retried).count();
    // 10 retries a second for 10 seconds, and a fifth of the requests.
    assert!(retried <= 100 + 200, "{retried} retries");
    // Five failures eject a pod; each of the probes that are due meanwhile is one request more.
    let probes = decisions.ejections.lock().unwrap().len() - 2;
    assert!(sent <= 2 * 5 + 4 + probes, "{sent} requests, {probes} probes");
}

#[tokio::test]
async fn a_try_of_a_client_that_goes_away_is_reported() {
    let (pod, seen) = serve(Behaviour::Hangs).await;
    let (upstream, decisions) = upstream(&[pod]);
    {
        let call = call();
        let mut sent = std::pin::pin!(upstream.send(&call, in_seconds(60)));
        while seen.requests.load(Ordering::SeqCst) == 0 {
            let waited = tokio::time::timeout(Duration::from_millis(1), sent.as_mut()).await;
            assert!(waited.is_err(), "{waited:?}");
        }
    }
    assert_eq!(*decisions.tries.lock().unwrap(), [TryOutcome::Cancelled]);
    assert!(decisions.retries.lock().unwrap().is_empty() && decisions.ejections.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_pods_there_is_no_answer() {
    let (upstream, decisions) = upstream(&[]);
    assert_eq!(upstream.send(&call(), in_seconds(2)).await.unwrap_err(), Unanswered::NoEndpoint);
    assert!(decisions.tries.lock().unwrap().is_empty());
}
