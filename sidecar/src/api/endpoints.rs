//! The endpoints of the application port: from a request to a document, without metrics.

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use answering::{Answer, AnswerError, Ask, RequestContext, RequestId, Source};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use sidecar_contract::ServingLimits;

use crate::{
    api::{
        body::{Allowance, Budget},
        content_encoding::ContentEncoding,
        error::ApiError,
        form,
        if_revision::IfRevision,
        json, openapi,
        quote::quoted,
        request::{BatchRequest, RecommendRequest, SimilarRequest},
        request_context, request_timeout,
        response::{self, ResponseFormat},
        revision_headers::REVISION_HEADER,
        route::{ALL_METHODS, ROUTES, Route, WHOLE_SERVER},
    },
    engine::{Engine, Refusal},
};

/// What answers requests: an engine, and the memory for bodies and answers.
#[derive(Debug)]
pub struct Endpoints {
    engine: Arc<Engine>,
    budget: Arc<Budget>,
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Answered {
    /// A document.
    Document(Document),
    /// The methods of a route. No header permits requests from pages of other origins.
    Methods(&'static str),
}

/// A document, the revision that answered, and the number of recommended items by source.
#[derive(Debug)]
pub struct Document {
    body: Bytes,
    revision: Option<HeaderValue>,
    sources: ItemsBySource,
}

/// A parsed request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a request is parsed once and moved at once")]
pub enum Parsed {
    /// One question, and the format of its answer.
    One(Ask, ResponseFormat),
    /// The questions of a batch.
    Batch(Vec<Ask>),
}

impl Parsed {
    fn set(&mut self, deadline: Option<Instant>, context: Option<&RequestContext>) {
        let asks = match self {
            Self::One(ask, _) => std::slice::from_mut(ask),
            Self::Batch(asks) => asks.as_mut_slice(),
        };
        for ask in asks {
            ask.deadline = deadline;
            if let Some(context) = context {
                ask.context.clone_from(context);
            }
        }
    }

    /// Memory that it occupies while it waits.
    fn memory_bytes(&self) -> usize {
        match self {
            Self::One(ask, _) => ask.memory_bytes(),
            Self::Batch(asks) => asks.iter().map(Ask::memory_bytes).sum(),
        }
    }
}

/// A computed answer as a document.
struct Rendered<T> {
    body: T,
    revision: Option<HeaderValue>,
    /// Items by source.
    sources: ItemsBySource,
}

/// Numbers of items by what ranked them.
#[derive(Debug)]
struct ItemsBySource([(Source, u64); Source::ALL.len()]);

impl Default for ItemsBySource {
    fn default() -> Self {
        Self(Source::ALL.map(|source| (source, 0)))
    }
}

impl ItemsBySource {
    fn add(&mut self, source: Source, items: u64) {
        self.0.iter_mut().filter(|(counted, _)| *counted == source).for_each(|(_, count)| *count += items);
    }

    /// The sources that ranked items.
    fn counts(&self) -> impl Iterator<Item = (Source, u64)> {
        self.0.iter().copied().filter(|(_, items)| *items > 0)
    }
}

impl Answered {
    /// The response.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let Document { body, revision, sources: _ } = match self {
            Self::Document(document) => document,
            Self::Methods(allow) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
                return response;
            }
        };
        let mut response = Response::new(Full::new(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = revision {
            headers.insert(REVISION_HEADER, value);
        }
        response
    }
}

impl Document {
    /// The revision that answered.
    pub fn revision(&self) -> Option<&HeaderValue> {
        self.revision.as_ref()
    }

