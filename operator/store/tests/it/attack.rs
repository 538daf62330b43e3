//! Slow, broken and greedy clients, with and without a key: requests of others succeed, and no
//! connection mixes the bytes of two requests. `RECMESH_ATTACK_ROUNDS` repeats each attack.

use sidecar_contract::credentials::{AccessKeyId, Role};

use crate::{
    connection::{Connection, SCOPE, signed, signed_for, status},
    process::{INSTALLATION, Process},
};

/// More than the store handles at once.
const REQUESTS: usize = 200;
/// More than the connections of a port.
const CONNECTIONS: usize = 600;

fn rounds() -> usize {
    std::env::var("RECMESH_ATTACK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

fn id(namespace: &str, name: &str, role: Role) -> AccessKeyId {
    AccessKeyId { namespace: namespace.into(), name: name.into(), role }
}

/// Path of an object of a Recommender.
fn object(id: &AccessKeyId, name: &str) -> String {
    format!("/recmesh/{INSTALLATION}/{}/{}/{name}", id.namespace, id.name)
}

/// Status of a read of a missing object on a new connection: 404, unless something is in the way.
fn read_missing(process: &Process, id: &AccessKeyId) -> u16 {
    let mut connection = Connection::open(process.address);
    connection.send(signed("GET", &object(id, "missing"), "", id, ""));
    connection.read().status
}

#[test]
fn a_body_is_read_only_after_the_signature() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let train = id("shop", "movies", Role::Train);
    let path = object(&train, "a");
    for _ in 0..rounds() {
        for scope in ["us-east-1/sts", "eu-west-1/s3", "us-east-1/iam"] {
            let unsigned_body = "content-length: 8000\r\n";
            let head = signed_for(scope, "PUT", &path, "", &train, unsigned_body);
            let head = head.replace("x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n", "");
            let mut attackers: Vec<Connection> = (0..REQUESTS).map(|_| Connection::open(process.address)).collect();
            for attacker in &mut attackers {
                attacker.send(&head);
                attacker.send("x");
            }
            assert_eq!(read_missing(&process, &id("other", "books", Role::Serve)), 404, "{scope}");
            for attacker in &mut attackers {
                let response = attacker.read();
                assert!((400..500).contains(&response.status), "{scope}: {response:?}");
                assert_eq!(attacker.read_rest(), "", "{scope}");
            }
        }
    }
    // A form is read before its signature is checked, so none is accepted, however it is declared.
    let form = |content_type: &[u8]| {
        let head = "POST /recmesh HTTP/1.1\r\nhost: store\r\ncontent-length: 8000\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=x/20260131/us-east-1/s3/aws4_request\r\n";
        [head.as_bytes(), content_type, b"\r\n\r\n--x\r\n"].concat()
    };
    for content_type in [
        &b"content-type: multipart/form-data; boundary=x"[..],
        b"content-type: multipart/form-data; boundary=x; a=\"\xc3\xa9\"",
        b"content-type: \xff\r\ncontent-type: multipart/form-data; boundary=x",
    ] {
        let mut attacker = Connection::open(process.address);
        attacker.send(form(content_type));
        assert_eq!(attacker.read().status, 403, "{}", content_type.escape_ascii());
    }
    // The same request for the scope of the store is accepted.
    let mut connection = Connection::open(process.address);
    connection.send(signed_for(SCOPE, "PUT", &path, "", &train, "content-length: 1\r\n") + "x");
    assert_eq!(connection.read().status, 200);
}

#[test]
fn slow_request_heads_block_neither_port() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    for _ in 0..rounds() {
        let mut attackers = Vec::new();
        for address in [process.address, process.admin_address] {
            for _ in 0..CONNECTIONS {
                let mut attacker = Connection::open(address);
                attacker.send("GET / HTTP/1.1\r\nx-a: ");
                attackers.push(attacker);
            }
        }
        assert_eq!(read_missing(&process, &id("shop", "movies", Role::Serve)), 404);
        for path in ["/livez", "/readyz", "/metrics"] {
            let mut probe = Connection::open(process.admin_address);
            probe.send(format!("GET {path} HTTP/1.1\r\nhost: store\r\n\r\n"));
            assert_eq!(probe.read().status, 200, "{path}");
        }
    }
}

