//! Rejected requests with their errors, and the table of them in `docs/bad-requests.md`, which this
//! test checks and, with `UPDATE_EXPECT=1`, writes.

use std::{fmt::Write as _, path::Path, sync::Arc};

use http::header;
use recommender_sidecar::{api::Api, engine::Engine, limits::BODY_BYTES_MAX, metrics::Metrics};

use crate::http::{FORM, JSON, send, server};

const HEAD: &str = "# Bad requests

Requests that the serving port rejects, with the errors. Each error is a problem document (RFC 9457) of type
`application/problem+json` with `type`, `title`, `status`, `detail` and `requestId`; `type` is `urn:recmesh:problem:` and the
word below. A response with status 503 has a `Retry-After` header. A test generates this table from real responses.

Invalid HTTP (a head that is malformed, longer than 16 KiB or of more than 100 headers) gets status 400 or 431 without a
document, because there is no request yet. Lines end with CRLF and `Host` is required exactly once (400); `chunked` is the
only transfer coding (501). A response to a request whose body was not read to its end closes the connection. A body must
arrive within 5 seconds and one more for each 16 KiB of it (408).

| request | status | type | detail |
|---|---|---|---|
";

/// One bad request; a long body has a description instead.
struct Bad {
    method: &'static str,
    path: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    description: Option<&'static str>,
    status: u16,
}

fn bad(path: &'static str, content_type: &'static str, body: impl Into<Vec<u8>>, status: u16) -> Bad {
    Bad { method: "POST", path, content_type, body: body.into(), description: None, status }
}

fn described(description: &'static str, bad: Bad) -> Bad {
    Bad { description: Some(description), ..bad }
}

fn cases() -> Vec<Bad> {
    let recommend = |body: &str| bad("/recommend", JSON, body, 400);
    let form = |body: &str| bad("/recommend", FORM, body, 400);
    let batch = |body: &str| bad("/recommend:batch", JSON, body, 400);
    let similar = |body: &str| bad("/similar", JSON, body, 400);
    let many = |one: &str, count: usize| vec![one; count].join(",");
    vec![
        recommend(""),
        recommend("{\"user\": "),
        recommend("[1]"),
        recommend("\"user\""),
        described("bytes that are not UTF-8", bad("/recommend", JSON, b"\xc3\x28", 400)),
        recommend("{} {}"),
        recommend("{}"),
        recommend("{\"user\": null}"),
        recommend("{\"history\": []}"),
        recommend("{\"user\": \"a\", \"count\": 3}"),
        recommend("{\"user_id\": \"a\"}"),
        recommend("{\"user\": true}"),
        recommend("{\"user\": 1.5}"),
        recommend("{\"user\": [\"a\"]}"),
        recommend("{\"user\": \"\"}"),
        described("a user of 2000 bytes", recommend(&format!("{{\"user\": \"{}\"}}", "x".repeat(2000)))),
        recommend("{\"user\": \"a\", \"n\": 0}"),
        recommend("{\"user\": \"a\", \"n\": -1}"),
        recommend("{\"user\": \"a\", \"n\": 1001}"),
        recommend("{\"user\": \"a\", \"n\": 1.5}"),
        recommend("{\"user\": \"a\", \"n\": \"3\"}"),
        recommend("{\"user\": \"a\", \"n\": null}"),
        recommend("{\"history\": \"a\"}"),
        recommend("{\"history\": [\"a\"]}"),
        recommend("{\"history\": [{\"rating\": 3}]}"),
        recommend("{\"history\": [{\"item\": \"a\", \"rating\": 1e300}]}"),
        recommend("{\"history\": [{\"item\": \"a\", \"rating\": \"5\"}]}"),
        recommend("{\"history\": [{\"item\": \"a\", \"stars\": 5}]}"),
        recommend("{\"history\": [{\"item\": \"\"}]}"),
        described(
            "a history of 1001 rows",
            recommend(&format!("{{\"history\": [{}]}}", many("{\"item\": \"a\"}", 1001))),
        ),
        recommend("{\"user\": \"a\", \"exclude\": \"b\"}"),
        recommend("{\"user\": \"a\", \"exclude\": [{}]}"),
        described(
            "1001 excluded items",
            recommend(&format!("{{\"user\": \"a\", \"exclude\": [{}]}}", many("\"i\"", 1001))),
        ),
        recommend("{\"user\": \"a\", \"includeSeen\": \"yes\"}"),
        recommend("{\"user\": \"a\", \"explain\": 3}"),
        recommend("{\"user\": \"a\", \"n\": 101, \"explain\": true}"),
        recommend("{\"user\": \"a\", \"where\": [\"comedy\"]}"),
        recommend("{\"user\": \"a\", \"where\": {\"genre\": \"comedy\"}}"),
        recommend("{\"user\": \"a\", \"where\": {\"genre\": []}}"),
        recommend("{\"user\": \"a\", \"where\": {\"price\": {\"below\": 50}}}"),
        recommend("{\"user\": \"a\", \"where\": {\"genre\": [\"comedy\"]}}"),
        recommend("{\"user\": \"a\", \"cursor\": \"2\"}"),
        recommend("{\"user\": \"a\", \"cursor\": \"*\", \"candidates\": [\"b\"]}"),
        described("1001 candidates", recommend(&format!("{{\"user\": \"a\", \"candidates\": [{}]}}", many("1", 1001)))),
        form(""),
        form("items="),
        form("user_id="),
        form("user_id=1&items=a,b&ratings=5"),
        form("user_id=1&ratings=5"),
        form("user_id=1&items=a&ratings=NaN"),
        form("user_id=1&items=a&ratings=good"),
        form("user_id=1&items=a,,b"),
        form("user_id=1&user_id=2"),
        form("user_id=%ff"),
        form("user=1"),
        form("user_id=1&explain=true"),
        form("user_id=1&n=ten"),
        form("user_id=1&n=0"),
        described("1001 items in a form", form(&format!("user_id=1&items={}", many("a", 1001)))),
        batch("{}"),
        batch("{\"requests\": {}}"),
        batch("{\"requests\": []}"),
        batch("{\"requests\": [1]}"),
        batch("{\"requests\": [{\"user\": \"a\"}], \"n\": 3}"),
        batch("{\"requests\": [{\"user\": \"a\"}, {\"n\": 1}]}"),
        described("a batch of 101 requests", batch(&format!("{{\"requests\": [{}]}}", many("{\"user\": \"a\"}", 101)))),
        described(
            "a batch of 60 requests with `n` 1000",
            batch(&format!("{{\"requests\": [{}]}}", many("{\"user\": \"a\", \"n\": 1000}", 60))),
        ),
        similar("{}"),
        similar("{\"item\": {}}"),
        similar("{\"item\": \"item1\", \"n\": 0}"),
        similar("{\"item\": \"item1\", \"user\": \"a\"}"),
        bad("/similar", JSON, "{\"item\": \"no such\"}", 404),
        bad("/similar", FORM, "item=1", 415),
        bad("/recommend", FORM, "{\"user\": \"a\"}", 415),
        bad("/recommend?n=3", FORM, "user_id=1", 400),
        described("a body in UTF-16", bad("/recommend", JSON, b"\xff\xfe{\0}\0", 400)),
        bad("/recommend", "text/plain", "user", 415),
        bad("/recommend", "multipart/form-data", "user", 415),
        described("a body of 1 MiB and a byte", bad("/recommend", JSON, vec![b' '; BODY_BYTES_MAX + 1], 413)),
        Bad { method: "GET", ..bad("/recommend", JSON, "", 405) },
        Bad { method: "DELETE", ..bad("/similar", JSON, "", 405) },
        bad("/model", JSON, "", 405),
        Bad { method: "GET", ..bad("/nothing", JSON, "", 404) },
        Bad { method: "GET", ..bad("/recommend/", JSON, "", 404) },
    ]
}

