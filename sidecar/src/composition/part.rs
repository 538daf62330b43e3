//! A part: asks its serving pods, and waits no longer than allowed.

use std::{sync::Arc, time::Duration};

use answering::{Answer, Ask};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use mesh::{
    ATTEMPT_HEADER, Call, Discovery, EjectionReason, EndpointSet, Observer, RetryDecision, Target, Transport,
    TryOutcome, Unanswered, Upstream,
    identity::{ClientTls, Identity, Refusal, Workload},
};
use sidecar_contract::{PartConfig, pods_service, ports};
use tokio::{task::JoinSet, time::Instant};

use super::{
    document::{self, Rejected},
    question::question,
};
use crate::{
    api::{
        IF_REVISION_HEADER,
        request_context::SEGMENT_PREFIX,
        request_id::{REQUEST_ID_HEADER, header_value},
    },
    limits::{ITEMS_PER_PART_REQUEST_MAX, REVISION_TRIES_MAX},
    metrics::{Metrics, composition::PartOutcome},
};

/// Identity of the pod; `None` if it has none.
pub type PartsIdentity = Option<Arc<Identity>>;

/// What asks the serving pods of a part.
#[derive(Debug)]
pub struct Part {
    config: PartConfig,
    /// `None`: the part is asked with mutual TLS only, and this pod has no identity.
    upstream: Option<Upstream>,
    endpoints: Arc<EndpointSet>,
    discovery: Arc<Discovery>,
    metrics: Arc<Metrics>,
    /// The lookups of addresses, which end with the part.
    _lookups: JoinSet<()>,
}

/// Why a part has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartFailure {
    /// No serving pod answered.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The part rejected the question.
    #[error("rejected: {}", .0.detail)]
    Rejected(Rejected),
    /// An answer with a status that says nothing about the question.
    #[error("answered with status {0}")]
    Status(StatusCode),
    /// The revision changed between the requests of a batch, each time.
    #[error("its revision changed")]
    RevisionChanged,
    /// A document that is not one of a serving pod.
    #[error("the answer is not a list of items")]
    Malformed,
    /// The addresses of its serving pods were never looked up with success.
    #[error("this pod has not found its serving pods yet")]
    NotLookedUp,
    /// Mutual TLS is required and this pod has no identity.
    #[error("it is asked with mutual TLS only, and this pod has no certificate")]
    NoIdentity,
}

impl PartFailure {
    fn outcome(&self) -> PartOutcome {
        match self {
            Self::Unanswered(Unanswered::Failed(TryOutcome::TimedOut)) => PartOutcome::TimedOut,
            Self::Unanswered(_) | Self::Status(_) | Self::NotLookedUp | Self::NoIdentity => PartOutcome::Unavailable,
            Self::Rejected(_) => PartOutcome::Rejected,
            Self::RevisionChanged => PartOutcome::RevisionChanged,
            Self::Malformed => PartOutcome::Malformed,
        }
    }

    /// Whether another pod of the composition could have an answer: the failure is of this pod.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::NoIdentity | Self::NotLookedUp)
    }
}

/// Counts what the mesh decides about a part.
struct PartObserver {
    part: String,
    metrics: Arc<Metrics>,
}

impl Observer for PartObserver {
    fn tried(&self, outcome: TryOutcome) {
        self.metrics.composition.count_try(&self.part, outcome);
    }

    fn retry_decided(&self, _: RetryDecision) {}

    fn ejected(&self, reason: EjectionReason) {
        self.metrics.composition.count_ejection(&self.part, reason);
    }

    fn peer_refused(&self, reason: Refusal) {
        self.metrics.identity.count_refusal(reason);
    }

    fn looked_up(&self, _: bool) {}
}

impl Part {
    /// Starts to look up the serving pods of a part.
    pub fn start(config: PartConfig, namespace: &str, identity: &PartsIdentity, metrics: &Arc<Metrics>) -> Self {
        let transport = transport(&config, namespace, identity);
        let port = if config.service_account.is_some() { ports::MESH } else { ports::APP };
        let mut targets: Vec<Target> = config.addresses.iter().filter_map(|address| address.parse().ok()).collect();
        if targets.is_empty() {
            targets.push(Target::new(format!("{}.{namespace}.svc", pods_service(&config.name)), port));
        }
        let authority = targets.first().map(ToString::to_string).unwrap_or_default();
        let endpoints = Arc::new(EndpointSet::new(transport.clone().unwrap_or_default()));
        let discovery = Arc::new(Discovery::new(targets, Arc::clone(&endpoints)));
        let observer = PartObserver { part: config.name.clone(), metrics: Arc::clone(metrics) };
        let observer: Arc<dyn Observer> = Arc::new(observer);
        let mut lookups = JoinSet::new();
        lookups.spawn({
            let (discovery, observer) = (Arc::clone(&discovery), Arc::clone(&observer));
            async move { discovery.run(&*observer).await }
        });
        let upstream =
            transport.map(|_| Upstream::new(Arc::clone(&endpoints), Arc::clone(&discovery), observer, authority));
        Self { config, upstream, endpoints, discovery, metrics: Arc::clone(metrics), _lookups: lookups }
    }

