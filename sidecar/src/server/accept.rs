//! The loop of a listener, and its end.

use std::{net::SocketAddr, time::Duration};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::connection_limit::ConnectionLimiter;
use crate::limits::{BACKLOG_MAX, DRAIN_TIMEOUT};

/// Delay after a failed accept, for example without free file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// The next connection; `None` once the process stops.
pub async fn accept(listener: &TcpListener, stopped: &mut watch::Receiver<bool>) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = wait_until_true(stopped) => return None,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Responses are small and written at once, so Nagle's algorithm would only delay
                // them.
                let _ = stream.set_nodelay(true);
                return Some((stream, peer));
            }
            Err(error) => {
                // No free file descriptor, or the peer has closed the connection: the next accept
                // may succeed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Connections that clients have established and that are not accepted yet. Their requests may have
/// been sent: the kernel would reset them with the listener.
pub fn established(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std();
    let next = move || {
        let (stream, peer) = listener.as_ref().ok()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        let stream = TcpStream::from_std(stream).ok()?;
        let _ = stream.set_nodelay(true);
        Some((stream, peer))
    };
    std::iter::from_fn(next).take(BACKLOG_MAX)
}

/// Waits for requests in flight, at most [`DRAIN_TIMEOUT`].
pub async fn drain(graceful: GracefulShutdown, connections: &ConnectionLimiter) {
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN_TIMEOUT.as_secs(), "drain timed out with requests in flight");
        connections.close_all();
    }
}

/// Waits until the signal is true or its sender is dropped.
pub async fn wait_until_true(signal: &mut watch::Receiver<bool>) {
    // The returned guard must not live across an await.
    let _ = signal.wait_for(|signal| *signal).await.map(|_| ());
}
