//! Hostile and broken clients against the real binary. Long timeouts are tested with a paused clock
//! in the unit tests of the server.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Instant,
};

use recommender_sidecar::limits::{
    BODY_BYTES_MAX, BODY_BYTES_PER_SECOND_MIN, CONNECTIONS_MAX, DRAIN_TIMEOUT, EVICTED_WAIT_MIN, HEADER_BYTES_MAX,
    HEADERS_MAX,
};
use sidecar_contract::ServingLimits;

use crate::{
    model::train,
    process::{DEADLINE, Process, configure, file_store, put, recommend, request, start, wait_for},
};

const BODY: &str = r#"{"user":"user6","n":3}"#;

pub async fn serving(directory: &std::path::Path) -> Process {
    let store = file_store(directory);
    let revision = put(&store, &train(directory, 3).await).await;
    configure(directory, &store, &[revision], ServingLimits::default());
    let process = start(directory);
    wait_for("readiness", || process.is_ready());
    process
}

pub fn recommend_request(more_headers: &str) -> String {
    let length = BODY.len();
    format!(
        "POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more_headers}content-length: {length}\r\n\r\n{BODY}"
    )
}

/// Reads until the server closes; a reset counts as a close.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => read.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Status of the first response; 0 if there is none.
pub fn status(text: &str) -> u16 {
    text.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
}

/// Number of connections that new ones have evicted.
pub fn evicted(process: &Process) -> f64 {
    process.metric("recommender_connections_evicted_total", "listener=\"app\"")
}

/// Waits for an answer on a new connection. At the limit it gets 503, or is evicted itself, while the
/// others do not seem to wait for their clients.
pub fn wait_answered(process: &Process, when: &str) {
    wait_for(&format!("an answer {when}"), || match request(process.port, "POST", "/recommend", BODY) {
        Some((200, _)) => true,
        Some((503, _)) | None => false,
        Some((status, text)) => panic!("{when}: {status}: {text}"),
    });
}

