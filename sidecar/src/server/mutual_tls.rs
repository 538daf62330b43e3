//! A listener for HTTP/2 over mutual TLS. Connections without a verified caller have slots of their
//! own, so that they never take those of callers.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use mesh::{
    LogPace,
    identity::{Admission, Refusal, Refused, ServerTls},
};
use prometheus::IntGauge;
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::{
    RequestBody, ShutdownSignals,
    accept::{accept, drain, wait_until_true},
    bounds::{Bounds, Caller},
    connection_limit::{ConnectionLimiter, ConnectionSlot},
    http2,
    linger::linger,
    streams::{StreamSlots, Streams},
    task_delay::TaskDelay,
};
use crate::{
    limits::{
        HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, HTTP2_ACTIVE_STREAMS_MAX, HTTP2_RESERVED_STREAMS, MESH_CONNECTIONS_MAX,
    },
    metrics::{connections::ListenerCounters, identity::IdentityMetrics},
    seen_anchors::{ConnectionAnchors, SeenAnchors},
};

/// What a listener with mutual TLS needs.
#[derive(Debug)]
pub struct MutualTls {
    /// The handshake.
    pub tls: ServerTls,
    /// Who may connect now.
    pub admission: Arc<dyn Admission>,
    /// Refused peers.
    pub metrics: Arc<IdentityMetrics>,
    /// What the limits of connections refuse and evict.
    pub counters: ListenerCounters,
    /// Open connections of verified callers.
    pub open: IntGauge,
    /// Limit of log lines about refused peers.
    pub log_pace: LogPace,
    /// The trust anchors that callers state.
    pub seen: Arc<SeenAnchors>,
}

/// Serves until the stop signal, then waits for requests in flight.
pub async fn serve_mutual_tls<H, F>(
    listener: TcpListener,
    mutual_tls: MutualTls,
    mut signals: ShutdownSignals,
    handler: H,
) where
    H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let task_delay = Arc::<TaskDelay>::default();
    let limiter =
        |max| Arc::new(ConnectionLimiter::new(max, Arc::clone(&task_delay), mutual_tls.counters.evicted.clone()));
    let (handshakes, connections) = (limiter(HANDSHAKES_MAX), limiter(MESH_CONNECTIONS_MAX));
    let reserved = MESH_CONNECTIONS_MAX * HTTP2_RESERVED_STREAMS;
    let streams = StreamSlots::new(HTTP2_ACTIVE_STREAMS_MAX, reserved, mutual_tls.counters.http2_streams.clone());
    let (mutual_tls, graceful) = (Arc::new(mutual_tls), GracefulShutdown::new());
    while let Some((stream, peer)) = accept(&listener, &mut signals.stopped).await {
        let Some(slot) = handshakes.acquire() else {
            mutual_tls.counters.connections.inc();
            continue;
        };
        let connection = Connection {
            mutual_tls: Arc::clone(&mutual_tls),
            connections: Arc::clone(&connections),
            streams: Arc::clone(&streams),
            peer,
            watcher: graceful.watcher(),
            signals: signals.clone(),
        };
        drop(tokio::spawn(connection.serve(stream, slot, handler.clone())));
    }
    drop(listener);
    drain(graceful, &connections).await;
}

/// One accepted connection.
struct Connection {
    mutual_tls: Arc<MutualTls>,
    connections: Arc<ConnectionLimiter>,
    streams: Arc<StreamSlots>,
    peer: SocketAddr,
    watcher: Watcher,
    signals: ShutdownSignals,
}

impl Connection {
    async fn serve<H, F>(mut self, stream: TcpStream, handshake: ConnectionSlot, handler: H)
    where
        H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
    {
        handshake.start();
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.mutual_tls.tls.accept(stream)) => {
                shaken.unwrap_or_else(|_| Err((Refused::new(Refusal::TimedOut, None), None)))
            }
            // A newer handshake takes the place of the oldest one.
            () = handshake.evicted() => Err((Refused::new(Refusal::TimedOut, None), None)),
            () = wait_until_true(&mut self.signals.stopped) => return,
        };
        let established = match shaken {
            Ok(established) => established,
            Err((refused, stream)) => {
                self.refused(&refused);
                if let Some(stream) = stream {
                    tokio::select! {
                        () = linger(stream) => {}
                        () = handshake.evicted() => {}
                        () = wait_until_true(&mut self.signals.stopped) => {}
                    }
                }
                return;
            }
        };
        drop(handshake);
        let Some(slot) = self.connections.acquire() else {
            self.mutual_tls.counters.http2_connections.inc();
            tracing::debug!("connection closed: the limit of connections with mutual TLS is reached");
            return;
        };
        slot.start();
        let admission = Arc::clone(&self.mutual_tls.admission);
        let bounds = Bounds {
            until: Some(Instant::now() + established.age_max),
            caller: Some(Caller { own: established.own, id: established.peer.id, admission }),
        };
        let anchors = ConnectionAnchors::new(Arc::clone(&self.mutual_tls.seen), self.peer.ip());
        let handler = move |request: Request<RequestBody>| {
            anchors.observe(request.headers(), Instant::now());
            handler(request)
        };
        let streams = Streams::new(&slot.phase, self.streams);
        self.mutual_tls.open.inc();
        tokio::select! {
            () = http2::serve(established.stream, streams, bounds, self.signals, handler) => {}
            () = slot.evicted() => {}
        }
        self.mutual_tls.open.dec();
        // The shutdown waits for connections that hold a watcher.
        drop(self.watcher);
    }

    fn refused(&self, refused: &Refused) {
        self.mutual_tls.metrics.count_refusal(refused.reason);
        // Load balancers open and close connections to see whether the port is open.
        if refused.reason != Refusal::Closed && self.mutual_tls.log_pace.allows(Instant::now()) {
            tracing::warn!(address = %self.peer, error = %refused, "connection with mutual TLS refused");
        }
    }
}
