//! A request of the app: the own copy of the model answers it, or it is sent on as it is, and
//! answered from what is kept if no serving pod answers.

use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};

use answering::{Answer, Ask, RequestId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::Full;
use hyper::body::Body;
use mesh::{ATTEMPT_HEADER, Call, TIMEOUT_HEADER, Unanswered, Upstream, parse_timeout};
use serde::{Deserialize, de::IgnoredAny};
use sidecar_contract::ServingLimits;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    fallback,
    kept_answers::{AnswerKey, KeptAnswers},
    local::LocalModel,
    metrics::{AnsweredBy, ProxyMetrics},
    popular::Popular,
};
use crate::{
    api::{
        IF_REVISION_HEADER, Parsed, REVISION_HEADER,
        body::{Budget, Received},
        content_encoding::ContentEncoding,
        content_type,
        error::ApiError,
        if_revision::IfRevision,
        parse,
        request::Id,
        request_context::SEGMENT_PREFIX,
        request_id::{REQUEST_ID_HEADER, header_value, request_id},
        response,
        route::Route,
    },
    engine::Refusal,
    limits::{LIST_ENTRIES_MAX, PROXY_FALLBACK_TIME, PROXY_REQUESTS_MAX},
    spans::AnswerSpan,
};

/// Header of an answer without a serving pod: the source of its first item.
pub const FALLBACK_HEADER: &str = "x-recmesh-fallback";
/// Header that states what answered: `serving-pod`, `local` for the own copy of the model, or the
/// source of the first item without either.
pub const ANSWERED_BY_HEADER: &str = "x-recmesh-answered-by";

/// Headers of a request that are sent on. Cookies and credentials of the app's users are not.
const FORWARDED: [HeaderName; 7] = [
    IF_REVISION_HEADER,
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    header::USER_AGENT,
];

/// Limits within which a body is read for an answer without a serving pod: the maxima of
/// `spec.serving.limits`, because the Recommender's own are not known here.
const LIMITS: ServingLimits = ServingLimits {
    items_per_answer_max: 10_000,
    history_per_request_max: 10_000,
    requests_per_batch_max: 1000,
    latency_budget_milliseconds: 0,
};
const _: () = assert!(LIMITS.items_per_answer_max as usize == LIST_ENTRIES_MAX);

/// Requests of the app to the serving pods.
#[derive(Debug)]
pub struct Forward {
    upstream: Arc<Upstream>,
    local: Option<Arc<LocalModel>>,
    metrics: Arc<ProxyMetrics>,
    popular: Arc<Popular>,
    kept: KeptAnswers,
    budget: Arc<Budget>,
    slots: Semaphore,
    timeout: Duration,
}

/// The id for which an answer is kept; other fields are skipped.
#[derive(Deserialize)]
struct KeyFields<'a> {
    #[serde(borrow, default)]
    user: Option<Id<'a>>,
    #[serde(borrow, default)]
    item: Option<Id<'a>>,
    #[serde(default, rename = "where")]
    conditions: Option<IgnoredAny>,
    #[serde(default)]
    candidates: Option<IgnoredAny>,
    #[serde(default)]
    cursor: Option<IgnoredAny>,
    #[serde(default, rename = "includeSeen")]
    include_seen: bool,
}

impl Forward {
    /// Forwards to these serving pods what the own copy of the model does not answer; `timeout`
    /// applies to requests that state none.
    pub fn new(
        upstream: Arc<Upstream>,
        local: Option<Arc<LocalModel>>,
        metrics: Arc<ProxyMetrics>,
        popular: Arc<Popular>,
        budget: Arc<Budget>,
        timeout: Duration,
    ) -> Self {
        let (kept, slots) = (KeptAnswers::default(), Semaphore::new(PROXY_REQUESTS_MAX));
        Self { upstream, local, metrics, popular, kept, budget, slots, timeout }
    }

