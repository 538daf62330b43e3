//! The phase of a connection: what it waits for, and since when.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::head_lines::LineEnds;
use crate::limits::{HEADER_TIMEOUT, IDLE_TIMEOUT};

/// Current phase of a connection.
#[derive(Debug)]
pub struct Phase(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    state: State,
    /// How the lines of the head end that was received last, until its request is handled.
    line_ends: Option<LineEnds>,
}

#[derive(Clone, Debug)]
enum State {
    /// It was accepted, and its task has not run.
    Accepted { since: Instant },
    /// No byte of the next request was received.
    Idle { since: Instant },
    /// A part of the request head was received.
    Head { since: Instant },
    /// The request is being handled.
    Handling {
        /// Start of the first wait for the rest of the body, until the body ends.
        body_since: Option<Instant>,
        /// Whether the body was read to its end.
        body_ended: bool,
        /// Bytes of the body that have not arrived; `None` for a chunked body.
        body_bytes: Option<u64>,
    },
    /// The response is being written.
    Writing {
        /// Time since which the client has read nothing; `None` while it reads.
        blocked_since: Option<Instant>,
    },
    /// The last response was sent; the rest of the client's bytes is discarded.
    Closing { since: Instant },
    /// Many requests are handled at the same time.
    Multiplexed { requests: Weak<dyn Waiting> },
}

/// What waits for a client.
pub trait Waiting: Debug + Send + Sync {
    /// The wait for the client; `None` while the server works.
    fn waiting(&self) -> Option<Wait>;
}

/// What the next bytes of the client are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A part of a head.
    Head,
    /// This number of bytes of a body, and then a head.
    Body(u64),
    /// A part of a chunked body, whose end the stream does not know.
    Chunks,
}

/// A wait for the client. The smallest is the first to be evicted: the longest, but a response is
/// cut only if no other connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    is_writing: bool,
    since: Instant,
}

impl Wait {
    /// For the client to send something.
    pub fn to_read(since: Instant) -> Self {
        Self { is_writing: false, since }
    }

    /// For the client to read something.
    pub fn to_write(since: Instant) -> Self {
        Self { is_writing: true, since }
    }

    /// The wait for two things, each of which ends it: it began with the later of them.
    pub fn and(self, other: Self) -> Self {
        Self { is_writing: self.is_writing || other.is_writing, since: self.since.max(other.since) }
    }

    /// Whether it has taken this long.
    pub fn is_at_least(&self, duration: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= duration
    }
}

/// Guard of a request that is being handled; dropping it starts the response.
#[derive(Debug)]
pub struct Handling {
    phase: Arc<Phase>,
    /// How the lines of the request's head end. `None` if the head arrived in one piece with the
    /// end of a chunked body.
    pub line_ends: Option<LineEnds>,
}

impl Handling {
    /// Whether a part of the body was not read. The next request cannot be found after it.
    pub fn has_unread_body(&self) -> bool {
        matches!(self.phase.lock().state, State::Handling { body_ended: false, .. })
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.phase.lock().state = State::Writing { blocked_since: None };
    }
}

impl Phase {
    /// The phase of a new connection. The head timeout starts at once, because the first request
    /// must follow at once.
    pub fn new() -> Self {
        Self(Mutex::new(Inner { state: State::Accepted { since: Instant::now() }, line_ends: None }))
    }

    /// The phase of a request that is handled from its beginning, as one of many of a connection.
    pub fn of_request() -> Self {
        let state = State::Handling { body_since: None, body_ended: false, body_bytes: None };
        Self(Mutex::new(Inner { state, line_ends: None }))
    }

    /// Marks the connection as one with many requests at the same time. From now on it waits as they
    /// do.
    pub fn multiplex(&self, requests: Weak<dyn Waiting>) {
        self.lock().state = State::Multiplexed { requests };
    }

    /// Marks the task of the connection as running: from now on it waits for the client.
    pub fn start(&self) {
        let state = &mut self.lock().state;
        if let State::Accepted { since } = *state {
            *state = State::Head { since };
        }
    }

