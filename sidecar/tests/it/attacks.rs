//! Clients that try to make the server read a request in the wrong place, to keep others from being
//! served, or to exhaust its memory. `RECMESH_SOAK_DESYNCS=100000` repeats the first for long.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use recommender_sidecar::limits::{
    BODY_BYTES_MAX, CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADROOM_RESERVE_BYTES, HTTP2_CONNECTIONS_MAX,
    HTTP2_STREAMS_MAX, LARGE_BODY_BYTES, REQUEST_SHARE_BYTES,
};

use crate::{
    http2_frames::Connection,
    process::{Process, recommend, request, wait_for},
    sockets::{evicted, read_all, recommend_request, send, serving, status, wait_answered},
};

/// Number of refused requests with a successor on the same connection.
const DESYNCS_DEFAULT: usize = 500;

/// A response head.
struct Head {
    status: u16,
    closes: bool,
    length: usize,
    request_id: String,
}

/// Reads a response, without its body; `None` if the connection is closed.
fn read_response(reader: &mut BufReader<TcpStream>) -> Option<Head> {
    let mut head = Head { status: 0, closes: false, length: 0, request_id: String::new() };
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error}"),
        }
        let line = line.trim_end();
        if head.status == 0 {
            head.status = status(line);
        } else if let Some((name, value)) = line.split_once(": ") {
            match name {
                "connection" => head.closes = value == "close",
                "content-length" => head.length = value.parse().unwrap(),
                "x-request-id" => value.clone_into(&mut head.request_id),
                _ => {}
            }
        } else if head.status == 100 {
            head.status = 0; // The final response follows.
        } else {
            reader.read_exact(&mut vec![0; head.length]).unwrap();
            return Some(head);
        }
    }
}

