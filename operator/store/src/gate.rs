//! What every request passes before S3's protocol looks at it: the limit of requests, the one way to sign, the metrics.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use s3s::{Body, HttpError, S3Error, s3_error, service::S3Service};
use tokio::sync::Semaphore;

use crate::{
    body::{Received, Sent},
    limits::REQUESTS_MAX,
    metrics::{Metrics, Operation},
};

/// Where the protocol notes which operation a request is.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<OnceLock<Operation>>);

impl Seen {
    /// Notes it; the first time counts.
    pub fn set(&self, operation: Operation) {
        let _ = self.0.set(operation);
    }

    fn get(&self) -> Operation {
        self.0.get().copied().unwrap_or(Operation::Other)
    }
}

/// The gate in front of a service.
#[derive(Clone)]
pub struct Gate {
    service: S3Service,
    metrics: Metrics,
    slots: Arc<Semaphore>,
}

impl Gate {
    /// Guards this service.
    pub fn new(service: S3Service, metrics: Metrics) -> Self {
        Self { service, metrics, slots: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Answers a request.
    pub async fn answer(self, request: Request<Incoming>) -> Result<Response<Sent>, HttpError> {
        let began = Instant::now();
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return self.refuse(&s3_error!(SlowDown, "{REQUESTS_MAX} requests are at work; try again"), began);
        };
        let at_work = (slot, self.metrics.request_begins());
        if !is_signed_by_header(request.headers()) {
            let error = s3_error!(AccessDenied, "expected a request signed by Authorization: AWS4-HMAC-SHA256");
            return self.refuse(&error, began);
        }
        let seen = Seen::default();
        let mut request = request.map(|body| Body::http_body_unsync(Received::new(body)));
        request.extensions_mut().insert(seen.clone());
        let response = self.service.call(request).await?;
        self.metrics.request_answered(seen.get(), response.status().as_u16(), began.elapsed());
        let sent = self.metrics.sent_bytes.clone();
        Ok(response.map(|body| Sent::new(body.boxed_unsync(), sent, Some(at_work))))
    }

    fn refuse(&self, error: &S3Error, began: Instant) -> Result<Response<Sent>, HttpError> {
        let status = error.status_code().unwrap_or(StatusCode::FORBIDDEN);
        self.metrics.request_answered(Operation::Other, status.as_u16(), began.elapsed());
        // Code and message are constants of this file, so nothing is to be escaped.
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
            error.code().as_str(),
            error.message().unwrap_or_default()
        );
        let body = Full::new(xml.into()).map_err(|never| match never {}).boxed_unsync();
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/xml")
            .header(header::CONNECTION, "close")
            .body(Sent::new(body, self.metrics.sent_bytes.clone(), None))
            .map_err(|error| HttpError::new(Box::new(error)))
    }
}

/// The protocol library also takes signatures in URLs, in forms (whose body it reads before it asks who may) and of
/// version 2. No client of this store needs them.
fn is_signed_by_header(headers: &HeaderMap) -> bool {
    let starts = |name, prefix: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
    };
    starts(header::AUTHORIZATION, "AWS4-HMAC-SHA256 ") && !starts(header::CONTENT_TYPE, "multipart/form-data")
}
