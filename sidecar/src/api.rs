//! The application port: routing, body limits, content types, and the count of what was answered.

pub mod body;
pub mod error;
pub mod fields;
pub mod form;
pub mod json;
pub mod openapi;
pub mod render;
pub mod request_id;

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use serde_json::Value;

use crate::{
    answer::{AnswerError, Item, Query, answer, similar},
    api::{
        body::Budget,
        error::ApiError,
        render::Style,
        request_id::{REQUEST_ID_HEADER, RequestId},
    },
    engine::Engine,
    limits::ITEMS_PER_BATCH_MAX,
    metrics::Metrics,
    model::ServingModel,
};

/// Name of the header that says which revision answered.
pub const REVISION_HEADER: &str = "x-model-revision";

/// The routes, in the order of the OpenAPI document.
pub const ROUTES: [(&str, &str); 5] = [
    ("POST", "/recommend"),
    ("POST", "/recommend:batch"),
    ("POST", "/similar"),
    ("GET", "/model"),
    ("GET", "/openapi.json"),
];

/// The application port as a value: tests call [`Api::handle`] without a socket.
#[derive(Debug)]
pub struct Api {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    budget: Budget,
}

/// What a door gives back: a document, and the revision that made it.
struct Answered {
    body: Bytes,
    revision: Option<String>,
}

/// A computed answer.
struct Rendered {
    body: Vec<u8>,
    revision: String,
    /// Items by source.
    sources: BTreeMap<&'static str, u64>,
}

impl Api {
    /// An application port over this engine.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>) -> Self {
        Self { engine, metrics, budget: Budget::default() }
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
        let begin = Instant::now();
        let route = ROUTES.iter().find(|(_, path)| *path == request.uri().path()).map_or("other", |(_, path)| *path);
        let id = RequestId::of(request.headers());
        let in_flight = self.metrics.in_flight();
        let answered = self.dispatch(route, request, &id).await;
        drop(in_flight);
        let (mut response, revision) = match answered {
            Ok(Answered { body, revision }) => (document(body, revision.as_deref()), revision),
            Err(error) => (error.into_response(&id), None),
        };
        if let Some(value) = id.header() {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        self.metrics.observe_request(route, response.status(), revision.as_deref(), begin.elapsed());
        Ok(response)
    }

