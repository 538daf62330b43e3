//! The admin port: probes, metrics, the model report, run reports and the search of items. It
//! shares no listener with the application, so a scrape or a probe never waits behind a request.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use mesh::identity::Identity;
use sidecar_contract::{AnchorsReport, ModelReport, RunId, ServingConfig, canonical_json, paths};
use store_client::{Store, StoreCredentials, StoreError};
use tokio::sync::Semaphore;

use crate::{
    api::form,
    engine::Engine,
    item_search,
    limits::{ID_CHARS_MAX, ITEM_SEARCHES_MAX},
    metrics::Metrics,
    seen_anchors::SeenAnchors,
};

/// Timeout of the store for a run report.
const RUN_TIMEOUT: Duration = Duration::from_secs(5);

/// The follower's current report, which the admin port exposes.
#[derive(Debug, Default)]
pub struct Report(Mutex<ModelReport>, Mutex<Option<(ServingConfig, PathBuf)>>);

impl Report {
    /// A copy of the current report.
    pub fn get(&self) -> ModelReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what run reports need: the config with the store, and the directory of its credential.
    pub fn set_config(&self, config: ServingConfig, credentials_dir: PathBuf) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = Some((config, credentials_dir));
    }

    /// What run reports need.
    fn config(&self) -> Option<(ServingConfig, PathBuf)> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    searches: Arc<Semaphore>,
    anchors: Option<AnchorsSource>,
}

/// What the report of trust anchors consists of.
#[derive(Clone, Debug)]
pub struct AnchorsSource {
    /// The identity of the pod.
    pub own: Arc<Identity>,
    /// What callers state.
    pub seen: Arc<SeenAnchors>,
}

impl AnchorsSource {
    fn report(&self) -> AnchorsReport {
        AnchorsReport {
            anchors: self.own.anchors().map(|anchors| anchors.digest().clone()),
            callers: self.seen.callers(tokio::time::Instant::now()),
        }
    }
}

impl Admin {
    /// An admin port; `draining` turns true once at shutdown, which ends readiness. `anchors` is
    /// absent for a pod without an identity.
    pub fn new(
        engine: Arc<Engine>,
        metrics: Arc<Metrics>,
        report: Arc<Report>,
        draining: tokio::sync::watch::Receiver<bool>,
        anchors: Option<AnchorsSource>,
    ) -> Self {
        Self { engine, metrics, report, draining, searches: Arc::new(Semaphore::new(ITEM_SEARCHES_MAX)), anchors }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Never; the type is hyper's.
    pub async fn handle<B>(&self, request: &Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
        let text = |status, text: &'static str| respond(status, "text/plain; charset=utf-8", text.into());
        Ok(match request.uri().path() {
            paths::LIVEZ => text(StatusCode::OK, "alive\n"),
            paths::READYZ if *self.draining.borrow() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            paths::READYZ if !self.engine.serving().is_ready() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "no model yet\n")
            }
            paths::READYZ => text(StatusCode::OK, "ready\n"),
            paths::METRICS => match self.metrics.encode(Some((self.engine.usage(), self.engine.cache_usage()))) {
                Ok(body) => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body.into()),
                Err(error) => {
                    tracing::error!(%error, "metrics cannot be encoded");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded\n")
                }
            },
            paths::MODEL => respond(StatusCode::OK, "application/json", canonical_json(&self.report.get()).into()),
            paths::ANCHORS => {
                let report = self.anchors.as_ref().map(AnchorsSource::report).unwrap_or_default();
                respond(StatusCode::OK, "application/json", canonical_json(&report).into())
            }
            paths::ITEMS => self.items(request.uri().query().unwrap_or_default()).await,
            path if path.starts_with(paths::REPORTS) => {
                let (status, page) = self.run_report(path).await;
                let mut response = respond(status, "text/html; charset=utf-8", page.into());
                // A report has no script and loads nothing, so a tenant's text cannot either.
                let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                response
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "valid paths are /reports/<run>.html, /items?q=<text>, /livez, /readyz, /metrics, /model and /anchors\n",
            ),
        })
    }
}

impl Admin {
    /// Items whose id or title contains a text.
    async fn items(&self, query: &str) -> Response<Full<Bytes>> {
        let text = |status, text: &'static str| respond(status, "text/plain; charset=utf-8", text.into());
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let wanted = pairs.find(|(name, _)| *name == "q").and_then(|(_, value)| form::decode(value.as_bytes()).ok());
        let Some(wanted) = wanted.filter(|wanted| (1..=ID_CHARS_MAX).contains(&wanted.chars().count())) else {
            return text(StatusCode::BAD_REQUEST, "expected /items?q=<text>, a part of an id or of a title in UTF-8\n");
        };
        let serving = self.engine.serving();
        if serving.local().is_none() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no model yet\n");
        }
        let Ok(permit) = Arc::clone(&self.searches).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "another search runs: try again\n");
        };
        let search = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let begin = Instant::now();
            let found = item_search::search(serving.local()?, &wanted, || begin.elapsed());
            serde_json::to_vec(&found).ok()
        });
        match search.await {
            Ok(Some(found)) => respond(StatusCode::OK, "application/json", found.into()),
            _ => text(StatusCode::INTERNAL_SERVER_ERROR, "the search failed; the log has the cause\n"),
        }
    }

    /// The run report, rendered from the run's result in the store.
    async fn run_report(&self, path: &str) -> (StatusCode, String) {
        let name = path.strip_prefix(paths::REPORTS).and_then(|name| name.strip_suffix(".html"));
        let Some(run) = name.and_then(RunId::parse) else {
            return (StatusCode::NOT_FOUND, "expected /reports/<run>.html, as in status.lastRun.report\n".to_owned());
        };
        let Some((config, credentials_dir)) = self.report.config() else {
            return (StatusCode::SERVICE_UNAVAILABLE, "no serving config yet: try again\n".to_owned());
        };
        let read = async {
            let credentials = StoreCredentials::read(&credentials_dir)?;
            Store::open(&config.store, credentials.as_ref())?.get_run(&run).await
        };
        match tokio::time::timeout(RUN_TIMEOUT, read).await {
            Ok(Ok(result)) => (StatusCode::OK, run_report::render_served(&result, (&config).into())),
            Ok(Err(StoreError::NotFound { .. })) => (
                StatusCode::NOT_FOUND,
                "this run has no result: it has not ended, or its result was deleted\n".to_owned(),
            ),
            Ok(Err(error)) => {
                tracing::warn!(%run, %error, "cannot read a run result for its report");
                (StatusCode::SERVICE_UNAVAILABLE, "the store is unreachable: try again\n".to_owned())
            }
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store timed out: try again\n".to_owned()),
        }
    }
}

/// A response with a body of this type.
pub fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
