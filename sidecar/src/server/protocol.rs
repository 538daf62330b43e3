//! The protocol of a connection, known from its first bytes: HTTP/2 begins with a preface (RFC
//! 9113, 3.4), and a client that sends it knows in advance that the server speaks HTTP/2.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// First bytes of an HTTP/2 client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or 1.0, or what is answered as such.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Reads the first bytes of a stream, until they tell the protocol. The returned stream begins with
/// them.
pub async fn detect<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Protocol, Replay<S>)> {
    let mut first = [0; PREFACE.len()];
    let mut length = 0;
    let protocol = loop {
        let (received, rest) = first.split_at_mut(length);
        if !PREFACE.starts_with(received) {
            break Protocol::Http1;
        }
        if rest.is_empty() {
            break Protocol::Http2;
        }
        match stream.read(rest).await? {
            // The rules for the end of an HTTP/1 connection apply.
            0 => break Protocol::Http1,
            read => length += read,
        }
    };
    let first = Bytes::copy_from_slice(first.get(..length).unwrap_or_default());
    Ok((protocol, Replay { first, stream }))
}

/// A stream that begins with bytes that were read from it before.
#[derive(Debug)]
pub struct Replay<S> {
    first: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.has_remaining() {
            let length = self.first.remaining().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
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
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A stream that yields its bytes in pieces.
    fn pieces(bytes: &'static [u8], size: usize) -> DuplexStream {
        let (mut client, server) = duplex(size);
        drop(tokio::spawn(async move { client.write_all(bytes).await }));
        server
    }

    #[tokio::test]
    async fn the_protocol_is_known_in_any_pieces_and_no_byte_is_lost() {
        let (one, two) = (Protocol::Http1, Protocol::Http2);
        let cases: [(&[u8], Protocol); 6] = [
            (b"POST /recommend HTTP/1.1\r\nhost: x\r\n\r\n", one),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes", two),
            (b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", one),
            (b"PRI", one),
            (b"\x16\x03\x01", one),
            (b"", one),
        ];
        for (bytes, expected) in cases {
            for size in [1, 3, 24, 1024] {
                let (protocol, mut stream) = detect(pieces(bytes, size)).await.unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                assert_eq!((protocol, all.as_slice()), (expected, bytes), "pieces of {size}");
            }
        }
    }
}
