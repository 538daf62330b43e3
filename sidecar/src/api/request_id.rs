//! The name of a request: in every answer, in the header of every response, and later in feedback.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderValue};

use crate::limits::REQUEST_ID_BYTES_MAX;

/// The header that brings it and takes it back.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// A client's own id if it is sane (1 to [`REQUEST_ID_BYTES_MAX`] letters, digits and `-_.:/+=@`), else sixteen hex digits,
/// different in every answer and unguessable across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
        given.filter(|id| is_sane(id)).map_or_else(Self::fresh, |id| Self(id.to_owned()))
    }

    /// A new one.
    pub fn fresh() -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(format!("{:016x}", KEY.hash_one(NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    /// The id of one answer of a batch.
    #[must_use]
    pub fn part(&self, place: usize) -> Self {
        Self(format!("{}.{place}", self.0))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header's value.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn is_sane(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[u8]) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID_HEADER, HeaderValue::from_bytes(given).unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn sane_ids_are_taken_over_and_others_replaced() {
        assert_eq!(of(b"4bf92f35-77b3:a/1").as_str(), "4bf92f35-77b3:a/1");
        assert_eq!(of(&[b'a'; REQUEST_ID_BYTES_MAX]).as_str().len(), REQUEST_ID_BYTES_MAX);
        for bad in [b"".as_slice(), b"a b", b"<script>", b"a\"b", b"\xff", &[b'a'; REQUEST_ID_BYTES_MAX + 1]] {
            let id = of(bad);
            assert!(id.as_str().len() == 16 && id.as_str().bytes().all(|b| b.is_ascii_hexdigit()), "{id:?}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
