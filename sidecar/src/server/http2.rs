//! A connection that speaks HTTP/2. Its limits are its own: one connection carries many requests.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc};

use answering::RequestId;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    ShutdownSignals,
    accept::wait_until_true,
    bounds::Bounds,
    head,
    phase::Phase,
    request_body::RequestBody,
    streams::{Stream, Streams},
};
use crate::limits::{
    HEADER_BYTES_MAX, HTTP2_CHECK_INTERVAL, HTTP2_FRAME_BYTES_MAX, HTTP2_RESETS_MAX, HTTP2_SEND_BYTES_MAX,
    HTTP2_STREAMS_MAX, HTTP2_WINDOW_BYTES, RETRY_AFTER_SECONDS,
};

/// Serves one connection until it closes, its bounds end, or its streams are overdue.
pub async fn serve<S, H, F>(stream: S, streams: Arc<Streams>, bounds: Bounds, mut signals: ShutdownSignals, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<RequestBody>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let service = service_fn({
        let streams = Arc::clone(&streams);
        move |request: Request<Incoming>| {
            // The handler bounds the wait for a body.
            let phase = Arc::new(Phase::of_request());
            let answer = streams.begin(&phase).map(|stream| {
                let request = request.map(|body| RequestBody::new(body, phase));
                Box::pin(handle(request, handler.clone(), stream))
            });
            // What is refused does not have the memory of a handler while it waits for a thread.
            async move {
                match answer {
                    Some(answer) => Ok::<_, Infallible>(answer.await),
                    None => Ok(overloaded()),
                }
            }
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES_MAX)
        .max_send_buf_size(HTTP2_SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
        .max_local_error_reset_streams(HTTP2_RESETS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut aged = pin!(bounds.aged());
    let mut overdue = pin!(bounds.overdue());
    let mut checks = tokio::time::interval(HTTP2_CHECK_INTERVAL);
    let mut is_ending = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection closed early");
                }
                return;
            }
            // The client opens a new connection, to another pod; active streams end on this one.
            () = wait_until_true(&mut signals.draining), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = wait_until_true(&mut signals.stopped), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            // The client opens a new connection, with a new handshake.
            () = &mut aged, if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            // A client that does not acknowledge the end of the connection can open streams after it.
            () = &mut overdue => {
                tracing::debug!("connection closed: it exceeded its maximum age, and the client did not close it");
                return;
            }
            _ = checks.tick() => {
                if let Some(caller) = bounds.revoked() {
                    tracing::info!(own = %caller.own, caller = %caller.id, "connection closed: the caller is no longer allowed");
                    return;
                }
                if streams.is_overdue(Instant::now()) {
                    tracing::debug!("connection closed: it was idle, or its client does not read a response");
                    return;
                }
            }
        }
    }
}

/// The response to the request of a stream.
async fn handle<H, F>(request: Request<RequestBody>, handler: H, stream: Stream) -> Response<Full<Bytes>>
where
    H: Fn(Request<RequestBody>) -> F,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    let is_head = request.method() == Method::HEAD;
    let Ok(response) = match head::check_http2(&request) {
        Ok(()) => handler(request).await,
        Err(error) => Ok(error.into_response(&RequestId::new())),
    };
    let (mut head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    let mut body = body.to_bytes();
    if is_head {
        // hyper removes the body of such a response over HTTP/1 only, and a client takes one for an
        // error of the protocol.
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        body = Bytes::new();
    }
    Response::from_parts(head, Full::new(stream.sending(body)))
}

/// The response to a request beyond the limit of active streams. It has no body: one would keep the
/// stream active until the client reads it.
fn overloaded() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    response
}
