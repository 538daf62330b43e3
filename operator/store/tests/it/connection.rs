//! One raw connection to the store, with requests signed as any access key. A client library would
//! hide when bytes are sent, and what happens to a connection after a response.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sidecar_contract::credentials::{AccessKeyId, derive_secret};

use crate::process::ROOT;

/// Only ends a test that hangs. It is shorter than every timeout of the store.
const READ_TIMEOUT: Duration = Duration::from_secs(12);

/// Region and service that a signature is valid for.
pub const SCOPE: &str = "us-east-1/s3";

/// Connection that reads whole responses.
pub struct Connection(BufReader<TcpStream>);

/// Response of the store.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// Content.
    pub body: String,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Reads status line and headers.
    pub fn read_head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "closed after {head:?}");
        }
        head.to_ascii_lowercase()
    }

    /// Reads a response with a content-length.
    pub fn read(&mut self) -> Response {
        let head = self.read_head();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        self.0.read_exact(&mut body).unwrap();
        Response { status: status(&head), head, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Reads until the store closes the connection.
    pub fn read_rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset also is a close: unread bytes were waiting at the store.
        let _ = self.0.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Status of a response's head.
pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head:?}"))
}

/// Head of a request whose body is not signed. `query` is in canonical form; `headers` are not
/// covered by the signature.
pub fn signed(method: &str, path: &str, query: &str, id: &AccessKeyId, headers: &str) -> String {
    signed_for(SCOPE, method, path, query, id, headers)
}

/// The same, with a signature for this region and service.
pub fn signed_for(scope: &str, method: &str, path: &str, query: &str, id: &AccessKeyId, headers: &str) -> String {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let (date, _) = now.split_once('T').unwrap();
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:store\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{now}\n\n{signed}\nUNSIGNED-PAYLOAD"
    );
    let scope = format!("{date}/{scope}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let secret = format!("AWS4{}", derive_secret(ROOT, id)).into_bytes();
    let key = scope.split('/').fold(secret, |key, part| mac(&key, part.as_bytes()));
    let signature = hex::encode(mac(&key, text.as_bytes()));
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    format!(
        "{method} {target} HTTP/1.1\r\nhost: store\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\nx-amz-date: {now}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}\r\n\
         {headers}\r\n"
    )
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}
