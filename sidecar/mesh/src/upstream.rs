//! Sends a request to the serving pods: chooses one, waits as long as the deadline allows, and
//! tries another one if the budget allows it.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tokio::time::Instant;
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::{
    answer_body::{AnswerBytes, BodyError},
    balance::choose,
    connection::{ConnectError, SendError},
    deadline::{TIMEOUT_HEADER, try_timeout},
    discovery::Discovery,
    endpoint::Endpoint,
    endpoint_set::EndpointSet,
    identity::Refusal,
    limits::{RETRIES_PER_SECOND, RETRY_FRACTION, RETRY_WINDOW, TRIES_MAX},
    log_pace::LogPace,
    observer::Observer,
    outcome::{TryOutcome, retry_after},
    retry::{RetryDecision, decide},
};

/// Header with the number of the try, from the second on. A request that has it is not retried by
/// another proxy.
pub const ATTEMPT_HEADER: &str = "x-recmesh-attempt";

/// Header with the digest of the trust anchors that this side has, over mutual TLS. It confirms them
/// during a rotation of the root.
pub const ANCHORS_HEADER: &str = "x-recmesh-anchors";

/// A request to the serving pods.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers that are sent on.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Whether the request may be sent again.
    pub may_retry: bool,
}

/// Why no serving pod answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No address is known, or all pods are ejected or have too many requests.
    #[error("no serving pod is available")]
    NoEndpoint,
    /// All tries failed; the last one so.
    #[error("the last try ended {}", .0.as_str())]
    Failed(TryOutcome),
}

