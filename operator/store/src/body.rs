//! Bodies with limits: one that may not fall silent on its way in, one that counts on its way out.

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

use crate::{limits::BODY_SILENCE_MAX, metrics::InFlight};

/// A request's body; an error once nothing came for [`BODY_SILENCE_MAX`].
pub struct Received {
    inner: hyper::body::Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl Received {
    /// Limits a body.
    pub fn new(inner: hyper::body::Incoming) -> Self {
        Self { inner, deadline: Box::pin(sleep_until(Instant::now() + BODY_SILENCE_MAX)) }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.deadline.as_mut().reset(Instant::now() + BODY_SILENCE_MAX);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the body fell silent".into()))),
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

/// An answer's body; the request counts as at work until it is sent or dropped.
pub struct Sent {
    inner: UnsyncBoxBody<Bytes, StdError>,
    bytes: GenericCounter<AtomicU64>,
    _at_work: Option<(OwnedSemaphorePermit, InFlight)>,
}

impl Sent {
    /// Counts a body.
    pub fn new(
        inner: UnsyncBoxBody<Bytes, StdError>,
        bytes: GenericCounter<AtomicU64>,
        at_work: Option<(OwnedSemaphorePermit, InFlight)>,
    ) -> Self {
        Self { inner, bytes, _at_work: at_work }
    }
}

impl Body for Sent {
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
