//! Connection that closes if the client receives a response too slowly, so that such a client
//! cannot occupy a request slot.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pace::Pace;

/// Connection whose writes fail when the client has used up its time; see [`Pace`].
pub struct PacedStream<T> {
    inner: T,
    pace: Pace,
}

impl<T> PacedStream<T> {
    /// Wraps a connection.
    pub fn new(inner: T) -> Self {
        Self { inner, pace: Pace::default() }
    }

    /// Counts the bytes of a write. While it is pending, the store waits for the client.
    fn poll_paced<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
        bytes: impl FnOnce(&R) -> usize,
    ) -> Poll<io::Result<R>> {
        if let Poll::Ready(written) = written {
            self.pace.transferred(written.as_ref().map_or(0, bytes));
            return Poll::Ready(written);
        }
        ready!(self.pace.poll_exhausted(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client receives too slowly")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PacedStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PacedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.poll_paced(cx, written, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.poll_paced(cx, written, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.inner).poll_flush(cx);
        self.poll_paced(cx, written, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.poll_paced(cx, written, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::sleep,
    };

    use super::*;
    use crate::limits::TRANSFER_PAUSE_MAX;

    #[tokio::test(start_paused = true)]
    async fn writes_fail_only_if_the_client_receives_too_slowly() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut paced = PacedStream::new(near);
        let content = vec![0; 1 << 20];
        paced.write_all(&content).await.unwrap();
        let reader = tokio::spawn(async move {
            // Each pause is shorter than the limit; their sum is longer. The rate is sufficient.
            for _ in 0..4 {
                sleep(TRANSFER_PAUSE_MAX.saturating_sub(Duration::from_secs(1))).await;
                far.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
            }
            // From here on, one byte every two seconds.
            loop {
                sleep(Duration::from_secs(2)).await;
                if far.read_exact(&mut [0]).await.is_err() {
                    return;
                }
            }
        });
        for _ in 0..4 {
            paced.write_all(&content).await.unwrap();
        }
        let error = paced.write_all(&content).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        reader.abort();
    }
}
