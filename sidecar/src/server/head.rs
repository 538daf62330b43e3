//! Rules for request heads that hyper does not enforce. A proxy in front of the server may read
//! such a head differently, so that one request smuggles another.

use http::{Request, StatusCode, Version, header};

use super::head_lines::LineEnds;
use crate::api::error::ApiError;

/// Checks a head.
///
/// # Errors
/// A head with bare line feeds, no or several `host` headers, or another transfer coding than
/// `chunked`.
pub fn check<B>(request: &Request<B>, line_ends: Option<LineEnds>) -> Result<(), ApiError> {
    let malformed = |detail| Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid-head", detail));
    match line_ends {
        Some(LineEnds::Crlf) => {}
        Some(LineEnds::BareLf) => return malformed("head: a line ends with a line feed alone; end lines with CRLF"),
        None => return malformed("head: sent with the end of a chunked body; wait for the response to that request"),
    }
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    // RFC 9112, 3.2. HTTP/1.0 does not know the header.
    if hosts > 1 || (hosts == 0 && request.version() > Version::HTTP_10) {
        let detail = format!("host: present {hosts} times; send this header once");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid-host", detail));
    }
    // RFC 9112, 6.1. hyper has checked that the last coding is `chunked`.
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let only_chunked = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some_and(|first| !only_chunked(first)) || codings.next().is_some() {
        let detail = "transfer-encoding: the only supported coding is chunked, once";
        return Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "unsupported-transfer-encoding", detail));
    }
    Ok(())
}

/// Checks the head of a request over HTTP/2, whose framing leaves less to be misread.
///
/// # Errors
/// No authority, or another one in a `host` header.
pub fn check_http2<B>(request: &Request<B>) -> Result<(), ApiError> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let mut hosts = request.headers().get_all(header::HOST).iter().map(header::HeaderValue::as_bytes);
    // RFC 9113, 8.3.1: the pseudo-header replaces `host`, and both must be equal.
    let named = [authority.map(str::as_bytes), hosts.next()];
    let are_equal = match named {
        [Some(authority), Some(host)] => authority.eq_ignore_ascii_case(host),
        [one, other] => one.or(other).is_some(),
    };
    if are_equal && hosts.next().is_none() {
        return Ok(());
    }
    let detail = "host: name the host once, as :authority or as host, or equal in both";
    Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid-host", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_must_be_known_and_crlf() {
        let request = || Request::get("/").header(header::HOST, "x").body(()).unwrap();
        assert!(check(&request(), Some(LineEnds::Crlf)).is_ok());
        assert!(check(&request(), Some(LineEnds::BareLf)).is_err());
        assert!(check(&request(), None).is_err());
    }

    fn status(version: Version, headers: &[(&str, &str)]) -> u16 {
        let request = Request::get("/").version(version);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        check(&request.body(()).unwrap(), Some(LineEnds::Crlf)).map_or_else(|error| error.status.as_u16(), |()| 200)
    }

    #[test]
    fn the_host_is_required_once() {
        assert_eq!(status(Version::HTTP_11, &[("host", "x")]), 200);
        assert_eq!(status(Version::HTTP_11, &[]), 400);
        assert_eq!(status(Version::HTTP_11, &[("host", "x"), ("host", "x")]), 400);
        assert_eq!(status(Version::HTTP_10, &[]), 200);
        assert_eq!(status(Version::HTTP_10, &[("host", "x"), ("host", "y")]), 400);
    }

    #[test]
    fn over_http2_the_authority_is_the_host() {
        let status = |uri: &str, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::get(uri), |request, host| request.header(header::HOST, *host));
            check_http2(&request.body(()).unwrap()).map_or_else(|error| error.status.as_u16(), |()| 200)
        };
        assert_eq!(status("http://x:80/recommend", &[]), 200);
        assert_eq!(status("http://x:80/recommend", &["X:80"]), 200);
        assert_eq!(status("/recommend", &["x"]), 200);
        assert_eq!(status("/recommend", &[]), 400);
        assert_eq!(status("http://x/recommend", &["y"]), 400);
        assert_eq!(status("http://x/recommend", &["x", "x"]), 400);
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let coding = |values: &[&str]| {
            let values = values.iter().map(|value| ("transfer-encoding", *value));
            status(Version::HTTP_11, &values.chain([("host", "x")]).collect::<Vec<_>>())
        };
        assert_eq!(coding(&["chunked"]), 200);
        assert_eq!(coding(&["Chunked"]), 200);
        for bad in [&["gzip, chunked"][..], &["gzip", "chunked"], &["chunked, chunked"], &["chunked", "chunked"]] {
            assert_eq!(coding(bad), 501, "{bad:?}");
        }
    }
}
