//! The HTTP/2 connection to one pod, which is opened when a request needs it. It carries all
//! requests to the pod, and is checked by PINGs while requests are in flight. With mutual TLS it
//! has a maximum age, after which a new connection takes its place; the old one ends with its last
//! request.

mod attempt;
mod open;

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use self::{
    attempt::{Attempt, Outcome},
    open::Open,
};
use crate::{identity::Refused, limits::CONNECTIONS_PER_TRY_MAX, transport::Transport};

/// The connection to one pod.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    transport: Transport,
    slot: Mutex<Slot>,
}

/// At most one attempt to open a connection, with the open connection if it succeeded. It ends with
/// the pod's place in the set of pods.
#[derive(Debug, Default)]
struct Slot {
    /// Number of attempts.
    number: u64,
    attempt: Option<Attempt>,
}

impl Slot {
    /// The number and the outcome of the attempt in the slot, or of a new one.
    fn attempt(&mut self, start: impl FnOnce() -> Attempt) -> (u64, Outcome) {
        let now = Instant::now();
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.is_usable(now)) {
            return (self.number, attempt.outcome());
        }
        self.number += 1;
        (self.number, self.attempt.insert(start()).outcome())
    }
}

impl Connection {
    /// A connection that is not open yet.
    pub fn new(address: SocketAddr, transport: Transport) -> Self {
        Self { address, transport, slot: Mutex::default() }
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
            let (number, mut open) = self.connection().await?;
            match open.sender.try_send_request(request.clone()).await {
                Ok(response) => return Ok(response),
                Err(mut error) => {
                    let is_unsent = error.take_message().is_some();
                    let error = error.into_error();
                    if let Some(refused) = open.refused() {
                        self.discard(number);
                        return Err(SendError::Connect(refused));
                    }
                    if !is_unsent && !is_unprocessed(&error) {
                        return Err(SendError::Lost(error));
                    }
                    self.discard(number);
                }
            }
        }
        Err(SendError::Connect(ConnectError::Ended))
    }

    /// The open connection, or a new one, with its number. Concurrent requests share it.
    async fn connection(&self) -> Result<(u64, Open), ConnectError> {
        let (number, outcome) = self.slot().attempt(|| Attempt::start(self.address, self.transport.clone()));
        match outcome.wait().await {
            Ok(open) => Ok((number, open)),
            Err(error) => {
                self.discard(number);
                Err(error)
            }
        }
    }

    /// Ends the use of a connection, unless another one has taken its place.
    fn discard(&self, number: u64) {
        let mut slot = self.slot();
        if slot.number == number {
            slot.attempt = None;
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// [`crate::limits::CONNECT_TIMEOUT`] ended.
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
    /// Another request that waited for the same attempt states why it failed.
    #[error("the connection attempt of another request failed")]
    Shared,
}

#[cfg(test)]
mod tests;
