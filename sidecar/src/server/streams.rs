//! The streams of an HTTP/2 connection: what they wait for, and whether a client has stopped reading
//! a response. HTTP/2 has its own flow control, so the socket does not show this.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use prometheus::IntCounter;
use tokio::time::Instant;

use super::phase::{Phase, Wait, Waiting};
use crate::limits::{HTTP2_RESERVED_STREAMS, IDLE_TIMEOUT, WRITE_BYTES_PER_SECOND_MIN, WRITE_TIMEOUT};

/// Limit of the active streams of all connections of a listener: each has memory of its own, also
/// while its client sends and reads nothing. It is counted without a lock.
///
/// Part of the slots is for connections with few streams, so that some connections cannot stop the
/// others.
#[derive(Debug)]
pub struct StreamSlots {
    streams_max: usize,
    /// Number of slots for connections that have fewer than [`HTTP2_RESERVED_STREAMS`].
    reserved: usize,
    active: AtomicUsize,
    /// Counts requests without a slot.
    beyond: IntCounter,
}

/// The active streams of a connection.
#[derive(Debug)]
pub struct Streams {
    slots: Arc<StreamSlots>,
    inner: Mutex<Inner>,
}

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

impl StreamSlots {
    /// At most this number of streams, of which `reserved` are for connections with few. `beyond`
    /// counts requests beyond it.
    pub fn new(streams_max: usize, reserved: usize, beyond: IntCounter) -> Arc<Self> {
        Arc::new(Self { streams_max, reserved, active: AtomicUsize::new(0), beyond })
    }

    /// Takes a slot for a connection that has this number of them.
    fn take(&self, held: usize) -> bool {
        let reserved = if held < HTTP2_RESERVED_STREAMS { 0 } else { self.reserved };
        if self.active.fetch_add(1, Ordering::Relaxed) < self.streams_max.saturating_sub(reserved) {
            return true;
        }
        self.release();
        self.beyond.inc();
        false
    }

    fn release(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
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
    /// A connection without streams, which share these slots.
    pub fn new(connection: &Phase, slots: Arc<StreamSlots>) -> Arc<Self> {
        let inner = Mutex::new(Inner { next: 0, active: BTreeMap::new(), idle_since: Instant::now() });
        let streams = Arc::new(Self { slots, inner });
        let waiting: Weak<Self> = Arc::downgrade(&streams);
        connection.multiplex(waiting);
        streams
    }

    /// Begins a stream, whose request has this phase. `None` if too many streams are active.
    pub fn begin(self: &Arc<Self>, request: &Arc<Phase>) -> Option<Stream> {
        let mut inner = self.lock();
        if !self.slots.take(inner.active.len()) {
            return None;
        }
        let number = inner.next;
        inner.next += 1;
        inner.active.insert(number, Activity::Handling(Arc::clone(request)));
        Some(Stream { streams: Arc::clone(self), number })
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
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.streams.slots.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(streams_max: usize) -> Arc<StreamSlots> {
        StreamSlots::new(streams_max, 0, IntCounter::new("beyond", "For the test.").unwrap())
    }

    #[tokio::test]
    async fn a_stream_has_a_slot_of_its_listener_until_its_last_byte_is_sent() {
        let slots = slots(2);
        let [one, other] = [0; 2].map(|_| Streams::new(&Phase::new(), Arc::clone(&slots)));
        let request = Arc::new(Phase::of_request());
        let (first, second) = (one.begin(&request).unwrap(), other.begin(&request).unwrap());
        assert!(one.begin(&request).is_none() && other.begin(&request).is_none());
        assert_eq!(slots.beyond.get(), 2);
        let response = first.sending(Bytes::from_static(b"response"));
        let rest = response.slice(3..);
        drop(response);
        assert!(one.begin(&request).is_none(), "a part of the response is still to be sent");
        drop(rest);
        let third = other.begin(&request).unwrap();
        drop((second, third));
        assert_eq!((slots.active.load(Ordering::Relaxed), slots.beyond.get()), (0, 3));
    }

    #[tokio::test]
    async fn connections_with_many_streams_leave_slots_to_others() {
        let reserved = 2 * HTTP2_RESERVED_STREAMS;
        let beyond = IntCounter::new("beyond", "For the test.").unwrap();
        let slots = StreamSlots::new(reserved + 50, reserved, beyond);
        let connection = || Streams::new(&Phase::new(), Arc::clone(&slots));
        let request = Arc::new(Phase::of_request());
        let begin = |streams: &Arc<Streams>| (0..100).filter_map(|_| streams.begin(&request)).collect::<Vec<_>>();
        let [greedy, second, third, fourth] = [0; 4].map(|_| connection());
        let held = begin(&greedy);
        assert_eq!(held.len(), 50);
        let others = [&second, &third, &fourth].map(begin);
        assert_eq!(others.each_ref().map(Vec::len), [HTTP2_RESERVED_STREAMS, HTTP2_RESERVED_STREAMS, 0]);
        drop(held);
        // What is free and not reserved is for all again.
        assert_eq!(begin(&fourth).len(), 50 - reserved);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_overdue_when_it_is_idle_or_a_response_is_not_read() {
        let phase = Phase::new();
        phase.start();
        let streams = Streams::new(&phase, slots(100));
        let is_overdue_after = |time: Duration| streams.is_overdue(Instant::now() + time);
        assert!(phase.waiting().is_some());
        assert!(!is_overdue_after(IDLE_TIMEOUT / 2) && is_overdue_after(IDLE_TIMEOUT));
        let request = Arc::new(Phase::of_request());
        let (first, second) = (streams.begin(&request).unwrap(), streams.begin(&request).unwrap());
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
        let streams = Streams::new(&connection, slots(100));
        let begin = Instant::now();
        let pass = || tokio::time::advance(Duration::from_secs(1));
        let seconds = |seconds: u64| begin + Duration::from_secs(seconds);
        let (one, two) = (Arc::new(Phase::of_request()), Arc::new(Phase::of_request()));
        let (first, second) = (streams.begin(&one).unwrap(), streams.begin(&two).unwrap());
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
