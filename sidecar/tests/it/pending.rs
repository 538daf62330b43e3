//! A request whose client can go away while it waits. Over HTTP/2: a client of HTTP/1.1 that closes
//! its side may still read.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};

/// A request that waits for its response for up to a minute; dropping it closes its connection.
pub struct Pending(JoinSet<()>);

impl Pending {
    /// Sends a question.
    pub async fn send(port: u16, body: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let request = Request::post(format!("http://127.0.0.1:{port}/recommend"))
            .header("content-type", "application/json")
            .header("x-request-timeout-ms", "60000");
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        tasks.spawn(async move { drop(sender.send_request(request).await) });
        Self(tasks)
    }

    /// Goes away.
    pub async fn abandon(mut self) {
        self.0.shutdown().await;
    }
}
