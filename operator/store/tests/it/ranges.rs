//! Reads of a part of an object, by RFC 9110, section 14.

use sidecar_contract::credentials::{AccessKeyId, Role};

use crate::{
    connection::{Connection, Response, signed},
    process::{INSTALLATION, Process},
};

fn id(role: Role) -> AccessKeyId {
    AccessKeyId { namespace: "shop".into(), name: "movies".into(), role }
}

fn put(connection: &mut Connection, name: &str, content: &str) {
    let path = format!("/recmesh/{INSTALLATION}/shop/movies/{name}");
    let headers = format!("content-length: {}\r\n", content.len());
    connection.send(signed("PUT", &path, "", &id(Role::Train), &headers) + content);
    assert_eq!(connection.read().status, 200);
}

fn get(connection: &mut Connection, name: &str, headers: &str) -> Response {
    let path = format!("/recmesh/{INSTALLATION}/shop/movies/{name}");
    connection.send(signed("GET", &path, "", &id(Role::Serve), headers));
    connection.read()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn ranges_follow_the_http_standard() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path());
    let mut connection = Connection::open(process.address);
    put(&mut connection, "ten", "0123456789");
    put(&mut connection, "empty", "");

    for (range, body, content_range) in [
        ("0-0", "0", "bytes 0-0/10"),
        ("2-4", "234", "bytes 2-4/10"),
        ("8-", "89", "bytes 8-9/10"),
        ("8-99", "89", "bytes 8-9/10"),
        ("-3", "789", "bytes 7-9/10"),
        ("-99", "0123456789", "bytes 0-9/10"),
    ] {
        let response = get(&mut connection, "ten", &format!("range: bytes={range}\r\n"));
        assert_eq!((response.status, response.body.as_str()), (206, body), "{range}");
        assert_eq!(header(&response, "content-range"), Some(content_range), "{range}");
    }
    for (object, range, content_range) in [
        ("ten", "10-", "bytes */10"),
        ("ten", "99-100", "bytes */10"),
        ("ten", "-0", "bytes */10"),
        ("empty", "0-", "bytes */0"),
        ("empty", "-0", "bytes */0"),
    ] {
        let response = get(&mut connection, object, &format!("range: bytes={range}\r\n"));
        assert_eq!(response.status, 416, "{object} {range}: {response:?}");
        assert_eq!(header(&response, "content-range"), Some(content_range), "{object} {range}");
    }
    // A unit is case-insensitive, and positions may exceed every integer type.
    for (range, status) in [
        ("Bytes=2-4", 206),
        ("BYTES=8-", 206),
        ("bytes=8-99999999999999999999999", 206),
        ("bytes=-99999999999999999999999", 206),
        ("bytes=99999999999999999999999-", 416),
    ] {
        let response = get(&mut connection, "ten", &format!("range: {range}\r\n"));
        assert_eq!(response.status, status, "{range}: {response:?}");
    }
    // What a server may ignore gets the whole object.
    for range in
        ["bytes=0-0,2-3", "items=0-1", "bytes=4-2", "bytes=", "bytes=-", "bytes=a-b", "bytes", "bytes=0-1x", ""]
    {
        let response = get(&mut connection, "ten", &format!("range: {range}\r\n"));
        assert_eq!((response.status, response.body.as_str()), (200, "0123456789"), "{range}: {response:?}");
        assert_eq!(header(&response, "content-range"), None, "{range}");
    }
    let twice = get(&mut connection, "ten", "range: bytes=0-1\r\nrange: bytes=2-3\r\n");
    assert_eq!((twice.status, twice.body.as_str()), (200, "0123456789"), "{twice:?}");

    // A suffix of an empty object is satisfiable, but has no bytes that Content-Range could state.
    let response = get(&mut connection, "empty", "range: bytes=-5\r\n");
    assert_eq!((response.status, header(&response, "content-range")), (200, None));

    // The range applies only to the version that the client has a part of.
    let whole = get(&mut connection, "ten", "");
    assert_eq!((whole.status, header(&whole, "content-range")), (200, None));
    let etag = header(&whole, "etag").unwrap();
    let modified = header(&whole, "last-modified").unwrap();
    for (validator, status) in
        [(etag, 206), ("\"other\"", 200), (&format!("W/{etag}"), 200), (modified, 200), ("nonsense", 200)]
    {
        let response = get(&mut connection, "ten", &format!("range: bytes=1-2\r\nif-range: {validator}\r\n"));
        assert_eq!(response.status, status, "{validator}");
    }
}
