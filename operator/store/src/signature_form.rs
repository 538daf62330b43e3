//! The form of a signature, checked before the protocol library sees the request.
//!
//! Accepted is a signature of version 4 in the `Authorization` header, for the S3 service of the
//! store's region. The library also accepts signatures of version 2, in URLs, and in forms, and
//! those for `sts`; it prefers one in the URL to the header, and reads the bodies of forms and of
//! `sts` before it has checked the signature. No client of this store needs those. Nor does one
//! need a body in signed chunks (`aws-chunked`), of which the library keeps a whole chunk of up to
//! 4 GiB in memory before the store sees any of it. The library's parser of dates panics on some
//! bytes when overflows are checked, so dates are checked here, too.

use http::{HeaderMap, header, request::Parts};
use percent_encoding::percent_decode_str;
use s3s::{S3Error, s3_error};
use sidecar_contract::store::EMBEDDED_REGION;

const ALGORITHM: &str = "AWS4-HMAC-SHA256 ";
const TIME: &str = "x-amz-date";
const CONTENT_HASH: &str = "x-amz-content-sha256";
/// Start of each content hash of a body in signed chunks.
const STREAMING: &str = "STREAMING-";
/// Start of the content type of a form.
const MULTIPART: &str = "multipart/";
/// Parameters of a query that contain a signature of version 2 and 4.
const URL_SIGNATURES: [&str; 2] = ["Signature", "X-Amz-Signature"];

/// Returns the error of a request whose signature has another form than the accepted one.
pub fn check(head: &Parts) -> Result<(), S3Error> {
    let headers = &head.headers;
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !starts(authorization.as_bytes(), ALGORITHM)
        || has_value(headers, header::CONTENT_TYPE.as_str(), MULTIPART)
        || has_signature(head.uri.query().unwrap_or_default())
    {
        return Err(s3_error!(AccessDenied, "expected a request signed by Authorization: AWS4-HMAC-SHA256"));
    }
    // <access key id>/<date>/<region>/<service>/aws4_request
    let scope = authorization.split_once("Credential=").map_or("", |(_, rest)| rest);
    let mut scope = scope.split(',').next().unwrap_or_default().split('/').skip(1);
    let date = scope.next().unwrap_or_default();
    if (scope.next(), scope.next()) != (Some(EMBEDDED_REGION), Some("s3")) {
        return Err(s3_error!(
            AuthorizationHeaderMalformed,
            "expected a signature for region {EMBEDDED_REGION} and service s3"
        ));
    }
    if !has_form(date, "dddddddd") {
        return Err(s3_error!(AuthorizationHeaderMalformed, "expected a credential with a date such as 20260131"));
    }
    if has_value(headers, CONTENT_HASH, STREAMING) {
        return Err(s3_error!(
            NotImplemented,
            "x-amz-content-sha256: expected the hash of the body or UNSIGNED-PAYLOAD; a body in aws-chunked is not supported"
        ));
    }
    let mut times = headers.get_all(TIME).iter();
    if times.any(|time| !time.to_str().is_ok_and(|time| has_form(time, "ddddddddTddddddZ"))) {
        return Err(s3_error!(AccessDenied, "expected x-amz-date with a time such as 20260131T235959Z"));
    }
    Ok(())
}

/// Whether a header has a value that starts so. The library skips values that are not UTF-8 and
/// reads the others, of any character, so the bytes of each value are checked.
fn has_value(headers: &HeaderMap, name: &str, prefix: &str) -> bool {
    headers.get_all(name).iter().any(|value| starts(value.as_bytes(), prefix))
}

fn starts(text: &[u8], prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Whether a query has a parameter that contains a signature.
fn has_signature(query: &str) -> bool {
    query.split('&').any(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        percent_decode_str(name).decode_utf8().is_ok_and(|name| URL_SIGNATURES.contains(&&*name))
    })
}

