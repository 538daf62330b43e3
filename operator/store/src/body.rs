//! HTTP bodies: request bodies with a min rate, of which the end is recorded, and response bodies
//! with a byte counter.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
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

/// Data frames with fewer bytes are joined to frames of [`JOINED_BYTES`] or more. A frame of one
/// byte keeps a buffer of the connection, of 8 KiB, for as long as the library collects a body.
const SMALL_BYTES: usize = 4 << 10;
const JOINED_BYTES: usize = 16 << 10;

/// Request body that fails if the client sends too slowly.
pub struct RequestBody<B> {
    inner: B,
    pace: Pace,
    end: BodyEndCell,
    /// Bytes of small frames.
    joined: BytesMut,
    /// Frame that follows them.
    next: Option<Frame<Bytes>>,
}

impl<B: Body + Unpin> RequestBody<B> {
    /// Wraps a body; also returns where its end is recorded.
    pub fn new(inner: B) -> (Self, BodyEndCell) {
        let end = BodyEndCell::default();
        let body = Self { inner, pace: Pace::default(), end: end.clone(), joined: BytesMut::new(), next: None };
        if body.inner.is_end_stream() {
            body.record(BodyEnd::Complete);
        }
        (body, end)
    }

    /// The bytes of small frames, if there are any, as a frame.
    fn take_joined(&mut self) -> Option<Frame<Bytes>> {
        (!self.joined.is_empty()).then(|| Frame::data(self.joined.split().freeze()))
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
        if let Some(frame) = self.next.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                return self.pace.poll_exhausted(cx).map(|()| {
                    self.record(BodyEnd::TooSlow);
                    Some(Err("the client sends too slowly".into()))
                });
            };
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
            self.pace.transferred(bytes.unwrap_or_default());
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.record(BodyEnd::Truncated);
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    self.record(BodyEnd::Complete);
                    return Poll::Ready(self.take_joined().map(Ok));
                }
            };
            let is_last = self.inner.is_end_stream();
            if is_last {
                self.record(BodyEnd::Complete);
            }
            match frame.into_data() {
                Ok(data) if data.len() < SMALL_BYTES => {
                    self.joined.extend_from_slice(&data);
                    if is_last || self.joined.len() >= JOINED_BYTES {
                        return Poll::Ready(self.take_joined().map(Ok));
                    }
                }
                other => {
                    let frame = other.map_or_else(|frame| frame, Frame::data);
                    let Some(joined) = self.take_joined() else { return Poll::Ready(Some(Ok(frame))) };
                    self.next = Some(frame);
                    return Poll::Ready(Some(Ok(joined)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.joined.is_empty() && self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let next = self.next.as_ref().and_then(|next| next.data_ref().map(Bytes::len));
        let held = (self.joined.len() + next.unwrap_or_default()) as u64;
        let (inner, mut hint) = (self.inner.size_hint(), SizeHint::new());
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
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

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// Lengths of the data frames of a body whose frames have these lengths.
    async fn joined(lengths: &[usize]) -> Vec<usize> {
        let mut bytes = (0..=u8::MAX).cycle();
        let frames: Vec<Bytes> = lengths.iter().map(|length| bytes.by_ref().take(*length).collect()).collect();
        let sent = frames.concat();
        let inner = StreamBody::new(stream::iter(frames).map(|data| Ok::<_, StdError>(Frame::data(data))));
        let (mut body, end) = RequestBody::new(inner);
        let (mut lengths, mut received) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            lengths.push(data.len());
            received.extend(data);
        }
        assert_eq!((received, end.get()), (sent, Some(BodyEnd::Complete)));
        lengths
    }

    #[tokio::test]
    async fn small_frames_are_joined_and_large_ones_keep_their_order() {
        assert_eq!(joined(&[]).await, Vec::<usize>::new());
        assert_eq!(joined(&[1; 20]).await, [20]);
        assert_eq!(joined(&[4095; 9]).await, [5 * 4095, 4 * 4095]);
        assert_eq!(joined(&[1, 4096, 2, 2, 70_000]).await, [1, 4096, 4, 70_000]);
        assert_eq!(joined(&[4096, 3]).await, [4096, 3]);
    }

    #[tokio::test]
    async fn the_hint_counts_what_is_held() {
        let frames = [Bytes::from_static(b"ab"), Bytes::from(vec![0; 5000])];
        let inner = StreamBody::new(stream::iter(frames).map(|data| Ok::<_, StdError>(Frame::data(data))));
        let (mut body, _) = RequestBody::new(inner);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 2);
        assert_eq!((body.size_hint().lower(), body.is_end_stream()), (5000, false));
    }
}
