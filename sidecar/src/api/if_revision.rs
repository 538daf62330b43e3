//! The header of a request that names the only revision that may answer it.

use answering::Answer;
use http::{HeaderMap, StatusCode};

use crate::{
    api::{error::ApiError, revision_headers::IF_REVISION_HEADER},
    limits::REVISION_CHARS_MAX,
};

/// The only revision that may answer; `None`: any one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IfRevision(Option<String>);

impl IfRevision {
    /// The revision that a request names.
    ///
    /// # Errors
    /// A header that cannot be a revision.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(IF_REVISION_HEADER) else { return Ok(Self(None)) };
        let text = value.to_str().ok().map(str::trim);
        let is_word = |text: &&str| {
            (1..=REVISION_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let text = text.filter(is_word).ok_or_else(|| {
            let detail = "header if-revision: expected a revision, as in header x-model-revision of an earlier answer";
            ApiError::new(StatusCode::BAD_REQUEST, "invalid-header", detail)
        })?;
        Ok(Self(Some(text.to_owned())))
    }

    /// The revision that the request names.
    pub fn revision(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Checks that this revision is the one.
    ///
    /// # Errors
    /// 409 with this revision, if it is another one.
    pub fn check(&self, current: &str) -> Result<(), ApiError> {
        match &self.0 {
            Some(pinned) if pinned != current => Err(ApiError::other_revision(pinned, current)),
            _ => Ok(()),
        }
    }

    /// Checks that this revision answered.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_answer(&self, answer: &Answer<'_>) -> Result<(), ApiError> {
        answer.parts.first().map_or(Ok(()), |whole| self.check(&whole.revision))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &[u8]) -> Result<IfRevision, ApiError> {
        IfRevision::of(&HeaderMap::from_iter([(IF_REVISION_HEADER, HeaderValue::from_bytes(value).unwrap())]))
    }

    #[test]
    fn only_the_named_revision_passes() {
        assert_eq!(IfRevision::of(&HeaderMap::new()).unwrap().check("0123456789"), Ok(()));
        let pinned = of(b" 0123456789 ").unwrap();
        assert_eq!((pinned.revision(), pinned.check("0123456789")), (Some("0123456789"), Ok(())));
        let error = pinned.check("abcdef0123").unwrap_err();
        assert_eq!((error.status, error.revision.as_deref()), (StatusCode::CONFLICT, Some("abcdef0123")));
    }

    #[test]
    fn what_cannot_be_a_revision_is_rejected() {
        for bad in [b"".as_slice(), b"\"0123456789\"", b"\xff", b"a b", &[b'a'; REVISION_CHARS_MAX + 1]] {
            assert_eq!(of(bad).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad:?}");
        }
    }
}