/// Whether a text has a digit at each `d` of a form, and the form's own bytes elsewhere.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "20260131";
    const TIME_OF_DAY: &str = "20260131T235959Z";

    /// Code of the error of a request with this scope and further headers.
    fn code_of(uri: &str, scope: &str, headers: &[(&str, &[u8])]) -> Option<String> {
        let value = format!("AWS4-HMAC-SHA256 Credential=shop.movies.train/{scope}/aws4_request, SignedHeaders=host");
        let mut request = Request::get(uri).header(header::AUTHORIZATION, value);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head).err().map(|error| error.code().as_str().to_owned())
    }

    fn code(uri: &str, scope: &str, times: &[&[u8]]) -> Option<String> {
        code_of(uri, scope, &times.iter().map(|time| (TIME, *time)).collect::<Vec<_>>())
    }

    /// Code of the error of a request with these values of a header.
    fn of_values(name: &str, values: &[&[u8]]) -> Option<String> {
        let headers: Vec<_> = values.iter().map(|value| (name, *value)).collect();
        code_of("/recmesh", &format!("{DATE}/{EMBEDDED_REGION}/s3"), &headers)
    }

    fn of_time(time: &[u8]) -> Option<String> {
        code("/recmesh/a", &format!("{DATE}/{EMBEDDED_REGION}/s3"), &[time])
    }

    #[test]
    fn the_form_that_clients_use_is_accepted() {
        assert_eq!(of_time(TIME_OF_DAY.as_bytes()), None);
        let scope = format!("{DATE}/{EMBEDDED_REGION}/s3");
        for query in ["list-type=2&prefix=a%2Fb", "uploads", "Signatures=1", "x=X-Amz-Signature", ""] {
            assert_eq!(code(&format!("/recmesh/a?{query}"), &scope, &[]), None, "{query}");
        }
    }

    #[test]
    fn signatures_in_urls_are_refused() {
        let scope = format!("{DATE}/{EMBEDDED_REGION}/s3");
        for query in ["Signature=a", "a=b&X-Amz-Signature=a", "X%2DAmz%2DSignature", "%53ignature="] {
            let code = code(&format!("/recmesh/a?{query}"), &scope, &[TIME_OF_DAY.as_bytes()]);
            assert_eq!(code.as_deref(), Some("AccessDenied"), "{query}");
        }
    }

    #[test]
    fn forms_are_refused_whatever_their_content_type_contains() {
        let of = |types: &[&[u8]]| of_values("content-type", types);
        let form: &[u8] = b"multipart/form-data; boundary=x";
        let quoted: &[u8] = b"Multipart/Form-Data; boundary=x; a=\"\xc3\xa9\"";
        for types in [&[form][..], &[quoted], &[b"\xff", form], &[b"text/plain", form], &[form, b"text/plain"]] {
            assert_eq!(of(types).as_deref(), Some("AccessDenied"), "{types:?}");
        }
        for types in [&[][..], &[&b"application/octet-stream"[..]], &[b"multi"], &[b"\xff"]] {
            assert_eq!(of(types), None, "{types:?}");
        }
    }

    #[test]
    fn bodies_in_signed_chunks_are_refused() {
        let of = |hash: &[u8]| of_values(CONTENT_HASH, &[hash]);
        for hash in ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "streaming-x"] {
            assert_eq!(of(hash.as_bytes()).as_deref(), Some("NotImplemented"), "{hash}");
        }
        assert_eq!((of(b"UNSIGNED-PAYLOAD"), of(b"\xff")), (None, None));
    }

    #[test]
    fn other_scopes_are_refused() {
        for scope in ["20260131/us-east-1/sts", "20260131/eu-west-1/s3", "2026013/us-east-1/s3", "2026/", ""] {
            assert_eq!(code("/", scope, &[]).as_deref(), Some("AuthorizationHeaderMalformed"), "{scope}");
        }
    }

    proptest! {
        #[test]
        fn a_time_with_another_byte_is_refused(at in 0..TIME_OF_DAY.len(), byte in 32_u8..=255) {
            let mut time = TIME_OF_DAY.as_bytes().to_vec();
            time[at] = byte;
            let valid = byte == TIME_OF_DAY.as_bytes()[at] || (byte.is_ascii_digit() && !matches!(at, 8 | 15));
            prop_assume!(byte != 127);
            prop_assert_eq!(of_time(&time).is_none(), valid);
        }

        #[test]
        fn a_date_with_another_character_is_refused(at in 0..DATE.len(), character in "[!-~--[,/]]") {
            let mut date = DATE.to_owned();
            date.replace_range(at..=at, &character);
            let code = code("/", &format!("{date}/{EMBEDDED_REGION}/s3"), &[]);
            prop_assert_eq!(code.is_none(), character.as_bytes()[0].is_ascii_digit());
        }
    }

    #[test]
    fn each_of_several_times_is_checked() {
        let scope = format!("{DATE}/{EMBEDDED_REGION}/s3");
        assert!(code("/", &scope, &[TIME_OF_DAY.as_bytes(), b"2026!131T235959Z"]).is_some());
    }
}
