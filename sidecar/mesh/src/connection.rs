//! The HTTP/2 connection to one pod, which is opened when a request needs it. It carries all
//! requests to the pod, and is checked by PINGs while requests are in flight. With mutual TLS it
//! has a maximum age, after which a new connection takes its place; the old one ends with its last
//! request.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    time::Instant,
};

use crate::{
    identity::{LateRefusal, Refused, Watched},
    limits::{
        ANSWER_HEADER_BYTES_MAX, CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, CONNECTIONS_PER_TRY_MAX, PING_INTERVAL,
        PING_TIMEOUT, STREAM_WINDOW_BYTES,
    },
    transport::Transport,
};

/// Sends requests over an open connection.
type Sender = SendRequest<Full<Bytes>>;

/// The connection to one pod.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    transport: Transport,
    /// The open connection. The lock is held while one is opened, so that concurrent requests share
    /// it.
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    /// Number of connections that were opened.
    number: u64,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    sender: Sender,
    number: u64,
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
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.protection.as_ref().is_none_or(|protection| Instant::now() < protection.until)
    }

    /// Why its requests fail, if the pod refused the certificate of this process.
    fn refused(&self) -> Option<ConnectError> {
        let refusal = &self.protection.as_ref().filter(|protection| protection.refusal.is_noted())?.refusal;
        Some(refusal.take().map_or(ConnectError::Ended, ConnectError::Refused))
    }
}

impl Connection {
    /// A connection that is not open yet.
    pub fn new(address: SocketAddr, transport: Transport) -> Self {
        Self { address, transport, current: Mutex::default() }
    }

    /// Address of the pod.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request. One that the pod did not process, because the connection is ending, is sent
    /// again on a new connection.
    ///
    /// # Errors
    /// No connection can be opened, or it ended before the response.
    pub async fn send(&self, request: &Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        for _ in 0..CONNECTIONS_PER_TRY_MAX {
            let mut open = self.connection().await?;
            match open.sender.try_send_request(request.clone()).await {
                Ok(response) => return Ok(response),
                Err(mut error) => {
                    let is_unsent = error.take_message().is_some();
                    let error = error.into_error();
                    if let Some(refused) = open.refused() {
                        self.discard(open.number).await;
                        return Err(SendError::Connect(refused));
                    }
                    if !is_unsent && !is_unprocessed(&error) {
                        return Err(SendError::Lost(error));
                    }
                    self.discard(open.number).await;
                }
            }
        }
        Err(SendError::Connect(ConnectError::Ended))
    }

    /// The open connection, or a new one.
    async fn connection(&self) -> Result<Open, ConnectError> {
        let mut current = self.current.lock().await;
        if let Some(open) = current.open.as_ref().filter(|open| open.is_usable()) {
            return Ok(open.clone());
        }
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        let (sender, protection) = opened.map_err(|_| ConnectError::TimedOut)??;
        current.number += 1;
        let open = Open { sender, number: current.number, protection };
        current.open = Some(open.clone());
        Ok(open)
    }

    /// Ends the use of a connection, unless another one has taken its place.
    async fn discard(&self, number: u64) {
        let mut current = self.current.lock().await;
        current.open.take_if(|open| open.number == number);
    }

    async fn connect(&self) -> Result<(Sender, Option<Protection>), ConnectError> {
        let stream = TcpStream::connect(self.address).await?;
        // Requests are small and written at once, so Nagle's algorithm would only delay them.
        stream.set_nodelay(true)?;
        match &self.transport {
            Transport::Plaintext => Ok((self.handshake(stream).await?, None)),
            Transport::MutualTls(tls) => {
                let established = tls.connect(stream, self.address).await?;
                let until = Instant::now() + established.age_max;
                let refusal = Arc::new(LateRefusal::new(established.own, established.peer.id));
                let stream = Watched::new(established.stream, Arc::clone(&refusal));
                Ok((self.handshake(stream).await?, Some(Protection { until, refusal })))
            }
        }
    }

    async fn handshake<S>(&self, stream: S) -> Result<Sender, ConnectError>
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
        let address = self.address;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::debug!(%address, %error, cause, "connection to a serving pod closed");
            }
        });
        Ok(sender)
    }
}

/// Whether the pod states that it did not process the request (RFC 9113, 8.7): the connection was
/// ending before the request arrived.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let error = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
                || error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection could be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended before the response.
    #[error(transparent)]
    Lost(hyper::Error),
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
    /// The peer is not a serving pod of the Recommender, refuses this process, or this process has
    /// no identity.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The pod ended each connection before a request was written.
    #[error("the pod ends its connections")]
    Ended,
}
