//! An open connection: how it is opened, and until when it is used.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};

use super::ConnectError;
use crate::{
    identity::{LateRefusal, Watched},
    limits::{ANSWER_HEADER_BYTES_MAX, CONNECTION_WINDOW_BYTES, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW_BYTES},
    transport::Transport,
};

/// Sends requests over an open connection.
type Sender = SendRequest<Full<Bytes>>;

/// An open connection.
#[derive(Clone, Debug)]
pub struct Open {
    /// Sends requests.
    pub sender: Sender,
    protection: Option<Protection>,
}

/// What mutual TLS adds to a connection.
#[derive(Clone, Debug)]
struct Protection {
    /// End of its age.
    until: Instant,
    /// Whether the pod refused it.
    refusal: Arc<LateRefusal>,
}

impl Open {
    /// Opens a connection to this address.
    pub async fn connect(address: SocketAddr, transport: &Transport) -> Result<Self, ConnectError> {
        let stream = TcpStream::connect(address).await?;
        // Requests are small and written at once, so Nagle's algorithm would only delay them.
        stream.set_nodelay(true)?;
        match transport {
            Transport::Plaintext => Ok(Self { sender: handshake(address, stream).await?, protection: None }),
            Transport::MutualTls(tls) => {
                let established = tls.connect(stream, address).await?;
                let until = Instant::now() + established.age_max;
                let refusal = Arc::new(LateRefusal::new(established.own, established.peer.id));
                let stream = Watched::new(established.stream, Arc::clone(&refusal));
                let sender = handshake(address, stream).await?;
                Ok(Self { sender, protection: Some(Protection { until, refusal }) })
            }
        }
    }

    /// Whether new requests are sent over it.
    pub fn is_usable(&self, now: Instant) -> bool {
        !self.sender.is_closed() && self.protection.as_ref().is_none_or(|protection| now < protection.until)
    }

    /// Why its requests fail, if the pod refused the certificate of this process.
    pub fn refused(&self) -> Option<ConnectError> {
        let refusal = &self.protection.as_ref().filter(|protection| protection.refusal.is_noted())?.refusal;
        Some(refusal.take().map_or(ConnectError::Ended, ConnectError::Refused))
    }
}

async fn handshake<S>(address: SocketAddr, stream: S) -> Result<Sender, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(ANSWER_HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::debug!(%address, %error, cause, "connection to a serving pod closed");
        }
    });
    Ok(sender)
}
