//! Range of a read (RFC 9110, section 14).

use std::ops;

use http::{HeaderMap, HeaderValue, header};
use s3s::{S3Error, S3Result, dto::Range, s3_error};

use crate::disk::FileStat;

/// Maximum position that the protocol library accepts.
const POSITION_MAX: u64 = i64::MAX as u64;

/// Rewrites or removes a `Range` header that the protocol library would refuse: the unit is
/// case-insensitive, positions may be of any length, and a server may ignore several ranges, other
/// units and invalid ranges (section 14.2). A header that the signature covers stays as it is,
/// because another value would not match the signature.
pub fn normalize(headers: &mut HeaderMap) {
    if !headers.contains_key(header::RANGE) || is_signed(headers, header::RANGE.as_str()) {
        return;
    }
    let mut values = headers.get_all(header::RANGE).iter();
    let range = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(canonical),
        _ => None,
    };
    match range.and_then(|range| HeaderValue::try_from(range).ok()) {
        Some(range) => drop(headers.insert(header::RANGE, range)),
        None => drop(headers.remove(header::RANGE)),
    }
}

/// One valid range of bytes, as the protocol library reads it.
fn canonical(range: &str) -> Option<String> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    match (first, last) {
        ("", length) => position(length).map(|length| format!("bytes=-{length}")),
        (first, "") => position(first).map(|first| format!("bytes={first}-")),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then(|| format!("bytes={first}-{last}"))
        }
    }
}

/// A number of one or more digits. One above [`POSITION_MAX`] is beyond the end of every object, as
/// that one is.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(POSITION_MAX).min(POSITION_MAX))
}

/// Whether the request's signature (version 4) covers this header.
fn is_signed(headers: &HeaderMap, name: &str) -> bool {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = authorization.split_once("SignedHeaders=").map_or("", |(_, rest)| rest);
    signed.split([',', ' ']).next().unwrap_or_default().split(';').any(|signed| signed.eq_ignore_ascii_case(name))
}

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
