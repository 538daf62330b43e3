//! The header that carries the request id.

use answering::RequestId;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Name of the header, in requests and in responses.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own id if it is valid, else a new one.
pub fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(&REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    given.and_then(RequestId::parse).unwrap_or_default()
}

/// The id as the value of a header.
pub fn header_value(id: &RequestId) -> Option<HeaderValue> {
    HeaderValue::from_str(id.as_str()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[u8]) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_bytes(given).unwrap());
        request_id(&headers)
    }

    #[test]
    fn a_valid_id_is_propagated_and_any_other_is_replaced() {
        assert_eq!(of(b"4bf92f35-77b3:a/1").as_str(), "4bf92f35-77b3:a/1");
        for bad in [b"".as_slice(), b"a b", b"\xff"] {
            assert_eq!(of(bad).as_str().len(), 36, "a UUID");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
