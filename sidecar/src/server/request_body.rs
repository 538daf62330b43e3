//! The body of a request, which reports to its connection whether it waits for the client and
//! whether it was read to its end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::phase::Phase;

/// The body of a request.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    phase: Arc<Phase>,
}

impl RequestBody {
    /// The body of the request that the connection handles.
    pub fn new(incoming: Incoming, phase: Arc<Phase>) -> Self {
        let body = Self { incoming, phase };
        body.report_end();
        body
    }

    fn report_end(&self) {
        if self.incoming.is_end_stream() {
            self.phase.body_ended();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => self.phase.wait_for_body(),
            Poll::Ready(Some(_)) => self.report_end(),
            Poll::Ready(None) => self.phase.body_ended(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.phase.body_dropped();
    }
}
