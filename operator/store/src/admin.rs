//! The admin port: probes and metrics, on a separate listener.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use sidecar_contract::paths::{LIVEZ, METRICS, READYZ};
use tokio::sync::watch;

use crate::{disk::Disk, metrics::Metrics, server::InfallibleResponse};

/// Request handler of the admin port.
#[derive(Clone)]
pub struct Admin {
    /// Metrics to render.
    pub metrics: Metrics,
    /// Source of free space and capacity.
    pub disk: Arc<Disk>,
    /// True while the process drains.
    pub stop: watch::Receiver<bool>,
}

impl Admin {
    /// Handles a request.
    pub async fn handle(self, request: Request<Incoming>) -> InfallibleResponse<Full<Bytes>> {
        if request.method() != Method::GET {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n"));
        }
        Ok(match request.uri().path() {
            LIVEZ => text(StatusCode::OK, "ok\n"),
            READYZ if *self.stop.borrow() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            READYZ => match self.free_bytes().await {
                Some(_) => text(StatusCode::OK, "ok\n"),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "cannot access the data directory\n"),
            },
            METRICS => match self.metrics.render(self.free_bytes().await, self.size_bytes().await) {
                Ok(body) => response(StatusCode::OK, prometheus::TEXT_FORMAT, body.into()),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
            },
            _ => text(StatusCode::NOT_FOUND, "expected /livez, /readyz or /metrics\n"),
        })
    }

    async fn free_bytes(&self) -> Option<u64> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || disk.free_bytes()).await.ok()?.ok()
    }

    async fn size_bytes(&self) -> Option<u64> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || disk.size_bytes()).await.ok()?.ok()
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body.to_owned().into())
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