    /// The config that it was started with.
    pub fn config(&self) -> &PartConfig {
        &self.config
    }

    /// Whether the addresses of the serving pods were looked up with success.
    pub fn is_looked_up(&self) -> bool {
        self.discovery.age(Instant::now()).is_some()
    }

    /// Updates the number of its serving pods in the metrics.
    pub fn measure(&self) {
        self.metrics.composition.set_endpoints(&self.config.name, self.endpoints.count(Instant::now()));
    }

    /// Asks the questions, each with its number of items. One revision answers all of them.
    ///
    /// # Errors
    /// There is no answer until the deadline, or none to these questions.
    pub async fn ask(&self, asks: &[(&Ask, usize)], deadline: Instant) -> Result<Vec<Answer<'static>>, PartFailure> {
        let mut report = Report { part: self, begin: Instant::now(), outcome: PartOutcome::Cancelled };
        let n_max = self.config.limits.items_per_answer_max as usize;
        let asks: Vec<(&Ask, usize)> = asks.iter().map(|(ask, n)| (*ask, (*n).min(n_max))).collect();
        let mut answers = self.ask_once(&asks, deadline).await;
        for _ in 1..REVISION_TRIES_MAX {
            if answers == Err(PartFailure::RevisionChanged) {
                answers = self.ask_once(&asks, deadline).await;
            }
        }
        report.outcome = answers.as_ref().map_or_else(PartFailure::outcome, |_| PartOutcome::Answered);
        answers
    }

    /// Asks in as many requests as the limits of the part need. The first one learns the revision,
    /// and the others are for this revision only.
    async fn ask_once(&self, asks: &[(&Ask, usize)], deadline: Instant) -> Result<Vec<Answer<'static>>, PartFailure> {
        let upstream = self.upstream.as_ref().ok_or(PartFailure::NoIdentity)?;
        let mut answers: Vec<Answer<'static>> = Vec::with_capacity(asks.len());
        let mut rest = asks;
        while let Some((first, _)) = rest.first() {
            let (requested, later) = rest.split_at(fitting(rest, self.config.limits.requests_per_batch_max as usize));
            rest = later;
            let revision = answers.first().and_then(revision).map(str::to_owned);
            let call = call(first, requested, revision.as_deref());
            let response = upstream.send(&call, deadline).await.map_err(|unanswered| match unanswered {
                Unanswered::NoEndpoint if !self.is_looked_up() => PartFailure::NotLookedUp,
                unanswered => unanswered.into(),
            })?;
            match response.status() {
                StatusCode::OK => {
                    let found = document::answers(&self.config.name, requested, response.body());
                    let found = found.ok_or(PartFailure::Malformed)?;
                    // Also of a pod that does not know the header.
                    let revision = revision.as_deref().or_else(|| found.first().and_then(self::revision));
                    if found.iter().any(|answer| self::revision(answer) != revision) {
                        return Err(PartFailure::RevisionChanged);
                    }
                    answers.extend(found);
                }
                StatusCode::CONFLICT => return Err(PartFailure::RevisionChanged),
                status => {
                    let rejected = document::rejection(response.body()).ok_or(PartFailure::Status(status))?;
                    // A request with one question states no index.
                    let index = rejected.index.or((requested.len() == 1).then_some(0));
                    let index = index.map(|index| index + answers.len());
                    return Err(PartFailure::Rejected(Rejected { index, ..rejected }));
                }
            }
        }
        Ok(answers)
    }
}

/// Records a request when it is dropped: as cancelled, if the client goes away before it ends.
struct Report<'a> {
    part: &'a Part,
    begin: Instant,
    outcome: PartOutcome,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let Part { config, metrics, .. } = self.part;
        metrics.composition.observe_request(&config.name, self.outcome, self.begin.elapsed());
        self.part.measure();
    }
}