    async fn dispatch<B>(&self, route: &'static str, request: Request<B>, id: &RequestId) -> Result<Answered, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some((method, _)) = ROUTES.iter().find(|(_, path)| *path == route) else {
            let paths: Vec<&str> = ROUTES.iter().map(|(_, path)| *path).collect();
            let detail = format!("no such path; there are {}", paths.join(", "));
            return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown-path", detail));
        };
        if request.method().as_str() != *method {
            let detail = format!("{route} takes {method}, not {}", request.method());
            let mut error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", detail);
            error.allow = Some(method);
            return Err(error);
        }
        if request.method() == Method::GET {
            return if route == "/model" { self.model(id) } else { self.openapi() };
        }
        let content_type = content_type(&request, route)?;
        let body = self.budget.receive(request.into_body()).await?;
        let limits = self.engine.limits();
        match (route, content_type) {
            ("/recommend", ContentType::Form) => {
                self.recommend(form::parse(&body.bytes, &limits)?, Style::Form, id).await
            }
            ("/recommend", ContentType::Json) => {
                let query = json::query(json::object(&body.bytes)?, "", &limits)?;
                self.recommend(query, Style::Json, id).await
            }
            ("/recommend:batch", _) => self.batch(&body.bytes, id).await,
            _ => self.similar(&body.bytes, id).await,
        }
    }

    fn model(&self, id: &RequestId) -> Result<Answered, ApiError> {
        let model = self.engine.model().ok_or(crate::engine::Refusal::NotReady)?;
        let body = render::model(&model.describe(), model.snapshot.metadata(), id).to_string();
        let revision = model.digest.revision().to_owned();
        Ok(Answered { body: self.budget.send(body.into_bytes())?, revision: Some(revision) })
    }

    fn openapi(&self) -> Result<Answered, ApiError> {
        let body = openapi::document().to_string();
        Ok(Answered { body: self.budget.send(body.into_bytes())?, revision: None })
    }

    async fn recommend(&self, query: Query, style: Style, id: &RequestId) -> Result<Answered, ApiError> {
        let id = id.clone();
        let rendered = self
            .engine
            .compute(move |model| answer(model, &query).map(|items| Rendered::new(model, &items, style, &id)))
            .await?;
        self.answered(rendered.map_err(|error| unanswerable("", &error))?)
    }

    async fn batch(&self, body: &[u8], id: &RequestId) -> Result<Answered, ApiError> {
        let queries = self.queries(body)?;
        let (parts, of_part) = (queries.into_iter().enumerate().collect(), id.clone());
        let answers = self
            .engine
            .compute_each(parts, move |model, (place, query): (usize, Query)| {
                let items =
                    answer(model, &query).map_err(|error| unanswerable(&format!("requests[{place}]."), &error))?;
                Ok::<_, ApiError>(Rendered::new(model, &items, Style::Json, &of_part.part(place)))
            })
            .await??;
        let revision = answers.first().map(|answer| answer.revision.clone()).unwrap_or_default();
        let mut sources = BTreeMap::new();
        for (source, items) in answers.iter().flat_map(|answer| &answer.sources) {
            *sources.entry(*source).or_default() += items;
        }
        let bodies: Vec<Vec<u8>> = answers.into_iter().map(|answer| answer.body).collect();
        self.answered(Rendered { body: render::batch(&bodies, id), revision, sources })
    }

    fn queries(&self, body: &[u8]) -> Result<Vec<Query>, ApiError> {
        let mut object = json::object(body)?;
        let requests =
            object.remove("requests").ok_or_else(|| ApiError::field("requests", "missing; expected a list"))?;
        if let Some(key) = object.keys().next() {
            return Err(ApiError::field(key, "unknown field; known is requests"));
        }
        let Value::Array(requests) = requests else {
            return Err(ApiError::field("requests", "expected a list of objects as POST /recommend takes them"));
        };
        let limits = self.engine.limits();
        let max = limits.requests_per_batch_max as usize;
        if requests.is_empty() || requests.len() > max {
            let message = format!("{} requests; expected 1 to {max}", requests.len());
            return Err(ApiError::field("requests", message));
        }
        let mut queries = Vec::with_capacity(requests.len());
        for (place, request) in requests.into_iter().enumerate() {
            let at = format!("requests[{place}]");
            let Value::Object(request) = request else {
                return Err(ApiError::field(&at, "expected an object as POST /recommend takes it"));
            };
            queries.push(json::query(request, &format!("{at}."), &limits)?);
        }
        let items: usize = queries.iter().map(|query| query.n).sum();
        if items > ITEMS_PER_BATCH_MAX {
            let message = format!("{items} items in all; at most {ITEMS_PER_BATCH_MAX} are answered in one batch");
            return Err(ApiError::field("requests", message));
        }
        Ok(queries)
    }

    async fn similar(&self, body: &[u8], id: &RequestId) -> Result<Answered, ApiError> {
        let mut object = json::object(body)?;
        let item = object.remove("item").ok_or_else(|| ApiError::field("item", "missing"))?;
        let item = json::id("item", &item)?;
        let n = match object.remove("n") {
            Some(n) => json::number_of_items("n", &n, &self.engine.limits())?,
            None => crate::limits::ITEMS_PER_ANSWER_DEFAULT,
        };
        if let Some(key) = object.keys().next() {
            return Err(ApiError::field(key, "unknown field; known are item, n"));
        }
        let id = id.clone();
        let rendered = self
            .engine
            .compute(move |model| similar(model, &item, n).map(|items| Rendered::new(model, &items, Style::Json, &id)))
            .await?;
        self.answered(rendered.ok_or_else(|| {
            let detail = "item: the model does not know this id; ids are those of the training data, as text";
            ApiError::new(StatusCode::NOT_FOUND, "unknown-item", detail)
        })?)
    }

    fn answered(&self, rendered: Rendered) -> Result<Answered, ApiError> {
        let body = self.budget.send(rendered.body)?;
        for (source, items) in rendered.sources {
            self.metrics.count_recommendations(source, items);
        }
        Ok(Answered { body, revision: Some(rendered.revision) })
    }
}

impl Rendered {
    fn new(model: &ServingModel, items: &[Item], style: Style, id: &RequestId) -> Self {
        let mut sources = BTreeMap::new();
        for item in items {
            *sources.entry(item.source).or_default() += 1;
        }
        let body = render::recommendations(model, items, style, id);
        Self { body, revision: model.digest.revision().to_owned(), sources }
    }
}

fn unanswerable(at: &str, error: &AnswerError) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "unanswerable", format!("{at}{error}"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentType {
    Form,
    Json,
}

fn content_type<B>(request: &Request<B>, route: &str) -> Result<ContentType, ApiError> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(ContentType::Json),
        "application/x-www-form-urlencoded" if route == "/recommend" => Ok(ContentType::Form),
        _ => {
            let form = if route == "/recommend" { " or application/x-www-form-urlencoded" } else { "" };
            let detail = format!("content-type: {given}; {route} takes application/json{form}");
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
        }
    }
}

fn document(body: Bytes, revision: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(value) = revision.and_then(|revision| HeaderValue::from_str(revision).ok()) {
        headers.insert(REVISION_HEADER, value);
    }
    response
}
