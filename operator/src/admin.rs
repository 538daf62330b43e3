//! Admin listener: probes and metrics.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use sidecar_contract::{paths, ports::listen_candidates};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Binds the port; the returned future serves it until it is dropped.
///
/// # Errors
/// Fails if the address cannot be bound, for example because it is in use.
pub async fn bind(address: SocketAddr, metrics: Arc<Metrics>) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let listener = TcpListener::bind(&*listen_candidates(address)).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    Ok(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let metrics = Arc::clone(&metrics);
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let response = respond(request.uri().path(), &metrics);
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(async move {
                let connection =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection closed with an error");
                }
            });
        }
    })
}

fn respond(path: &str, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, body) = match path {
        // A standby replica is ready too: a rollout of the Deployment must not wait for the lease.
        paths::LIVEZ | paths::READYZ => (StatusCode::OK, Bytes::from_static(b"ok\n")),
        paths::METRICS => match metrics.encode() {
            Ok(text) => (StatusCode::OK, text.into()),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Bytes::from_static(b"cannot encode the metrics\n")),
        },
        _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"expected /livez, /readyz or /metrics\n")),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let text = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}
