//! Checks before the S3 protocol handles a request: the limit of requests in flight and the
//! signature method. Also records the request metrics.

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
    body::{RequestBody, ResponseBody},
    limits::REQUESTS_MAX,
    metrics::{Metrics, Operation},
};

/// Request extension in which the access check records the operation, for the metrics.
#[derive(Clone, Debug, Default)]
pub struct OperationTag(Arc<OnceLock<Operation>>);

impl OperationTag {
    /// Records the operation; only the first call has an effect.
    pub fn set(&self, operation: Operation) {
        let _ = self.0.set(operation);
    }

    fn get(&self) -> Operation {
        self.0.get().copied().unwrap_or(Operation::Other)
    }
}

/// Limits and measures the requests to a service.
#[derive(Clone)]
pub struct RequestLimiter {
    service: S3Service,
    metrics: Metrics,
    slots: Arc<Semaphore>,
}

impl RequestLimiter {
    /// Wraps `service`.
    pub fn new(service: S3Service, metrics: Metrics) -> Self {
        Self { service, metrics, slots: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Handles a request.
    pub async fn handle(self, request: Request<Incoming>) -> Result<Response<ResponseBody>, HttpError> {
        let began = Instant::now();
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return self.reject(&s3_error!(SlowDown, "{REQUESTS_MAX} requests are in flight; retry later"), began);
        };
        let in_flight = (slot, self.metrics.begin_request());
        if !is_signed_by_header(request.headers()) {
            let error = s3_error!(AccessDenied, "expected a request signed by Authorization: AWS4-HMAC-SHA256");
            return self.reject(&error, began);
        }
        let tag = OperationTag::default();
        let mut request = request.map(|body| Body::http_body_unsync(RequestBody::new(body)));
        request.extensions_mut().insert(tag.clone());
        let response = self.service.call(request).await?;
        self.metrics.record_request(tag.get(), response.status().as_u16(), began.elapsed());
        let sent = self.metrics.sent_bytes.clone();
        Ok(response.map(|body| ResponseBody::new(body.boxed_unsync(), sent, Some(in_flight))))
    }

    fn reject(&self, error: &S3Error, began: Instant) -> Result<Response<ResponseBody>, HttpError> {
        let status = error.status_code().unwrap_or(StatusCode::FORBIDDEN);
        self.metrics.record_request(Operation::Other, status.as_u16(), began.elapsed());
        // Code and message are constants of this file and contain nothing that XML must escape.
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
            .body(ResponseBody::new(body, self.metrics.sent_bytes.clone(), None))
            .map_err(|error| HttpError::new(Box::new(error)))
    }
}

/// Whether a request is signed with the `Authorization` header, signature version 4. The protocol
/// library also accepts signatures of version 2, in URLs, and in forms; it reads the body of a form
/// before authorization. No client of this store needs those.
fn is_signed_by_header(headers: &HeaderMap) -> bool {
    let starts = |name, prefix: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
    };
    starts(header::AUTHORIZATION, "AWS4-HMAC-SHA256 ") && !starts(header::CONTENT_TYPE, "multipart/form-data")
}
