//! A listener for HTTP/1.1 and HTTP/2 with a connection limit and graceful shutdown, which the
//! application and the admin port use; and one for HTTP/2 over mutual TLS.

mod accept;
mod bounds;
mod connection_limit;
mod head;
mod head_lines;
mod http2;
mod linger;
mod mutual_tls;
mod never;
mod phase;
mod protocol;
mod request_body;
mod streams;
mod task_delay;
mod timeout_stream;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use answering::RequestId;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use prometheus::IntCounter;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::Instant,
};

pub use self::{
    accept::wait_until_true,
    mutual_tls::{MutualTls, serve_mutual_tls},
    request_body::RequestBody,
};
use self::{
    accept::{accept, drain, established},
    bounds::Bounds,
    connection_limit::{ConnectionLimiter, ConnectionSlot},
    linger::linger,
    never::Never,
    phase::{Handling, Phase},
    protocol::{Protocol, Replay, detect},
    streams::{StreamSlots, Streams},
    task_delay::TaskDelay,
    timeout_stream::TimeoutStream,
};
use crate::{
    limits::{
        CONNECTION_BUFFER_BYTES_MAX, HEADER_BYTES_MAX, HEADER_TIMEOUT, HEADERS_MAX, HTTP2_ACTIVE_STREAMS_MAX,
        HTTP2_RESERVED_STREAMS, IDLE_TIMEOUT, REJECTED_LINGERING_MAX, STOPPED_FIRST_BYTES_TIMEOUT,
    },
    metrics::connections::ListenerCounters,
};

/// Response to a connection beyond the limit. No request was read, so the response has no request
/// id.
const OVERLOADED_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 150\r\n\r\n\
{\"type\":\"urn:recmesh:problem:overloaded\",\"title\":\"Service Unavailable\",\"status\":503,\
\"detail\":\"too many connections are in use; try again in a moment\"}";

/// Signals of the stages of a shutdown.
#[derive(Clone, Debug)]
pub struct ShutdownSignals {
    /// True: each response closes its connection, so that clients reconnect to other pods.
    pub draining: watch::Receiver<bool>,
    /// True: no new connections; requests in flight may take up to [`crate::limits::DRAIN_TIMEOUT`]
    /// to complete.
    pub stopped: watch::Receiver<bool>,
}

/// Limits of the connections of a listener.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Maximum number of connections.
    pub connections_max: usize,
    /// Maximum number of those that speak HTTP/2, each of which carries many requests.
    pub http2_connections_max: usize,
    /// What the limits refuse and evict.
    pub counters: ListenerCounters,
}

/// Serves connections until the stop signal, then waits for requests in flight. `connect` makes the
/// handler of the requests of a client.
pub async fn serve<C, H, F>(listener: TcpListener, limits: ConnectionLimits, mut signals: ShutdownSignals, connect: C)
where
    C: Fn(SocketAddr) -> H + Send + Sync + 'static,
    H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let ConnectionLimits { connections_max, http2_connections_max, counters } = limits;
    let task_delay = Arc::<TaskDelay>::default();
    let limiter = |max| Arc::new(ConnectionLimiter::new(max, Arc::clone(&task_delay), counters.evicted.clone()));
    let (limiter, http2_limiter) = (limiter(connections_max), limiter(http2_connections_max));
    let graceful = GracefulShutdown::new();
    let reserved = http2_connections_max * HTTP2_RESERVED_STREAMS;
    let streams = StreamSlots::new(HTTP2_ACTIVE_STREAMS_MAX, reserved, counters.http2_streams);
    let http2_slots = Http2Slots { limiter: http2_limiter, beyond: counters.http2_connections, streams };
    let lingering = Arc::new(Semaphore::new(REJECTED_LINGERING_MAX));
    let connection_signals = signals.clone();
    let start = |(stream, client): (TcpStream, SocketAddr)| {
        let Some(slot) = limiter.acquire() else {
            counters.connections.inc();
            reject(stream, &lingering);
            return;
        };
        let (signals, http2_slots) = (connection_signals.clone(), http2_slots.clone());
        drop(tokio::spawn(serve_connection(stream, slot, http2_slots, graceful.watcher(), signals, connect(client))));
    };
    while let Some(accepted) = accept(&listener, &mut signals.stopped).await {
        start(accepted);
    }
    established(listener).for_each(start);
    drain(graceful, &limiter).await;
}

/// Slots of HTTP/2 connections: at the limit, a new one evicts the one that has waited longest.
#[derive(Clone)]
struct Http2Slots {
    limiter: Arc<ConnectionLimiter>,
    /// Counts connections without a slot.
    beyond: IntCounter,
    /// Slots of their streams.
    streams: Arc<StreamSlots>,
}

