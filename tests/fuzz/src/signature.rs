//! Signatures of S3 requests, version 4, with the secrets that the store derives. A fuzzer cannot
//! guess one, so everything behind the check of the signature would stay unreached.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sidecar_contract::{
    credentials::{AccessKeyId, derive_secret},
    store::EMBEDDED_REGION,
};

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
/// Covered by the signature, in alphabetical order.
const SIGNED: [HeaderName; 3] = [header::HOST, CONTENT_SHA256, DATE];

/// Signs a request as the holder of this access key, at the present time. The request keeps its
/// own hash of the body.
pub fn sign<B>(request: &mut Request<B>, id: &AccessKeyId, root_key: &[u8]) {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let (date, _) = now.split_once('T').unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(DATE, HeaderValue::from_str(&now).expect("digits and letters"));
    headers.entry(CONTENT_SHA256).or_insert(HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    let scope = format!("{date}/{EMBEDDED_REGION}/s3/aws4_request");
    let canonical = Sha256::digest(canonical_request(request));
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex::encode(canonical));
    let secret = format!("AWS4{}", derive_secret(root_key, id));
    let parts = [date, EMBEDDED_REGION, "s3", "aws4_request", &text];
    let signature = parts.iter().fold(secret.into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={}, Signature={}",
        SIGNED.map(|name| name.to_string()).join(";"),
        hex::encode(signature)
    );
    let value = HeaderValue::from_str(&authorization).expect("names, digits and punctuation");
    request.headers_mut().insert(header::AUTHORIZATION, value);
}

fn canonical_request<B>(request: &Request<B>) -> String {
    let uri = request.uri();
    let mut query: Vec<(String, String)> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .map(|(name, value)| (encoded(name.as_bytes(), false), encoded(value.as_bytes(), false)))
        .collect();
    query.sort_by(|(a, _), (b, _)| a.cmp(b));
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers: String =
        SIGNED.iter().map(|name| format!("{name}:{}\n", value(request.headers(), name).trim())).collect();
    [
        request.method().as_str(),
        &encoded(&decoded(uri.path()), true),
        &query.join("&"),
        &headers,
        &SIGNED.map(|name| name.to_string()).join(";"),
        value(request.headers(), &CONTENT_SHA256),
    ]
    .join("\n")
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The bytes of a path without its escapes.
fn decoded(path: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).and_then(|digits| hex::decode(digits).ok()).filter(|_| *first == b'%');
        bytes.push(escaped.as_ref().and_then(|bytes| bytes.first()).copied().unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes
}

/// The text with every byte escaped that is not a letter, a digit or one of `-_.~`, or a slash of a
/// path.
fn encoded(text: &[u8], is_path: bool) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || (is_path && byte == b'/');
    let encode = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    text.iter().map(encode).collect()
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}
