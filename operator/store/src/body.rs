//! HTTP bodies: request bodies with a read timeout, response bodies with a byte counter.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use prometheus::core::{AtomicU64, GenericCounter};
use s3s::StdError;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

use crate::{limits::BODY_READ_TIMEOUT, metrics::InFlight};

/// Request body that fails when no bytes arrive for [`BODY_READ_TIMEOUT`].
pub struct RequestBody {
    inner: hyper::body::Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl RequestBody {
    /// Wraps a body.
    pub fn new(inner: hyper::body::Incoming) -> Self {
        Self { inner, deadline: Box::pin(sleep_until(Instant::now() + BODY_READ_TIMEOUT)) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.deadline.as_mut().reset(Instant::now() + BODY_READ_TIMEOUT);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err("request body read timed out".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Response body; the request counts as in flight until the body is sent or dropped.
pub struct ResponseBody {
    inner: UnsyncBoxBody<Bytes, StdError>,
    bytes: GenericCounter<AtomicU64>,
    _in_flight: Option<(OwnedSemaphorePermit, InFlight)>,
}

impl ResponseBody {
    /// Wraps a body; `bytes` counts what is sent.
    pub fn new(
        inner: UnsyncBoxBody<Bytes, StdError>,
        bytes: GenericCounter<AtomicU64>,
        in_flight: Option<(OwnedSemaphorePermit, InFlight)>,
    ) -> Self {
        Self { inner, bytes, _in_flight: in_flight }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes.inc_by(data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
