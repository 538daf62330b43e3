//! The id of a request, which appears in every answer and in the header of every response.

use std::{fmt, sync::Arc};

use uuid::Uuid;

use crate::limits::REQUEST_ID_BYTES_MAX;

/// Id of a request: the client's own, or a UUID of version 7 (RFC 9562). Such an id has 128 bits
/// and begins with the time in milliseconds, so ids sort by time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new id.
    pub fn new() -> Self {
        let mut text = Uuid::encode_buffer();
        Self(Arc::from(&*Uuid::now_v7().hyphenated().encode_lower(&mut text)))
    }

    /// A client's own id. `None` unless it has 1 to [`REQUEST_ID_BYTES_MAX`] characters, all of
    /// them letters, digits or `-_.:/+=@`.
    pub fn parse(id: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
        let valid = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed);
        valid.then(|| Self(id.into()))
    }

    /// Id of one request of a batch.
    #[must_use]
    pub fn part(&self, index: usize) -> Self {
        Self(format!("{}.{index}", self.0).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_ids_of_plain_characters_are_accepted() {
        assert_eq!(RequestId::parse("4bf92f35-77b3:a/1").unwrap().as_str(), "4bf92f35-77b3:a/1");
        assert!(RequestId::parse(&"a".repeat(REQUEST_ID_BYTES_MAX)).is_some());
        for bad in ["", "a b", "<script>", "a\"b", "é", &"a".repeat(REQUEST_ID_BYTES_MAX + 1)] {
            assert_eq!(RequestId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn new_ids_are_distinct_sort_by_creation_and_may_come_back_as_a_clients_own() {
        let ids: Vec<RequestId> = (0..1000).map(|_| RequestId::new()).collect();
        assert!(ids.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        for id in &ids {
            assert_eq!(Uuid::parse_str(id.as_str()).unwrap().get_version_num(), 7);
            assert_eq!(RequestId::parse(id.as_str()).as_ref(), Some(id));
        }
    }
}
