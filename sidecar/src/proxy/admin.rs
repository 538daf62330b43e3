//! The admin port of an app's sidecar: probes and metrics.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use mesh::{Discovery, EndpointSet};
use sidecar_contract::paths;
use tokio::time::Instant;

use super::metrics::ProxyMetrics;
use crate::admin::respond;

/// The admin port as a value.
#[derive(Debug)]
pub struct ProxyAdmin {
    metrics: Arc<ProxyMetrics>,
    endpoints: Arc<EndpointSet>,
    discovery: Arc<Discovery>,
}

impl ProxyAdmin {
    /// An admin port.
    pub fn new(metrics: Arc<ProxyMetrics>, endpoints: Arc<EndpointSet>, discovery: Arc<Discovery>) -> Self {
        Self { metrics, endpoints, discovery }
    }

    /// Answers one request. Both probes succeed as soon as the ports are open: the app must start
    /// without a serving pod.
    pub fn handle<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let text = |status, text: &'static str| respond(status, "text/plain; charset=utf-8", text.into());
        let now = Instant::now();
        match request.uri().path() {
            paths::LIVEZ => text(StatusCode::OK, "alive\n"),
            paths::READYZ => text(StatusCode::OK, "ready\n"),
            paths::METRICS => match self.metrics.encode(self.endpoints.count(now), self.discovery.age(now)) {
                Ok(body) => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body.into()),
                Err(error) => {
                    tracing::error!(%error, "metrics cannot be encoded");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded\n")
                }
            },
            _ => text(StatusCode::NOT_FOUND, "valid paths are /livez, /readyz and /metrics\n"),
        }
    }
}
