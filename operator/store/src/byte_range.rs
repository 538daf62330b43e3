//! Range of a read (RFC 9110, section 14).

use std::ops;

use http::{HeaderMap, HeaderValue, header};
use s3s::{S3Error, S3Result, dto::Range, s3_error};

use crate::disk::FileStat;

/// Bytes of a response with status 206; `None` for the whole object.
pub fn resolve(range: Option<Range>, headers: &HeaderMap, stat: &FileStat) -> S3Result<Option<ops::Range<u64>>> {
    let Some(range) = range.filter(|_| applies(headers, stat)) else { return Ok(None) };
    match range {
        // Satisfiable, but Content-Range cannot state that no bytes follow.
        Range::Suffix { length: 1.. } if stat.bytes == 0 => Ok(None),
        range => range.check(stat.bytes).map(Some).map_err(|_| not_satisfiable(stat.bytes)),
    }
}

/// Whether the client has a part of this very object, if it states a validator. A date is weaker
/// than the ETag that the store sends, so it does not match.
fn applies(headers: &HeaderMap, stat: &FileStat) -> bool {
    let etag = |validator: &HeaderValue| validator.as_bytes() == format!("\"{}\"", stat.etag).as_bytes();
    headers.get(header::IF_RANGE).is_none_or(etag)
}

fn not_satisfiable(bytes: u64) -> S3Error {
    let mut error = s3_error!(InvalidRange, "the object has {bytes} bytes");
    if let Ok(content_range) = HeaderValue::try_from(format!("bytes */{bytes}")) {
        error.set_headers(HeaderMap::from_iter([
            (header::CONTENT_RANGE, content_range),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/xml")),
        ]));
    }
    error
}