/// Sends bytes, and returns the stream and whether the server accepted all of them.
pub fn send(process: &Process, bytes: &[u8]) -> (TcpStream, bool) {
    let mut stream = process.connect();
    let whole = stream.write_all(bytes).is_ok();
    (stream, whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_large_requests_are_rejected_and_the_next_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let long = format!("x-long: {}\r\n", "a".repeat(HEADER_BYTES_MAX));
    let many: String = vec!["x-one: 1\r\n"; HEADERS_MAX + 1].concat();
    let chunked =
        "POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let claimed = format!(
        "POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    let both = recommend_request("transfer-encoding: chunked\r\n");
    let cases: [(&str, String, &[u16]); 9] = [
        ("a head over the limit", recommend_request(&long), &[431]),
        ("too many headers", recommend_request(&many), &[431]),
        ("a content-length over the limit", claimed, &[413]),
        ("not HTTP", "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), &[400]),
        (
            "a content-length that is not a number",
            recommend_request("").replace(&format!("length: {}", BODY.len()), "length: many"),
            &[400],
        ),
        (
            "a negative content-length",
            recommend_request("").replace(&format!("length: {}", BODY.len()), "length: -1"),
            &[400],
        ),
        // RFC 9112, 6.3: chunked overrides, or it is an error; both prevent request smuggling.
        ("chunked encoding and content-length", both, &[400]),
        ("an invalid chunk size", format!("{chunked}zz\r\n"), &[400]),
        ("an unknown HTTP version", recommend_request("").replace("HTTP/1.1", "HTTP/7.3"), &[400, 505]),
    ];
    for (what, bytes, expected) in cases {
        let (mut stream, _) = send(&process, bytes.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let text = read_all(&mut stream);
        assert!(expected.contains(&status(&text)), "{what}: {text}");
        assert_eq!(recommend(process.port, 3).0, 200, "after {what}");
    }

    // An endless chunked body is cut off at the body limit.
    let (mut stream, _) = send(&process, chunked.as_bytes());
    let chunk = format!("2000\r\n{}\r\n", " ".repeat(0x2000));
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(chunk.as_bytes()).is_ok() {
        sent += 0x2000;
    }
    assert!(sent < 16 << 20, "{sent} bytes were accepted");
    assert_eq!(recommend(process.port, 3).0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let mut stream = process.connect();
    let count = 500;
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        for index in 0..count {
            writer.write_all(recommend_request(&format!("x-request-id: nr-{index}\r\n")).as_bytes()).unwrap();
        }
        writer.write_all(recommend_request("x-request-id: last\r\nconnection: close\r\n").as_bytes()).unwrap();
    });
    let text = read_all(&mut stream);
    sending.join().unwrap();
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    let expected: Vec<String> = (0..count).map(|index| format!("nr-{index}")).chain(["last".to_owned()]).collect();
    assert_eq!(ids, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_beyond_the_limit_do_not_block_requests() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let rest = format!(
        ": x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    // On a busy machine the newest connections may be refused or evicted, because the others do not
    // seem to wait for their clients. Then all are opened again.
    wait_for("idle connections that are evicted for others", || {
        let before = evicted(&process);
        // Half of the connections were served once, half have sent a part of a head.
        let mut idle = Vec::new();
        for index in 0..CONNECTIONS_MAX + 200 {
            if index == CONNECTIONS_MAX {
                // Then all of them may be evicted.
                std::thread::sleep(EVICTED_WAIT_MIN);
            }
            let text = if index % 2 == 0 { &recommend_request("") } else { "POST /recommend HTTP/1.1\r\nhost" };
            idle.push(send(&process, text.as_bytes()).0);
            if index % 100 == 99 {
                wait_answered(&process, &format!("with {index} connections"));
                assert!(process.is_ready(), "with {index} connections");
            }
        }
        // The newest connection was not evicted.
        let mut newest = idle.pop().unwrap();
        let _ = newest.write_all(rest.as_bytes());
        let answer = read_all(&mut newest);
        assert!([0, 200, 503].contains(&status(&answer)), "{answer}");
        if status(&answer) != 200 || evicted(&process) < before + 100.0 {
            return false;
        }
        // The oldest connections were evicted.
        let text = read_all(&mut idle[0]);
        assert!(text.is_empty() || status(&text) == 200, "{text}");
        true
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_disconnected_while_others_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let mut slow_clients: Vec<TcpStream> =
        (0..100).map(|_| send(&process, b"POST /recommend HTTP/1.1\r\nhost").0).collect();
    let (mut half, _) = send(&process, &recommend_request("").as_bytes()[..recommend_request("").len() - 5]);
    let mut disconnected = 0;
    wait_for("disconnection of the slow clients", || {
        slow_clients.retain_mut(|stream| {
            // Single bytes do not extend the timeout; a write to a closed connection fails
            // eventually.
            stream.set_nonblocking(true).unwrap();
            let closed = matches!(stream.read(&mut [0]), Ok(0)) || stream.write_all(b"x").is_err();
            disconnected += u32::from(closed);
            !closed
        });
        assert_eq!(recommend(process.port, 3).0, 200);
        disconnected == 100
    });
    assert_eq!(status(&read_all(&mut half)), 408);
}

/// A request whose body begins with so many spaces that it may arrive for longer than a process
/// drains.
pub fn slow_request() -> String {
    let spaces = BODY_BYTES_PER_SECOND_MIN * usize::try_from(2 * DRAIN_TIMEOUT.as_secs()).unwrap();
    let (head, body) = recommend_request("").split_once("\r\n\r\n").map(|(h, b)| (h.to_owned(), b.to_owned())).unwrap();
    let head = head.replace(&format!("length: {}", BODY.len()), &format!("length: {}", spaces + BODY.len()));
    format!("{head}\r\n\r\n{}{body}", " ".repeat(spaces))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_outlives_the_listener() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = serving(directory.path()).await;
    // A process on a busy machine may close its listener before the late request is sent.
    let begin = Instant::now();
    while !answers_until_it_ends(process) {
        assert!(begin.elapsed() < DEADLINE, "no request after SIGTERM is answered");
        process = start(directory.path());
        wait_for("readiness", || process.is_ready());
    }
}

/// Terminates a process with a request in flight, which must be answered. Returns whether one that
/// was sent after SIGTERM was answered.
fn answers_until_it_ends(mut process: Process) -> bool {
    let text = slow_request();
    let (begin, rest) = text.split_at(text.len() - 5);
    let mut slow = process.connect();
    slow.write_all(begin.as_bytes()).unwrap();
    process.signal("-TERM");
    wait_for("unreadiness", || !process.is_ready());
    // Requests still arrive through the endpoints: each is answered, and its connection closed.
    let late = TcpStream::connect(("127.0.0.1", process.port)).ok();
    let late = late.map(|mut stream| {
        let _ = stream.write_all(recommend_request("").as_bytes());
        read_all(&mut stream)
    });
    let late = late.filter(|answer| !answer.is_empty());
    if let Some(answer) = &late {
        assert!(status(answer) == 200 && answer.contains("connection: close"), "{answer}");
    }
    wait_for("the listener to close", || TcpStream::connect(("127.0.0.1", process.port)).is_err());
    // The admin port stays open and reports unreadiness.
    assert_eq!(request(process.admin_port, "GET", "/readyz", "").unwrap().0, 503);
    slow.write_all(rest.as_bytes()).unwrap();
    let answer = read_all(&mut slow);
    assert_eq!(status(&answer), 200, "{answer}");
    wait_for("the exit", || process.child.try_wait().unwrap().is_some());
    assert!(process.child.wait().unwrap().success());
    late.is_some()
}