#[test]
fn slow_uploads_leave_requests_to_other_recommenders() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    for round in 0..rounds() {
        let mut attackers = Vec::new();
        let mut accepted = 0;
        // Of one Recommender, then of its whole namespace.
        for name in ["movies".to_owned()].into_iter().chain((0..4).map(|n| format!("more-{n}"))) {
            let train = id("shop", &name, Role::Train);
            for number in 0..REQUESTS {
                let mut attacker = Connection::open(process.address);
                let headers = "content-length: 1000\r\nexpect: 100-continue\r\n";
                attacker.send(signed("PUT", &object(&train, &format!("o{number}")), "", &train, headers));
                // The store asks for the body of an upload when it has accepted it.
                let status = status(&attacker.read_head());
                assert!(status == 100 || status == 503, "{status}");
                if status == 100 {
                    attacker.send("x");
                    attackers.push(attacker);
                    accepted += 1;
                }
            }
            if name == "movies" {
                // Later, the store may not have noticed yet that the connections of the last round
                // closed.
                assert!(round > 0 || accepted > 8, "{accepted} concurrent uploads of one Recommender are few");
                assert_eq!(read_missing(&process, &id("shop", "books", Role::Serve)), 404, "a neighbour");
            }
        }
        for name in ["books", "films"] {
            assert_eq!(read_missing(&process, &id("other", name, Role::Serve)), 404, "another namespace");
        }
    }
}

#[test]
fn slow_readers_leave_requests_to_other_recommenders() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let (train, serve) = (id("shop", "movies", Role::Train), id("shop", "movies", Role::Serve));
    let path = object(&train, "large");
    // More than the buffers of a connection.
    let content = vec![0_u8; 16 << 20];
    let mut connection = Connection::open(process.address);
    connection.send(signed("PUT", &path, "", &train, &format!("content-length: {}\r\n", content.len())));
    connection.send(&content);
    assert_eq!(connection.read().status, 200);
    for _ in 0..rounds() {
        let mut readers = Vec::new();
        for _ in 0..REQUESTS {
            let mut reader = Connection::open(process.address);
            reader.send(signed("GET", &path, "", &serve, ""));
            let status = status(&reader.read_head());
            assert!(status == 200 || status == 503, "{status}");
            readers.push(reader);
        }
        assert_eq!(read_missing(&process, &id("other", "books", Role::Serve)), 404);
    }
}

#[test]
fn a_response_before_the_request_body_closes_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let (train, serve) = (id("shop", "movies", Role::Train), id("shop", "movies", Role::Serve));
    let other = id("other", "books", Role::Train);
    let existing = object(&train, "runs/1.json");
    let mut connection = Connection::open(process.address);
    connection.send(signed("PUT", &existing, "", &train, "content-length: 1\r\n") + "x");
    assert_eq!(connection.read().status, 200);

    let next = signed("GET", &existing, "", &serve, "");
    for expect in ["expect: 100-continue\r\n", ""] {
        let headers = format!("content-length: 100\r\n{expect}");
        let refused = [
            (
                "a wrong signature",
                signed("PUT", &existing, "partNumber=1", &train, &headers).replace("partNumber=1", "partNumber=2"),
                403,
            ),
            ("another prefix", signed("PUT", &object(&other, "a"), "", &train, &headers), 403),
            ("an existing object", signed("PUT", &existing, "", &train, &headers), 412),
            ("a signature in the URL", signed("PUT", &existing, "X-Amz-Signature=00", &train, &headers), 403),
            (
                "a time that is not of digits",
                signed("PUT", &existing, "", &train, &headers).replace("x-amz-date: 2", "x-amz-date: !"),
                403,
            ),
            (
                "a date that is not of digits",
                signed("PUT", &existing, "", &train, &headers).replace("shop.movies.train/2", "shop.movies.train/!"),
                400,
            ),
            ("no signature", format!("PUT {existing} HTTP/1.1\r\nhost: store\r\n{headers}\r\n"), 403),
            ("a read with a body", signed("GET", &existing, "", &serve, &headers), 200),
        ];
        for (what, request, expected) in refused {
            for _ in 0..rounds() {
                let mut connection = Connection::open(process.address);
                connection.send(format!("{request}{next}"));
                let response = connection.read();
                assert_eq!(response.status, expected, "{what}: {response:?}");
                assert!(response.head.contains("connection: close"), "{what}: {}", response.head);
                assert_eq!(connection.read_rest(), "", "{what}");
            }
        }
    }
    // Otherwise the connection stays open.
    let mut connection = Connection::open(process.address);
    for _ in 0..3 {
        connection.send(&next);
        assert_eq!(connection.read().body, "x");
    }
}
