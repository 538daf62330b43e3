//! The refusal of a server that a client sees only after its handshake: with TLS 1.3 the server
//! verifies the client's certificate when the client is done, and ends the connection with an alert.
//! HTTP/2 keeps only the text of such an error, so it is noted below HTTP/2.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{handshake::Refused, refusal::Refusal, spiffe_id::SpiffeId};

/// The refusal of a connection by its server, once there is one.
#[derive(Debug)]
pub struct LateRefusal {
    own: SpiffeId,
    server: SpiffeId,
    /// The alert.
    alert: OnceLock<String>,
    is_taken: AtomicBool,
}

impl LateRefusal {
    /// None yet, of a connection between these two.
    pub fn new(own: SpiffeId, server: SpiffeId) -> Self {
        Self { own, server, alert: OnceLock::new(), is_taken: AtomicBool::new(false) }
    }

    /// Whether the server refused the connection.
    pub fn is_noted(&self) -> bool {
        self.alert.get().is_some()
    }

    /// The refusal, once: all requests of the connection fail because of it, and one reports it.
    pub fn take(&self) -> Option<Refused> {
        let alert = self.alert.get().filter(|_| !self.is_taken.swap(true, Ordering::Relaxed))?;
        Some(Refused {
            reason: Refusal::RefusedByPeer,
            own: Some(Box::new(self.own.clone())),
            claimed: Some(Box::new(self.server.clone())),
            detail: Some(alert.clone()),
        })
    }

    fn note(&self, error: &io::Error) {
        let alert = error.get_ref().and_then(|error| error.downcast_ref());
        if let Some(alert @ Error::AlertReceived(_)) = alert {
            let _ = self.alert.set(alert.to_string());
        }
    }
}

/// A stream that notes the refusal of its server.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    refusal: Arc<LateRefusal>,
}

impl<S> Watched<S> {
    /// Notes it there.
    pub fn new(stream: S, refusal: Arc<LateRefusal>) -> Self {
        Self { stream, refusal }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &read {
            self.refusal.note(error);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A stream whose first read fails so.
    struct Failing(Option<io::Error>);

    impl AsyncRead for Failing {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.0.take().map_or(Ok(()), Err))
        }
    }

    async fn refusal(error: io::Error) -> Arc<LateRefusal> {
        let id = |name: &str| format!("spiffe://cluster.local/ns/shop/sa/{name}").parse().unwrap();
        let refusal = Arc::new(LateRefusal::new(id("web"), id("movies")));
        let mut stream = Watched::new(Failing(Some(error)), Arc::clone(&refusal));
        assert!(stream.read_u8().await.is_err());
        refusal
    }

    #[tokio::test]
    async fn an_alert_is_a_refusal_that_is_reported_once_with_both_ids() {
        let alert = Error::AlertReceived(AlertDescription::CertificateUnknown);
        let refusal = refusal(io::Error::new(io::ErrorKind::InvalidData, alert)).await;
        assert!(refusal.is_noted());
        let refused = refusal.take().unwrap();
        assert_eq!(refused.reason, Refusal::RefusedByPeer);
        let text = refused.to_string();
        for part in ["/sa/web,", "/sa/movies)", "CertificateUnknown"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(refusal.take().is_none() && refusal.is_noted());
    }

    #[tokio::test]
    async fn another_error_is_not_a_refusal() {
        for error in [
            io::Error::from(io::ErrorKind::ConnectionReset),
            io::Error::new(io::ErrorKind::InvalidData, Error::DecryptError),
        ] {
            let refusal = refusal(error).await;
            assert!(!refusal.is_noted() && refusal.take().is_none());
        }
    }
}
