//! The admin port: probes, metrics and the model report. It shares no listener with the application, so that a scrape or
//! a probe never waits behind a request.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use sidecar_contract::{ModelReport, canonical_json, paths};

use crate::{engine::Engine, metrics::Metrics};

/// What the follower last said; the admin port shows it.
#[derive(Debug, Default)]
pub struct Report(Mutex<ModelReport>);

impl Report {
    /// A copy of the present report.
    pub fn get(&self) -> ModelReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the report.
    pub fn update(&self, change: impl FnOnce(&mut ModelReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The admin port as a value.
#[derive(Debug)]
pub struct Admin {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    report: Arc<Report>,
    draining: tokio::sync::watch::Receiver<bool>,
}

impl Admin {
    /// An admin port; `draining` turns true once at shutdown, and readiness goes with it.
    pub fn new(
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
        report: Arc<Report>,
        draining: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        Self { engine, metrics, report, draining }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Never; the type is hyper's.
    pub fn handle<B>(&self, request: &Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        let text = |status, text: &'static str| respond(status, "text/plain; charset=utf-8", text.into());
        Ok(match request.uri().path() {
            paths::LIVEZ => text(StatusCode::OK, "alive\n"),
            paths::READYZ if *self.draining.borrow() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            paths::READYZ if self.engine.model().is_none() => text(StatusCode::SERVICE_UNAVAILABLE, "no model yet\n"),
            paths::READYZ => text(StatusCode::OK, "ready\n"),
            paths::METRICS => match self.metrics.encode(Some(self.engine.usage())) {
                Ok(body) => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body.into()),
                Err(error) => {
                    tracing::error!(%error, "metrics cannot be encoded");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded\n")
                }
            },
            paths::MODEL => respond(StatusCode::OK, "application/json", canonical_json(&self.report.get()).into()),
            _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz, /metrics and /model\n"),
        })
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
