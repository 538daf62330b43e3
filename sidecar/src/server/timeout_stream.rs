//! A stream that checks the heads that pass it, and fails when a phase of its connection times out:
//! waiting for a request, reading its head, or writing a response. The times to read a body and to
//! compute the response are the handler's responsibility. At its end the stream lingers: if the
//! server closed a socket with unread bytes, the kernel would reset the connection, and the client
//! could lose the response.

use std::{
    future::Future as _,
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Duration, Instant, Sleep},
};

use super::{
    head_lines::HeadLines,
    phase::{Expected, Phase},
};
use crate::limits::{LINGER_BYTES_MAX, LINGER_TIMEOUT, WRITE_BYTES_PER_SECOND_MIN, WRITE_TIMEOUT};

/// How a chunked body ends: with the end of the last chunk or trailer, and an empty line.
const END_OF_CHUNKS: [u8; 4] = *b"\r\n\r\n";
/// Bytes that are discarded at once.
const DISCARD_BYTES: usize = 4 << 10;

/// A stream with the timeouts of its connection's phases.
pub struct TimeoutStream<S> {
    stream: S,
    phase: Arc<Phase>,
    read_timer: LazyTimer,
    write_timer: LazyTimer,
    /// The response that is being written, once a write has blocked.
    slow_write: Option<SlowWrite>,
    /// Present once the write side is shut down.
    lingering: Option<Lingering>,
    head: HeadLines,
    /// The last bytes of a chunked body, after which no head was received yet.
    chunks_tail: Option<[u8; 4]>,
    /// Whether a part of the current head was passed on with the end of a chunked body.
    is_head_incomplete: bool,
    /// Bytes that were received and are not yet due: they belong to the body after the head that
    /// was passed on last, or to the next head.
    held: Vec<u8>,
}

/// A response that the peer does not read at once.
struct SlowWrite {
    since: Instant,
    /// Bytes that were written since then.
    written: usize,
}

impl SlowWrite {
    /// End of the wait: it is extended by what was written, so a slow reader gets all of a long
    /// response.
    fn deadline(&self) -> Instant {
        let seconds = u64::try_from(self.written / WRITE_BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
        self.since + WRITE_TIMEOUT + Duration::from_secs(seconds)
    }
}

/// The wait for the peer to close the connection.
struct Lingering {
    until: Instant,
    discarded: usize,
}

impl<S> TimeoutStream<S> {
    /// Adds timeouts to a stream.
    pub fn new(stream: S, phase: Arc<Phase>) -> Self {
        Self {
            stream,
            phase,
            read_timer: LazyTimer::default(),
            write_timer: LazyTimer::default(),
            slow_write: None,
            lingering: None,
            head: HeadLines::default(),
            chunks_tail: None,
            is_head_incomplete: false,
            held: Vec::new(),
        }
    }

    /// Handles the outcome of a write: an error after the deadline of a slow one.
    fn poll_written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.phase.write_blocked(written.is_pending());
        match (&mut self.slow_write, &written) {
            (Some(slow), Poll::Ready(Ok(bytes))) => slow.written += bytes,
            (_, Poll::Ready(_)) => {}
            (slow, Poll::Pending) => {
                let slow = slow.get_or_insert_with(|| SlowWrite { since: Instant::now(), written: 0 });
                if self.write_timer.is_elapsed(slow.deadline(), cx) {
                    return Poll::Ready(Err(timed_out()));
                }
            }
        }
        written
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
        if self.held.is_empty() {
            match Pin::new(&mut self.stream).poll_read(cx, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    return match self.phase.deadline() {
                        Some(deadline) if self.read_timer.is_elapsed(deadline, cx) => Poll::Ready(Err(timed_out())),
                        Some(_) | None => Poll::Pending,
                    };
                }
            }
        } else {
            let held = mem::take(&mut self.held);
            let (due, rest) = held.split_at(held.len().min(buffer.remaining()));
            buffer.put_slice(due);
            self.held = rest.to_vec();
        }
        let received = buffer.filled().get(before..).unwrap_or_default();
        if received.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.phase.received();
        let due = self.due(received);
        let (_, early) = received.split_at(due.min(received.len()));
        if !early.is_empty() {
            let early = [early, &self.held].concat();
            self.held = early;
            buffer.set_filled(before + due);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> TimeoutStream<S> {
    /// Number of the received bytes that belong to what is read now: a head, which is checked, or a
    /// body. The others are held back, so that no head passes unchecked.
    fn due(&mut self, received: &[u8]) -> usize {
        match self.phase.expected() {
            Expected::Head => {
                self.is_head_incomplete |= self.chunks_tail.take().is_some_and(|tail| tail != END_OF_CHUNKS);
                let Some((length, line_ends)) = self.head.scan(received) else { return received.len() };
                if !mem::take(&mut self.is_head_incomplete) {
                    self.phase.received_head(line_ends);
                }
                length
            }
            Expected::Body(left) => {
                let due = usize::try_from(left).unwrap_or(usize::MAX).min(received.len());
                self.phase.received_body(due);
                due
            }
            Expected::Chunks => {
                let mut tail = self.chunks_tail.unwrap_or_default();
                for byte in received.iter().skip(received.len().saturating_sub(tail.len())) {
                    tail.rotate_left(1);
                    tail[3] = *byte;
                }
                self.chunks_tail = Some(tail);
                received.len()
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // hyper flushes after it has written a whole response.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.slow_write = None;
        self.phase.written();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.phase.start_closing();
            self.lingering = Some(Lingering { until: Instant::now() + LINGER_TIMEOUT, discarded: 0 });
        }
        self.poll_linger(cx)
    }
}

impl<S: AsyncRead + Unpin> TimeoutStream<S> {
    /// Discards what the peer still sends, until it closes or the limits of lingering are reached.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, read_timer, lingering: Some(lingering), .. } = self else { return Poll::Ready(Ok(())) };
        let mut discarded = [MaybeUninit::uninit(); DISCARD_BYTES];
        while lingering.discarded < LINGER_BYTES_MAX {
            if read_timer.is_elapsed(lingering.until, cx) {
                break;
            }
            let mut buffer = ReadBuf::uninit(&mut discarded);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            lingering.discarded += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