/// Protection of the connections to a part; `None` if it needs an identity and there is none.
fn transport(config: &PartConfig, namespace: &str, identity: &PartsIdentity) -> Option<Transport> {
    let Some(service_account) = &config.service_account else { return Some(Transport::Plaintext) };
    let server = Workload { namespace: namespace.to_owned(), service_account: service_account.clone() };
    let tls = identity.as_ref().map(|identity| ClientTls::new(Arc::clone(identity), server));
    match tls {
        Some(Ok(tls)) => Some(Transport::MutualTls(tls)),
        Some(Err(error)) => {
            tracing::error!(part = config.name, %error, "no mutual TLS with a part");
            None
        }
        None => {
            tracing::error!(part = config.name, "a part is asked with mutual TLS only, and this pod has no identity");
            None
        }
    }
}

fn revision<'a>(answer: &'a Answer<'static>) -> Option<&'a str> {
    answer.parts.first().map(|part| part.revision.as_str())
}

/// Number of questions, at least one, that fit in a request.
fn fitting(asks: &[(&Ask, usize)], requests_max: usize) -> usize {
    let mut items = 0;
    let fits = |(_, n): &&(&Ask, usize)| {
        items += n;
        items <= ITEMS_PER_PART_REQUEST_MAX
    };
    asks.iter().take(requests_max).take_while(fits).count().max(1)
}

/// The request for these questions. Questions change nothing, so that they can be repeated.
fn call(first: &Ask, asks: &[(&Ask, usize)], revision: Option<&str>) -> Call {
    let question = question(asks);
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    if let Some(id) = header_value(&first.request_id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    let context = &first.context;
    for (name, value) in [("traceparent", &context.traceparent), ("tracestate", &context.tracestate)] {
        if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    if let Some(revision) = revision.and_then(|revision| HeaderValue::from_str(revision).ok()) {
        headers.insert(IF_REVISION_HEADER, revision);
    }
    // A part that is a composition may select one of its parts by them.
    for (name, value) in context.segments.iter().filter(|(name, _)| name.starts_with(SEGMENT_PREFIX)) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let may_retry = !context.is_retry;
    if context.is_retry {
        // Retries of retries multiply, here and in a part that asks others.
        headers.insert(ATTEMPT_HEADER, HeaderValue::from_static("2"));
    }
    Call { method: Method::POST, path: question.path.to_owned(), headers, body: question.body, may_retry }
}

/// Time that is left for the parts of a composed answer, of this time for all.
pub fn time_of_parts(left: Duration, divisor: u32, composing_max: Duration) -> Duration {
    left.saturating_sub((left / divisor).min(composing_max))
}

#[cfg(test)]
mod tests {
    use answering::{Query, RequestId};

    use super::*;

    #[test]
    fn a_request_has_as_many_questions_as_fit_and_at_least_one() {
        let ask = Ask::new(RequestId::new(), Query::Recommend { user: Some("u".to_owned()), history: Vec::new() });
        let asks = |n: &[usize]| n.iter().map(|n| (&ask, *n)).collect::<Vec<_>>();
        assert_eq!(fitting(&asks(&[10; 100]), 100), 100);
        assert_eq!(fitting(&asks(&[10; 100]), 30), 30);
        assert_eq!(fitting(&asks(&[ITEMS_PER_PART_REQUEST_MAX / 2; 5]), 100), 2);
        assert_eq!(fitting(&asks(&[ITEMS_PER_PART_REQUEST_MAX + 1; 2]), 100), 1);
    }

    #[test]
    fn a_retry_is_not_retried_and_segments_are_sent_on() {
        let mut ask = Ask::new(RequestId::new(), Query::Similar { item: "i".to_owned() });
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let segments =
            [pair("x-recmesh-segment", "readers"), pair("x-recmesh-segment", "new"), pair("cookie", "secret")];
        ask.context.segments = segments.into();
        let first = call(&ask, &[(&ask, 1)], None);
        let sent: Vec<_> = first.headers.get_all("x-recmesh-segment").iter().collect();
        assert!(first.may_retry && sent == ["readers", "new"], "{first:?}");
        assert!(!first.headers.contains_key("cookie") && !first.headers.contains_key(ATTEMPT_HEADER), "{first:?}");
        ask.context.is_retry = true;
        let retry = call(&ask, &[(&ask, 1)], None);
        assert!(!retry.may_retry && retry.headers.contains_key(ATTEMPT_HEADER), "{retry:?}");
    }

    #[test]
    fn some_of_the_time_is_left_for_composing() {
        let of = |left| time_of_parts(Duration::from_millis(left), 10, Duration::from_millis(20)).as_millis();
        assert_eq!([of(1000), of(100), of(0)], [980, 90, 0]);
    }
}