/// The serving pods of one Recommender.
pub struct Upstream {
    endpoints: Arc<EndpointSet>,
    discovery: Arc<Discovery>,
    observer: Arc<dyn Observer>,
    budget: TpsBudget,
    answer_bytes: AnswerBytes,
    log_pace: LogPace,
    /// Host in requests.
    authority: String,
    random: RandomState,
    choices: AtomicU64,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Upstream {
    /// The pods that a discovery finds; `authority` is the host in requests.
    pub fn new(
        endpoints: Arc<EndpointSet>,
        discovery: Arc<Discovery>,
        observer: Arc<dyn Observer>,
        authority: String,
    ) -> Self {
        Self {
            endpoints,
            discovery,
            observer,
            budget: TpsBudget::new(RETRY_WINDOW, RETRIES_PER_SECOND, RETRY_FRACTION),
            answer_bytes: AnswerBytes::default(),
            log_pace: LogPace::default(),
            authority,
            random: RandomState::new(),
            choices: AtomicU64::new(0),
        }
    }

    /// Sends a request until a pod answers or the deadline ends.
    ///
    /// # Errors
    /// All tries failed, or no pod is available.
    pub async fn send(&self, call: &Call, deadline: Instant) -> Result<Response<Bytes>, Unanswered> {
        self.budget.deposit();
        let mut tried: Vec<Arc<Endpoint>> = Vec::with_capacity(TRIES_MAX);
        let (mut number, mut last) = (0, Unanswered::NoEndpoint);
        loop {
            let Some(endpoint) = self.choose(&tried) else { return Err(last) };
            // None: another request took the only probe of the pod, so that another one is chosen.
            let Some(attempt) = endpoint.begin(Instant::now()) else { continue };
            number += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = try_timeout(left, call.may_retry && number < TRIES_MAX);
            let mut request = self.request(call, number, timeout);
            let mut report = TryReport { observer: &*self.observer, outcome: TryOutcome::Cancelled };
            let watch = request.as_mut().and_then(|request| self.observer.begins_try(request.headers_mut()));
            let exchanged = self.exchange(&endpoint, request.as_ref());
            let (outcome, response) = match tokio::time::timeout(timeout, exchanged).await {
                Ok(Ok(response)) => (TryOutcome::of(response.status(), response.headers()), Some(response)),
                Ok(Err(outcome)) => (outcome, None),
                Err(_) => (TryOutcome::TimedOut, None),
            };
            let pause = response.as_ref().and_then(|response| retry_after(response.headers()));
            if let Some(reason) = attempt.end(outcome, timeout, pause) {
                tracing::info!(address = %endpoint.connection.address(), reason = reason.as_str(), "serving pod ejected");
                self.observer.ejected(reason);
            }
            report.outcome = outcome;
            drop(report);
            if let Some(watch) = watch {
                watch.ended(outcome);
            }
            if outcome == TryOutcome::Refused {
                self.refused_plaintext(&endpoint);
            }
            if outcome == TryOutcome::ConnectFailed {
                self.discovery.refresh();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let decision = decide(outcome, number, call.may_retry, left, || self.budget.withdraw());
            if let Some(decision) = decision {
                self.observer.retry_decided(decision);
            }
            match (outcome, response) {
                (TryOutcome::Answered, Some(response)) => return Ok(response),
                _ if decision == Some(RetryDecision::Retried) => {
                    last = Unanswered::Failed(outcome);
                    tried.push(endpoint);
                }
                _ => return Err(Unanswered::Failed(outcome)),
            }
        }
    }

    fn choose(&self, tried: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        let (endpoints, now) = (self.endpoints.current(), Instant::now());
        let was_tried = |endpoint: &Arc<Endpoint>| tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
        let candidates: Vec<_> =
            endpoints.iter().map(|endpoint| endpoint.candidate(was_tried(endpoint), now)).collect();
        let random = self.random.hash_one(self.choices.fetch_add(1, Ordering::Relaxed));
        endpoints.get(choose(&candidates, tried.is_empty(), random)?).cloned()
    }

    /// One try.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: Option<&Request<Full<Bytes>>>,
    ) -> Result<Response<Bytes>, TryOutcome> {
        let sent = endpoint.connection.send(request.ok_or(TryOutcome::ConnectFailed)?).await;
        let response = sent.map_err(|error| self.failed(endpoint, &error))?;
        let (head, body) = response.into_parts();
        let body = self.answer_bytes.read(body).await.map_err(|error| match error {
            BodyError::TooLarge => TryOutcome::TooLarge,
            BodyError::Lost => TryOutcome::ConnectionLost,
        })?;
        Ok(Response::from_parts(head, body))
    }

    /// A pod answers only over mutual TLS.
    fn refused_plaintext(&self, endpoint: &Endpoint) {
        self.observer.peer_refused(Refusal::RefusedByPeer);
        if self.log_pace.allows(Instant::now()) {
            let address = endpoint.connection.address();
            tracing::warn!(%address, "a serving pod refuses requests without TLS (spec.access.plaintext: Never); this sidecar needs a certificate");
        }
    }

    /// Outcome of a try whose request could not be sent, or had no response.
    fn failed(&self, endpoint: &Endpoint, error: &SendError) -> TryOutcome {
        let address = endpoint.connection.address();
        match error {
            SendError::Connect(ConnectError::Refused(refused)) => {
                self.observer.peer_refused(refused.reason);
                if self.log_pace.allows(Instant::now()) {
                    tracing::warn!(%address, error = %refused, "no mutual TLS with a serving pod");
                }
                TryOutcome::ConnectFailed
            }
            SendError::Connect(error) => {
                tracing::debug!(%address, %error, "cannot connect to a serving pod");
                TryOutcome::ConnectFailed
            }
            SendError::Lost(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::debug!(%address, %error, cause, "a serving pod did not answer");
                TryOutcome::ConnectionLost
            }
        }
    }

    fn request(&self, call: &Call, number: usize, timeout: Duration) -> Option<Request<Full<Bytes>>> {
        let scheme = self.endpoints.transport().scheme();
        let uri = Uri::builder().scheme(scheme).authority(self.authority.as_str()).path_and_query(call.path.as_str());
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri.build().ok()?;
        *request.headers_mut() = call.headers.clone();
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        request.headers_mut().insert(TIMEOUT_HEADER, HeaderValue::from(milliseconds));
        if let Some(anchors) = self.endpoints.transport().anchors() {
            request.headers_mut().insert(ANCHORS_HEADER, anchors);
        }
        if number > 1 {
            request.headers_mut().insert(ATTEMPT_HEADER, HeaderValue::from(number));
        }
        Some(request)
    }
}

/// Reports a try when it is dropped: as cancelled, if the client goes away before it ends.
struct TryReport<'a> {
    observer: &'a dyn Observer,
    outcome: TryOutcome,
}

impl Drop for TryReport<'_> {
    fn drop(&mut self) {
        self.observer.tried(self.outcome);
    }
}

impl Unanswered {
    /// Status of a response that states this.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Failed(TryOutcome::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
            Self::NoEndpoint | Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
