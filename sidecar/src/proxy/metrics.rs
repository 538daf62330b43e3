//! All metrics of an app's sidecar; `local` has those of its own copy of the model. Label values
//! come from closed sets; user and item ids are never label values.

mod local;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use answering::Source;
use http::{HeaderMap, StatusCode};
use mesh::{EjectionReason, Endpoints, Observer, RetryDecision, TryOutcome, TryWatch, identity::Refusal};
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use self::local::LocalMetrics;
use crate::{
    metrics::{ABANDONED_CODE, connections::ConnectionMetrics, identity::IdentityMetrics},
    spans,
};

/// Buckets in seconds: an answer takes about a millisecond, and at most the timeout.
const DURATION_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// What answered a request of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// A serving pod.
    ServingPod,
    /// The sidecar itself, from its own copy of the model.
    Local,
    /// The sidecar itself, from what it keeps.
    Fallback(Source),
    /// Nothing: the response is an error.
    None,
}

impl AnsweredBy {
    /// Label of metrics, and value of a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServingPod => "serving-pod",
            Self::Local => "local",
            Self::Fallback(source) => source.as_str(),
            Self::None => "none",
        }
    }
}

/// The metrics, with their own registry.
#[derive(Debug)]
pub struct ProxyMetrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    shed: IntCounter,
    tries: IntCounterVec,
    retries: IntCounterVec,
    ejections: IntCounterVec,
    lookups: IntCounterVec,
    endpoints: IntGaugeVec,
    endpoints_age: Gauge,
    fallback_items: IntCounterVec,
    /// The own copy of the model, in local mode.
    pub local: Arc<LocalMetrics>,
    /// Connections beyond the limits.
    pub connections: ConnectionMetrics,
    /// The identity of the pod, and refused servers.
    pub identity: Arc<IdentityMetrics>,
}

/// Records a request when it is dropped, also if the app goes away before there is a response.
#[derive(Debug)]
pub struct RequestRecord<'a> {
    metrics: &'a ProxyMetrics,
    route: &'a str,
    begin: Instant,
    response: Option<(StatusCode, AnsweredBy)>,
}

impl RequestRecord<'_> {
    /// There is a response.
    pub fn ended(&mut self, code: StatusCode, answered_by: AnsweredBy) {
        self.response = Some((code, answered_by));
    }
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        let Self { metrics, route, begin, response } = self;
        let code = response.as_ref().map_or(ABANDONED_CODE, |(code, _)| code.as_str());
        let answered_by = response.map_or(AnsweredBy::None, |(_, answered_by)| answered_by);
        metrics.requests.with_label_values(&[*route, code, answered_by.as_str()]).inc();
        metrics.durations.with_label_values(&[*route]).observe(begin.elapsed().as_secs_f64());
    }
}

/// Guard that counts one request as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ProxyMetrics {
    /// Creates and registers all metrics. Series with few labels begin at 0, so that their first
    /// increase is seen.
    ///
    /// # Errors
    /// Only if two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str], values: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            for value in values {
                metric.with_label_values(&[value]);
            }
            Ok::<_, prometheus::Error>(metric)
        };
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "recommender_proxy_request_duration_seconds",
                "Time from the app's request to the response, in seconds.",
            )
            .buckets(DURATION_BUCKETS.to_vec()),
            &["route"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let in_flight = IntGauge::new("recommender_proxy_requests_in_flight", "Requests of the app in flight.")?;
        registry.register(Box::new(in_flight.clone()))?;
        let shed = IntCounter::new(
            "recommender_proxy_shed_total",
            "Requests that were not sent, because too many were in flight.",
        )?;
        registry.register(Box::new(shed.clone()))?;
        let endpoints = IntGaugeVec::new(
            Opts::new("recommender_proxy_endpoints", "Serving pods that are known, by state."),
            &["state"],
        )?;
        registry.register(Box::new(endpoints.clone()))?;
        let endpoints_age = Gauge::new(
            "recommender_proxy_endpoints_age_seconds",
            "Time since the last successful lookup of the serving pods, in seconds; -1 before the first.",
        )?;
        registry.register(Box::new(endpoints_age.clone()))?;
        let build = IntGaugeVec::new(Opts::new("recommender_build_info", "Version of the sidecar."), &["version"])?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            requests: counter(
                "recommender_proxy_requests_total",
                "Requests of the app, by route, status code and what answered.",
                &["route", "code", "answered_by"],
                &[],
            )?,
            tries: counter(
                "recommender_proxy_tries_total",
                "Requests to serving pods, by outcome.",
                &["outcome"],
                &TryOutcome::ALL.map(TryOutcome::as_str),
            )?,
            retries: counter(
                "recommender_proxy_retries_total",
                "Decisions about a retry after a failed try.",
                &["decision"],
                &RetryDecision::ALL.map(RetryDecision::as_str),
            )?,
            ejections: counter(
                "recommender_proxy_ejections_total",
                "Ejections of serving pods, by reason.",
                &["reason"],
                &EjectionReason::ALL.map(EjectionReason::as_str),
            )?,
            lookups: counter(
                "recommender_proxy_lookups_total",
                "Lookups of the addresses of serving pods, by result.",
                &["result"],
                &["succeeded", "failed"],
            )?,
            fallback_items: counter(
                "recommender_proxy_fallback_items_total",
                "Items in answers without a serving pod, by source.",
                &["source"],
                &[Source::LastAnswer.as_str(), Source::Popular.as_str()],
            )?,
            local: Arc::new(LocalMetrics::register(&registry)?),
            connections: ConnectionMetrics::register(&registry)?,
            identity: Arc::new(IdentityMetrics::register(&registry)?),
            registry,
            durations,
            in_flight,
            shed,
            endpoints,
            endpoints_age,
        })
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Begins the record of a request.
    pub fn begin_request<'a>(&'a self, route: &'a str) -> RequestRecord<'a> {
        RequestRecord { metrics: self, route, begin: Instant::now(), response: None }
    }

    /// Counts a request that was not sent.
    pub fn count_shed(&self) {
        self.shed.inc();
    }

    /// Counts an item of an answer without a serving pod.
    pub fn count_fallback_item(&self, source: Source) {
        self.fallback_items.with_label_values(&[source.as_str()]).inc();
    }

    /// Encodes all metrics in the text format, with the state of the serving pods.
    ///
    /// # Errors
    /// A metric that cannot be encoded.
    pub fn encode(&self, endpoints: Endpoints, age: Option<Duration>) -> Result<Vec<u8>, prometheus::Error> {
        for (state, count) in [("available", endpoints.available), ("ejected", endpoints.ejected)] {
            self.endpoints.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.endpoints_age.set(age.map_or(-1.0, |age| age.as_secs_f64()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Observer for ProxyMetrics {
    fn begins_try(&self, headers: &mut HeaderMap) -> Option<Box<dyn TryWatch>> {
        spans::begin_try(headers)
    }

    fn tried(&self, outcome: TryOutcome) {
        self.tries.with_label_values(&[outcome.as_str()]).inc();
    }

    fn retry_decided(&self, decision: RetryDecision) {
        self.retries.with_label_values(&[decision.as_str()]).inc();
    }

    fn ejected(&self, reason: EjectionReason) {
        self.ejections.with_label_values(&[reason.as_str()]).inc();
    }

    fn peer_refused(&self, reason: Refusal) {
        self.identity.count_refusal(reason);
    }

    fn looked_up(&self, is_success: bool) {
        self.lookups.with_label_values(&[if is_success { "succeeded" } else { "failed" }]).inc();
    }
}
