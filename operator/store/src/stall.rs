//! Write timeout for connections, so that a client that stops reading cannot occupy a request slot.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::limits::WRITE_TIMEOUT;

/// Connection whose writes fail after [`WRITE_TIMEOUT`] without progress.
pub struct StallGuard<T> {
    inner: T,
    timeout: Option<Pin<Box<Sleep>>>,
}

impl<T> StallGuard<T> {
    /// Wraps a connection.
    pub fn new(inner: T) -> Self {
        Self { inner, timeout: None }
    }

    fn apply_timeout<R>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if progress.is_ready() {
            self.timeout = None;
            return progress;
        }
        let timeout = self.timeout.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(timeout.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "write timed out: the client does not read")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallGuard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.apply_timeout(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.apply_timeout(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_flush(cx);
        self.apply_timeout(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.apply_timeout(cx, progress)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_fail_only_when_the_client_stops_reading() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near);
        guarded.write_all(&[0; 16]).await.unwrap();
        let slow = tokio::spawn(async move {
            // Each pause is shorter than the timeout; their sum is longer.
            for _ in 0..4 {
                sleep(WRITE_TIMEOUT.saturating_sub(Duration::from_secs(1))).await;
                far.read_exact(&mut [0; 16]).await.unwrap();
            }
            far
        });
        guarded.write_all(&[0; 48]).await.unwrap();
        let _far = slow.await.unwrap();
        let error = guarded.write_all(&[0; 32]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
