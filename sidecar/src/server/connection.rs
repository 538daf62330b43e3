//! A connection's phase, and a stream that ends when a phase takes too long: waiting for a request, reading its head, or
//! sending an answer. How long an answer takes in between is the handler's business.

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

/// What a connection does.
#[derive(Debug)]
pub struct Phase(Mutex<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing of the next request has come.
    Idle { since: Instant },
    /// A part of its head has.
    Head { since: Instant },
    /// It is being answered.
    Answering,
}

/// A request is being answered while this lives.
#[derive(Debug)]
pub struct Answering(Arc<Phase>);

impl Drop for Answering {
    fn drop(&mut self) {
        *self.0.state() = State::Idle { since: Instant::now() };
    }
}

impl Phase {
    /// A connection that has just come. It is to speak at once: the time of a head starts now.
    pub fn new() -> Self {
        Self(Mutex::new(State::Head { since: Instant::now() }))
    }

    /// A request's head is complete.
    pub fn answer(self: &Arc<Self>) -> Answering {
        *self.state() = State::Answering;
        Answering(Arc::clone(self))
    }

    /// Since when a request or the rest of its head is waited for; `None` while one is answered.
    pub fn waits_since(&self) -> Option<Instant> {
        match *self.state() {
            State::Idle { since } | State::Head { since } => Some(since),
            State::Answering => None,
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
            State::Answering => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream with the deadlines of its connection's phase.
pub struct Guarded<S> {
    stream: S,
    phase: Arc<Phase>,
    reading: Alarm,
    writing: Alarm,
    /// Since when bytes of an answer wait for the peer.
    stalled_since: Option<Instant>,
}

impl<S> Guarded<S> {
    /// Guards a stream.
    pub fn new(stream: S, phase: Arc<Phase>) -> Self {
        Self { stream, phase, reading: Alarm::default(), writing: Alarm::default(), stalled_since: None }
    }

    /// What a write that has to wait means.
    fn stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        if self.writing.rings(since + WRITE_TIMEOUT, cx) { Poll::Ready(Err(too_slow())) } else { Poll::Pending }
    }
}

/// A timer that is made when it is needed first.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether `deadline` is over; if not, the task is woken then.
    fn rings(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer took too long")
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
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
                Some(deadline) if self.reading.rings(deadline, cx) => Poll::Ready(Err(too_slow())),
                Some(_) | None => Poll::Pending,
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => self.stalled(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => self.stalled(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // hyper flushes when all of an answer was written: the peer has kept up.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.stalled_since = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