    /// Numbers of recommended items by source.
    pub fn items_by_source(&self) -> impl Iterator<Item = (Source, u64)> {
        self.sources.counts()
    }
}

impl Endpoints {
    /// Endpoints of this engine.
    pub fn new(engine: Arc<Engine>, budget: Arc<Budget>) -> Self {
        Self { engine, budget }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// A request that is wrong, or that cannot be answered now.
    pub async fn answer<B>(
        &self,
        route: Option<Route>,
        request: Request<B>,
        id: &RequestId,
    ) -> Result<Answered, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let is_options = request.method() == Method::OPTIONS;
        let Some(route) = route else {
            if is_options && request.uri().path() == WHOLE_SERVER {
                return Ok(Answered::Methods(ALL_METHODS));
            }
            let paths: Vec<&str> = ROUTES.iter().map(|(_, path)| *path).collect();
            let detail = format!("no such path; valid paths are {}", paths.join(", "));
            return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown-path", detail));
        };
        let Route { method, path } = route;
        if !route.takes(request.method()) {
            let detail = format!("{path} takes {method}, not {}", quoted(request.method()));
            let mut error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", detail);
            error.allow = Some(route.allowed());
            return Err(error);
        }
        match path {
            _ if is_options => return Ok(Answered::Methods(route.allowed())),
            "/model" => return self.model(id),
            "/openapi.json" => return Ok(Self::openapi()),
            _ => {}
        }
        if request.uri().query().is_some_and(|query| !query.is_empty()) {
            let detail = format!("{path} reads no query string; send all fields in the body");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "unexpected-query", detail));
        }
        let deadline = request_timeout::deadline(request.headers(), Instant::now())?;
        let pinned = IfRevision::of(request.headers())?;
        let context = self.context(request.headers(), &pinned)?;
        let content_type = content_type(&request, path)?;
        let encoding = ContentEncoding::of(request.headers())?;
        let body = self.budget.receive(request.into_body()).await?;
        let body = encoding.decode(body, &self.budget)?;
        let mut parsed = {
            let _parsing = self.budget.parsing(body.length()).await;
            self.engine.with_limits(|limits| parse(path, content_type, &body.bytes(), id, limits))?
        };
        parsed.set(deadline, context.as_ref());
        // A question owns its text: its bytes take the place of the body's while it waits.
        let mut allowance = body.into_allowance();
        self.budget.change(&mut allowance, parsed.memory_bytes())?;
        let rendered = match parsed {
            Parsed::One(ask, format) => self.one(ask, format, pinned).await?,
            Parsed::Batch(asks) => self.batch(asks, id, pinned).await?,
        };
        self.answered(rendered, allowance)
    }

    /// The response for an error, whose body is within the budget.
    pub fn error(&self, error: ApiError, id: &RequestId) -> Response<Full<Bytes>> {
        self.budget.send_error(error, id)
    }

    /// Checks the revision before the work; the answer is checked again, because what serves may
    /// change until then. Returns what of the request concerns the parts of a composition.
    fn context(&self, headers: &HeaderMap, pinned: &IfRevision) -> Result<Option<RequestContext>, ApiError> {
        let serving = self.engine.serving();
        serving.revision().map_or(Ok(()), |current| pinned.check(current))?;
        serving.composed.as_ref().map(|composed| request_context::of(headers, composed.rule.header())).transpose()
    }

    fn model(&self, id: &RequestId) -> Result<Answered, ApiError> {
        let serving = self.engine.serving();
        let revision = serving.revision().and_then(|revision| HeaderValue::from_str(revision).ok());
        let document = match &serving.composed {
            Some(composed) => response::composition(composed, id),
            None => response::model(serving.local().ok_or(Refusal::NotReady)?, id),
        };
        let body = self.budget.send(document, Allowance::default())?;
        Ok(Answered::Document(Document { body, revision, sources: ItemsBySource::default() }))
    }

    fn openapi() -> Answered {
        static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::document().to_string());
        let body = Bytes::from_static(DOCUMENT.as_bytes());
        Answered::Document(Document { body, revision: None, sources: ItemsBySource::default() })
    }

    /// One question, answered as a list of items.
    async fn one(&self, ask: Ask, format: ResponseFormat, pinned: IfRevision) -> Result<Rendered<Vec<u8>>, ApiError> {
        let render = move |answer: Result<Answer<'_>, AnswerError>| {
            let answer = answer.map_err(|error| ApiError::unanswerable("", &error))?;
            pinned.check_answer(&answer)?;
            Ok::<_, ApiError>(Rendered::new(response::recommendations(&answer, format), &answer))
        };
        self.engine.answer(ask, render).await?
    }

    async fn batch(&self, asks: Vec<Ask>, id: &RequestId, pinned: IfRevision) -> Result<Rendered<Vec<u8>>, ApiError> {
        let render = move |place, answer: Result<Answer<'_>, AnswerError>| match answer {
            Ok(answer) => {
                pinned.check_answer(&answer)?;
                Ok(Rendered::new(response::part(&answer), &answer))
            }
            Err(error) => {
                let place = error.index().unwrap_or(place);
                Err(ApiError::unanswerable(&format!("requests[{place}]."), &error))
            }
        };
        let answers = self.engine.answer_each(asks, render).await??;
        let revision = answers.first().and_then(|answer| answer.revision.clone());
        let mut sources = ItemsBySource::default();
        for (source, items) in answers.iter().flat_map(|answer| answer.sources.counts()) {
            sources.add(source, items);
        }
        let parts: Vec<_> = answers.into_iter().map(|answer| answer.body).collect();
        Ok(Rendered { body: response::batch(&parts, id), revision, sources })
    }

    fn answered(&self, rendered: Rendered<Vec<u8>>, allowance: Allowance) -> Result<Answered, ApiError> {
        let Rendered { body, revision, sources } = rendered;
        Ok(Answered::Document(Document { body: self.budget.send(body, allowance)?, revision, sources }))
    }
}

impl<T> Rendered<T> {
    fn new(body: T, answer: &Answer<'_>) -> Self {
        let mut sources = ItemsBySource::default();
        for item in &answer.items {
            sources.add(item.source, 1);
        }
        let revision = answer.parts.first().and_then(|part| HeaderValue::from_str(&part.revision).ok());
        Self { body, revision, sources }
    }
}

/// Parses the body of a request to this route.
///
/// # Errors
/// An unknown, repeated or malformed field, or a value out of range.
pub fn parse(
    route: &str,
    content_type: ContentType,
    body: &[u8],
    id: &RequestId,
    limits: &ServingLimits,
) -> Result<Parsed, ApiError> {
    let one = |ask| Parsed::One(ask, ResponseFormat::Json);
    match (route, content_type) {
        ("/recommend", ContentType::Form) => {
            form::parse(body, id.clone(), limits).map(|ask| Parsed::One(ask, ResponseFormat::Form))
        }
        ("/recommend", ContentType::Json) => {
            json::parse::<RecommendRequest<'_>>(body)?.into_ask(id.clone(), "", limits).map(one)
        }
        ("/recommend:batch", _) => json::parse::<BatchRequest<'_>>(body)?.into_asks(id, limits).map(Parsed::Batch),
        _ => json::parse::<SimilarRequest<'_>>(body)?.into_ask(id.clone(), limits).map(one),
    }
}

/// How the fields of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// As a form.
    Form,
    /// As JSON.
    Json,
}

/// The content type of a request.
///
/// # Errors
/// One that the route does not take.
pub fn content_type<B>(request: &Request<B>, route: &str) -> Result<ContentType, ApiError> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(ContentType::Json),
        "application/x-www-form-urlencoded" if route == "/recommend" => Ok(ContentType::Form),
        _ => {
            let form = if route == "/recommend" { " or application/x-www-form-urlencoded" } else { "" };
            let detail = format!("content-type: {}; {route} takes application/json{form}", quoted(given));
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
        }
    }
}
