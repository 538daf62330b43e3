//! Timeouts of connections, with a paused clock that advances when all tasks wait.

use std::time::Duration;

use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self as client_http2, SendRequest};
use hyper_util::rt::TokioExecutor;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::limits::{
    AGED_REQUESTS_MAX, HTTP2_CHECK_INTERVAL, HTTP2_WINDOW_BYTES, IDLE_TIMEOUT, LINGER_BYTES_MAX, LINGER_TIMEOUT,
    WRITE_BYTES_PER_SECOND_MIN, WRITE_TIMEOUT,
};

const REQUEST: &[u8] = b"GET /path HTTP/1.1\r\nhost: x\r\n\r\n";

/// Maximum number of active streams.
const STREAMS_MAX: usize = 100;

/// The server's end of a connection.
struct Server {
    drain: watch::Sender<bool>,
    _stop: watch::Sender<bool>,
    _graceful: GracefulShutdown,
}

fn counter() -> IntCounter {
    IntCounter::new("connections", "For the test.").unwrap()
}

/// The client's end of a connection. The server responds with the request's path and
/// `padding_bytes` more bytes. It reads the body of PUT first, and no other.
fn connect(pipe_bytes: usize, padding_bytes: usize) -> (DuplexStream, Server) {
    connect_to(&Arc::new(ConnectionLimiter::new(1, Arc::default(), counter())), pipe_bytes, padding_bytes)
}

/// The same with a limiter of HTTP/2 connections.
fn connect_to(
    http2_limiter: &Arc<ConnectionLimiter>,
    pipe_bytes: usize,
    padding_bytes: usize,
) -> (DuplexStream, Server) {
    let (client, server) = duplex(pipe_bytes);
    let (drain, draining) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let signals = ShutdownSignals { draining, stopped };
    let slot = Arc::new(ConnectionLimiter::new(1, Arc::default(), counter())).acquire().unwrap();
    let handler = move |request: Request<RequestBody>| async move {
        let mut body = request.uri().path().as_bytes().to_vec();
        if request.method() == Method::PUT {
            let _ = request.into_body().collect().await;
        }
        body.resize(body.len() + padding_bytes, b'.');
        Ok(Response::new(Full::new(Bytes::from(body))))
    };
    let graceful = GracefulShutdown::new();
    let http2_slots = Http2Slots {
        limiter: Arc::clone(http2_limiter),
        beyond: counter(),
        streams: StreamSlots::new(STREAMS_MAX, 0, counter()),
    };
    tokio::spawn(serve_connection(server, slot, http2_slots, graceful.watcher(), signals, handler));
    (client, Server { drain, _stop: stop, _graceful: graceful })
}