    /// Answers one request; every failure is a response.
    ///
    /// # Errors
    /// Never; the type is hyper's.
    pub async fn handle<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (begin, in_flight) = (Instant::now(), self.metrics.in_flight());
        let (mut head, body) = request.into_parts();
        let span = AnswerSpan::begin(&head.headers);
        span.inject(&mut head.headers);
        let route = Route::find(head.uri.path());
        let name = route.map_or("other", |route| route.path);
        let mut record = self.metrics.begin_request(name);
        let id = request_id(&head.headers);
        let answered = self.respond(route, &head, body, &id, begin).await;
        drop(in_flight);
        let (mut response, answered_by) =
            answered.unwrap_or_else(|error| (self.budget.send_error(error, &id), AnsweredBy::None));
        if let Some(value) = header_value(&id) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        if answered_by != AnsweredBy::None {
            response.headers_mut().insert(ANSWERED_BY_HEADER, HeaderValue::from_static(answered_by.as_str()));
        }
        record.ended(response.status(), answered_by);
        span.end(name, response.status());
        Ok(response)
    }

    async fn respond<B>(
        &self,
        route: Option<Route>,
        head: &request::Parts,
        body: B,
        id: &RequestId,
        begin: Instant,
    ) -> Result<(Response<Full<Bytes>>, AnsweredBy), ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let timeout = head.headers.get(TIMEOUT_HEADER).map(|value| parse_timeout(value.as_bytes()));
        let timeout =
            timeout.transpose().map_err(|detail| ApiError::new(StatusCode::BAD_REQUEST, "invalid-header", detail))?;
        let deadline = begin + timeout.unwrap_or(self.timeout).saturating_sub(PROXY_FALLBACK_TIME);
        let received = self.budget.receive(body).await?;
        if let Some(local) = &self.local
            && let Some(response) = local.answer(route, head, whole(&received), id, deadline).await
        {
            return Ok((response, AnsweredBy::Local));
        }
        let question = route.filter(|route| head.method == Method::POST && route.method == "POST");
        let call = call(head, id, &received, route.is_some());
        let key = question.and_then(|route| answer_key(route.path, &head.headers, &call.body));
        match self.send(&call, deadline).await {
            Ok(response) => {
                if let Some(key) = key.filter(|_| response.status() == StatusCode::OK) {
                    self.kept.keep(key, response.body());
                }
                let is_head = head.method == Method::HEAD;
                Ok((returned(response, is_head), AnsweredBy::ServingPod))
            }
            Err(unanswered) => {
                let Some(route) = question else { return Err(unavailable(&unanswered)) };
                self.fall_back(route, head, received, id, &unanswered)
            }
        }
    }

    /// Sends the request, unless too many are in flight.
    async fn send(&self, call: &Call, deadline: Instant) -> Result<Response<Bytes>, Failure> {
        let Ok(_slot) = self.slots.try_acquire() else {
            self.metrics.count_shed();
            return Err(Failure::Shed);
        };
        self.upstream.send(call, deadline).await.map_err(Failure::Unanswered)
    }

    /// The answer from what is kept.
    fn fall_back(
        &self,
        route: Route,
        head: &request::Parts,
        received: Received,
        id: &RequestId,
        failure: &Failure,
    ) -> Result<(Response<Full<Bytes>>, AnsweredBy), ApiError> {
        let content_type = content_type(&Request::from_parts(head.clone(), ()), route.path)?;
        let received = ContentEncoding::of(&head.headers)?.decode(received, &self.budget)?;
        let parsed = parse(route.path, content_type, &received.bytes(), id, &LIMITS)?;
        let pinned = IfRevision::of(&head.headers)?;
        let answers = match &parsed {
            Parsed::One(ask, _) => vec![self.answer(ask, failure)?],
            Parsed::Batch(asks) => asks.iter().map(|ask| self.answer(ask, failure)).collect::<Result<_, _>>()?,
        };
        let (Some(first), source) = (answers.first(), answers.first().map(fallback::source)) else {
            return Err(unavailable(failure));
        };
        // What is kept of another revision is not an answer to this request.
        for answer in &answers {
            pinned.check_answer(answer).map_err(|_| unavailable(failure))?;
        }
        let document = match &parsed {
            Parsed::One(_, format) => response::recommendations(first, *format),
            Parsed::Batch(_) => response::batch(&answers.iter().map(response::part).collect::<Vec<_>>(), id),
        };
        for item in answers.iter().flat_map(|answer| &answer.items) {
            self.metrics.count_fallback_item(item.source);
        }
        let source = source.unwrap_or(answering::Source::Popular);
        let mut response = Response::new(Full::new(self.budget.send(document, received.into_allowance())?));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(FALLBACK_HEADER, HeaderValue::from_static(source.as_str()));
        let revision = first.parts.first().and_then(|part| HeaderValue::from_str(&part.revision).ok());
        if let Some(revision) = revision {
            headers.insert(REVISION_HEADER, revision);
        }
        Ok((response, AnsweredBy::Fallback(source)))
    }

    fn answer(&self, ask: &Ask, failure: &Failure) -> Result<Answer<'static>, ApiError> {
        let last = fallback::key(&ask.query).and_then(|key| self.kept.get(&key));
        let popular = self.popular.items();
        fallback::answer(ask, last, popular.as_deref().map(Vec::as_slice)).ok_or_else(|| unavailable(failure))
    }
}

