//! What of a request concerns the parts of a composition: the headers that select a part, whether it
//! is a retry, and its trace context.

use answering::RequestContext;
use http::{HeaderMap, StatusCode};
use mesh::{ANCHORS_HEADER, ATTEMPT_HEADER};

use crate::{
    api::error::ApiError,
    limits::{SEGMENT_HEADERS_BYTES_MAX, SEGMENT_HEADERS_MAX},
};

/// Prefix of the headers by which a composition can select a part. Sidecars and compositions send
/// them on.
pub const SEGMENT_PREFIX: &str = "x-recmesh-";

/// The context in these headers; `selects` is the header by which the own rule selects a part, which
/// has the prefix in Kubernetes. Values that are not visible ASCII characters select nothing.
///
/// # Errors
/// More of these headers than the limits allow: without one of them, another part would answer.
pub fn of(headers: &HeaderMap, selects: Option<&str>) -> Result<RequestContext, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Each hop states these two itself.
    let is_of_hop = |name: &str| [ATTEMPT_HEADER, ANCHORS_HEADER].contains(&name);
    let is_segment = |name: &str| name.starts_with(SEGMENT_PREFIX) && !is_of_hop(name) || Some(name) == selects;
    let segments = headers.iter().filter(|(name, _)| is_segment(name.as_str()));
    let segments: Vec<(&str, &str)> =
        segments.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let bytes: usize = segments.iter().map(|(name, value)| name.len() + value.len()).sum();
    if segments.len() > SEGMENT_HEADERS_MAX || bytes > SEGMENT_HEADERS_BYTES_MAX {
        let detail = format!(
            "headers {SEGMENT_PREFIX}*: {} with {bytes} bytes; a composition takes at most {SEGMENT_HEADERS_MAX} with \
             {SEGMENT_HEADERS_BYTES_MAX} bytes; send those that select a part",
            segments.len()
        );
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid-header", detail));
    }
    Ok(RequestContext {
        segments: segments.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        is_retry: headers.contains_key(ATTEMPT_HEADER),
        traceparent: text("traceparent"),
        tracestate: text("tracestate"),
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_headers_that_can_select_a_part_are_kept_and_those_of_one_hop_are_not() {
        let given = headers(&[
            ("x-recmesh-segment", "readers"),
            ("x-recmesh-country", "nl"),
            ("x-recmesh-attempt", "2"),
            ("x-recmesh-anchors", "0123"),
            ("cookie", "secret"),
            ("x-recmesh-bad", "\u{e9}"),
            ("traceparent", "00-1-2-01"),
        ]);
        let context = of(&given, None).unwrap();
        assert_eq!(context.segments.len(), 2, "{context:?}");
        assert_eq!(
            (context.segment("x-recmesh-segment"), context.segment("x-recmesh-country")),
            (Some("readers"), Some("nl"))
        );
        assert_eq!((context.is_retry, context.traceparent.as_deref()), (true, Some("00-1-2-01")));
        assert!(!of(&headers(&[("x-recmesh-segment", "readers")]), None).unwrap().is_retry);
        // Outside of Kubernetes any header can select a part.
        let given = headers(&[("x-country", "nl")]);
        assert_eq!(of(&given, Some("x-country")).unwrap().segment("x-country"), Some("nl"));
        assert_eq!(of(&given, None).unwrap(), RequestContext::default());
    }

    #[test]
    fn more_headers_than_a_composition_sends_on_are_rejected() {
        let many = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("x-recmesh-{number}")).collect();
            headers(&names.iter().map(|name| (name.as_str(), "a")).collect::<Vec<_>>())
        };
        assert_eq!(of(&many(SEGMENT_HEADERS_MAX), None).unwrap().segments.len(), SEGMENT_HEADERS_MAX);
        let error = of(&many(SEGMENT_HEADERS_MAX + 1), None).unwrap_err();
        assert!(error.status == StatusCode::BAD_REQUEST && error.detail.contains("at most 16"), "{}", error.detail);
        let long = |length: usize| headers(&[("x-recmesh-a", &"v".repeat(length))]);
        assert!(of(&long(SEGMENT_HEADERS_BYTES_MAX - "x-recmesh-a".len()), None).is_ok());
        assert!(of(&long(SEGMENT_HEADERS_BYTES_MAX - "x-recmesh-a".len() + 1), None).is_err());
    }
}