async fn read_response(client: &mut DuplexStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"/path") {
        let mut piece = [0; 1024];
        let length = client.read(&mut piece).await.unwrap();
        assert!(length > 0, "closed after {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(read).unwrap()
}

/// Reads until the server closes the connection, and returns how long that took.
async fn closed_after(client: &mut DuplexStream) -> Duration {
    let begin = Instant::now();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    // Timers have a resolution of 1 ms.
    begin.elapsed().checked_sub(Duration::from_millis(1)).unwrap_or_default()
}

fn assert_near(found: Duration, expected: Duration) {
    let margin = Duration::from_millis(20);
    assert!(found + margin > expected && found < expected + margin, "{found:?}, expected {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_closes_after_the_header_timeout() {
    let (mut client, _server) = connect(1024, 0);
    assert_near(closed_after(&mut client).await, HEADER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn the_header_timeout_covers_the_whole_head() {
    let (client, _server) = connect(1024, 0);
    let (mut read, mut write) = tokio::io::split(client);
    let begin = Instant::now();
    let slow_writer = tokio::spawn(async move {
        for byte in REQUEST.iter().cycle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    read.read_to_end(&mut Vec::new()).await.unwrap();
    assert_near(begin.elapsed(), HEADER_TIMEOUT);
    drop(read);
    slow_writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_after_the_idle_timeout_and_a_started_head_after_its_own() {
    let (mut client, _server) = connect(1024, 0);
    client.write_all(REQUEST).await.unwrap();
    read_response(&mut client).await;
    tokio::time::sleep(IDLE_TIMEOUT / 2).await;
    client.write_all(REQUEST).await.unwrap();
    read_response(&mut client).await;
    assert_near(closed_after(&mut client).await, IDLE_TIMEOUT);

    let (mut client, _server) = connect(1024, 0);
    client.write_all(REQUEST).await.unwrap();
    read_response(&mut client).await;
    tokio::time::sleep(HEADER_TIMEOUT * 2).await;
    client.write_all(&REQUEST[..5]).await.unwrap();
    assert_near(closed_after(&mut client).await, HEADER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_the_response_is_disconnected() {
    let (mut client, _server) = connect(1024, 1 << 20);
    client.write_all(REQUEST).await.unwrap();
    let begin = Instant::now();
    // Reading single bytes does not extend the timeout.
    while client.read_u8().await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if begin.elapsed() > WRITE_TIMEOUT + Duration::from_secs(2) {
            break;
        }
    }
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 4096, "{} more bytes were received", rest.len());
}

#[tokio::test(start_paused = true)]
async fn a_long_response_is_not_cut_while_its_client_reads_it() {
    let response_bytes = 4 << 20;
    let (mut client, _server) = connect(64 << 10, response_bytes);
    client.write_all(REQUEST).await.unwrap();
    let begin = Instant::now();
    let (mut received, mut piece) = (0, vec![0; 64 << 10]);
    while received < response_bytes {
        tokio::time::sleep(Duration::from_secs(2)).await;
        client.read_exact(&mut piece).await.unwrap();
        received += piece.len();
    }
    assert!(begin.elapsed() > WRITE_TIMEOUT * 3);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_and_draining_closes_the_connection() {
    let (mut client, server) = connect(1 << 16, 0);
    let requests: Vec<String> = (0..100).map(|i| format!("GET /{i} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
    client.write_all(requests.concat().as_bytes()).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    let text = read_response(&mut client).await;
    let bodies: Vec<String> =
        text.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP").next().unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..100).map(|i| format!("/{i}")).chain(["/path".to_owned()]).collect();
    assert_eq!(bodies, expected);
    server.drain.send_replace(true);
    client.write_all(REQUEST).await.unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    assert!(response.contains("connection: close") && response.ends_with("/path"), "{response}");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_after_a_refusal_is_discarded_within_bounds() {
    let refused = |length| format!("POST /path HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    // The handler responds without reading the body, and the client sends it nevertheless.
    let (mut client, _server) = connect(1024, 0);
    client.write_all(refused(LINGER_BYTES_MAX).as_bytes()).await.unwrap();
    let response = read_response(&mut client).await;
    assert!(response.contains("connection: close"), "{response}");
    client.write_all(&vec![b' '; LINGER_BYTES_MAX]).await.unwrap();
    assert_near(closed_after(&mut client).await, Duration::ZERO);

    // An endless body ends at the limit.
    let (mut client, _server) = connect(1024, 0);
    client.write_all(refused(usize::MAX >> 1).as_bytes()).await.unwrap();
    read_response(&mut client).await;
    let mut sent = 0;
    while client.write_all(&[b' '; 1024]).await.is_ok() {
        sent += 1024;
    }
    assert!((LINGER_BYTES_MAX..2 * LINGER_BYTES_MAX).contains(&sent), "{sent}");

    // A client that neither sends nor closes is closed by the timeout.
    let (mut client, _server) = connect(1024, 0);
    client.write_all(refused(1).as_bytes()).await.unwrap();
    read_response(&mut client).await;
    let begin = Instant::now();
    while client.write_all(b" ").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begin.elapsed() < LINGER_TIMEOUT * 2, "{:?}", begin.elapsed());
}

/// An HTTP/2 client of a public library.
async fn http2_client(client: DuplexStream) -> (SendRequest<Full<Bytes>>, JoinHandle<Result<(), hyper::Error>>) {
    let mut builder = client_http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(HTTP2_WINDOW_BYTES).initial_connection_window_size(HTTP2_WINDOW_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn http2_request(number: usize) -> Request<Full<Bytes>> {
    Request::get(format!("http://x/{number}")).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn concurrent_http2_requests_are_answered_and_draining_ends_the_connection() {
    let (client, server) = connect(1 << 16, 0);
    let (mut sender, connection) = http2_client(client).await;
    let responses: Vec<_> = (0..300).map(|number| sender.send_request(http2_request(number))).collect();
    for (number, response) in responses.into_iter().enumerate() {
        let response = response.await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("/{number}"));
    }
    server.drain.send_replace(true);
    connection.await.unwrap().unwrap();
    assert!(sender.send_request(http2_request(0)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_response_to_head_over_http2_has_the_length_and_no_body() {
    let (client, _server) = connect(1 << 16, 5);
    let (mut sender, _connection) = http2_client(client).await;
    let mut request = http2_request(1);
    *request.method_mut() = Method::HEAD;
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "7");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
    assert_eq!(sender.send_request(http2_request(2)).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_limit_of_streams_get_503_without_a_body() {
    let (client, server) = duplex(1 << 16);
    let (_drain, draining) = watch::channel(false);
    let (_stop, stopped) = watch::channel(false);
    let handler = |_: Request<RequestBody>| async { Ok(Response::new(Full::new(Bytes::from(vec![b'.'; 1 << 20])))) };
    let streams = Streams::new(&Phase::new(), StreamSlots::new(2, 0, counter()));
    let signals = ShutdownSignals { draining, stopped };
    tokio::spawn(http2::serve(server, streams, Bounds::default(), signals, handler));
    let (mut sender, _connection) = http2_client(client).await;
    // The bodies are neither read nor dropped, so that the streams stay active.
    let mut unread = Vec::new();
    for number in 0..2 {
        unread.push(sender.send_request(http2_request(number)).await.unwrap());
    }
    assert!(unread.iter().all(|response| response.status() == 200));
    let refused = sender.send_request(http2_request(2)).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    assert!(refused.into_body().is_end_stream());
    unread.clear();
    // A stream has ended when the server has received the reset.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sender.send_request(http2_request(0)).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_new_http2_connection_takes_the_place_of_an_idle_one() {
    let limiter = Arc::new(ConnectionLimiter::new(1, Arc::default(), counter()));
    let (client, _server) = connect_to(&limiter, 1 << 16, 0);
    let (mut sender, connection) = http2_client(client).await;
    sender.send_request(http2_request(1)).await.unwrap().into_body().collect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (client, _other) = connect_to(&limiter, 1 << 16, 0);
    let (mut other, _connection) = http2_client(client).await;
    assert_eq!(other.send_request(http2_request(2)).await.unwrap().status(), 200);
    let begin = Instant::now();
    let _ = connection.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

/// The beginning of an HTTP/2 connection with requests whose bodies never end.
fn endless_bodies(streams: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in streams {
        // HEADERS without the end of the stream: PUT http://x/ as HPACK.
        let fields = b"\x02\x03PUT\x86\x84\x01\x01x";
        bytes.extend([0, 0, u8::try_from(fields.len()).unwrap(), 1, 4, 0, 0, 0, *stream]);
        bytes.extend(fields);
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_new_http2_connection_takes_the_place_of_one_whose_bodies_do_not_arrive() {
    let limiter = Arc::new(ConnectionLimiter::new(1, Arc::default(), counter()));
    let (mut slow, _server) = connect_to(&limiter, 1 << 16, 0);
    slow.write_all(&endless_bodies(&[1, 3])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (client, _other) = connect_to(&limiter, 1 << 16, 0);
    let (mut other, _connection) = http2_client(client).await;
    assert_eq!(other.send_request(http2_request(2)).await.unwrap().status(), 200);
    assert_near(closed_after(&mut slow).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_new_http2_connection_takes_the_place_of_one_that_should_have_read_its_responses() {
    let limiter = Arc::new(ConnectionLimiter::new(1, Arc::default(), counter()));
    // At the minimum rate a client reads for ten seconds.
    let (client, _server) = connect_to(&limiter, 1 << 16, 10 * WRITE_BYTES_PER_SECOND_MIN);
    let (mut sender, connection) = http2_client(client).await;
    let _unread = sender.send_request(http2_request(1)).await.unwrap();
    for (wait, is_answered) in [(9, false), (2, true)] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let (client, _other) = connect_to(&limiter, 1 << 16, 0);
        let (mut other, _connection) = http2_client(client).await;
        assert_eq!(other.send_request(http2_request(2)).await.is_ok(), is_answered, "after {wait} s");
    }
    let begin = Instant::now();
    let _ = connection.await.unwrap();
    assert_near(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_acknowledge_the_end_of_a_connection_is_disconnected() {
    let (mut client, server) = duplex(1 << 16);
    let (_drain, draining) = watch::channel(false);
    let (_stop, stopped) = watch::channel(false);
    let handler = |_: Request<RequestBody>| async { Ok(Response::new(Full::default())) };
    let age = Duration::from_secs(5);
    let bounds = Bounds { until: Some(Instant::now() + age), caller: None };
    let streams = Streams::new(&Phase::new(), StreamSlots::new(STREAMS_MAX, 0, counter()));
    tokio::spawn(http2::serve(server, streams, bounds, ShutdownSignals { draining, stopped }, handler));
    // The preface and empty settings; nothing is acknowledged after it.
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let begin = Instant::now();
    let _ = client.read_to_end(&mut Vec::new()).await;
    assert_near(begin.elapsed(), age + AGED_REQUESTS_MAX);
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_closes_after_the_idle_timeout() {
    let (client, _server) = connect(1 << 16, 0);
    let (mut sender, connection) = http2_client(client).await;
    sender.send_request(http2_request(1)).await.unwrap().into_body().collect().await.unwrap();
    let begin = Instant::now();
    let _ = connection.await.unwrap();
    let closed = begin.elapsed();
    assert!(closed >= IDLE_TIMEOUT && closed <= IDLE_TIMEOUT + 2 * HTTP2_CHECK_INTERVAL, "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_does_not_read_a_response_is_disconnected() {
    let response_bytes = 1 << 20;
    let (client, _server) = connect(1 << 16, response_bytes);
    let (mut sender, connection) = http2_client(client).await;
    // The body is neither read nor dropped, so the window of its stream stays closed.
    let _unread = sender.send_request(http2_request(1)).await.unwrap();
    let begin = Instant::now();
    let _ = connection.await.unwrap();
    let limit =
        WRITE_TIMEOUT + Duration::from_secs(u64::try_from(response_bytes / WRITE_BYTES_PER_SECOND_MIN).unwrap());
    let closed = begin.elapsed();
    assert!(closed + HTTP2_CHECK_INTERVAL >= limit && closed <= limit + 2 * HTTP2_CHECK_INTERVAL, "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_part_of_the_preface_has_the_timeout_of_a_head() {
    let (mut client, _server) = connect(1024, 0);
    client.write_all(b"PRI * HT").await.unwrap();
    assert_near(closed_after(&mut client).await, HEADER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn http2_headers_and_connections_are_limited() {
    let (client, _server) = connect(1 << 16, 0);
    let (mut sender, _connection) = http2_client(client).await;
    let mut request = http2_request(1);
    for number in 0..20 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        request.headers_mut().insert(name, HeaderValue::try_from("a".repeat(1024)).unwrap());
    }
    // RFC 6585: 431.
    let refused = sender.send_request(request).await;
    assert!(refused.is_err() || refused.is_ok_and(|response| response.status().as_u16() == 431));
    let next = sender.send_request(http2_request(2)).await;
    assert_eq!(next.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn the_overloaded_response_is_valid_http_and_json() {
    let text = std::str::from_utf8(OVERLOADED_RESPONSE).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len()))
            || head.ends_with(&format!("content-length: {}", body.len())),
        "{}",
        body.len()
    );
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
}

/// Responses to requests that have all arrived before the server runs: this runtime has one thread.
/// Each response closes its connection.
async fn responses_of_a_backlog(requests: usize, connections_max: usize, is_stopped: bool) -> Vec<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..requests {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut client, REQUEST).unwrap();
        clients.push(client);
    }
    let (_drain, draining) = watch::channel(true);
    let (stop, stopped) = watch::channel(is_stopped);
    let counters = ListenerCounters {
        connections: counter(),
        http2_connections: counter(),
        http2_streams: counter(),
        evicted: counter(),
    };
    let limits = ConnectionLimits { connections_max, http2_connections_max: 100, counters };
    let handler = |_: Request<RequestBody>| async { Ok(Response::new(Full::new(Bytes::from_static(b"answer")))) };
    let serving = tokio::spawn(serve(listener, limits, ShutdownSignals { draining, stopped }, move |_| handler));
    let read = |mut client: std::net::TcpStream| {
        let mut response = String::new();
        std::io::Read::read_to_string(&mut client, &mut response).unwrap();
        response
    };
    let responses = tokio::task::spawn_blocking(move || clients.into_iter().map(read).collect()).await.unwrap();
    stop.send_replace(true);
    serving.await.unwrap();
    responses
}

#[tokio::test]
async fn a_request_that_waits_in_the_backlog_is_answered_when_the_server_stops() {
    for response in responses_of_a_backlog(20, 100, true).await {
        assert!(response.starts_with("HTTP/1.1 200 OK") && response.ends_with("answer"), "{response:?}");
    }
}

#[tokio::test]
async fn a_new_connection_does_not_take_the_place_of_one_with_an_unread_request() {
    let responses = responses_of_a_backlog(20, 8, false).await;
    let of = |status: &str| responses.iter().filter(|response| response.starts_with(status)).count();
    assert_eq!((of("HTTP/1.1 200 OK"), of("HTTP/1.1 503")), (8, 12), "{responses:?}");
}
