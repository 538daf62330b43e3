//! Errors as RFC 9457 problem details: which field is wrong, what was expected, and what to try.

use answering::{AnswerError, Rejection, RequestId};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use mesh::PARTS_FAILED_HEADER;

use crate::{
    api::{
        quote::{quoted, within},
        response::{self, Problem},
        revision_headers::REVISION_HEADER,
    },
    engine::Refusal,
    limits::{DETAIL_BYTES_MAX, REQUEST_SHARE_BYTES, RETRY_AFTER_SECONDS},
};

/// Kind of the error of a request that was refused because of load.
pub const OVERLOADED: &str = "overloaded";

/// Kind of the error of a request for a revision that does not serve.
pub const OTHER_REVISION: &str = "other-revision";

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable word; the problem's `type` is `urn:recmesh:problem:<kind>`.
    pub kind: &'static str,
    /// Human-readable: the field, what was expected, what to try.
    pub detail: String,
    /// `Allow` for 405.
    pub allow: Option<&'static str>,
    /// The revision that serves, for 409.
    pub revision: Option<String>,
    /// Whether the parts of a composition failed, and not this process.
    pub parts_failed: bool,
}

impl ApiError {
    /// An error with this status.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), allow: None, revision: None, parts_failed: false }
    }

    /// 400: one field is invalid.
    pub fn field(field: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-field", format!("{field}: {detail}"))
    }

    /// 403: a request without TLS, where access requires it.
    pub fn plaintext_refused() -> Self {
        let detail = format!(
            "spec.access.plaintext of this Recommender is Never: connect with mutual TLS to port {}, as the sidecar of an app does",
            sidecar_contract::ports::MESH
        );
        Self::new(StatusCode::FORBIDDEN, "plaintext-refused", detail)
    }

    /// 409: the request is for a revision that does not serve.
    pub fn other_revision(pinned: &str, current: &str) -> Self {
        let detail = format!(
            "header if-revision: {} does not serve here, {current} does: send that one, or no header",
            quoted(pinned)
        );
        Self { revision: Some(current.to_owned()), ..Self::new(StatusCode::CONFLICT, OTHER_REVISION, detail) }
    }

    /// A question without an answer; `at` prefixes the names of fields.
    pub fn unanswerable(at: &str, error: &AnswerError) -> Self {
        let (status, kind) = match error {
            AnswerError::FoldIn(_) | AnswerError::Overflow | AnswerError::RatingMissing { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unanswerable")
            }
            AnswerError::Filter(_)
            | AnswerError::NoCatalogue
            | AnswerError::CursorInvalid
            | AnswerError::CursorOfOtherRequest
            | AnswerError::NotComposable { .. } => (StatusCode::BAD_REQUEST, "invalid-field"),
            AnswerError::CursorGone { .. } => (StatusCode::GONE, "cursor-gone"),
            AnswerError::UnknownItem => (StatusCode::NOT_FOUND, "unknown-item"),
            AnswerError::Rejected { kind, .. } => match kind {
                Rejection::InvalidField => (StatusCode::BAD_REQUEST, "invalid-field"),
                Rejection::Unanswerable => (StatusCode::UNPROCESSABLE_ENTITY, "unanswerable"),
                Rejection::UnknownItem => (StatusCode::NOT_FOUND, "unknown-item"),
                Rejection::CursorGone => (StatusCode::GONE, "cursor-gone"),
            },
            AnswerError::Unavailable(_) | AnswerError::UpstreamsFailed(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "upstream-unavailable")
            }
        };
        let parts_failed = matches!(error, AnswerError::UpstreamsFailed(_));
        Self { parts_failed, ..Self::new(status, kind, format!("{at}{error}")) }
    }

    /// The response to a request.
    pub fn into_response(self, id: &RequestId) -> Response<Full<Bytes>> {
        let document = self.document(id);
        self.response(Some(document.into()))
    }

    /// The body of the response. It is short, whatever the error repeats of the request: it is
    /// within the share of a request ([`REQUEST_SHARE_BYTES`]).
    pub fn document(&self, id: &RequestId) -> Vec<u8> {
        let document = response::problem(&Problem {
            r#type: format!("urn:recmesh:problem:{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            detail: &within(&self.detail, DETAIL_BYTES_MAX),
            request_id: id.as_str(),
        });
        debug_assert!(document.len() <= REQUEST_SHARE_BYTES, "an error of {} bytes", document.len());
        document
    }

    /// The response with this document, or without one.
    pub fn response(self, document: Option<Bytes>) -> Response<Full<Bytes>> {
        let has_document = document.is_some();
        let mut response = Response::new(document.map(Full::new).unwrap_or_default());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if has_document {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(revision) = self.revision.and_then(|revision| HeaderValue::try_from(revision).ok()) {
            headers.insert(REVISION_HEADER, revision);
        }
        if self.parts_failed {
            headers.insert(PARTS_FAILED_HEADER, HeaderValue::from_static("true"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, kind) = match refusal {
            Refusal::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not-ready"),
            Refusal::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, OVERLOADED),
            Refusal::TooSlow => (StatusCode::SERVICE_UNAVAILABLE, "too-slow"),
            Refusal::Failed => return Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", refusal.to_string()),
        };
        Self::new(status, kind, format!("{refusal}; try again in a moment"))
    }
}

#[cfg(test)]
mod tests {
    use catalogue::FilterError;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn an_error_is_within_the_share_of_a_request() {
        let text = |length| "\u{1}".repeat(length);
        let known: Vec<String> = (0..20).map(|_| text(256)).collect();
        let errors = [
            FilterError::UnknownValue { column: text(128), value: text(256), known: known.clone(), total: 1000 }.into(),
            FilterError::UnknownColumn { column: text(128), known }.into(),
            FilterError::NotANumber { column: text(128), value: text(1 << 20), expected: "number" }.into(),
            AnswerError::Rejected { kind: Rejection::InvalidField, detail: text(1000), index: None },
            AnswerError::Unavailable(text(1 << 20)),
        ];
        let id = RequestId::parse(&"i".repeat(128)).unwrap();
        for error in &errors {
            let response = ApiError::unanswerable("requests[999].", error).into_response(&id);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.len() <= REQUEST_SHARE_BYTES, "{error:?}: {} bytes", body.len());
            let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(document["detail"].as_str().unwrap().starts_with("requests[999]."), "{document}");
        }
    }
}
