//! Requests whose body ends early or is sent slowly, on a connection in memory with a paused clock.

use std::{path::Path, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use recommender_store::{
    access::{DerivedKeys, Policy},
    disk::Disk,
    front::Front,
    limits::{TRANSFER_BYTES_PER_SECOND_MIN, TRANSFER_PAUSE_MAX, XML_BYTES_MAX},
    metrics::Metrics,
    protocol::Protocol,
};
use s3s::service::S3ServiceBuilder;
use sidecar_contract::credentials::{AccessKeyId, Role};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    time::{Duration, Instant},
};

use crate::{
    connection::signed,
    process::{INSTALLATION, ROOT},
};

/// Client's end of a connection.
fn connect(directory: &Path) -> DuplexStream {
    let metrics = Metrics::new().unwrap();
    let disk = Arc::new(Disk::open(&directory.join("data")).unwrap());
    let mut builder = S3ServiceBuilder::new(Protocol::new(disk, metrics.clone()));
    builder.set_auth(DerivedKeys::new(ROOT.to_vec()));
    builder.set_access(Policy::new(INSTALLATION.to_owned()));
    let front = Front::new(builder.build(), metrics);
    let (client, server) = tokio::io::duplex(1 << 16);
    let service = service_fn(move |request| front.clone().handle(request));
    let mut http = http1::Builder::new();
    let connection = http.timer(TokioTimer::new()).half_close(true).serve_connection(TokioIo::new(server), service);
    tokio::spawn(async move { connection.await.unwrap() });
    client
}

/// A request of each kind that has a body.
fn requests() -> [(&'static str, String); 2] {
    let id = |role| AccessKeyId { namespace: "shop".into(), name: "movies".into(), role };
    let path = format!("/recmesh/{INSTALLATION}/shop/movies/a");
    let length = format!("content-length: {XML_BYTES_MAX}\r\n");
    [
        ("an object", signed("PUT", &path, "", &id(Role::Train), &length)),
        ("XML", signed("POST", "/recmesh", "delete=", &id(Role::Operator), &length)),
    ]
}

#[tokio::test]
async fn a_truncated_body_is_an_error_of_the_client() {
    for (what, request) in requests() {
        let directory = tempfile::tempdir().unwrap();
        let mut client = connect(directory.path());
        client.write_all(request.as_bytes()).await.unwrap();
        client.write_all(b"<Delete><Object><Key>").await.unwrap();
        client.shutdown().await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 400 "), "{what}: {response}");
        assert!(response.contains("<Code>IncompleteBody</Code>"), "{what}: {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_bounded_in_time() {
    let body_time_max = TRANSFER_PAUSE_MAX + Duration::from_secs(XML_BYTES_MAX as u64 / TRANSFER_BYTES_PER_SECOND_MIN);
    for (what, request) in requests() {
        for piece in [1, 8 << 10] {
            let directory = tempfile::tempdir().unwrap();
            let (mut reader, mut writer) = tokio::io::split(connect(directory.path()));
            writer.write_all(request.as_bytes()).await.unwrap();
            let begin = Instant::now();
            let slow = tokio::spawn(async move {
                while writer.write_all(&vec![b' '; piece]).await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let mut response = String::new();
            reader.read_to_string(&mut response).await.unwrap();
            assert!(response.starts_with("HTTP/1.1 400 "), "{what}: {response}");
            assert!(response.contains("<Code>RequestTimeout</Code>"), "{what}: {response}");
            assert!(begin.elapsed() < body_time_max, "{what}: {:?}", begin.elapsed());
            slow.abort();
        }
    }
}