    /// Marks the request head as complete. `body_bytes` is the length of its body, unless it is
    /// chunked.
    pub fn start_handling(self: &Arc<Self>, body_bytes: Option<u64>) -> Handling {
        let mut inner = self.lock();
        inner.state = State::Handling { body_since: None, body_ended: false, body_bytes };
        Handling { phase: Arc::clone(self), line_ends: inner.line_ends.take() }
    }

    /// What the next bytes of the client are.
    pub fn expected(&self) -> Expected {
        match self.lock().state {
            State::Handling { body_bytes: Some(bytes), .. } => Expected::Body(bytes),
            State::Handling { body_bytes: None, .. } => Expected::Chunks,
            State::Accepted { .. }
            | State::Idle { .. }
            | State::Head { .. }
            | State::Writing { .. }
            | State::Closing { .. }
            | State::Multiplexed { .. } => Expected::Head,
        }
    }

    /// Marks this number of bytes of a body as received.
    pub fn received_body(&self, bytes: usize) {
        if let State::Handling { body_bytes: Some(left), .. } = &mut self.lock().state {
            *left = left.saturating_sub(bytes as u64);
        }
    }

    /// Marks all of a head as received.
    pub fn received_head(&self, line_ends: LineEnds) {
        self.lock().line_ends = Some(line_ends);
    }

    /// Marks the body as incomplete: its next bytes have not arrived.
    pub fn wait_for_body(&self) {
        if let State::Handling { body_since, body_ended: false, .. } = &mut self.lock().state {
            body_since.get_or_insert_with(Instant::now);
        }
    }

    /// Marks the body as read to its end.
    pub fn body_ended(&self) {
        if let State::Handling { body_since, body_ended, .. } = &mut self.lock().state {
            (*body_since, *body_ended) = (None, true);
        }
    }

    /// Marks the body as no longer waited for, whether it ended or not.
    pub fn body_dropped(&self) {
        if let State::Handling { body_since, .. } = &mut self.lock().state {
            *body_since = None;
        }
    }

    /// Marks the client as reading or not reading the response.
    pub fn write_blocked(&self, is_blocked: bool) {
        if let State::Writing { blocked_since } = &mut self.lock().state {
            *blocked_since = is_blocked.then(|| blocked_since.unwrap_or_else(Instant::now));
        }
    }

    /// Marks the response as written, and so the connection as idle.
    pub fn written(&self) {
        let state = &mut self.lock().state;
        if matches!(*state, State::Writing { .. }) {
            *state = State::Idle { since: Instant::now() };
        }
    }

    /// Marks the last response as sent.
    pub fn start_closing(&self) {
        let state = &mut self.lock().state;
        if !matches!(*state, State::Closing { .. }) {
            *state = State::Closing { since: Instant::now() };
        }
    }

    /// The wait for the client: for a request, the rest of its head or body, progress in reading
    /// the response, or the end of the connection. `None` while the server works or writes.
    pub fn waiting(&self) -> Option<Wait> {
        let requests = match &self.lock().state {
            State::Accepted { .. } => return None,
            State::Idle { since } | State::Head { since } | State::Closing { since } => {
                return Some(Wait::to_read(*since));
            }
            State::Handling { body_since, .. } => return body_since.map(Wait::to_read),
            State::Writing { blocked_since } => return blocked_since.map(Wait::to_write),
            State::Multiplexed { requests } => Weak::clone(requests),
        };
        // Not under the lock: the requests have phases and a lock of their own.
        requests.upgrade()?.waiting()
    }

    /// Marks the first byte of a head as received.
    pub fn received(&self) {
        let state = &mut self.lock().state;
        // A pipelined head may arrive while the response is written.
        if matches!(*state, State::Idle { .. }) {
            *state = State::Head { since: Instant::now() };
        }
    }

    /// End of the wait for a head. The handler bounds the wait for a body.
    pub fn deadline(&self) -> Option<Instant> {
        match self.lock().state {
            State::Idle { since } => Some(since + IDLE_TIMEOUT),
            State::Accepted { since } | State::Head { since } => Some(since + HEADER_TIMEOUT),
            State::Handling { .. } | State::Writing { .. } | State::Closing { .. } | State::Multiplexed { .. } => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