/// Why a request got no answer of a serving pod.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Too many requests are in flight.
    #[error("too many requests are in flight")]
    Shed,
    /// The serving pods.
    #[error(transparent)]
    Unanswered(Unanswered),
}

/// The request to a serving pod. The routes of the API change nothing, so that they can be
/// repeated; what an unknown path does is not known.
fn call(head: &request::Parts, id: &RequestId, received: &Received, is_known: bool) -> Call {
    let mut headers: HeaderMap = FORWARDED
        .iter()
        .flat_map(|name| head.headers.get_all(name).iter().map(move |value| (name.clone(), value.clone())))
        .collect();
    if let Some(value) = header_value(id) {
        headers.insert(REQUEST_ID_HEADER, value);
    }
    // A composition can select a part by them. The number of the try is among them.
    let segments = head.headers.iter().filter(|(name, _)| name.as_str().starts_with(SEGMENT_PREFIX));
    headers.extend(segments.map(|(name, value)| (name.clone(), value.clone())));
    let is_retry = head.headers.contains_key(ATTEMPT_HEADER);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body = whole(received);
    Call { method: head.method.clone(), path, headers, body, may_retry: is_known && !is_retry }
}

/// A copy of a body.
fn whole(received: &Received) -> Bytes {
    match received.bytes() {
        Cow::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    }
}

/// Key under which the answer to a request in JSON is kept.
fn answer_key(route: &str, headers: &HeaderMap, body: &[u8]) -> Option<AnswerKey> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    let KeyFields { user, item, conditions, candidates, cursor, include_seen } = serde_json::from_slice(body).ok()?;
    if conditions.or(candidates).or(cursor).is_some() || include_seen {
        // A part of the user's list, or one with items that the user has seen, is not an answer to
        // other requests. Without the items of a history or of `exclude`, the rest is one.
        return None;
    }
    match route {
        "/recommend" => user.map(|user| AnswerKey::User(user.into_owned())),
        "/similar" => item.map(|item| AnswerKey::Item(item.into_owned())),
        _ => None,
    }
}

/// The response of a serving pod. Headers of its connection end here.
fn returned(response: Response<Bytes>, is_head: bool) -> Response<Full<Bytes>> {
    let (mut head, body) = response.into_parts();
    head.headers.remove(header::CONNECTION);
    // The server states the length of the body again; a response to HEAD has none.
    if !is_head {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

fn unavailable(failure: &Failure) -> ApiError {
    match failure {
        Failure::Shed => Refusal::Overloaded.into(),
        Failure::Unanswered(unanswered) => {
            let detail = format!("{unanswered}, and no earlier answer is kept; try again in a moment");
            ApiError::new(unanswered.status(), "upstream-unavailable", detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_that_suit_other_requests_are_kept() {
        let key = |body: &str| answer_key("/recommend", &HeaderMap::new(), body.as_bytes());
        let of_user = Some(AnswerKey::User("u".to_owned()));
        for suitable in ["", r#","n":3"#, r#","includeSeen":false"#, r#","exclude":["a"]"#, r#","explain":true"#] {
            assert_eq!(key(&format!(r#"{{"user":"u"{suitable}}}"#)), of_user, "{suitable}");
        }
        let (page, seen) = (r#","cursor":"*""#, r#","includeSeen":true"#);
        for other in [seen, page, r#","candidates":[]"#, r#","where":{"genre":["x"]}"#] {
            assert_eq!(key(&format!(r#"{{"user":"u"{other}}}"#)), None, "{other}");
        }
        assert_eq!(key("user_id=u&n=3"), None, "answers to forms are not kept");
    }
}
