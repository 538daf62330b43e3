//! Conditional requests (RFC 9110, section 13), to the extent that S3 supports them.

use std::time::{Duration, SystemTime};

use s3s::{
    S3Result,
    dto::{ETag, ETagCondition, Timestamp},
    s3_error,
};

use crate::disk::FileStat;

/// Evaluates the conditions of a read: 412 or 304 if they do not hold.
pub fn check(
    stat: &FileStat,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<&Timestamp>,
    if_unmodified_since: Option<&Timestamp>,
) -> S3Result<()> {
    let failed = || s3_error!(PreconditionFailed, "the object was modified");
    match (if_match, if_unmodified_since) {
        (Some(expected), _) if !matches(expected, stat) => return Err(failed()),
        (None, Some(since)) if is_newer(stat, since) => return Err(failed()),
        _ => {}
    }
    match (if_none_match, if_modified_since) {
        (Some(excluded), _) if matches(excluded, stat) => Err(s3_error!(NotModified)),
        (None, Some(since)) if !is_newer(stat, since) => Err(s3_error!(NotModified)),
        _ => Ok(()),
    }
}

/// Validates the conditions of a write: none, or `If-None-Match: *`.
pub fn only_absent(if_none_match: Option<&ETagCondition>, if_match: Option<&ETagCondition>) -> S3Result<()> {
    if if_match.is_some() || if_none_match.is_some_and(|condition| !condition.is_any()) {
        return Err(s3_error!(NotImplemented, "a write supports no condition other than If-None-Match: *"));
    }
    Ok(())
}

fn matches(condition: &ETagCondition, stat: &FileStat) -> bool {
    condition.is_any() || condition.as_etag().map(ETag::value) == Some(stat.etag.as_str())
}

/// Compares whole seconds, the resolution of HTTP dates.
fn is_newer(stat: &FileStat, since: &Timestamp) -> bool {
    let modified = stat.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(modified)) > *since
}
