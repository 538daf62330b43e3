//! The streams of an HTTP/2 connection: whether one is active, and whether a client has stopped
//! reading a response. HTTP/2 has its own flow control, so the socket does not show this.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::phase::{Handling, Phase};
use crate::limits::{IDLE_TIMEOUT, WRITE_BYTES_PER_SECOND_MIN, WRITE_TIMEOUT};

/// The active streams of a connection.
#[derive(Debug)]
pub struct Streams {
    phase: Arc<Phase>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    /// Times by which responses must be sent; `None` while a request is handled.
    active: BTreeMap<u64, Option<Instant>>,
    /// Present while a stream is active, so that the connection is not evicted.
    handling: Option<Handling>,
    idle_since: Instant,
}

/// An active stream; it ends when this is dropped.
#[derive(Debug)]
pub struct Stream {
    streams: Arc<Streams>,
    number: u64,
}

/// A response that keeps its stream active until its last byte is sent.
struct Sending {
    bytes: Bytes,
    _stream: Stream,
}

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Streams {
    /// A connection without streams.
    pub fn new(phase: Arc<Phase>) -> Arc<Self> {
        let (active, idle_since) = (BTreeMap::new(), Instant::now());
        Arc::new(Self { phase, inner: Mutex::new(Inner { next: 0, active, handling: None, idle_since }) })
    }

    /// Begins a stream.
    pub fn begin(self: &Arc<Self>) -> Stream {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.active.insert(number, None);
        inner.handling.get_or_insert_with(|| self.phase.start_handling(Some(0)));
        Stream { streams: Arc::clone(self), number }
    }

    /// Whether the connection must be closed: a response is not read, or no stream was active for
    /// too long.
    pub fn is_overdue(&self, now: Instant) -> bool {
        let inner = self.lock();
        let is_idle = inner.active.is_empty() && now >= inner.idle_since + IDLE_TIMEOUT;
        is_idle || inner.active.values().flatten().any(|end| now >= *end)
    }

    fn end(&self, number: u64) {
        let mut inner = self.lock();
        inner.active.remove(&number);
        if inner.active.is_empty() {
            inner.handling = None;
            inner.idle_since = Instant::now();
            self.phase.written();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// The response of the stream, which has a maximum time: that of a response over HTTP/1 whose
    /// client reads at the minimum rate.
    pub fn sending(self, bytes: Bytes) -> Bytes {
        let seconds = u64::try_from(bytes.len() / WRITE_BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
        let end = Instant::now() + WRITE_TIMEOUT + Duration::from_secs(seconds);
        self.streams.lock().active.insert(self.number, Some(end));
        Bytes::from_owner(Sending { bytes, _stream: self })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_overdue_when_it_is_idle_or_a_response_is_not_read() {
        let phase = Arc::new(Phase::new());
        phase.start();
        let streams = Streams::new(Arc::clone(&phase));
        let is_overdue_after = |time: Duration| streams.is_overdue(Instant::now() + time);
        assert!(phase.waiting().is_some());
        assert!(!is_overdue_after(IDLE_TIMEOUT / 2) && is_overdue_after(IDLE_TIMEOUT));
        let (first, second) = (streams.begin(), streams.begin());
        // The handler bounds the time of a request.
        assert!(phase.waiting().is_none() && !is_overdue_after(IDLE_TIMEOUT));
        let response = first.sending(Bytes::from(vec![b'.'; 10 * WRITE_BYTES_PER_SECOND_MIN]));
        drop(second);
        let limit = WRITE_TIMEOUT + Duration::from_secs(10);
        assert!(!is_overdue_after(limit / 2) && is_overdue_after(limit));
        let rest = response.slice(100..);
        drop(response);
        assert!(is_overdue_after(limit), "a part of the response is still to be sent");
        drop(rest);
        assert!(phase.waiting().is_some());
        assert!(!is_overdue_after(IDLE_TIMEOUT / 2) && is_overdue_after(IDLE_TIMEOUT));
    }
}
