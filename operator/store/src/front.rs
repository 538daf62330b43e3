//! Around the protocol library: what is checked before it sees a request, and what holds for every
//! response. Also records the request metrics.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use s3s::{HttpError, S3Error, StdError, s3_error, service::S3Service};

use crate::{
    body::{BodyEnd, RequestBody, ResponseBody},
    byte_range,
    metrics::Metrics,
    request_record::RequestRecord,
    signature_form,
};

/// Service that checks and measures the requests to the protocol library.
#[derive(Clone)]
pub struct Front {
    service: S3Service,
    metrics: Metrics,
}

impl Front {
    /// Wraps `service`.
    pub fn new(service: S3Service, metrics: Metrics) -> Self {
        Self { service, metrics }
    }

    /// Handles a request.
    ///
    /// A response that is sent before the request's body was received closes the connection. A
    /// client with `Expect: 100-continue` may otherwise go on with its next request, which would be
    /// read as the body of this one.
    pub async fn handle<B>(self, request: Request<B>) -> Result<Response<ResponseBody>, HttpError>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<StdError>,
    {
        let began = Instant::now();
        let in_flight = self.metrics.begin_request();
        let record = RequestRecord::default();
        let (mut head, body) = request.into_parts();
        byte_range::normalize(&mut head.headers);
        let (body, body_end) = RequestBody::new(body);
        let response = match signature_form::check(&head) {
            Ok(()) => {
                let mut request = Request::from_parts(head, s3s::Body::http_body_unsync(body));
                request.extensions_mut().insert(record.clone());
                self.service.call(request).await?
            }
            Err(error) => error_response(&error)?,
        };
        let mut response = match body_end.get().and_then(body_error).filter(|_| is_error(response.status())) {
            Some(error) => error_response(&error)?,
            None => response,
        };
        if body_end.get() != Some(BodyEnd::Complete) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.record_request(record.operation(), response.status().as_u16(), began.elapsed());
        let sent = self.metrics.sent_bytes.clone();
        Ok(response.map(|body| ResponseBody::new(body.boxed_unsync(), sent, in_flight, record)))
    }
}

/// Error of a request whose body was not received. The protocol library answers some with 500.
fn body_error(end: BodyEnd) -> Option<S3Error> {
    match end {
        BodyEnd::Complete => None,
        BodyEnd::Truncated => Some(s3_error!(IncompleteBody, "the connection ended before the request body")),
        BodyEnd::TooSlow => Some(s3_error!(RequestTimeout, "the request body was sent too slowly")),
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Response with an error of this file. Its code and message contain nothing that XML must escape.
fn error_response(error: &S3Error) -> Result<Response<s3s::Body>, HttpError> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
        error.code().as_str(),
        error.message().unwrap_or_default()
    );
    Response::builder()
        .status(error.status_code().unwrap_or(StatusCode::FORBIDDEN))
        .header(header::CONTENT_TYPE, "application/xml")
        .body(s3s::Body::http_body(Full::new(Bytes::from(xml)).map_err(|never| match never {})))
        .map_err(|error| HttpError::new(Box::new(error)))
}
