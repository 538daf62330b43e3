//! The application port: endpoints, who may ask in plaintext, and metrics of what was answered.

pub mod body;
pub mod content_encoding;
pub mod endpoints;
pub mod error;
pub mod form;
pub mod if_revision;
pub mod json;
pub mod openapi;
pub mod quote;
pub mod refusal_pace;
pub mod request;
pub mod request_context;
pub mod request_id;
pub mod request_timeout;
pub mod response;
pub mod revision_headers;
pub mod route;

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Body;

pub use self::{
    endpoints::{ContentType, Parsed, content_type, parse},
    revision_headers::{IF_REVISION_HEADER, REVISION_HEADER},
};
use crate::{
    api::{
        endpoints::{Answered, Endpoints},
        error::{ApiError, OVERLOADED},
        refusal_pace::RefusalPace,
        request_id::{REQUEST_ID_HEADER, header_value, request_id},
        route::Route,
    },
    engine::Engine,
    metrics::Metrics,
    spans::AnswerSpan,
};

/// The application port as a value: tests call [`Api::handle`] without a socket.
#[derive(Debug)]
pub struct Api {
    endpoints: Endpoints,
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    refusals: RefusalPace,
}

impl Api {
    /// An application port for this engine.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>) -> Self {
        let endpoints = Endpoints::new(Arc::clone(&engine), Arc::default());
        Self { endpoints, engine, metrics, refusals: RefusalPace::default() }
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
        let route = Route::find(request.uri().path());
        let unanswered = Unanswered { metrics: &self.metrics, route: label(route), begin };
        let id = request_id(request.headers());
        let span = AnswerSpan::begin(request.headers());
        let timeout = request_timeout::of(request.headers());
        let in_flight = self.metrics.in_flight();
        let answered = self.endpoints.answer(route, request, &id).await;
        drop(in_flight);
        let (mut response, revision) = match answered {
            Ok(answered) => {
                let revision = self.count(&answered);
                (answered.into_response(), revision)
            }
            Err(error) => {
                if error.kind == OVERLOADED {
                    self.refusals.wait(timeout).await;
                }
                (self.endpoints.error(error, &id), None)
            }
        };
        if let Some(value) = header_value(&id) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        unanswered.answered();
        let route = label(route);
        let revision = revision.as_ref().and_then(|revision| revision.to_str().ok());
        let took = begin.elapsed();
        self.metrics.observe_request(route, response.status(), revision, took);
        if let Some(revision) = revision {
            span.part(revision, took);
        }
        span.end(route, response.status());
        Ok(response)
    }

    /// Answers one request that came without TLS from a client at this address.
    ///
    /// # Errors
    /// Never; the type is hyper's.
    pub async fn handle_plaintext<B>(
        &self,
        request: Request<B>,
        client: IpAddr,
    ) -> Result<Response<Full<Bytes>>, Infallible>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Containers of the pod itself are within its boundary.
        if client.to_canonical().is_loopback() || self.engine.serving().access.allows_plaintext() {
            return self.handle(request).await;
        }
        let begin = Instant::now();
        let (route, id) = (Route::find(request.uri().path()), request_id(request.headers()));
        let mut response = ApiError::plaintext_refused().into_response(&id);
        if let Some(value) = header_value(&id) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        self.metrics.observe_request(label(route), response.status(), None, begin.elapsed());
        Ok(response)
    }

    /// Counts recommended items; returns the revision that answered.
    fn count(&self, answered: &Answered) -> Option<HeaderValue> {
        let Answered::Document(document) = answered else { return None };
        for (source, items) in document.items_by_source() {
            self.metrics.count_recommendations(source, items);
        }
        document.revision().cloned()
    }
}

/// The route as the value of a label.
fn label(route: Option<Route>) -> &'static str {
    route.map_or("other", |route| route.path)
}

/// A request that has no response yet. If it is dropped, its client has left: over HTTP/2 a caller
/// resets the stream of a request that took too long.
struct Unanswered<'a> {
    metrics: &'a Metrics,
    route: &'static str,
    begin: Instant,
}

impl Unanswered<'_> {
    /// To be called when there is a response, which is recorded instead.
    fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.metrics.observe_abandoned(self.route, self.begin.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use hyper::body::Frame;

    use super::*;

    /// A body that does not arrive.
    struct Endless;

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    fn count(metrics: &Metrics, series: &str) -> Option<String> {
        let text = String::from_utf8(metrics.encode(None).unwrap()).unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)).map(|count| count.trim().to_owned())
    }

    #[tokio::test]
    async fn a_request_whose_client_leaves_is_recorded() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let api = Api::new(Arc::new(Engine::new(1, 0)), Arc::clone(&metrics));
        let request =
            |content_type| Request::post("/recommend").header("content-type", content_type).body(Endless).unwrap();
        let mut handling = Box::pin(api.handle(request("application/json")));
        assert!(handling.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        drop(handling);
        let response = api.handle(request("text/plain")).await.unwrap();
        assert_eq!(response.status(), 415);
        let of = |code: &str| {
            let series = "recommender_http_requests_total";
            count(&metrics, &format!(r#"{series}{{code="{code}",revision="none",route="/recommend"}}"#))
        };
        assert_eq!((of("499").as_deref(), of("415").as_deref()), (Some("1"), Some("1")));
        let durations = r#"recommender_http_request_duration_seconds_count{route="/recommend"}"#;
        assert_eq!(count(&metrics, durations).as_deref(), Some("2"));
        assert_eq!(count(&metrics, "recommender_http_requests_in_flight").as_deref(), Some("0"));
    }
}
