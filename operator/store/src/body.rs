//! HTTP bodies: request bodies with a min rate, of which the end is recorded, and response bodies
//! with a byte counter.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use prometheus::core::{AtomicU64, GenericCounter};
use s3s::StdError;

use crate::{metrics::InFlight, pace::Pace, request_record::RequestRecord};

/// How the read of a request body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it was received.
    Complete,
    /// The connection failed or closed first.
    Truncated,
    /// The client sent too slowly; see [`Pace`].
    TooSlow,
}

/// End of a request body, shared with the reader of the body. It is absent while a part of the body
/// is not read.
#[derive(Clone, Debug, Default)]
pub struct BodyEndCell(Arc<OnceLock<BodyEnd>>);

impl BodyEndCell {
    /// The end, if the body was read until it.
    pub fn get(&self) -> Option<BodyEnd> {
        self.0.get().copied()
    }
}

/// Request body that fails if the client sends too slowly.
pub struct RequestBody<B> {
    inner: B,
    pace: Pace,
    end: BodyEndCell,
}

impl<B: Body + Unpin> RequestBody<B> {
    /// Wraps a body; also returns where its end is recorded.
    pub fn new(inner: B) -> (Self, BodyEndCell) {
        let end = BodyEndCell::default();
        let body = Self { inner, pace: Pace::default(), end: end.clone() };
        if body.inner.is_end_stream() {
            body.record(BodyEnd::Complete);
        }
        (body, end)
    }

    /// Records the first end.
    fn record(&self, end: BodyEnd) {
        let _ = self.end.0.set(end);
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return self.pace.poll_exhausted(cx).map(|()| {
                self.record(BodyEnd::TooSlow);
                Some(Err("the client sends too slowly".into()))
            });
        };
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
        self.pace.transferred(bytes.unwrap_or_default());
        match &frame {
            Some(Err(_)) => self.record(BodyEnd::Truncated),
            None => self.record(BodyEnd::Complete),
            Some(Ok(_)) if self.inner.is_end_stream() => self.record(BodyEnd::Complete),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Response body; the request is in flight, and holds its slot, until the body is sent or dropped.
pub struct ResponseBody {
    inner: UnsyncBoxBody<Bytes, StdError>,
    bytes: GenericCounter<AtomicU64>,
    _in_flight: InFlight,
    _record: RequestRecord,
}

impl ResponseBody {
    /// Wraps a body; `bytes` counts what is sent.
    pub fn new(
        inner: UnsyncBoxBody<Bytes, StdError>,
        bytes: GenericCounter<AtomicU64>,
        in_flight: InFlight,
        record: RequestRecord,
    ) -> Self {
        Self { inner, bytes, _in_flight: in_flight, _record: record }
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
