//! The HTTP/2 connection to one pod, which is opened when a request needs it. It carries all
//! requests to the pod, and is checked by PINGs while requests are in flight.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::Mutex};

use crate::limits::{
    ANSWER_HEADER_BYTES_MAX, CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW_BYTES,
};

/// Sends requests over an open connection.
pub type Sender = SendRequest<Full<Bytes>>;

/// The connection to one pod.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    /// The open connection. The lock is held while one is opened, so that concurrent requests share
    /// it.
    sender: Mutex<Option<Sender>>,
}

impl Connection {
    /// A connection that is not open yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sender: Mutex::new(None) }
    }

    /// Address of the pod.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The open connection, or a new one.
    ///
    /// # Errors
    /// A pod that does not accept connections in time.
    pub async fn sender(&self) -> Result<Sender, ConnectError> {
        let mut open = self.sender.lock().await;
        if let Some(sender) = open.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        let sender = opened.map_err(|_| ConnectError::TimedOut)??;
        *open = Some(sender.clone());
        Ok(sender)
    }

    async fn open(&self) -> Result<Sender, ConnectError> {
        let stream = TcpStream::connect(self.address).await?;
        // Requests are small and written at once, so Nagle's algorithm would only delay them.
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(ANSWER_HEADER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let address = self.address;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "connection to a serving pod closed");
            }
        });
        Ok(sender)
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// [`CONNECT_TIMEOUT`] ended.
    #[error("connection timed out; does a NetworkPolicy block the port?")]
    TimedOut,
    /// The system refused it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The connection was closed at once.
    #[error(transparent)]
    Http(#[from] hyper::Error),
}
