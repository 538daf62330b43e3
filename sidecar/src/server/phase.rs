//! The phase of a connection: what it waits for, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::limits::{HEADER_TIMEOUT, IDLE_TIMEOUT};

/// Current phase of a connection.
#[derive(Debug)]
pub struct Phase(Mutex<State>);

#[derive(Clone, Copy, Debug)]
enum State {
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
    },
    /// The response is being written.
    Writing {
        /// Time since which the client has read nothing; `None` while it reads.
        blocked_since: Option<Instant>,
    },
    /// The last response was sent; the rest of the client's bytes is discarded.
    Closing { since: Instant },
}

/// A wait for the client. The smallest is the first to be evicted: the longest, but a response is
/// cut only if no other connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    is_writing: bool,
    since: Instant,
}

/// Guard of a request that is being handled; dropping it starts the response.
#[derive(Debug)]
pub struct Handling(Arc<Phase>);

impl Handling {
    /// Whether a part of the body was not read. The next request cannot be found after it.
    pub fn has_unread_body(&self) -> bool {
        matches!(*self.0.state(), State::Handling { body_ended: false, .. })
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        *self.0.state() = State::Writing { blocked_since: None };
    }
}

impl Phase {
    /// The phase of a new connection. The head timeout starts at once, because the first request
    /// must follow at once.
    pub fn new() -> Self {
        Self(Mutex::new(State::Head { since: Instant::now() }))
    }

    /// Marks the request head as complete.
    pub fn start_handling(self: &Arc<Self>) -> Handling {
        *self.state() = State::Handling { body_since: None, body_ended: false };
        Handling(Arc::clone(self))
    }

    /// Marks the body as incomplete: its next bytes have not arrived.
    pub fn wait_for_body(&self) {
        if let State::Handling { body_since, body_ended: false } = &mut *self.state() {
            body_since.get_or_insert_with(Instant::now);
        }
    }

    /// Marks the body as read to its end.
    pub fn body_ended(&self) {
        if let State::Handling { body_since, body_ended } = &mut *self.state() {
            (*body_since, *body_ended) = (None, true);
        }
    }

    /// Marks the body as no longer waited for, whether it ended or not.
    pub fn body_dropped(&self) {
        if let State::Handling { body_since, .. } = &mut *self.state() {
            *body_since = None;
        }
    }

    /// Marks the client as reading or not reading the response.
    pub fn write_blocked(&self, is_blocked: bool) {
        if let State::Writing { blocked_since } = &mut *self.state() {
            *blocked_since = is_blocked.then(|| blocked_since.unwrap_or_else(Instant::now));
        }
    }

    /// Marks the response as written, and so the connection as idle.
    pub fn written(&self) {
        let mut state = self.state();
        if matches!(*state, State::Writing { .. }) {
            *state = State::Idle { since: Instant::now() };
        }
    }

    /// Marks the last response as sent.
    pub fn start_closing(&self) {
        let mut state = self.state();
        if !matches!(*state, State::Closing { .. }) {
            *state = State::Closing { since: Instant::now() };
        }
    }

    /// The wait for the client: for a request, the rest of its head or body, progress in reading the
    /// response, or the end of the connection. `None` while the server works or writes.
    pub fn waiting(&self) -> Option<Wait> {
        let wait = |is_writing| move |since| Wait { is_writing, since };
        match *self.state() {
            State::Idle { since } | State::Head { since } | State::Closing { since } => Some(wait(false)(since)),
            State::Handling { body_since, .. } => body_since.map(wait(false)),
            State::Writing { blocked_since } => blocked_since.map(wait(true)),
        }
    }

    /// Marks the first byte of a head as received.
    pub fn received(&self) {
        let mut state = self.state();
        // A pipelined head may arrive while the response is written.
        if matches!(*state, State::Idle { .. }) {
            *state = State::Head { since: Instant::now() };
        }
    }

    /// End of the wait for a head. The handler bounds the wait for a body.
    pub fn deadline(&self) -> Option<Instant> {
        match *self.state() {
            State::Idle { since } => Some(since + IDLE_TIMEOUT),
            State::Head { since } => Some(since + HEADER_TIMEOUT),
            State::Handling { .. } | State::Writing { .. } | State::Closing { .. } => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
