//! Accepts connections within limits. On shutdown, requests in flight may finish.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    connection_limit::{ConnectionLimiter, Handling},
    limits::{CONNECTION_BUFFER_BYTES_MAX, DRAIN_MAX, HEADER_BYTES_MAX, HEADER_TIMEOUT},
    paced_stream::PacedStream,
};

/// Delay after a failed accept; its common cause (too many open files) persists for a while.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Listener with a limit of open connections.
pub struct Port {
    /// Name in logs.
    pub name: &'static str,
    /// Source of connections.
    pub listener: TcpListener,
    /// Max open connections.
    pub connections_max: usize,
}

/// Serves until `stop` becomes true, then drains for up to [`DRAIN_MAX`].
pub async fn serve<H, F, B, E>(port: Port, mut stop: watch::Receiver<bool>, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let Port { name, listener, connections_max } = port;
    let limiter = Arc::new(ConnectionLimiter::new(connections_max));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(server = name, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            }
        };
        // Without a slot, all connections have requests in flight; clients retry a closed one.
        let Some(slot) = limiter.acquire() else { continue };
        let slot = Arc::new(slot);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(server = name, %error, "cannot set TCP_NODELAY");
        }
        let service = service_fn({
            let (handler, slot) = (handler.clone(), Arc::clone(&slot));
            move |request| {
                let handling = slot.start_handling();
                let response = handler(request);
                async move { Ok::<_, E>(response.await?.map(|body| HandledBody { body, _handling: handling })) }
            }
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(PacedStream::new(stream)), service));
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(server = name, %error, "a connection ended with an error");
                },
                () = slot.evicted() => tracing::debug!(server = name, "a waiting connection was evicted"),
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            server = name,
            seconds = DRAIN_MAX.as_secs(),
            "drain timed out; remaining requests were aborted"
        );
    }
}

/// Result of a handler that always returns a response.
pub type InfallibleResponse<B> = Result<Response<B>, Infallible>;

/// Response body; its request is handled until the body is sent.
struct HandledBody<B> {
    body: B,
    _handling: Handling,
}

impl<B: Body + Unpin> Body for HandledBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