/// Requests that are refused before their body is read, with their bodies.
fn refused_requests() -> Vec<(String, String)> {
    let body = r#"{"user":"user6"}"#;
    let head = |method: &str, path: &str, more: &str| {
        let length = body.len();
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{more}content-length: {length}\r\n\r\n")
    };
    let json = "content-type: application/json\r\n";
    let expect = "content-type: application/json\r\nexpect: 100-continue\r\n";
    let large =
        format!("POST /recommend HTTP/1.1\r\nhost: x\r\n{expect}content-length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    let chunked = "POST /nothing HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
    vec![
        (head("POST", "/nothing", expect), body.to_owned()),
        (head("DELETE", "/recommend", expect), body.to_owned()),
        (head("POST", "/recommend", "expect: 100-continue\r\n"), body.to_owned()),
        (head("GET", "/model", expect), body.to_owned()),
        (head("POST", "/nothing", json), body.to_owned()),
        (head("POST", "/recommend", "content-type: text/plain\r\n"), body.to_owned()),
        (large, String::new()),
        (chunked.to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_never_followed_by_an_answer_to_its_body() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let count = std::env::var("RECMESH_SOAK_DESYNCS").map_or(DESYNCS_DEFAULT, |count| count.parse().unwrap());
    let refused = refused_requests();
    let mut connection: Option<BufReader<TcpStream>> = None;
    let mut answered = 0;
    for number in 0..count {
        let (head, body) = &refused[number % refused.len()];
        // The client sends no body, or all of it, or sends it after the response.
        let body = body.as_bytes();
        let (early, late) = match number / refused.len() % 3 {
            0 => (&body[..0], &body[..0]),
            1 => (body, &body[..0]),
            _ => (&body[..0], body),
        };
        let mut reader = connection.take().unwrap_or_else(|| BufReader::new(process.connect()));
        let mut write = |bytes: &[u8]| reader.get_mut().write_all(bytes).is_ok();
        let next = format!("GET /model HTTP/1.1\r\nhost: x\r\nx-request-id: nr-{number}\r\n\r\n");
        write(head.as_bytes());
        write(early);
        let first = read_response(&mut reader).expect("a response to the refused request");
        assert!([200, 404, 405, 413, 415].contains(&first.status), "{head}: {}", first.status);
        reader.get_mut().write_all(late).ok();
        reader.get_mut().write_all(next.as_bytes()).ok();
        match read_response(&mut reader) {
            None => assert!(first.closes, "{head}: closed without notice"),
            Some(second) => {
                assert!(!first.closes, "{head}: answered after the close");
                assert_eq!((second.status, second.request_id), (200, format!("nr-{number}")), "{head}");
                answered += 1;
                connection = Some(reader);
            }
        }
    }
    // A request whose body was not read ends its connection.
    assert_eq!(answered, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_do_not_block_others() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let request = recommend_request("");
    let (incomplete, last) = request.as_bytes().split_at(request.len() - 1);
    // On a busy machine no connection may have waited long enough to be evicted, and all may wait
    // until their time ends. Then they are opened again.
    wait_for("slow bodies that are evicted for others", || {
        let before = evicted(&process);
        let mut slow: Vec<TcpStream> = Vec::new();
        for index in 0..2 * CONNECTIONS_MAX {
            slow.push(send(&process, incomplete).0);
            if index % 100 == 99 {
                wait_answered(&process, &format!("with {index} connections"));
            }
        }
        // The newest of them is still served.
        let mut newest = slow.pop().unwrap();
        let _ = newest.write_all(last);
        let status = read_response(&mut BufReader::new(newest)).map(|head| head.status);
        assert!(matches!(status, None | Some(200 | 408 | 503)), "{status:?}");
        status == Some(200) && evicted(&process) >= before + CONNECTIONS_MAX as f64 / 2.0
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_client_gets_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    for number in 0..200 {
        let (mut stream, _) = send(&process, recommend_request(&format!("x-request-id: nr-{number}\r\n")).as_bytes());
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = read_all(&mut stream);
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains(&format!("x-request-id: nr-{number}\r\n")), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_a_proxy_may_read_differently_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let whole = recommend_request("");
    let cases = [
        ("no host", whole.replace("host: x\r\n", ""), 400),
        ("two hosts", recommend_request("host: y\r\n"), 400),
        ("an unknown transfer coding", recommend_request("transfer-encoding: gzip\r\n"), 400),
        ("a transfer coding before chunked", recommend_request("transfer-encoding: gzip, chunked\r\n"), 501),
        ("a space before the colon", recommend_request("x-a : b\r\n"), 400),
        ("a folded header", recommend_request("x-a: b\r\n c\r\n"), 400),
        ("a line feed alone after the request line", whole.replacen("\r\n", "\n", 1), 400),
        ("a line feed alone after a header", whole.replace("x\r\ncontent-type", "x\ncontent-type"), 400),
        ("a head that ends with line feeds", whole.replace("\r\n\r\n", "\n\n"), 400),
        ("a carriage return in a value", recommend_request("x-a: b\rc\r\n"), 400),
    ];
    for (what, bytes, expected) in cases {
        // A successor on the same connection must not be answered.
        let bytes = bytes + &recommend_request("x-request-id: smuggled\r\nconnection: close\r\n");
        let (mut stream, _) = send(&process, bytes.as_bytes());
        let answer = read_all(&mut stream);
        assert_eq!(status(&answer), expected, "{what}: {answer}");
        assert!(!answer.contains("smuggled"), "{what}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_arrives_with_a_chunked_body_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    let (head, body) = recommend_request("").split_once("\r\n\r\n").map(|(h, b)| (h.to_owned(), b.to_owned())).unwrap();
    let head = head.replace(&format!("content-length: {}", body.len()), "transfer-encoding: chunked");
    let chunked = format!("{head}\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let next = recommend_request("x-request-id: next\r\n");
    // After the response, the next request is answered.
    let mut reader = BufReader::new(send(&process, chunked.as_bytes()).0);
    assert_eq!(read_response(&mut reader).unwrap().status, 200);
    reader.get_mut().write_all(next.as_bytes()).unwrap();
    assert_eq!(read_response(&mut reader).unwrap().request_id, "next");
    // In one piece with the body, its head cannot be checked: whole or in part.
    for cut in [next.len(), 1, 20, 40] {
        let (early, late) = next.split_at(cut);
        let mut reader = BufReader::new(send(&process, (chunked.clone() + early).as_bytes()).0);
        assert_eq!(read_response(&mut reader).unwrap().status, 200);
        reader.get_mut().write_all(late.as_bytes()).unwrap();
        let refused = read_response(&mut reader).unwrap();
        assert_eq!((refused.status, refused.closes), (400, true), "{cut} bytes");
    }
}

/// Resident memory of the process, in bytes: a line of `/proc/<pid>/status`.
fn memory(process: &Process, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let kibibytes = status.lines().find_map(|text| text.strip_prefix(line)).unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_connections_stay_within_the_memory_reserve() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    assert_eq!(recommend(process.port, 3).0, 200);
    let before = memory(&process, "VmRSS:");
    let post = |path: &str, content_type: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let nested = format!(r#"{{"":{}0{}"#, r#"{"":"#.repeat(60), "}".repeat(61));
    let list = |open: &str, entry: &str, close: &str| {
        let count = (BODY_BYTES_MAX - 100) / (entry.len() + 1);
        format!("{open}{}{close}", vec![entry; count].join(",")).into_bytes()
    };
    let attacks = [
        post("/recommend", json, &list(r#"{"history":["#, &nested, "]}")),
        post("/recommend", json, &list(r#"{"exclude":["#, "1", "]}")),
        post("/recommend:batch", json, &list(r#"{"requests":["#, "{}", "]}")),
        post("/recommend", json, &[br#"{"n":""#.as_slice(), &vec![0x7f; BODY_BYTES_MAX - 100], br#""}"#].concat()),
        post("/recommend", form, &vec![1; BODY_BYTES_MAX]),
        post("/recommend", json, &list(r#"{"user":"user6","exclude":["#, "1", "]}")[..LARGE_BODY_BYTES]),
        format!("POST /recommend HTTP/1.1\r\nhost: {}", "x".repeat(HEADER_BYTES_MAX - 100)).into_bytes(),
        recommend_request("").repeat(200).into_bytes(),
    ];
    // None of the clients reads an answer.
    let mut clients = Vec::new();
    for index in 0..1000 {
        let stream = process.connect();
        stream.set_nonblocking(true).unwrap();
        clients.push((stream, attacks[index % attacks.len()].as_slice()));
    }
    for _ in 0..200 {
        for (stream, rest) in &mut clients {
            let sent = stream.write(&rest[..rest.len().min(16 << 10)]).unwrap_or_default();
            *rest = &rest[sent..];
        }
        // Others are answered, or refused while the attackers' requests are computed.
        assert!([200, 503].contains(&recommend(process.port, 3).0));
    }
    let grown = memory(&process, "VmHWM:") - before;
    assert!(grown < HEADROOM_RESERVE_BYTES, "{} KiB", grown >> 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_http2_streams_stay_within_the_memory_reserve() {
    let directory = tempfile::tempdir().unwrap();
    let process = serving(directory.path()).await;
    assert_eq!(recommend(process.port, 3).0, 200);
    let before = memory(&process, "VmRSS:");
    // Bodies that do not end, and answers that cannot be sent.
    let endless = vec![b' '; REQUEST_SHARE_BYTES - 96];
    let mut clients = Vec::new();
    for index in 0..HTTP2_CONNECTIONS_MAX {
        let mut client = Connection::begin(process.connect());
        for _ in 0..HTTP2_STREAMS_MAX {
            match index % 2 {
                0 => client.post(&endless, false),
                _ => client.post(br#"{"user":"user6","n":20}"#, true),
            }
        }
        clients.push(client);
        if index % 16 == 15 {
            // Others are answered, or refused while the attackers hold the budget.
            let (status, _) = request(process.port, "POST", "/recommend", r#"{"user":"user6"}"#).unwrap();
            assert!([200, 503].contains(&status), "{status} with {index} connections");
        }
    }
    let grown = memory(&process, "VmHWM:") - before;
    assert!(grown < HEADROOM_RESERVE_BYTES, "{} KiB", grown >> 10);
}
