//! Conditional requests (RFC 9110, section 13), as far as S3 has them.

use std::time::{Duration, SystemTime};

use s3s::{
    S3Result,
    dto::{ETag, ETagCondition, Timestamp},
    s3_error,
};

use crate::disk::Facts;

/// A read's conditions: 412 or 304 when they do not hold.
pub fn check(
    facts: &Facts,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<&Timestamp>,
    if_unmodified_since: Option<&Timestamp>,
) -> S3Result<()> {
    let failed = || s3_error!(PreconditionFailed, "the object is another by now");
    match (if_match, if_unmodified_since) {
        (Some(wanted), _) if !matches(wanted, facts) => return Err(failed()),
        (None, Some(since)) if is_newer(facts, since) => return Err(failed()),
        _ => {}
    }
    match (if_none_match, if_modified_since) {
        (Some(unwanted), _) if matches(unwanted, facts) => Err(s3_error!(NotModified)),
        (None, Some(since)) if !is_newer(facts, since) => Err(s3_error!(NotModified)),
        _ => Ok(()),
    }
}

/// A write's conditions: none, or `If-None-Match: *`.
pub fn only_absent(if_none_match: Option<&ETagCondition>, if_match: Option<&ETagCondition>) -> S3Result<()> {
    if if_match.is_some() || if_none_match.is_some_and(|condition| !condition.is_any()) {
        return Err(s3_error!(NotImplemented, "the only condition for a write is If-None-Match: *"));
    }
    Ok(())
}

fn matches(condition: &ETagCondition, facts: &Facts) -> bool {
    condition.is_any() || condition.as_etag().map(ETag::value) == Some(facts.etag.as_str())
}

/// HTTP dates have whole seconds.
fn is_newer(facts: &Facts, since: &Timestamp) -> bool {
    let modified = facts.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(modified)) > *since
}
