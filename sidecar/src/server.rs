//! A listener: accepts up to a limit, speaks HTTP/1.1, drains when told. Both ports use it.

mod connection;
mod house;

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use self::{
    connection::Guarded,
    house::{House, Place},
};
use crate::limits::{
    CONNECTION_BUFFER_BYTES_MAX, DRAIN_TIMEOUT, HEADER_BYTES_MAX, HEADER_TIMEOUT, HEADERS_MAX, IDLE_TIMEOUT,
};

/// Pause after a connection could not be accepted, for want of file descriptors for example.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// What hears a connection for which there is no place. Nothing was read, so there is no request id to name.
const FULL_HOUSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 150\r\n\r\n\
{\"type\":\"urn:recmesh:problem:overloaded\",\"title\":\"Service Unavailable\",\"status\":503,\
\"detail\":\"too many connections are in use; try again in a moment\"}";

/// When a listener changes its manners.
#[derive(Clone, Debug)]
pub struct Ends {
    /// True: each answer closes its connection, so that clients go elsewhere by themselves.
    pub draining: watch::Receiver<bool>,
    /// True: no new connections; requests in flight end, at most [`DRAIN_TIMEOUT`].
    pub stopped: watch::Receiver<bool>,
}

/// Serves at most `connections_max` connections until it is told to stop, then lets requests in flight end.
pub async fn serve<H, F>(listener: TcpListener, connections_max: usize, mut ends: Ends, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let house = Arc::new(House::new(connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or a peer that left: the next accept may do better.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            () = told(&mut ends.stopped) => break,
        };
        // Answers are small and whole; waiting to merge them would only delay them.
        let _ = stream.set_nodelay(true);
        match house.enter() {
            Some(place) => drop(tokio::spawn(speak(stream, place, &graceful, ends.draining.clone(), handler.clone()))),
            None => turn_away(stream),
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN_TIMEOUT.as_secs(), "requests were still in flight when the drain ended");
        house.clear();
    }
}

/// One connection, to its end.
fn speak<S, H, F>(
    stream: S,
    place: Place,
    graceful: &GracefulShutdown,
    draining: watch::Receiver<bool>,
    handler: H,
) -> impl Future<Output = ()> + use<S, H, F>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let phase = Arc::clone(&place.phase);
    let service = service_fn({
        let phase = Arc::clone(&phase);
        move |request| {
            let answering = phase.answer();
            let (handler, draining) = (handler.clone(), draining.clone());
            async move {
                let mut response = handler(request).await;
                if let (Ok(response), true) = (&mut response, *draining.borrow()) {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                drop(answering);
                response
            }
        }
    });
    // HEADERS_MAX is hyper's own default; setting it would cost an allocation a request.
    const { assert!(HEADERS_MAX == 100) };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The guarded stream keeps the times, and tells idling from dawdling. This one never comes first, but without it
        // hyper would not read, and so not start the stream's clock, before the next byte comes.
        .header_read_timeout(IDLE_TIMEOUT + HEADER_TIMEOUT)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Guarded::new(stream, phase)), service);
    let connection = graceful.watch(connection);
    async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            },
            () = place.asked_to_leave() => {}
        }
        drop(place);
    }
}

/// Says that the house is full, and closes. The peer has no right to more than the kernel's buffer and a moment.
fn turn_away(mut stream: TcpStream) {
    tracing::debug!("a connection was turned away: all places are in use");
    tokio::spawn(async move {
        let _ = tokio::time::timeout(HEADER_TIMEOUT, async {
            stream.write_all(FULL_HOUSE).await?;
            stream.shutdown().await
        })
        .await;
    });
}

/// Until `stop` turns true, or nobody is left to say so.
pub async fn told(stop: &mut watch::Receiver<bool>) {
    // The guard that comes back must not live across an await.
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}

#[cfg(test)]
mod tests;
