//! Admin listener: probes and metrics.

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use sidecar_contract::{paths, ports::listen_candidates};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::metrics::Metrics;

/// Maximum number of open connections: probes and a few scrapers. At the limit the oldest one is
/// closed. A response takes milliseconds, so that one waits for its client.
const CONNECTIONS_MAX: usize = 64;
/// Maximum size of a request head and of a connection's buffers, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Timeout for a request head; also the idle timeout of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Delay after a failed accept; its common cause (too many open files) persists for a while.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Binds the port; the returned future serves it until it is dropped.
///
/// # Errors
/// Fails if the address cannot be bound, for example because it is in use.
pub async fn bind(address: SocketAddr, metrics: Arc<Metrics>) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let listener = TcpListener::bind(&*listen_candidates(address)).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    Ok(serve(listener, metrics))
}

async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let mut connections = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|connection: &tokio::task::AbortHandle| !connection.is_finished());
        if oldest_first.len() >= CONNECTIONS_MAX
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        oldest_first.push_back(connections.spawn(handle(stream, Arc::clone(&metrics))));
    }
}

async fn handle(stream: TcpStream, metrics: Arc<Metrics>) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let response = respond(request.uri().path(), &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection closed with an error");
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn idle_connections_do_not_stop_probes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(Metrics::new().unwrap())));
        let mut idle = Vec::new();
        for _ in 0..=CONNECTIONS_MAX {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut response = String::new();
        probe.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        // The two oldest connections made room for the last one of the idle ones and for the probe.
        for closed in &mut idle[..2] {
            assert_eq!(closed.read(&mut [0]).await.unwrap_or(0), 0);
        }
        assert!(
            idle[CONNECTIONS_MAX].try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        );
    }
}
