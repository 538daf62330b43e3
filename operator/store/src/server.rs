//! Accepts connections within limits. On shutdown, requests in flight may finish.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, sync::Semaphore, sync::watch};

use crate::{
    limits::{CONNECTIONS_MAX, DRAIN_MAX, HEADER_TIMEOUT},
    stall::StallGuard,
};

/// Delay after a failed accept; its common cause (too many open files) persists for a while.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves until `stop` becomes true, then drains for up to [`DRAIN_MAX`].
pub async fn serve<H, F, B, E>(name: &'static str, listener: TcpListener, mut stop: watch::Receiver<bool>, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    loop {
        let accepted = async {
            // Acquiring fails only on a closed semaphore; this one is never closed.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
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
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(server = name, %error, "cannot set TCP_NODELAY");
        }
        let handler = handler.clone();
        let connection = http.serve_connection(TokioIo::new(StallGuard::new(stream)), service_fn(handler));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(server = name, %error, "a connection ended with an error");
            }
            drop(slot);
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
