//! Sends spans to a collector: HTTP/1.1 without TLS, one connection a batch. It blocks, because the
//! batches are sent by a thread of their own, which also works while the runtime ends.

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// Timeout of a connection, and of each read and write.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a response, in bytes; the rest is not read.
const RESPONSE_BYTES_MAX: u64 = 64 << 10;
const PORT_DEFAULT: u16 = 80;

/// The client.
#[derive(Debug)]
pub struct Collector;

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        send(&request)
    }
}

fn send(request: &Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (uri, body) = (request.uri(), request.body());
    let host = uri.host().ok_or("the URL of the collector has no host")?;
    let port = uri.port_u16().unwrap_or(PORT_DEFAULT);
    let address =
        (host.trim_matches(['[', ']']), port).to_socket_addrs()?.next().ok_or("the collector has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\ncontent-length: {}\r\n",
        request.method(),
        body.len()
    );
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != http::header::CONTENT_LENGTH) {
        head.extend([name.as_str(), ": ", value.to_str()?, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut response = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut response)?;
    // The status decides whether a batch is sent again; the body is not used.
    let head = String::from_utf8_lossy(&response);
    let status = head.split(' ').nth(1).ok_or("the collector sent no response")?.parse::<u16>()?;
    Ok(Response::builder().status(status).body(Bytes::new())?)
}