/// Serves one connection until it closes or is evicted.
async fn serve_connection<S, H, F>(
    stream: S,
    slot: ConnectionSlot,
    http2_slots: Http2Slots,
    watcher: Watcher,
    mut signals: ShutdownSignals,
    handler: H,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    slot.start();
    let phase = Arc::clone(&slot.phase);
    let first_head_end = phase.deadline().unwrap_or_else(Instant::now);
    let serving = async {
        let (protocol, stream) = tokio::select! {
            detected = tokio::time::timeout_at(first_head_end, detect(stream)) => match detected {
                Ok(Ok(detected)) => detected,
                // The client sent nothing, or a part of the HTTP/2 preface.
                Ok(Err(_)) | Err(_) => return,
            },
            () = stopped_without_first_bytes(&mut signals.stopped) => return,
        };
        match protocol {
            Protocol::Http1 => serve_http1(stream, phase, watcher, signals.draining, handler).await,
            Protocol::Http2 => {
                let Some(http2_slot) = http2_slots.limiter.acquire_for(Arc::clone(&phase)) else {
                    http2_slots.beyond.inc();
                    tracing::debug!("connection closed: the limit of HTTP/2 connections is reached");
                    return;
                };
                let streams = Streams::new(&phase, http2_slots.streams);
                tokio::select! {
                    () = http2::serve(stream, streams, Bounds::default(), signals, handler) => {}
                    () = http2_slot.evicted() => {}
                }
                // The shutdown waits for connections that hold a watcher.
                drop(watcher);
            }
        }
    };
    tokio::select! {
        biased;
        () = serving => {}
        () = slot.evicted() => {}
    }
    drop(slot);
}

/// Ends when a connection that has sent nothing must close. One with unread bytes would be reset.
async fn stopped_without_first_bytes(stopped: &mut watch::Receiver<bool>) {
    wait_until_true(stopped).await;
    tokio::time::sleep(STOPPED_FIRST_BYTES_TIMEOUT).await;
}

/// What the requests of a connection share. Connections share little with each other: counts that
/// every request changes would move between the caches of the cores.
struct Shared<H> {
    handler: H,
    phase: Arc<Phase>,
    draining: Draining,
}

/// Whether the server drains, read without a lock.
struct Draining {
    signal: watch::Receiver<bool>,
    was_set: bool,
}

impl Draining {
    fn new(mut signal: watch::Receiver<bool>) -> Self {
        let was_set = *signal.borrow_and_update();
        Self { signal, was_set }
    }

    /// The signal is set once and never reset.
    fn is_set(&self) -> bool {
        self.was_set || self.signal.has_changed().unwrap_or_else(|_| *self.signal.borrow())
    }
}

impl<H, F> Shared<H>
where
    H: Fn(Request<RequestBody>) -> F,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    async fn respond(&self, request: Request<RequestBody>, handling: Handling) -> Response<Full<Bytes>> {
        let (Ok(mut response), is_malformed) = match head::check(&request, handling.line_ends) {
            Ok(()) => ((self.handler)(request).await, false),
            Err(error) => (Ok(error.into_response(&RequestId::new())), true),
        };
        // After a response to a request whose body was not read, the client may send the body or the
        // next request. The server could not distinguish them.
        if self.draining.is_set() || is_malformed || handling.has_unread_body() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Serves an HTTP/1 connection until it closes.
async fn serve_http1<S, H, F>(
    stream: Replay<S>,
    phase: Arc<Phase>,
    watcher: Watcher,
    draining: watch::Receiver<bool>,
    handler: H,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let shared = Arc::new(Shared { handler, phase: Arc::clone(&phase), draining: Draining::new(draining) });
    let service = service_fn(move |request: Request<Incoming>| {
        let handling = shared.phase.start_handling(request.body().size_hint().exact());
        let request = request.map(|body| RequestBody::new(body, Arc::clone(&shared.phase)));
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.respond(request, handling).await) }
    });
    // HEADERS_MAX is hyper's default; setting it would cost an allocation per request.
    const { assert!(HEADERS_MAX == 100) };
    let mut connection = http1::Builder::new()
        // TimeoutStream enforces the timeouts, and distinguishes idle from slow connections. Without
        // a timeout of its own hyper would not poll the stream, and so not start its timer, before
        // the next byte arrives.
        .timer(Never)
        .header_read_timeout(IDLE_TIMEOUT)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX)
        // A client that shuts down its write side after a request still gets the response.
        .half_close(true)
        .serve_connection(TokioIo::new(TimeoutStream::new(stream, phase)), service);
    // hyper closes a connection that must end before it has read anything, though the client may
    // have sent its request.
    let begun = poll_fn(|context| Poll::Ready(Pin::new(&mut connection).poll(context))).await;
    let ended = match begun {
        Poll::Ready(ended) => ended,
        Poll::Pending => watcher.watch(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection closed early");
    }
}

/// Responds with 503 and closes. [`HEADER_TIMEOUT`] bounds the write, and `lingering` the number of
/// rejected peers that may still hold a socket after it; others may lose the response.
fn reject(mut stream: TcpStream, lingering: &Arc<Semaphore>) {
    tracing::debug!("connection rejected: the connection limit is reached");
    let slot = Arc::clone(lingering).try_acquire_owned();
    drop(tokio::spawn(async move {
        let written = tokio::time::timeout(HEADER_TIMEOUT, stream.write_all(OVERLOADED_RESPONSE)).await;
        if let (Ok(Ok(())), Ok(_slot)) = (written, slot) {
            linger(stream).await;
        }
    }));
}

#[cfg(test)]
mod tests;
