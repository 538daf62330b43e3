//! The application port: routing, body limits, content types, and the count of what was answered.

pub mod error;
pub mod fields;
pub mod form;
pub mod json;
pub mod openapi;
pub mod render;

use std::{convert::Infallible, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use serde_json::{Value, json};

use crate::{
    answer::{AnswerError, Item, Query, answer, similar},
    api::{error::ApiError, render::Style},
    engine::Engine,
    limits::{BODY_BYTES_MAX, BODY_TIMEOUT},
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
}

/// What a door gives back: a document, and the revision that made it.
struct Answered {
    body: Value,
    revision: Option<String>,
}

impl Api {
    /// An application port over this engine.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>) -> Self {
        Self { engine, metrics }
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
        let in_flight = self.metrics.in_flight();
        let answered = self.dispatch(route, request).await;
        drop(in_flight);
        let (response, revision) = match answered {
            Ok(Answered { body, revision }) => (document(&body, revision.as_deref()), revision),
            Err(error) => (error.into_response(), None),
        };
        self.metrics.observe_request(route, response.status(), revision.as_deref(), begin.elapsed());
        Ok(response)
    }

    async fn dispatch<B>(&self, route: &'static str, request: Request<B>) -> Result<Answered, ApiError>
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
            return if route == "/model" {
                self.model()
            } else {
                Ok(Answered { body: openapi::document(), revision: None })
            };
        }
        let content_type = content_type(&request, route)?;
        let body = read_body(request.into_body()).await?;
        let limits = self.engine.limits();
        match (route, content_type) {
            ("/recommend", ContentType::Form) => self.recommend(form::parse(&body, &limits)?, Style::Form).await,
            ("/recommend", ContentType::Json) => {
                self.recommend(json::query(json::object(&body)?, "", &limits)?, Style::Json).await
            }
            ("/recommend:batch", _) => self.batch(&body).await,
            _ => self.similar(&body).await,
        }
    }

    fn model(&self) -> Result<Answered, ApiError> {
        let model = self.engine.model().ok_or(crate::engine::Refusal::NotReady)?;
        let body = render::model(&model.describe(), model.snapshot.metadata());
        Ok(Answered { body, revision: Some(model.digest.revision().to_owned()) })
    }

    async fn recommend(&self, query: Query, style: Style) -> Result<Answered, ApiError> {
        let (model, items) = self.engine.compute(move |model| answer(model, &query)).await?;
        let items = items.map_err(|error| unanswerable(&error))?;
        self.count(&items);
        Ok(answered(render::recommendations(&model, &items, style), &model))
    }

    async fn batch(&self, body: &[u8]) -> Result<Answered, ApiError> {
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
        let (model, answers) = self
            .engine
            .compute(move |model| queries.iter().map(|query| answer(model, query)).collect::<Result<Vec<_>, _>>())
            .await?;
        let answers = answers.map_err(|error| unanswerable(&error))?;
        for items in &answers {
            self.count(items);
        }
        let rendered: Vec<Value> =
            answers.iter().map(|items| render::recommendations(&model, items, Style::Json)).collect();
        Ok(answered(json!({ "responses": rendered }), &model))
    }

    async fn similar(&self, body: &[u8]) -> Result<Answered, ApiError> {
        let mut object = json::object(body)?;
        let id = object.remove("item").ok_or_else(|| ApiError::field("item", "missing"))?;
        let id = json::id("item", &id)?;
        let n = match object.remove("n") {
            Some(n) => json::number_of_items("n", &n, &self.engine.limits())?,
            None => crate::limits::ITEMS_PER_ANSWER_DEFAULT,
        };
        if let Some(key) = object.keys().next() {
            return Err(ApiError::field(key, "unknown field; known are item, n"));
        }
        let (model, items) = self.engine.compute(move |model| similar(model, &id, n)).await?;
        let items = items.ok_or_else(|| {
            let detail = "item: the model does not know this id; ids are those of the training data, as text";
            ApiError::new(StatusCode::NOT_FOUND, "unknown-item", detail)
        })?;
        Ok(answered(render::recommendations(&model, &items, Style::Json), &model))
    }

    fn count(&self, items: &[Item]) {
        for item in items {
            self.metrics.count_recommendation(item.source);
        }
    }
}

fn answered(body: Value, model: &ServingModel) -> Answered {
    Answered { body, revision: Some(model.digest.revision().to_owned()) }
}

fn unanswerable(error: &AnswerError) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "unanswerable", error.to_string())
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

async fn read_body<B>(body: B) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limited = Limited::new(body, BODY_BYTES_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("body: more than {BODY_BYTES_MAX} bytes; send fewer items, or several requests");
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail))
        }
        Ok(Err(_)) => Err(ApiError::new(StatusCode::BAD_REQUEST, "body-incomplete", "body: ended before its length")),
        Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "body: did not arrive in time")),
    }
}

fn document(body: &Value, revision: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(value) = revision.and_then(|revision| HeaderValue::from_str(revision).ok()) {
        headers.insert(REVISION_HEADER, value);
    }
    response
}
