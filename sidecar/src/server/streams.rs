//! The streams of an HTTP/2 connection: what they wait for, and whether a client has stopped reading
//! a response. HTTP/2 has its own flow control, so the socket does not show this.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::phase::{Phase, Wait, Waiting};
use crate::limits::{IDLE_TIMEOUT, WRITE_BYTES_PER_SECOND_MIN, WRITE_TIMEOUT};

/// The active streams of a connection.
#[derive(Debug)]
pub struct Streams(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    next: u64,
    active: BTreeMap<u64, Activity>,
    idle_since: Instant,
}

/// What a stream does.
#[derive(Debug)]
enum Activity {
    /// The request is handled, or its body is incomplete.
    Handling(Arc<Phase>),
    /// The response is sent.
    Sending {
        /// Time by which a client that reads at the minimum rate has all of it.
        read_by: Instant,
    },
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

impl Activity {
    /// The wait for the client. That it does not read a response is known when the response should
    /// have been read.
    fn waiting(&self) -> Option<Wait> {
        match self {
            Self::Handling(phase) => phase.waiting(),
            Self::Sending { read_by } => Some(Wait::to_write(*read_by)),
        }
    }

    /// Whether the response was not read in time. The handler bounds the time of a request.
    fn is_overdue(&self, now: Instant) -> bool {
        matches!(self, Self::Sending { read_by } if now >= *read_by + WRITE_TIMEOUT)
    }
}

impl Waiting for Streams {
    /// The connection waits for its client if no stream is active, or if all of them wait.
    fn waiting(&self) -> Option<Wait> {
        let inner = self.lock();
        let mut streams = inner.active.values();
        let Some(first) = streams.next() else { return Some(Wait::to_read(inner.idle_since)) };
        streams.try_fold(first.waiting()?, |wait, stream| Some(wait.and(stream.waiting()?)))
    }
}

impl Streams {
    /// A connection without streams.
    pub fn new(connection: &Phase) -> Arc<Self> {
        let streams = Arc::new(Self(Mutex::new(Inner { next: 0, active: BTreeMap::new(), idle_since: Instant::now() })));
        let waiting: Weak<Self> = Arc::downgrade(&streams);
        connection.multiplex(waiting);
        streams
    }

    /// Begins a stream, whose request has this phase.
    pub fn begin(self: &Arc<Self>, request: &Arc<Phase>) -> Stream {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.active.insert(number, Activity::Handling(Arc::clone(request)));
        Stream { streams: Arc::clone(self), number }
    }

    /// Whether the connection must be closed: a response is not read, or no stream was active for
    /// too long.
    pub fn is_overdue(&self, now: Instant) -> bool {
        let inner = self.lock();
        let is_idle = inner.active.is_empty() && now >= inner.idle_since + IDLE_TIMEOUT;
        is_idle || inner.active.values().any(|stream| stream.is_overdue(now))
    }

    fn end(&self, number: u64) {
        let mut inner = self.lock();
        inner.active.remove(&number);
        if inner.active.is_empty() {
            inner.idle_since = Instant::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// The response of the stream, which has a maximum time: that of a response over HTTP/1 whose
    /// client reads at the minimum rate.
    pub fn sending(self, bytes: Bytes) -> Bytes {
        let seconds = u64::try_from(bytes.len() / WRITE_BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
        let read_by = Instant::now() + Duration::from_secs(seconds);
        self.streams.lock().active.insert(self.number, Activity::Sending { read_by });
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
        let phase = Phase::new();
        phase.start();
        let streams = Streams::new(&phase);
        let is_overdue_after = |time: Duration| streams.is_overdue(Instant::now() + time);
        assert!(phase.waiting().is_some());
        assert!(!is_overdue_after(IDLE_TIMEOUT / 2) && is_overdue_after(IDLE_TIMEOUT));
        let request = Arc::new(Phase::of_request());
        let (first, second) = (streams.begin(&request), streams.begin(&request));
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
    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_since_the_last_of_its_streams_does() {
        let connection = Phase::new();
        connection.start();
        let streams = Streams::new(&connection);
        let begin = Instant::now();
        let pass = || tokio::time::advance(Duration::from_secs(1));
        let seconds = |seconds: u64| begin + Duration::from_secs(seconds);
        let (one, two) = (Arc::new(Phase::of_request()), Arc::new(Phase::of_request()));
        let (first, second) = (streams.begin(&one), streams.begin(&two));
        pass().await;
        one.wait_for_body();
        assert_eq!(connection.waiting(), None, "the second stream is handled");
        pass().await;
        two.wait_for_body();
        assert_eq!(connection.waiting(), Some(Wait::to_read(seconds(2))));
        pass().await;
        two.body_ended();
        assert_eq!(connection.waiting(), None, "the second stream is handled again");
        // A client that reads at the minimum rate has this answer after ten seconds.
        let answer = second.sending(Bytes::from(vec![b'.'; 10 * WRITE_BYTES_PER_SECOND_MIN]));
        assert_eq!(connection.waiting(), Some(Wait::to_write(seconds(13))));
        let short = first.sending(Bytes::from_static(b"."));
        drop(answer);
        assert_eq!(connection.waiting(), Some(Wait::to_write(seconds(3))));
        pass().await;
        drop(short);
        assert_eq!(connection.waiting(), Some(Wait::to_read(seconds(4))), "no stream is active");
        drop(streams);
        assert_eq!(connection.waiting(), None, "the connection has ended");
    }
}
