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
    /// The last response was sent; the rest of the client's bytes is discarded.
    Closing { since: Instant },
}

/// Guard of a request that is being handled; dropping it makes the connection idle.
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
        *self.0.state() = State::Idle { since: Instant::now() };
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

    /// Marks the last response as sent.
    pub fn start_closing(&self) {
        let mut state = self.state();
        if !matches!(*state, State::Closing { .. }) {
            *state = State::Closing { since: Instant::now() };
        }
    }

    /// Start of the wait for the client: for a request, the rest of its head or body, or the end of
    /// the connection. `None` while the server works on a request.
    pub fn waiting_since(&self) -> Option<Instant> {
        match *self.state() {
            State::Idle { since } | State::Head { since } | State::Closing { since } => Some(since),
            State::Handling { body_since, .. } => body_since,
        }
    }

    /// Marks the first byte of a head as received.
    pub fn received(&self) {
        let mut state = self.state();
        if let State::Idle { since: _ } = *state {
            *state = State::Head { since: Instant::now() };
        }
    }

    /// End of the wait for a head. The handler bounds the wait for a body.
    pub fn deadline(&self) -> Option<Instant> {
        match *self.state() {
            State::Idle { since } => Some(since + IDLE_TIMEOUT),
            State::Head { since } => Some(since + HEADER_TIMEOUT),
            State::Handling { .. } | State::Closing { .. } => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
