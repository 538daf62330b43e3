//! The spans of a request through a sidecar of an app, as a collector receives them.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use serde_json::json;

use crate::{
    model::train,
    process::{ClosedPort, PATIENT, recommend, start_proxy_with, start_with, wait_for},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Accepts batches of spans by OTLP over HTTP.
fn collector() -> (String, Arc<Mutex<Vec<Span>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, spans) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(Mutex::new(Vec::new())));
    let received = Arc::clone(&spans);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let batch = receive(stream.unwrap());
            let scopes = batch.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            received.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        }
    });
    (url, spans)
}

fn receive(stream: TcpStream) -> ExportTraceServiceRequest {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).unwrap();
    assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    ExportTraceServiceRequest::decode(body.as_slice()).unwrap()
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = span.attributes.iter();
    attributes.map(|a| (a.key.as_str(), text(a.value.as_ref().unwrap().value.as_ref().unwrap()))).collect()
}

/// Sends a request with a trace.
fn ask(port: u16) {
    let body = json!({"user": "user6", "n": 3}).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "POST /recommend HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         {PATIENT}traceparent: 00-{TRACE}-{PARENT}-01\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_tree_of_spans_across_both_processes() {
    let directory = tempfile::tempdir().unwrap();
    let (url, spans) = collector();
    let model = train(directory.path(), 4).await;
    let pod = start_with(directory.path(), &["--model", model.to_str().unwrap(), "--otlp-endpoint", &url]);
    wait_for("readiness", || pod.is_ready());
    // One pod of two is not there, so that a try may fail.
    let closed = ClosedPort::new();
    let proxy = start_proxy_with(directory.path(), &[pod.port, closed.port], &["--otlp-endpoint", &url]);
    wait_for("an answer of a serving pod", || recommend(proxy.port, 3).0 == 200);
    ask(proxy.port);
    let of_trace = || -> Vec<Span> {
        let spans = spans.lock().unwrap();
        spans.iter().filter(|span| hex::encode(&span.trace_id) == TRACE).cloned().collect()
    };
    let named = |spans: &[Span], name: &str, parent: &str| -> Option<Span> {
        spans.iter().find(|span| span.name == name && hex::encode(&span.parent_span_id) == parent).cloned()
    };
    let outcome = |span: &Span| attributes(span).get("recmesh.outcome").cloned().unwrap_or_default();
    wait_for("the spans", || {
        let spans = of_trace();
        spans.iter().any(|span| span.name == "part") && named(&spans, "answer", PARENT).is_some()
    });
    let spans = of_trace();
    let answer = named(&spans, "answer", PARENT).unwrap();
    assert_eq!(
        (answer.kind, attributes(&answer)["http.response.status_code"].as_str()),
        (SpanKind::Server.into(), "200")
    );
    assert_eq!(attributes(&answer)["http.route"], "/recommend");
    let tries: Vec<&Span> = spans.iter().filter(|span| span.name == "try").collect();
    assert!(tries.iter().all(|span| span.parent_span_id == answer.span_id), "{spans:#?}");
    let [answered] = tries.iter().filter(|span| outcome(span) == "answered").collect::<Vec<_>>()[..] else {
        panic!("one try is answered: {spans:#?}");
    };
    let served = named(&spans, "answer", &hex::encode(&answered.span_id)).unwrap();
    let part = named(&spans, "part", &hex::encode(&served.span_id)).unwrap();
    let revision = attributes(&part)["recmesh.revision"].clone();
    assert_eq!(recommend(pod.port, 3).1["model"]["revision"], json!(revision));
    assert!(!format!("{spans:?}").contains("user6"), "{spans:#?}");
}
