//! Requests as clients and proxies in use send them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use recommender_sidecar::limits::BODY_BYTES_MAX;

use crate::{
    http::{FORM, JSON, Server, send, server},
    process::{start_with, wait_for},
    sockets::{read_all, status},
};

/// Method, path, content type, body, expected status, and what the error contains.
type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a str);

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

async fn send_with(server: &Server, headers: &[(&str, &str)], body: Vec<u8>) -> (StatusCode, String) {
    let request = Request::post("/recommend").header(header::CONTENT_TYPE, JSON);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = server.api.handle(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_bodies_are_read_within_the_limit_of_a_body() {
    let server = server().await;
    let body = br#"{"user": "user6", "n": 3}"#;
    for encoding in ["gzip", "x-gzip", "GZIP"] {
        let (status, text) = send_with(&server, &[("content-encoding", encoding)], gzip(body)).await;
        assert_eq!(status, StatusCode::OK, "{text}");
    }
    let (status, _) = send_with(&server, &[("content-encoding", "identity")], body.to_vec()).await;
    assert_eq!(status, StatusCode::OK);
    // Members follow each other (RFC 1952, 2.2).
    let (first, rest) = body.split_at(7);
    let (status, text) = send_with(&server, &[("content-encoding", "gzip")], [gzip(first), gzip(rest)].concat()).await;
    assert_eq!(status, StatusCode::OK, "{text}");

    let bomb = gzip(&vec![b' '; BODY_BYTES_MAX + 1]);
    assert!(bomb.len() < 4096);
    for (encoding, body, expected, detail) in [
        ("gzip", bomb, StatusCode::PAYLOAD_TOO_LARGE, "more than 1048576 bytes"),
        ("gzip", body.to_vec(), StatusCode::BAD_REQUEST, "not gzip, which content-encoding states"),
        ("gzip", gzip(body)[..20].to_vec(), StatusCode::BAD_REQUEST, "not gzip"),
        ("br", body.to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding: br; send gzip, or no encoding"),
        ("gzip, gzip", body.to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "send gzip, or no encoding"),
    ] {
        let (status, text) = send_with(&server, &[("content-encoding", encoding)], body).await;
        assert!(status == expected && text.contains(detail), "{encoding}: {status} {text}");
    }
    let twice = [("content-encoding", "gzip"), ("content-encoding", "gzip")];
    assert_eq!(send_with(&server, &twice, gzip(body)).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_of_a_request_work_or_name_the_fix() {
    let server = server().await;
    let user: &[u8] = br#"{"user": "user6"}"#;
    let marked = [b"\xef\xbb\xbf", user].concat();
    let cases: [Case<'_>; 10] = [
        ("POST", "/recommend%3Abatch", JSON, br#"{"requests": [{"user": "user6"}]}"#, 200, ""),
        ("POST", "/recommend", JSON, &marked, 200, ""),
        ("POST", "/recommend?", JSON, user, 200, ""),
        ("GET", "/model?verbose=1", JSON, b"", 200, ""),
        ("POST", "/recommend?n=3", FORM, b"user_id=1", 400, "send all fields in the body"),
        ("POST", "/recommend", FORM, user, 415, "send content-type: application/json"),
        ("POST", "/recommend", FORM, b"user_id=1&user_id=2", 400, "send it once"),
        ("POST", "/recommend", JSON, br#"{"user": "a", "user": "b"}"#, 400, "duplicate field `user`"),
        ("POST", "/recommend", FORM, b"items=Salt,%20Pepper&ratings=5", 400, "requires application/json"),
        ("POST", "/recommend", JSON, b"\xff\xfe{\0}\0", 400, "send UTF-8"),
    ];
    for (method, path, content_type, body, expected, fix) in cases {
        let (status, _, answer) = send(&server.api, method, path, content_type, body).await;
        assert_eq!(status.as_u16(), expected, "{path}: {answer}");
        assert!(answer["detail"].as_str().unwrap_or_default().contains(fix), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_name_the_methods_and_permit_no_other_origin() {
    let server = server().await;
    for (path, allowed) in [
        ("/recommend", "POST, OPTIONS"),
        ("/recommend:batch", "POST, OPTIONS"),
        ("/model", "GET, HEAD, OPTIONS"),
        ("*", "GET, HEAD, POST, OPTIONS"),
    ] {
        let preflight = Request::options(path)
            .header(header::ORIGIN, "https://shop.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
        let response = server.api.handle(preflight.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(response.headers()[header::ALLOW], allowed, "{path}");
        let has_cors = |headers: &HeaderMap| headers.keys().any(|name| name.as_str().starts_with("access-control-"));
        assert!(!has_cors(response.headers()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_headers_of_get_and_no_body() {
    let directory = tempfile::tempdir().unwrap();
    let model = crate::model::train(directory.path(), 3).await;
    let process = start_with(directory.path(), &["--model", model.to_str().unwrap()]);
    wait_for("readiness", || process.is_ready());
    for (path, expected) in [("/model", 200), ("/openapi.json", 200), ("/recommend", 405), ("/nothing", 404)] {
        let ask = |method: &str| {
            let mut stream = process.connect();
            write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nx-request-id: 1\r\nconnection: close\r\n\r\n")
                .unwrap();
            read_all(&mut stream)
        };
        let head = ask("HEAD");
        assert_eq!(status(&head), expected, "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        if expected == 200 {
            let get = ask("GET");
            let length = |text: &str| text.lines().find(|line| line.starts_with("content-length: ")).map(str::to_owned);
            assert!(length(&head).is_some() && length(&head) == length(&get), "{head}");
        }
    }
}