fn table_row(case: &Bad, problem: &serde_json::Value, note: &str) -> String {
    let is_form = case.content_type == FORM;
    let body = match (case.description, String::from_utf8_lossy(&case.body)) {
        (Some(description), ..) => description.to_owned(),
        (None, body) if body.is_empty() => {
            if case.method == "POST" {
                "no body".to_owned()
            } else {
                String::new()
            }
        }
        (None, body) => format!("`{body}`"),
    };
    let content_type = if [JSON, FORM].contains(&case.content_type) { "" } else { case.content_type };
    let endpoint = format!("{} {}", case.method, case.path);
    let request: Vec<&str> = [endpoint.as_str(), if is_form { "form" } else { content_type }, &body, note]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    let request = request.join(" ");
    let word = problem["type"].as_str().unwrap().strip_prefix("urn:recmesh:problem:").unwrap();
    let detail = problem["detail"].as_str().unwrap().replace('|', "\\|");
    format!("| {request} | {} | {word} | {detail} |\n", problem["status"])
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_rejected_as_documented() {
    let server = server().await;
    let mut text = HEAD.to_owned();
    let cases = cases();
    assert!(cases.len() >= 40);
    for case in &cases {
        let (status, headers, problem) = send(&server.api, case.method, case.path, case.content_type, &case.body).await;
        assert!(problem["type"].is_string(), "{} is not rejected: {problem}", String::from_utf8_lossy(&case.body));
        let line = table_row(case, &problem, "");
        assert_eq!(status.as_u16(), case.status, "{line}");
        assert_eq!(problem["status"], case.status, "{line}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json", "{line}");
        assert_eq!(headers.contains_key(header::ALLOW), case.status == 405, "{line}");
        text.write_str(&line).unwrap();
    }
    let empty = Api::new(Arc::new(Engine::default()), Arc::new(Metrics::new().unwrap()));
    let early = bad("/recommend", JSON, "{\"user\": \"a\"}", 503);
    let (status, headers, problem) = send(&empty, early.method, early.path, early.content_type, &early.body).await;
    assert_eq!((status.as_u16(), &headers[header::RETRY_AFTER]), (503, &header::HeaderValue::from_static("1")));
    text.write_str(&table_row(&early, &problem, "before the first model")).unwrap();

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bad-requests.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == text, "docs/bad-requests.md is stale: run this test with UPDATE_EXPECT=1");
}
