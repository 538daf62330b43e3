//! Connections against a clock that stands still until everybody waits: who is let go, and when.

use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::Instant,
};

use super::*;
use crate::limits::{IDLE_TIMEOUT, WRITE_TIMEOUT};

const REQUEST: &[u8] = b"GET /path HTTP/1.1\r\nhost: x\r\n\r\n";

/// Drains or stops the server's end while it lives.
struct Server {
    drain: watch::Sender<bool>,
    _graceful: GracefulShutdown,
}

/// A client's end of a connection whose requests are answered with their path and so many bytes more.
fn connect(pipe_bytes: usize, answer_bytes: usize) -> (DuplexStream, Server) {
    let (client, server) = duplex(pipe_bytes);
    let (drain, draining) = watch::channel(false);
    let place = Arc::new(House::new(1)).enter().unwrap();
    let answer = move |request: Request<Incoming>| async move {
        let mut body = request.uri().path().as_bytes().to_vec();
        body.resize(body.len() + answer_bytes, b'.');
        Ok(Response::new(Full::new(Bytes::from(body))))
    };
    let graceful = GracefulShutdown::new();
    tokio::spawn(speak(server, place, &graceful, draining, answer));
    (client, Server { drain, _graceful: graceful })
}

async fn read_answer(client: &mut DuplexStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"/path") {
        let mut piece = [0; 1024];
        let length = client.read(&mut piece).await.unwrap();
        assert!(length > 0, "closed after {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(read).unwrap()
}

/// Until the server closes; whatever it sends is read.
async fn closed_after(client: &mut DuplexStream) -> Duration {
    let begin = Instant::now();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    begin.elapsed().checked_sub(Duration::from_millis(1)).unwrap_or_default() // Timers tick in milliseconds.
}

fn near(found: Duration, expected: Duration) {
    let margin = Duration::from_millis(20);
    assert!(found + margin > expected && found < expected + margin, "{found:?}, expected {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_at_all_has_the_time_of_a_head() {
    let (mut client, _server) = connect(1024, 0);
    near(closed_after(&mut client).await, HEADER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn who_sends_a_head_byte_by_byte_has_its_time_once() {
    let (client, _server) = connect(1024, 0);
    let (mut read, mut write) = tokio::io::split(client);
    let begin = Instant::now();
    let dawdler = tokio::spawn(async move {
        for byte in REQUEST.iter().cycle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    read.read_to_end(&mut Vec::new()).await.unwrap();
    near(begin.elapsed(), HEADER_TIMEOUT);
    drop(read);
    dawdler.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_idles_between_requests_has_longer_and_then_the_head_counts() {
    let (mut client, _server) = connect(1024, 0);
    client.write_all(REQUEST).await.unwrap();
    read_answer(&mut client).await;
    tokio::time::sleep(IDLE_TIMEOUT / 2).await;
    client.write_all(REQUEST).await.unwrap();
    read_answer(&mut client).await;
    near(closed_after(&mut client).await, IDLE_TIMEOUT);

    let (mut client, _server) = connect(1024, 0);
    client.write_all(REQUEST).await.unwrap();
    read_answer(&mut client).await;
    tokio::time::sleep(HEADER_TIMEOUT * 2).await;
    client.write_all(&REQUEST[..5]).await.unwrap();
    near(closed_after(&mut client).await, HEADER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_the_answer_is_let_go() {
    let (mut client, _server) = connect(1024, 1 << 20);
    client.write_all(REQUEST).await.unwrap();
    let begin = Instant::now();
    // A byte now and then does not help.
    while client.read_u8().await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if begin.elapsed() > WRITE_TIMEOUT + Duration::from_secs(2) {
            break;
        }
    }
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 4096, "{} bytes came after all", rest.len());
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_and_draining_closes() {
    let (mut client, server) = connect(1 << 16, 0);
    let requests: Vec<String> = (0..100).map(|i| format!("GET /{i} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
    client.write_all(requests.concat().as_bytes()).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    let text = read_answer(&mut client).await;
    let bodies: Vec<String> =
        text.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP").next().unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..100).map(|i| format!("/{i}")).chain(["/path".to_owned()]).collect();
    assert_eq!(bodies, expected);
    server.drain.send_replace(true);
    client.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("/path"), "{answer}");
}

#[tokio::test]
async fn the_canned_refusal_is_a_whole_answer() {
    let text = std::str::from_utf8(FULL_HOUSE).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len()))
            || head.ends_with(&format!("content-length: {}", body.len())),
        "{}",
        body.len()
    );
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
}
