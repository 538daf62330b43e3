//! The phase of a connection, and a stream that fails when a phase times out: waiting for a
//! request, reading its head, or writing a response. The time to compute the response is the
//! handler's responsibility.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::limits::{HEADER_TIMEOUT, IDLE_TIMEOUT, WRITE_TIMEOUT};

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
    Handling,
}

/// Guard of a request that is being handled; dropping it makes the connection idle.
#[derive(Debug)]
pub struct Handling(Arc<Phase>);

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
        *self.state() = State::Handling;
        Handling(Arc::clone(self))
    }

    /// Start of the wait for a request or the rest of its head; `None` while a request is handled.
    pub fn waiting_since(&self) -> Option<Instant> {
        match *self.state() {
            State::Idle { since } | State::Head { since } => Some(since),
            State::Handling => None,
        }
    }

    fn received(&self) {
        let mut state = self.state();
        if let State::Idle { since: _ } = *state {
            *state = State::Head { since: Instant::now() };
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match *self.state() {
            State::Idle { since } => Some(since + IDLE_TIMEOUT),
            State::Head { since } => Some(since + HEADER_TIMEOUT),
            State::Handling => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream with the timeouts of its connection's phases.
pub struct TimeoutStream<S> {
    stream: S,
    phase: Arc<Phase>,
    read_timer: LazyTimer,
    write_timer: LazyTimer,
    /// Start of the wait for the peer to read the response.
    stalled_since: Option<Instant>,
}

impl<S> TimeoutStream<S> {
    /// Adds timeouts to a stream.
    pub fn new(stream: S, phase: Arc<Phase>) -> Self {
        Self { stream, phase, read_timer: LazyTimer::default(), write_timer: LazyTimer::default(), stalled_since: None }
    }

    /// Handles a write that would block: an error after [`WRITE_TIMEOUT`].
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        if self.write_timer.is_elapsed(since + WRITE_TIMEOUT, cx) {
            Poll::Ready(Err(timed_out()))
        } else {
            Poll::Pending
        }
    }
}

/// A timer that is allocated on first use.
#[derive(Default)]
struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Whether `deadline` has passed; if not, wakes the task then.
    fn is_elapsed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer is too slow")
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before {
                    self.phase.received();
                }
                Poll::Ready(read)
            }
            Poll::Pending => match self.phase.deadline() {
                Some(deadline) if self.read_timer.is_elapsed(deadline, cx) => Poll::Ready(Err(timed_out())),
                Some(_) | None => Poll::Pending,
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // hyper flushes after it has written a whole response, so the peer is not stalled.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.stalled_since = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
